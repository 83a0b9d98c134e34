// The agent's copy on disk: what it knows, so that it starts with no server. Files of checksummed records, one a line: a
// `snapshot` of everything, and journals, appended to before a record is applied.
//
//   <crc32 in hex> <JSON>\n
//
// A record that does not check out ends the copy: what is before it holds, what is behind is reported and ignored.
// Records are not synced one by one: they survive the death of the process, and of the machine up to the last record
// that had reached the disk; what is missing comes from the server.
//
// The snapshot is rewritten in pieces, between packets, while appending goes on:
//
//   snapshot (from: 3)  journal.3                             what is there
//   snapshot (from: 3)  journal.3  journal.4                  begun: what comes from now on goes to journal.4
//   snapshot (from: 3)  journal.3  journal.4  snapshot.new    piece by piece, then flushed off the thread
//   snapshot (from: 4)             journal.4                  renamed; journals before `from` mean nothing and go
//
// so whoever dies at any step leaves a snapshot and all that was appended since. A rewrite that fails leaves one journal
// more, which is read after the others.
//
// A disk that takes nothing (full, read-only) stops nobody. A record that is missing makes all behind it worthless, so
// nothing more is appended, what is there stays as it is, and all is rewritten when there is room again; the journal
// that goes with that begins with a word that it is of use to its own snapshot alone.

import * as nodeFiles from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Log } from '../../lib/log.ts';
import type { Id } from '../../topology/resource.ts';
import type { ServerFrame } from '../../topology/wire.ts';
import type { LearnedStatus, LearnedStatusRef } from '../learned.ts';
import { JOURNAL_RETRY_MS, JOURNAL_REWRITE_BYTES } from '../limits.ts';

export type JournalRecord =
  /** A frame of the server that alters what is known. */
  | { readonly kind: 'frame'; readonly frame: Extract<ServerFrame, { kind: 'snapshot' | 'change' | 'status' }> }
  /** Devices that walks asked for, and the hour since 1970 by whose end they were last used. */
  | { readonly kind: 'subscribe'; readonly deviceIds: readonly Id[]; readonly usedHour: number }
  /** Devices that nothing used any more. */
  | { readonly kind: 'unsubscribe'; readonly deviceIds: readonly Id[] }
  /** The connection broke: the parts of a snapshot or change before it that was not whole are void. */
  | { readonly kind: 'disconnected' }
  /** What this host learned itself. */
  | { readonly kind: 'learned'; readonly put: readonly LearnedStatus[]; readonly del: readonly LearnedStatusRef[] }
  /** The number that stands for another host in the kernel's tables; never changes, since flows refer to it. */
  | { readonly kind: 'hostIndex'; readonly hostId: Id; readonly index: number };

/** Lines about the files themselves. */
type FileRecord =
  /** The first of a snapshot: the first journal that goes with it. Without: 0. */
  | { readonly kind: 'from'; readonly journal: number }
  /** The first of a journal: those before it have a gap. */
  | { readonly kind: 'gap' };

const MODE = 0o600;

/** The part of node:fs that writes: tests bring their own disk. */
export type Files = Pick<
  typeof nodeFiles,
  'closeSync' | 'fsync' | 'ftruncateSync' | 'mkdirSync' | 'openSync' | 'renameSync' | 'rmSync' | 'writeSync'
>;

interface Contents {
  readonly records: (JournalRecord | FileRecord)[];
  readonly torn: boolean;
  readonly goodBytes: number;
}

interface Rewrite {
  readonly file: number;
  readonly records: Iterator<JournalRecord>;
  /** The journal that goes with it. */
  readonly from: number;
  /** Of the journals that it replaces. */
  readonly oldBytes: number;
  /** They have a gap, so that without this snapshot the new one is of no use. */
  readonly hadGap: boolean;
  state: 'writing' | 'flushing' | 'flushed';
  error?: unknown;
}

export class Journal {
  readonly #directory: string;
  readonly #log: Log;
  readonly #now: () => number;
  readonly #files: Files;
  /** The journals that are in use, oldest first; the last one is appended to. */
  #numbers: number[] = [0];
  #file: number | undefined;
  #bytes = 0;
  #replaying = false;
  #rewrite: Rewrite | undefined;
  /** A record is missing at the end of the last journal. */
  #gap = false;
  /** When the disk is tried again; undefined: at once. */
  #retryAt: number | undefined;

