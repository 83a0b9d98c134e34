import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SharedMap } from './shared-map.ts';

const key = fc.oneof(
  fc.uuid(),
  fc.nat(300).map((n) => `00000000-0000-0000-0000-${n.toString(16).padStart(12, '0')}`),
  fc.string({ maxLength: 3 }),
);
const changes = fc.array(fc.tuple(key, fc.option(fc.nat(5), { nil: undefined })), { maxLength: 60 });

test('holds what a native map holds, and earlier maps stay as they were', () => {
  fc.assert(
    fc.property(fc.array(changes, { maxLength: 6 }), (batches) => {
      const twin = new Map<string, number>();
      let map = SharedMap.empty<string, number>();
      for (const batch of batches) {
        const before = map;
        const held = new Map(before);
        map = map.with(batch);
        for (const [name, value] of batch) {
          if (value === undefined) twin.delete(name);
          else twin.set(name, value);
        }
        assert.deepEqual(new Map(before), held);
        assert.deepEqual(new Map(map), twin);
        assert.equal(map.size, twin.size);
        assert.deepEqual(new Set(map.keys()), new Set(twin.keys()));
        assert.deepEqual([...map.values()].sort(), [...twin.values()].sort());
        for (const [name] of batch) assert.deepEqual([map.get(name), map.has(name)], [twin.get(name), twin.has(name)]);
      }
    }),
  );
});

test('a change that changes nothing gives the same map', () => {
  const map = SharedMap.empty<number, string>().with([
    [1, 'a'],
    [70_000, 'b'],
  ]);
  assert.equal(
    map.with([
      [1, 'a'],
      [2, undefined],
    ]),
    map,
  );
  assert.notEqual(map.with([[1, 'c']]), map);
});

test('every entry is visited once', () => {
  const map = SharedMap.empty<number, string>().with([
    [1, 'a'],
    [257, 'b'],
  ]);
  const seen: string[] = [];
  map.forEach((value, at) => {
    seen.push(`${at}${value}`);
  });
  assert.deepEqual(seen.sort(), ['1a', '257b']);
});
