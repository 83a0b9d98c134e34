import assert from 'node:assert/strict';
import * as nodeFiles from 'node:fs';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { memoryLog } from '../../lib/log.ts';
import { JOURNAL_RETRY_MS } from '../limits.ts';
import { type Files, Journal, type JournalRecord } from './journal.ts';

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

/** A disk with so much room left; it takes what fits, as a file system does. */
class SmallDisk implements Files {
  room = 0;
  openSync = nodeFiles.openSync;
  mkdirSync = nodeFiles.mkdirSync;
  ftruncateSync = nodeFiles.ftruncateSync;
  writeSync = ((file: number, bytes: Buffer): number => {
    if (this.room === 0) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    const part = bytes.subarray(0, this.room);
    this.room -= part.length;
    return nodeFiles.writeSync(file, part);
  }) as Files['writeSync'];
  writeFileSync: Files['writeFileSync'] = (path, data, options) => {
    const fits = String(data).slice(0, this.room);
    nodeFiles.writeFileSync(path, fits, options);
    if (fits.length < String(data).length) throw Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' });
    this.room -= fits.length;
  };
}

test('a full disk is told once, stops nothing, and holds everything when there is room again', (t) => {
  const path = directory(t);
  const disk = new SmallDisk();
  const log = memoryLog();
  let now = 0;
  const journal = new Journal(path, log, () => now, disk);
  disk.room = 100;
  for (const n of [1, 2, 3, 4]) journal.append(hostIndex(n));
  assert.equal(log.lines.length, 1);
  assert.match(log.lines[0]!.why, /cannot be written/);
  assert.equal(journal.outgrown, false);
  now = JOURNAL_RETRY_MS;
  assert.equal(journal.outgrown, true);
  disk.room = 20;
  journal.rewrite([1, 2, 3, 4].map(hostIndex));
  assert.equal(nodeFiles.existsSync(join(path, 'snapshot.new')), false);
  assert.equal(journal.outgrown, false);
  now += JOURNAL_RETRY_MS;
  disk.room = 1_000_000;
  journal.rewrite([1, 2, 3, 4].map(hostIndex));
  journal.append(hostIndex(5));
  assert.deepEqual(
    log.lines.map(({ level }) => level),
    ['error', 'info'],
  );
  journal.close();
  assert.deepEqual(contents(path).records, [1, 2, 3, 4, 5].map(hostIndex));
});

test('what was written before the disk was full is there after a restart, with the disk still full', (t) => {
  const path = directory(t);
  const disk = new SmallDisk();
  const line = 60;
  disk.room = 3 * line;
  const first = new Journal(path, memoryLog(), () => 0, disk);
  for (const n of [1, 2, 3, 4, 5]) first.append(hostIndex(n));
  first.close();
  const records: JournalRecord[] = [];
  const again = new Journal(path, memoryLog(), () => 0, disk);
  again.replay((record) => records.push(record));
  assert.ok(records.length > 0 && records.length < 5);
  assert.deepEqual(records, [1, 2, 3, 4, 5].slice(0, records.length).map(hostIndex));
  again.close();
  // The torn end was cut off: nothing is damaged any more.
  assert.deepEqual(contents(path).log.lines, []);
});

test('a directory that cannot be made stops nothing', (t) => {
  const path = directory(t);
  writeFileSync(join(path, 'file'), '');
  const { journal, records, log } = contents(join(path, 'file', 'below'));
  journal.append(hostIndex(1));
  journal.rewrite([hostIndex(1)]);
  journal.close();
  assert.deepEqual(records, []);
  assert.equal(log.lines.filter(({ why }) => /cannot be written/.test(why)).length, 1);
});
