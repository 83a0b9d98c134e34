import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PortStatus } from '../../topology/status.ts';
import { StatusBook } from './status.ts';

const port = (id: string, state: PortStatus['state']): PortStatus => ({ kind: 'port', id, state });

test('changes are told once, and what is the same is not told', () => {
  const book = new StatusBook();
  book.put(port('a', 'up'));
  assert.deepEqual(book.changes(), [{ kind: 'status', put: [port('a', 'up')], del: [], reset: false }]);
  book.put(port('a', 'up'));
  assert.deepEqual(book.changes(), []);
});

test('of several changes of one status the last is told', () => {
  const book = new StatusBook();
  book.put(port('a', 'claimed'));
  book.put(port('a', 'up'));
  book.put(port('b', 'up'));
  book.delete({ kind: 'port', id: 'b' });
  assert.deepEqual(book.changes(), [
    { kind: 'status', put: [port('a', 'up')], del: [{ kind: 'port', id: 'b' }], reset: false },
  ]);
});

test('what is to be told again is told once more, and only once', () => {
  const book = new StatusBook();
  book.put(port('a', 'claimed'));
  book.changes();
  book.tellAgain({ kind: 'port', id: 'a' });
  assert.deepEqual(book.changes(), []);
  book.put(port('a', 'claimed'));
  assert.deepEqual(book.changes(), [{ kind: 'status', put: [port('a', 'claimed')], del: [], reset: false }]);
  book.put(port('a', 'claimed'));
  assert.deepEqual(book.changes(), []);
});

test('a kind is replaced by what there is now', () => {
  const book = new StatusBook();
  book.replaceKind('port', [port('a', 'up'), port('b', 'up')]);
  book.put({ kind: 'neighbour', id: 'p,10.0.0.1', mac: '02:00:00:00:00:01' });
  book.changes();
  book.replaceKind('port', [port('b', 'up'), port('c', 'down')]);
  assert.deepEqual(book.changes(), [
    { kind: 'status', put: [port('c', 'down')], del: [{ kind: 'port', id: 'a' }], reset: false },
  ]);
});

test('a new connection gets all of it, in frames of bounded size, the first and the last say so', () => {
  const book = new StatusBook();
  assert.deepEqual(book.whole(), [{ kind: 'status', put: [], del: [], reset: true }]);
  for (let n = 0; n < 250; n++) book.put(port(`p${n}`, 'up'));
  const frames = book.whole();
  assert.deepEqual(
    frames.map(({ put, reset, more }) => [put.length, reset, more]),
    [
      [100, true, true],
      [100, false, true],
      [50, false, undefined],
    ],
  );
  assert.deepEqual(book.changes(), []);
});
