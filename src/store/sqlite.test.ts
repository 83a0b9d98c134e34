import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { conformance } from './conformance.ts';
import { SqliteStore } from './sqlite.ts';
import { Unavailable } from './store.ts';

const directory = mkdtempSync(join(tmpdir(), 'ayatori-sqlite-'));
after(() => rmSync(directory, { recursive: true }));
let files = 0;
const newPath = (): string => join(directory, `${files++}.db`);

conformance({ name: 'sqlite', open: async (keepRevisions) => new SqliteStore({ path: newPath(), keepRevisions }) });

test('sqlite: everything is there after a restart, and revisions go on from where they were', async () => {
  const path = newPath();
  const first = new SqliteStore({ path });
  const { rev } = await first.txn([], [{ put: 'a', value: Buffer.from('one') }]);
  await first.txn([], [{ del: 'a' }, { put: 'b', value: Buffer.from('two') }]);
  await first.close();
  const second = new SqliteStore({ path });
  const stop = new AbortController();
  for await (const batch of second.watch('', rev, stop.signal)) {
    assert.deepEqual(
      batch.events.map((event) => event.kind),
      ['del', 'put'],
    );
    break;
  }
  assert.equal((await second.txn([], [{ del: 'b' }])).rev, rev + 2n);
  await second.close();
});

test('sqlite: a lease found at the start is armed anew and ends', async () => {
  const path = newPath();
  const first = new SqliteStore({ path });
  const lease = await first.grant(0.2);
  await first.txn([], [{ put: 'a', value: Buffer.from(''), lease }]);
  await first.close();
  const second = new SqliteStore({ path });
  assert.equal(await second.keepAlive(lease), true);
  const { rev } = await second.get('a');
  const stop = new AbortController();
  for await (const batch of second.watch('a', rev, stop.signal)) if (batch.events.length > 0) break;
  assert.equal((await second.get('a')).entry, undefined);
  await second.close();
});

test('sqlite: changes older than the log keeps them are dropped', async () => {
  const store = new SqliteStore({ path: newPath(), keepSeconds: 0.05 });
  for (let at = 0; at < 100; at++) await store.txn([], [{ put: 'old', value: Buffer.from(String(at)) }]);
  await new Promise((resolve) => setTimeout(resolve, 100));
  for (let at = 0; at < 100; at++) await store.txn([], [{ put: 'new', value: Buffer.from(String(at)) }]);
  const stop = new AbortController();
  const watch = store.watch('', 50n, stop.signal)[Symbol.asyncIterator]();
  await assert.rejects(watch.next(), /keeps changes from revision 1[0-9][0-9] on/);
  await store.close();
});

test('sqlite: the file is readable by its owner only', async () => {
  const path = newPath();
  const store = new SqliteStore({ path });
  for (const suffix of ['', '-wal']) assert.equal(statSync(path + suffix).mode & 0o777, 0o600);
  await store.close();
});

test('sqlite: a file that is in use, foreign, or newer is refused with the reason', async () => {
  const path = newPath();
  const store = new SqliteStore({ path });
  assert.throws(() => new SqliteStore({ path }), /another process has it open/);
  await store.close();
  const newer = new DatabaseSync(path);
  newer.exec('PRAGMA user_version = 99');
  newer.close();
  assert.throws(() => new SqliteStore({ path }), /layout 99, made by a newer version/);
  const foreign = newPath();
  writeFileSync(foreign, 'this is no database, and it is long enough to be looked at as one'.repeat(20));
  assert.throws(() => new SqliteStore({ path: foreign }), /not a database/);
  assert.throws(() => new SqliteStore({ path: join(directory, 'missing', 'x.db') }), Unavailable);
});

// Writes pairs of keys that must always be equal, and says each revision that was acknowledged.
const WRITER = `
  const { SqliteStore } = await import(process.argv[1]);
  const store = new SqliteStore({ path: process.argv[2], keepRevisions: 50 });
  const value = Buffer.alloc(3000, 'x');
  for (let turn = Number((await store.get('turn')).rev) + 1; ; turn++) {
    const text = Buffer.concat([Buffer.from(turn + ' '), value]);
    const { rev } = await store.txn([], ['turn', 'left', 'right'].map((put) => ({ put, value: text })));
    process.stdout.write(turn + ' ' + rev + '\\n');
    if (turn % 8 === 0) await new Promise(setImmediate);
  }
`;

test('sqlite: kill -9 in mid-write loses nothing acknowledged and leaves nothing half', {
  timeout: 120_000,
}, async () => {
  const path = newPath();
  let acknowledged = { turn: 0, rev: 0n };
  for (let round = 0; round < 8; round++) {
    const child: ChildProcess = spawn(
      process.execPath,
      ['--input-type=module', '--eval', WRITER, '--', new URL('./sqlite.ts', import.meta.url).href, path],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const target = acknowledged.turn + 20 + round * 17;
    for await (const line of createInterface({ input: child.stdout! })) {
      const [turn, rev] = line.split(' ');
      acknowledged = { turn: Number(turn), rev: BigInt(rev!) };
      if (acknowledged.turn >= target) child.kill('SIGKILL');
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    const raw = new DatabaseSync(path);
    assert.deepEqual({ ...raw.prepare('PRAGMA integrity_check').get() }, { integrity_check: 'ok' });
    raw.close();
    const store = new SqliteStore({ path });
    const [turn, left, right] = await Promise.all(['turn', 'left', 'right'].map((key) => store.get(key)));
    const value = Buffer.from(turn!.entry!.value).toString();
    assert.equal(Buffer.from(left!.entry!.value).toString(), value);
    assert.equal(Buffer.from(right!.entry!.value).toString(), value);
    assert.ok(Number.parseInt(value, 10) >= acknowledged.turn);
    assert.ok(turn!.rev >= acknowledged.rev);
    assert.equal(turn!.entry!.modRev, turn!.rev);
    await store.close();
  }
});
