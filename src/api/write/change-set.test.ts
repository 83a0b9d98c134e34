import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../../store/memory.ts';
import { type Store, Unavailable } from '../../store/store.ts';
import { decode, encode, FIRST_HEAD, type Head, PREFIX, REVISION_KEY, type ValueWrite } from '../state/keys.ts';
import { openBench } from '../testing/bench.ts';
import { commit, finish, recover } from './change-set.ts';

const CREATES = 130;
const operations = Array.from({ length: CREATES }, (_, at) => ({
  op: 'create',
  kind: 'portGroup',
  value: { name: `group ${at}`, tags: Array.from({ length: 130 }, (_, tag) => `${tag}`.padEnd(60, 'x')) },
}));

/** A store that is gone after so many transactions: what kill -9 leaves. */
function mortal(store: Store, transactions: number): Store {
  let left = transactions;
  return new Proxy(store, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (name === 'txn') {
        return async (...args: Parameters<Store['txn']>) => {
          if (left-- <= 0) throw new Unavailable('killed');
          return target.txn(...args);
        };
      }
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

test('a transaction larger than the store takes is one revision, and leaves no chunks', async () => {
  const bench = await openBench();
  const { revision, objects } = await bench.must('POST', '/v1/transaction', { operations });
  assert.deepEqual([revision, objects.length], [1, CREATES]);
  assert.equal(bench.parts.config.topology.objects('portGroup').size, CREATES);
  await bench.parts.transactor.idle();
  const change = bench.parts.config.since(0)!;
  assert.deepEqual(
    change.map(({ revision: each, put }) => [each, put.length]),
    [[1, CREATES]],
  );
  assert.equal((await bench.must('POST', '/v1/bridges', {})).revision, 2);
  const { entries } = await bench.store.list(PREFIX.change);
  assert.equal(entries.length, 0);
  assert.equal((await bench.store.list('config/portGroup/', { limit: 1000 })).entries.length, CREATES);
  await bench.close();
});

test('killed at any step, a large change is there whole or not at all, and the next server tidies up', async () => {
  // Transactions of a large change: chunks, the bump, the copies, the end, the removal of chunks.
  let committed = 0;
  let steps = 0;
  for (let transactions = 0; transactions < 40; transactions++) {
    const store = new MemoryStore();
    const first = await openBench(store);
    const name = (await first.must('POST', '/v1/bridges', { name: 'before' })).id;
    await first.close();
    const dying = await openBench(mortal(store, transactions));
    const answer = await dying.call('POST', '/v1/transaction', { operations });
    await dying.parts.transactor.idle();
    const finished = answer.status === 200 && dying.parts.config.head.changeSet === undefined;
    await dying.close();

    const next = await openBench(store);
    const { topology, revision, head } = next.parts.config;
    const size = topology.objects('portGroup').size;
    assert.ok(size === 0 || size === CREATES, `${size} objects after ${transactions} transactions`);
    assert.equal(revision, size === 0 ? 1 : 2);
    // What was acknowledged is there.
    if (answer.status === 200) assert.equal(size, CREATES);
    assert.equal(head.changeSet, undefined);
    assert.equal((await store.list(PREFIX.change)).entries.length, 0);
    assert.equal((await store.list('config/portGroup/')).entries.length, size);
    assert.equal((await next.must('PATCH', `/v1/bridges/${name}`, { name: 'after' })).revision, revision + 1);
    await next.close();
    committed += size === 0 ? 0 : 1;
    steps++;
    if (finished && dying.log.lines.every(({ level }) => level !== 'warn')) break;
  }
  assert.ok(committed >= 4 && committed < steps, `${committed} of ${steps} steps were behind the commit`);
});

const writes: ValueWrite[] = Array.from({ length: 250 }, (_, at) => ({
  put: `config/x/${at}`,
  value: 'y'.repeat(8000),
}));

test('a large change that lost the race leaves nothing behind', async () => {
  const store = new MemoryStore();
  const { rev } = await store.txn([], [{ put: REVISION_KEY, value: encode(FIRST_HEAD) }]);
  await store.txn([], [{ put: REVISION_KEY, value: encode({ ...FIRST_HEAD, revision: 1 }) }]);
  assert.equal(await commit(store, rev, { ...FIRST_HEAD, revision: 1 }, writes), undefined);
  assert.deepEqual(
    (await store.list('')).entries.map(({ key }) => key),
    [REVISION_KEY],
  );
});

test('two servers may finish the same change', async () => {
  const store = new MemoryStore();
  assert.notEqual(await commit(store, 0n, { ...FIRST_HEAD, revision: 1 }, writes), undefined);
  await Promise.all([finish(store), recover(store), finish(store)]);
  const { entry } = await store.get(REVISION_KEY);
  assert.equal(decode<Head>(entry!.value).changeSet, undefined);
  assert.equal((await store.list('config/x/', { limit: 1000 })).entries.length, writes.length);
  assert.equal((await store.list(PREFIX.change)).entries.length, 0);
});
