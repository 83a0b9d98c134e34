import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { atOnce, eachLight, eachOf, merged, type Steps, sorted } from './steps.ts';

interface Item {
  readonly key: number;
  readonly at: number;
}
const byKey = (a: Item, b: Item): number => a.key - b.key;
const items = fc
  .array(fc.nat(200), { maxLength: 1500, size: 'max' })
  .map((keys) => keys.map((key, at): Item => ({ key, at })));

function pausesOf<T>(steps: Steps<T>): number {
  let pauses = 0;
  while (steps.next().done !== true) pauses++;
  return pauses;
}

test('sorting in pieces is the native sort, of equals in their order', () => {
  fc.assert(
    fc.property(items, (list) => {
      assert.deepEqual(atOnce(sorted([...list], byKey)), [...list].sort(byKey));
    }),
    { numRuns: 50 },
  );
});

test('of two sorted lists equals of the first come first', () => {
  fc.assert(
    fc.property(items, items, (a, b) => {
      const [first, second] = [a.toSorted(byKey), b.toSorted(byKey)];
      assert.deepEqual(atOnce(merged(first, second, byKey)), [...first, ...second].sort(byKey));
    }),
    { numRuns: 50 },
  );
});

test('every item is visited, with pauses in between', () => {
  const list = Array.from({ length: 1000 }, (_, at) => at);
  for (const each of [eachOf, eachLight]) {
    const seen: number[] = [];
    assert.ok(pausesOf(each(list, (item) => seen.push(item))) >= 3);
    assert.deepEqual(seen, list);
  }
});

test('a list of thousands is sorted in dozens of pieces', () => {
  const list = Array.from({ length: 5000 }, (_, at) => ({ key: (at * 7919) % 5003, at }));
  assert.ok(pausesOf(sorted(list, byKey)) > 50);
});
