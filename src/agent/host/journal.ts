// The agent's copy on disk: what it knows, so that it starts with no server. Two files of checksummed records, one a
// line: `snapshot`, rewritten whole and swapped in by a rename, and `journal`, appended to before a record is applied.
//
//   <crc32 in hex> <JSON>\n
//
// A record that does not check out ends the file: what is before it holds, what is behind is reported and ignored.
// Records are not synced one by one: they survive the death of the process, and of the machine up to the last record
// that had reached the disk; what is missing comes from the server.
//
// A disk that takes nothing (full, read-only) stops nobody. A record that is missing makes all behind it worthless, so
// nothing more is appended, what is there stays as it is, and all is rewritten when there is room again.

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
  /** What this host learned itself. */
  | { readonly kind: 'learned'; readonly put: readonly LearnedStatus[]; readonly del: readonly LearnedStatusRef[] }
  /** The number that stands for another host in the kernel's tables; never changes, since flows refer to it. */
  | { readonly kind: 'hostIndex'; readonly hostId: Id; readonly index: number };

const MODE = 0o600;

/** The part of node:fs that writes: tests bring their own disk. */
export type Files = Pick<typeof nodeFiles, 'ftruncateSync' | 'mkdirSync' | 'openSync' | 'writeFileSync' | 'writeSync'>;

export class Journal {
  readonly #directory: string;
  readonly #log: Log;
  readonly #now: () => number;
  readonly #files: Files;
  #file: number | undefined;
  #bytes = 0;
  #replaying = false;
  /** When the disk is tried again; undefined: it holds everything. */
  #retryAt: number | undefined;

  /** Opens the journal in the directory, which is made (0700) when it is not there. Never throws. */
  constructor(directory: string, log: Log, now: () => number = () => performance.now(), files: Files = nodeFiles) {
    this.#directory = directory;
    this.#log = log;
    this.#now = now;
    this.#files = files;
    this.#attempt(() => this.#open());
  }

  /**
   * Gives everything that was written and still checks out to `take`, in order; what is appended meanwhile is there
   * already and is not written twice. A torn end is cut off, so that appending goes on.
   */
  replay(take: (record: JournalRecord) => void): void {
    const snapshot = this.#read('snapshot');
    const journal = this.#read('journal');
    this.#bytes = journal.goodBytes;
    if (journal.torn) this.#attempt(() => this.#files.ftruncateSync(this.#open(), journal.goodBytes));
    this.#replaying = true;
    for (const record of [...snapshot.records, ...journal.records]) take(record);
    this.#replaying = false;
  }

  append(record: JournalRecord): void {
    if (this.#replaying || this.#retryAt !== undefined) return;
    this.#attempt(() => {
      const line = Buffer.from(lineOf(record));
      const written = this.#files.writeSync(this.#open(), line);
      // A disk that is nearly full takes a part of it.
      if (written < line.length) throw new Error(`only ${written} of ${line.length} bytes could be written`);
      this.#bytes += written;
    });
  }

  /** Whether it is time for `rewrite`. */
  get outgrown(): boolean {
    return this.#retryAt === undefined ? this.#bytes > JOURNAL_REWRITE_BYTES : this.#now() >= this.#retryAt;
  }

  /** Replaces all by `records`, which hold the same: the snapshot first, whole, then the journal is emptied. */
  rewrite(records: readonly JournalRecord[]): void {
    const hadFailed = this.#retryAt !== undefined;
    const temporary = this.#path('snapshot.new');
    const done = this.#attempt(() => {
      const file = this.#open();
      this.#files.writeFileSync(temporary, records.map(lineOf).join(''), { mode: MODE, flush: true });
      nodeFiles.renameSync(temporary, this.#path('snapshot'));
      // Needs no room.
      this.#files.ftruncateSync(file, 0);
      this.#bytes = 0;
      this.#retryAt = undefined;
    });
    if (done && hadFailed) this.#log.info('the copy on disk is whole again', { directory: this.#directory });
  }

  close(): void {
    if (this.#file !== undefined) nodeFiles.closeSync(this.#file);
  }

  #open(): number {
    if (this.#file === undefined) {
      this.#files.mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      this.#file = this.#files.openSync(this.#path('journal'), 'a', MODE);
    }
    return this.#file;
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
      // Half of a snapshot only takes room from others; it may well not be there.
      try {
        nodeFiles.rmSync(this.#path('snapshot.new'), { force: true });
      } catch {}
      return false;
    }
  }

  #read(name: string): { records: JournalRecord[]; torn: boolean; goodBytes: number } {
    let text: string;
    try {
      text = nodeFiles.readFileSync(this.#path(name), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        this.#log.error('the copy on disk cannot be read and is ignored', { file: this.#path(name), error });
      }
      return { records: [], torn: false, goodBytes: 0 };
    }
    const records: JournalRecord[] = [];
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

function lineOf(record: JournalRecord): string {
  const text = JSON.stringify(record);
  return `${crc32(text).toString(16).padStart(8, '0')} ${text}\n`;
}

function parseLine(line: string): JournalRecord | undefined {
  const text = line.slice(9);
  if (line[8] !== ' ' || Number.parseInt(line.slice(0, 8), 16) !== crc32(text)) return undefined;
  return JSON.parse(text) as JournalRecord;
}
