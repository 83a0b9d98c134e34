import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../../store/memory.ts';
import { type Bench, openBench } from '../testing/bench.ts';

/** Reads lines of a watch; a line that does not come makes the test run into its time limit. */
async function watch(bench: Bench, from?: number) {
  const stop = new AbortController();
  const response = await bench.app.request(`/v1/watch${from === undefined ? '' : `?from=${from}`}`, {
    headers: { authorization: `Bearer ${bench.token}` },
    signal: stop.signal,
  });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'application/x-ndjson');
  const reader = response.body!.getReader();
  let text = '';
  return {
    async next(): Promise<{ rev?: number; put?: { kind: string; value: { id: string } }[]; reset?: true } | undefined> {
      while (!text.includes('\n')) {
        const { value, done } = await reader.read();
        if (done) return undefined;
        text += Buffer.from(value).toString();
      }
      const at = text.indexOf('\n');
      const line = JSON.parse(text.slice(0, at));
      text = text.slice(at + 1);
      return line;
    },
    cancel: () => reader.cancel(),
  };
}

test('a watch tells each revision as one line, from the one that was asked for', async () => {
  const bench = await openBench();
  const bridge = await bench.must('POST', '/v1/bridges', { name: 'a' });
  const lines = await watch(bench, 0);
  assert.deepEqual(await lines.next(), { rev: 0 });
  const { status: _, ...value } = bridge;
  assert.deepEqual(await lines.next(), { rev: 1, put: [{ kind: 'bridge', value }], del: [] });
  await bench.must('POST', '/v1/transaction', {
    operations: [
      { op: 'delete', kind: 'bridge', id: bridge.id },
      { op: 'create', kind: 'router', value: {} },
      { op: 'create', kind: 'router', value: {} },
    ],
  });
  const second = (await lines.next()) as { rev: number; put: unknown[]; del: unknown[] };
  assert.deepEqual([second.rev, second.put.length, second.del], [2, 2, [{ kind: 'bridge', id: bridge.id }]]);
  await lines.cancel();
  await bench.close();
});

test('a watch without a revision begins now', async () => {
  const bench = await openBench();
  await bench.must('POST', '/v1/bridges', {});
  const lines = await watch(bench);
  assert.deepEqual(await lines.next(), { rev: 1 });
  await bench.must('POST', '/v1/bridges', {});
  assert.equal((await lines.next())?.rev, 2);
  await lines.cancel();
  await bench.close();
});

test('a watch goes on at another server, as far back as the store remembers', async () => {
  const store = new MemoryStore({ keepRevisions: 8 });
  const first = await openBench(store);
  for (let at = 0; at < 20; at++) await first.must('POST', '/v1/bridges', { name: `b${at}` });
  const { revision } = await first.must('GET', '/v1/bridges');
  await first.close();
  const second = await openBench(store);
  const recent = await watch(second, revision - 3);
  await recent.next();
  for (let rev = revision - 2; rev <= revision; rev++) assert.equal((await recent.next())?.rev, rev);
  await recent.cancel();
  const old = await watch(second, 1);
  await old.next();
  assert.deepEqual([await old.next(), await old.next()], [{ reset: true }, undefined]);
  await second.close();
});

test('a watch from a revision that is still to come is told to list again', async () => {
  const bench = await openBench();
  const lines = await watch(bench, 5);
  assert.deepEqual(await lines.next(), { rev: 0 });
  assert.deepEqual(await lines.next(), { reset: true });
  await bench.close();
});

test('many changes reach a watcher that reads late, in order', async () => {
  const bench = await openBench();
  const lines = await watch(bench, 0);
  for (let at = 0; at < 200; at++) await bench.must('POST', '/v1/bridges', {});
  await lines.next();
  for (let rev = 1; rev <= 200; rev++) assert.equal((await lines.next())?.rev, rev);
  await lines.cancel();
  await bench.close();
});
