import assert from 'node:assert/strict';
import * as nodeFiles from 'node:fs';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextTick } from 'node:timers/promises';
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

/** All of a rewrite. */
async function rewrite(journal: Journal, records: readonly JournalRecord[]): Promise<void> {
  journal.rewrite(records);
  while (journal.rewriting) if (!journal.step()) await nextTick();
}

test('what was appended is there after a restart, in order', (t) => {
  const path = directory(t);
  const journal = new Journal(path, memoryLog());
  for (const n of [1, 2, 3]) journal.append(hostIndex(n));
  journal.close();
  assert.deepEqual(contents(path).records, [1, 2, 3].map(hostIndex));
});

test('the files are for their owner only', async (t) => {
  const path = directory(t);
  const journal = new Journal(path, memoryLog());
  journal.append(hostIndex(1));
  await rewrite(journal, [hostIndex(1)]);
  for (const name of ['journal.1', 'snapshot']) assert.equal(statSync(join(path, name)).mode & 0o777, 0o600);
});

test('a rewritten journal holds the snapshot and what came after it', async (t) => {
  const path = directory(t);
  const journal = new Journal(path, memoryLog());
  journal.append(hostIndex(1));
  await rewrite(journal, [hostIndex(7)]);
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
  closeSync = nodeFiles.closeSync;
  mkdirSync = nodeFiles.mkdirSync;
  ftruncateSync = nodeFiles.ftruncateSync;
  renameSync = nodeFiles.renameSync;
  rmSync = nodeFiles.rmSync;
  fsync = nodeFiles.fsync;
  writeSync = ((file: number, bytes: Buffer): number => {
    if (this.room === 0) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    const part = bytes.subarray(0, this.room);
    this.room -= part.length;
    return nodeFiles.writeSync(file, part);
  }) as Files['writeSync'];
}

test('a full disk is told once, stops nothing, and holds everything when there is room again', async (t) => {
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
  await rewrite(journal, [1, 2, 3, 4].map(hostIndex));
  assert.equal(nodeFiles.existsSync(join(path, 'snapshot.new')), false);
  assert.equal(journal.outgrown, false);
  now += JOURNAL_RETRY_MS;
  disk.room = 1_000_000;
  await rewrite(journal, [1, 2, 3, 4].map(hostIndex));
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

test('a directory that cannot be made stops nothing', async (t) => {
  const path = directory(t);
  writeFileSync(join(path, 'file'), '');
  const { journal, records, log } = contents(join(path, 'file', 'below'));
  journal.append(hostIndex(1));
  await rewrite(journal, [hostIndex(1)]);
  journal.close();
  assert.deepEqual(records, []);
  assert.equal(log.lines.filter(({ why }) => /cannot be written/.test(why)).length, 1);
});

test('what is appended while the snapshot is rewritten is there beside it', async (t) => {
  const path = directory(t);
  const journal = new Journal(path, memoryLog());
  journal.append(hostIndex(1));
  journal.rewrite([1, 2].map(hostIndex));
  journal.append(hostIndex(3));
  assert.equal(journal.step(), true);
  journal.append(hostIndex(4));
  while (journal.rewriting) if (!journal.step()) await nextTick();
  journal.append(hostIndex(5));
  journal.close();
  assert.deepEqual(contents(path).records, [1, 2, 3, 4, 5].map(hostIndex));
  assert.deepEqual(nodeFiles.readdirSync(path).sort(), ['journal.1', 'snapshot']);
});

test('a rewrite that fails costs nothing of what was appended, before or since', async (t) => {
  const path = directory(t);
  const disk = new SmallDisk();
  disk.room = 1_000_000;
  let now = 0;
  const log = memoryLog();
  const journal = new Journal(path, log, () => now, disk);
  journal.append(hostIndex(1));
  journal.rewrite([1, 2].map(hostIndex));
  journal.append(hostIndex(3));
  disk.renameSync = () => {
    throw new Error('EIO: i/o error, rename');
  };
  while (journal.rewriting) if (!journal.step()) await nextTick();
  journal.append(hostIndex(4));
  assert.equal(log.lines.length, 1);
  assert.deepEqual(contents(path).records, [1, 3, 4].map(hostIndex));
  disk.renameSync = nodeFiles.renameSync;
  now += JOURNAL_RETRY_MS;
  await rewrite(journal, [7].map(hostIndex));
  journal.close();
  assert.deepEqual(contents(path).records, [7].map(hostIndex));
});

test('behind a gap nothing is believed, until the snapshot is there that fills it', async (t) => {
  const path = directory(t);
  const disk = new SmallDisk();
  const journal = new Journal(path, memoryLog(), () => 0, disk);
  disk.room = 1_000_000;
  journal.append(hostIndex(1));
  disk.room = 0;
  journal.append(hostIndex(2));
  disk.room = 1_000_000;
  journal.rewrite([1, 2].map(hostIndex));
  journal.append(hostIndex(3));
  const copy = directory(t);
  nodeFiles.cpSync(path, copy, { recursive: true });
  assert.deepEqual(contents(copy).records, [1].map(hostIndex));
  while (journal.rewriting) if (!journal.step()) await nextTick();
  journal.close();
  assert.deepEqual(contents(path).records, [1, 2, 3].map(hostIndex));
});

test('a rewrite that fails leaves the gap that it was to fill, and is tried again', async (t) => {
  const path = directory(t);
  const disk = new SmallDisk();
  let now = 0;
  const journal = new Journal(path, memoryLog(), () => now, disk);
  disk.room = 1_000_000;
  journal.append(hostIndex(1));
  disk.room = 0;
  journal.append(hostIndex(2));
  disk.room = 200;
  now += JOURNAL_RETRY_MS;
  await rewrite(journal, [1, 2, 3, 4, 5].map(hostIndex));
  disk.room = 1_000_000;
  journal.append(hostIndex(6));
  assert.equal(journal.outgrown, false);
  now += JOURNAL_RETRY_MS;
  assert.equal(journal.outgrown, true);
  assert.deepEqual(contents(path).records, [1].map(hostIndex));
});

test('journals that a snapshot took the place of mean nothing, even where they could not be removed', async (t) => {
  const path = directory(t);
  const disk = new SmallDisk();
  disk.room = 1_000_000;
  const journal = new Journal(path, memoryLog(), () => 0, disk);
  journal.append(hostIndex(1));
  disk.rmSync = () => {
    throw new Error('EIO: i/o error, unlink');
  };
  await rewrite(journal, [2].map(hostIndex));
  journal.append(hostIndex(3));
  journal.close();
  assert.deepEqual(nodeFiles.readdirSync(path).sort(), ['journal', 'journal.1', 'snapshot']);
  assert.deepEqual(contents(path).records, [2, 3].map(hostIndex));
  assert.deepEqual(nodeFiles.readdirSync(path).sort(), ['journal.1', 'snapshot']);
});

/** A disk of a process that dies at one of its calls, in the middle of it where that can be. */
class LastDisk extends SmallDisk {
  left: number;
  constructor(calls: number) {
    super();
    this.room = Number.POSITIVE_INFINITY;
    this.left = calls;
    const { writeSync } = this;
    for (const name of ['openSync', 'closeSync', 'mkdirSync', 'ftruncateSync', 'renameSync', 'rmSync'] as const) {
      const real = this[name] as (...all: unknown[]) => unknown;
      this[name] = ((...all: unknown[]) => {
        this.#live();
        return real(...all);
      }) as never;
    }
    this.writeSync = ((file: number, bytes: Buffer): number => {
      if (this.left === 1) this.room = bytes.length >> 1;
      const written = this.left === 0 ? 0 : (writeSync as (file: number, bytes: Buffer) => number)(file, bytes);
      this.#live();
      return written;
    }) as Files['writeSync'];
    this.fsync = ((_file: number, done: (error: Error | null) => void) => {
      try {
        this.#live();
        done(null);
      } catch {}
    }) as Files['fsync'];
  }
  #live(): void {
    if (this.left > 0) this.left--;
    if (this.left === 0) throw new Error('dead');
  }
}

test('whoever dies at any step of a rewrite leaves everything that was written', (t) => {
  const folded = (records: readonly JournalRecord[]) =>
    new Map(records.flatMap((record) => (record.kind === 'hostIndex' ? [[record.hostId, record.index]] : [])));
  let deaths = 0;
  for (let calls = 1; ; calls++) {
    const path = directory(t);
    const disk = new LastDisk(calls);
    const journal = new Journal(path, memoryLog(), () => 0, disk);
    const written: JournalRecord[] = [];
    let dying: JournalRecord[] = [];
    // The same few names again and again: an old word that came back would show.
    const append = (index: number): void => {
      const record = { ...hostIndex(index), hostId: `h${index % 3}` } as JournalRecord;
      journal.append(record);
      if (disk.left > 0) written.push(record);
      else if (dying.length === 0) dying = [record];
    };
    let next = 0;
    const appendSome = (): void => {
      for (let n = 0; n < 2; n++) append(next++);
    };
    appendSome();
    for (let round = 0; round < 2; round++) {
      appendSome();
      const state = [...folded(written)].map(
        ([hostId, index]) => ({ kind: 'hostIndex', hostId, index }) as JournalRecord,
      );
      journal.rewrite(state);
      while (journal.rewriting && disk.left > 0) {
        append(next++);
        journal.step();
      }
    }
    const isAlive = disk.left > 0;
    const found = folded(contents(path).records);
    const both = [folded(written), folded([...written, ...dying])];
    assert.ok(
      both.some((state) => JSON.stringify([...state].sort()) === JSON.stringify([...found].sort())),
      `after ${calls} calls: ${JSON.stringify([...found])} is not ${JSON.stringify(both.map((state) => [...state]))}`,
    );
    if (isAlive) break;
    deaths++;
  }
  assert.ok(deaths > 20);
});
