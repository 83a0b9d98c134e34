import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode, encode, FIRST_HEAD, type Head, REVISION_KEY } from '../state/keys.ts';
import { openBench } from '../testing/bench.ts';
import { Draw, FreedNumbers, freed, NUMBER_LIMIT, REST_MS } from './numbers.ts';

const all = (): boolean => true;
const noRules = (): ReadonlySet<number> => new Set();

test('the count begins anew at one and passes over what is taken', () => {
  const taken = new Set([1, 2, 4]);
  const draw = new Draw({ ...FIRST_HEAD, nextNumber: NUMBER_LIMIT - 1 }, (number) => !taken.has(number), noRules);
  assert.deepEqual([draw.number(), draw.number(), draw.number()], [NUMBER_LIMIT - 1, 3, 5]);
  assert.equal(draw.next.nextNumber, 6);
});

test('when no number is free that is said', () => {
  const draw = new Draw(FIRST_HEAD, () => false, noRules);
  assert.throws(() => draw.number(), { code: 'unavailable' });
});

test('rule numbers are looked up only when their count has come round', () => {
  let asked = 0;
  const rules = (): ReadonlySet<number> => {
    asked++;
    return new Set([1]);
  };
  const draw = new Draw({ ...FIRST_HEAD, nextRule: 2 ** 32 - 2 }, all, rules);
  assert.equal(draw.rule(), 2 ** 32 - 2);
  assert.equal(asked, 0);
  assert.deepEqual([draw.rule(), draw.rule()], [2 ** 32 - 1, 2]);
  assert.equal(asked, 1);
  assert.deepEqual(draw.next, { nextNumber: 1, nextRule: 3, ruleRounds: 1 });
});

test('a number that was given back rests for a day', () => {
  const numbers = new FreedNumbers();
  const write = freed(7, 1000);
  assert.ok('put' in write);
  const entry = { key: write.put, value: encode(write.value), createRev: 1n, modRev: 1n };
  numbers.apply({ rev: 1n, events: [{ kind: 'put', entry }] });
  assert.deepEqual([numbers.resting(7, 1000 + REST_MS - 1), numbers.resting(7, 1000 + REST_MS)], [true, false]);
  assert.deepEqual(numbers.rested(1000, 10), []);
  assert.deepEqual(numbers.rested(1000 + REST_MS, 10), [write.put]);
});

test('numbers of deleted ports and bridges rest in the store, and a count that comes round passes them over', async () => {
  const bench = await openBench();
  const { must, store } = bench;
  const bridge = await must('POST', '/v1/bridges', {});
  const port = await must('POST', '/v1/ports', { deviceId: bridge.id });
  await must('POST', '/v1/ports', { deviceId: bridge.id });
  await must('DELETE', `/v1/ports/${port.id}`);
  const { entry } = await store.get(REVISION_KEY);
  const head = { ...decode<Head>(entry!.value), nextNumber: NUMBER_LIMIT - 1 };
  const { rev } = await store.txn([], [{ put: REVISION_KEY, value: encode(head) }]);
  await bench.parts.feed.through(rev);
  assert.equal((await must('POST', '/v1/ports', { deviceId: bridge.id })).tunnelKey, NUMBER_LIMIT - 1);
  // 1 is the bridge, 2 rests, 3 is taken.
  assert.equal((await must('POST', '/v1/ports', { deviceId: bridge.id })).tunnelKey, 4);
  await bench.close();
});