  /** The directory is made (0700) when it is not there. Never throws. */
  constructor(directory: string, log: Log, now: () => number = () => performance.now(), files: Files = nodeFiles) {
    this.#directory = directory;
    this.#log = log;
    this.#now = now;
    this.#files = files;
    this.#attempt(() => {
      files.mkdirSync(directory, { recursive: true, mode: 0o700 });
      this.#numbers = this.#found();
    });
  }

  /**
   * Gives everything that was written and still checks out to `take`, in order; what is appended meanwhile is there
   * already and is not written twice. A torn end is cut off, so that appending goes on.
   */
  replay(take: (record: JournalRecord) => void): void {
    const snapshot = this.#read('snapshot');
    const [head] = snapshot.records;
    const from = head?.kind === 'from' ? head.journal : 0;
    const used: number[] = [];
    const records = [...snapshot.records];
    this.#bytes = 0;
    if (snapshot.torn) records.push({ kind: 'disconnected' });
    let torn = false;
    for (const number of this.#numbers) {
      const journal: Contents | undefined = number < from || torn ? undefined : this.#read(nameOf(number));
      const isBehindGap: boolean = number > from && journal?.records[0]?.kind === 'gap';
      torn ||= isBehindGap;
      if (journal === undefined || isBehindGap) {
        this.#attempt(() => this.#files.rmSync(this.#path(nameOf(number)), { force: true }));
        continue;
      }
      used.push(number);
      records.push(...journal.records);
      this.#bytes += journal.goodBytes;
      torn = journal.torn;
      if (torn) this.#attempt(() => this.#cut(number, journal.goodBytes));
    }
    this.#numbers = used.length > 0 ? used : [from];
    this.#replaying = true;
    for (const record of records) if (record.kind !== 'from' && record.kind !== 'gap') take(record);
    this.#replaying = false;
  }

  append(record: JournalRecord): void {
    if (this.#replaying || this.#gap) return;
    const done = this.#attempt(() => {
      this.#bytes += this.#write(this.#open(), lineOf(record));
    });
    if (!done) this.#gap = true;
  }

  /** Whether a rewrite was begun that is not over. */
  get rewriting(): boolean {
    return this.#rewrite !== undefined;
  }

  /** Whether it is time for `rewrite`. */
  get outgrown(): boolean {
    if (this.#rewrite !== undefined || (this.#retryAt !== undefined && this.#now() < this.#retryAt)) return false;
    return this.#gap || this.#bytes > JOURNAL_REWRITE_BYTES;
  }

  /**
   * Begins to replace all by `records`: what was appended so far in other words. They are asked for one by one by
   * `step`, and hold what was known when this was called, and no more than was appended since.
   */
  rewrite(records: Iterable<JournalRecord>): void {
    const from = this.#numbers.at(-1)! + 1;
    const hadGap = this.#gap;
    let file: number | undefined;
    const done = this.#attempt(() => {
      this.#files.mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      file = this.#files.openSync(this.#path(nameOf(from)), 'w', MODE);
      if (hadGap) this.#write(file, lineOf({ kind: 'gap' }));
      const snapshot = this.#files.openSync(this.#path('snapshot.new'), 'w', MODE);
      const rest = records[Symbol.iterator]();
      this.#rewrite = { file: snapshot, records: rest, from, oldBytes: this.#bytes, hadGap, state: 'writing' };
      this.#write(snapshot, lineOf({ kind: 'from', journal: from }));
    });
    if (!done) {
      if (file !== undefined) this.#close(file);
      this.#attempt(() => this.#files.rmSync(this.#path(nameOf(from)), { force: true }));
      return;
    }
    if (this.#file !== undefined) this.#close(this.#file);
    this.#file = file;
    this.#numbers.push(from);
    // What comes from now on is whole, together with that snapshot.
    this.#gap = false;
  }

  /** One record, or one more step of a rewrite that was begun. False when there is nothing to do now. */
  step(): boolean {
    const rewrite = this.#rewrite;
    if (rewrite === undefined || rewrite.state === 'flushing') return false;
    const done = this.#attempt(() => {
      if (rewrite.error !== undefined) throw rewrite.error;
      if (rewrite.state === 'flushed') {
        this.#swap(rewrite);
        return;
      }
      const next = rewrite.records.next();
      if (next.done) this.#flush(rewrite);
      else this.#write(rewrite.file, lineOf(next.value));
    });
    return done && this.#rewrite?.state === 'writing';
  }

  close(): void {
    if (this.#file !== undefined) this.#close(this.#file);
    this.#file = undefined;
    this.#giveUp();
  }

  /** Off the thread: a slow disk takes its time. */
  #flush(rewrite: Rewrite): void {
    rewrite.state = 'flushing';
    this.#files.fsync(rewrite.file, (error) => {
      rewrite.error = error ?? undefined;
      rewrite.state = 'flushed';
      // Closed or given up meanwhile.
      if (this.#rewrite !== rewrite) this.#close(rewrite.file);
    });
  }

  #swap({ file, from, oldBytes }: Rewrite): void {
    this.#files.renameSync(this.#path('snapshot.new'), this.#path('snapshot'));
    this.#close(file);
    this.#rewrite = undefined;
    if (this.#retryAt !== undefined) this.#log.info('the copy on disk is whole again', { directory: this.#directory });
    this.#retryAt = undefined;
    const old = this.#numbers.splice(0, this.#numbers.indexOf(from));
    this.#bytes -= oldBytes;
    // Needs no room.
    for (const number of old) this.#files.rmSync(this.#path(nameOf(number)), { force: true });
  }

  #giveUp(): void {
    const rewrite = this.#rewrite;
    if (rewrite === undefined) return;
    this.#rewrite = undefined;
    this.#gap ||= rewrite.hadGap;
    if (rewrite.state !== 'flushing') this.#close(rewrite.file);
  }

  #open(): number {
    this.#file ??= this.#files.openSync(this.#path(nameOf(this.#numbers.at(-1)!)), 'a', MODE);
    return this.#file;
  }

  #cut(number: number, bytes: number): void {
    const file = this.#files.openSync(this.#path(nameOf(number)), 'r+', MODE);
    this.#files.ftruncateSync(file, bytes);
    this.#files.closeSync(file);
  }

  /** What was written is written, whatever closing says. */
  #close(file: number): void {
    try {
      this.#files.closeSync(file);
    } catch {}
  }

  #write(file: number, line: string): number {
    const bytes = Buffer.from(line);
    const written = this.#files.writeSync(file, bytes);
    // A disk that is nearly full takes a part of it.
    if (written < bytes.length) throw new Error(`only ${written} of ${bytes.length} bytes could be written`);
    return written;
  }

  /** False when the disk did not take it; that is told once, until it takes everything again. */
  #attempt(write: () => void): boolean {
    try {
      write();
      return true;
    } catch (error) {
      if (this.#retryAt === undefined) {
        this.#log.error('the copy on disk cannot be written; the agent goes on without and tries again', {
          directory: this.#directory,
          error,
        });
      }
      this.#retryAt = this.#now() + JOURNAL_RETRY_MS;
      this.#giveUp();
      // Half of a snapshot only takes room from others; it may well not be there.
      try {
        this.#files.rmSync(this.#path('snapshot.new'), { force: true });
      } catch {}
      return false;
    }
  }

  /** The numbers of the journals that are there, rising; 0 when there is none. */
  #found(): number[] {
    const numbers = nodeFiles.readdirSync(this.#directory).flatMap((name) => {
      const [, number] = /^journal(?:\.(\d+))?$/.exec(name) ?? [undefined, undefined];
      return name === 'journal' ? [0] : number === undefined ? [] : [Number(number)];
    });
    return numbers.length > 0 ? numbers.sort((a, b) => a - b) : [0];
  }

  #read(name: string): Contents {
    let text: string;
    try {
      text = nodeFiles.readFileSync(this.#path(name), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        this.#log.error('the copy on disk cannot be read and is ignored', { file: this.#path(name), error });
      }
      return { records: [], torn: false, goodBytes: 0 };
    }
    const records: (JournalRecord | FileRecord)[] = [];
    let at = 0;
    while (at < text.length) {
      const end = text.indexOf('\n', at);
      const record = end < 0 ? undefined : parseLine(text.slice(at, end));
      if (record === undefined) {
        this.#log.error('the copy on disk is damaged; what is behind the damage is ignored', {
          file: this.#path(name),
          records: records.length,
          ignoredBytes: text.length - at,
        });
        break;
      }
      records.push(record);
      at = end + 1;
    }
    return { records, torn: at < text.length, goodBytes: Buffer.byteLength(text.slice(0, at)) };
  }

  #path(name: string): string {
    return join(this.#directory, name);
  }
}

const nameOf = (journal: number): string => (journal === 0 ? 'journal' : `journal.${journal}`);

function lineOf(record: JournalRecord | FileRecord): string {
  const text = JSON.stringify(record);
  return `${crc32(text).toString(16).padStart(8, '0')} ${text}\n`;
}

function parseLine(line: string): JournalRecord | FileRecord | undefined {
  const text = line.slice(9);
  if (line[8] !== ' ' || Number.parseInt(line.slice(0, 8), 16) !== crc32(text)) return undefined;
  return JSON.parse(text) as JournalRecord | FileRecord;
}
