import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { memoryLog } from '../../lib/log.ts';
import { Journal, type JournalRecord } from './journal.ts';

const hostIndex = (index: number): JournalRecord => ({ kind: 'hostIndex', hostId: `h${index}`, index });

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'ayatori-journal-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

function contents(path: string) {
  const log = memoryLog();
  const journal = new Journal(path, log);
  const records: JournalRecord[] = [];
  journal.replay((record) => records.push(record));
  return { journal, records, log };
}

test('what was appended is there after a restart, in order', (t) => {
  const path = directory(t);
  const journal = new Journal(path, memoryLog());
  for (const n of [1, 2, 3]) journal.append(hostIndex(n));
  journal.close();
  assert.deepEqual(contents(path).records, [1, 2, 3].map(hostIndex));
});

test('the files are for their owner only', (t) => {
  const path = directory(t);
  const journal = new Journal(path, memoryLog());
  journal.append(hostIndex(1));
  journal.rewrite([hostIndex(1)]);
  for (const name of ['journal', 'snapshot']) assert.equal(statSync(join(path, name)).mode & 0o777, 0o600);
});

test('a rewritten journal holds the snapshot and what came after it', (t) => {
  const path = directory(t);
  const journal = new Journal(path, memoryLog());
  journal.append(hostIndex(1));
  journal.rewrite([hostIndex(7)]);
  journal.append(hostIndex(8));
  journal.close();
  assert.deepEqual(contents(path).records, [7, 8].map(hostIndex));
});

test('what is appended during a replay is not written twice', (t) => {
  const path = directory(t);
  const first = new Journal(path, memoryLog());
  first.append(hostIndex(1));
  first.close();
  const { journal } = contents(path);
  const again: JournalRecord[] = [];
  journal.replay((record) => journal.append(record));
  journal.close();
  contents(path).journal.replay((record) => again.push(record));
  assert.deepEqual(again, [hostIndex(1)]);
});

test('a record cut short is reported and ignored, and appending goes on behind the last good one', (t) => {
  const path = directory(t);
  const first = new Journal(path, memoryLog());
  for (const n of [1, 2]) first.append(hostIndex(n));
  first.close();
  truncateSync(join(path, 'journal'), statSync(join(path, 'journal')).size - 5);
  const { journal, records, log } = contents(path);
  assert.deepEqual(records, [hostIndex(1)]);
  assert.deepEqual(
    log.lines.map(({ level }) => level),
    ['error'],
  );
  journal.append(hostIndex(3));
  journal.close();
  const after = contents(path);
  assert.deepEqual(after.records, [1, 3].map(hostIndex));
  assert.deepEqual(after.log.lines, []);
});

test('nothing behind a flipped bit is believed', (t) => {
  const path = directory(t);
  const first = new Journal(path, memoryLog());
  for (const n of [1, 2, 3]) first.append(hostIndex(n));
  first.close();
  const file = join(path, 'journal');
  writeFileSync(file, readFileSync(file, 'utf8').replace('"h2"', '"h5"'));
  const { records, log } = contents(path);
  assert.deepEqual(records, [hostIndex(1)]);
  assert.match(log.lines[0]!.why, /damaged/);
});
