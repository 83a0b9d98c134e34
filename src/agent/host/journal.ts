// The agent's copy on disk: what it knows, so that it starts with no server. Two files of checksummed records, one a
// line: `snapshot`, rewritten whole and swapped in by a rename, and `journal`, appended to before a record is applied.
//
//   <crc32 in hex> <JSON>\n
//
// A record that does not check out ends the file: what is before it holds, what is behind is reported and ignored.
// Records are not synced one by one: they survive the death of the process, and of the machine up to the last record
// that had reached the disk; what is missing comes from the server.

import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Log } from '../../lib/log.ts';
import type { Id } from '../../topology/resource.ts';
import type { ServerFrame } from '../../topology/wire.ts';
import type { LearnedStatus, LearnedStatusRef } from '../learned.ts';
import { JOURNAL_REWRITE_BYTES } from '../limits.ts';

export type JournalRecord =
  /** A frame of the server that alters what is known. */
  | { readonly kind: 'frame'; readonly frame: Extract<ServerFrame, { kind: 'snapshot' | 'change' | 'status' }> }
  /** Devices that walks asked for. */
  | { readonly kind: 'subscribe'; readonly deviceIds: readonly Id[] }
  /** What this host learned itself. */
  | { readonly kind: 'learned'; readonly put: readonly LearnedStatus[]; readonly del: readonly LearnedStatusRef[] }
  /** The number that stands for another host in the kernel's tables; never changes, since flows refer to it. */
  | { readonly kind: 'hostIndex'; readonly hostId: Id; readonly index: number };

const MODE = 0o600;

export class Journal {
  readonly #directory: string;
  readonly #log: Log;
  #file: number;
  #bytes = 0;
  #replaying = false;

  /** Opens the journal in the directory, which is made (0700) when it is not there. */
  constructor(directory: string, log: Log) {
    this.#directory = directory;
    this.#log = log;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.#file = openSync(this.#path('journal'), 'a', MODE);
  }

  /**
   * Gives everything that was written and still checks out to `take`, in order; what is appended meanwhile is there
   * already and is not written twice. A torn end is cut off, so that appending goes on.
   */
  replay(take: (record: JournalRecord) => void): void {
    const snapshot = this.#read('snapshot');
    const journal = this.#read('journal');
    this.#bytes = journal.goodBytes;
    if (journal.goodBytes < journal.bytes) this.#rewriteJournal(journal.records);
    this.#replaying = true;
    for (const record of [...snapshot.records, ...journal.records]) take(record);
    this.#replaying = false;
  }

  append(record: JournalRecord): void {
    if (!this.#replaying) this.#bytes += writeSync(this.#file, lineOf(record));
  }

  /** Whether it is time for `rewrite`. */
  get outgrown(): boolean {
    return this.#bytes > JOURNAL_REWRITE_BYTES;
  }

  /** Replaces all by `records`, which hold the same: the snapshot first, whole, then the journal is emptied. */
  rewrite(records: readonly JournalRecord[]): void {
    const temporary = this.#path('snapshot.new');
    writeFileSync(temporary, records.map(lineOf).join(''), { mode: MODE, flush: true });
    renameSync(temporary, this.#path('snapshot'));
    this.#rewriteJournal([]);
  }

  close(): void {
    closeSync(this.#file);
  }

  #rewriteJournal(records: readonly JournalRecord[]): void {
    closeSync(this.#file);
    const temporary = this.#path('journal.new');
    rmSync(temporary, { force: true });
    this.#file = openSync(temporary, 'a', MODE);
    this.#bytes = 0;
    for (const record of records) this.append(record);
    renameSync(temporary, this.#path('journal'));
  }

  #read(name: string): { records: JournalRecord[]; bytes: number; goodBytes: number } {
    let text: string;
    try {
      text = readFileSync(this.#path(name), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { records: [], bytes: 0, goodBytes: 0 };
      throw error;
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
    return { records, bytes: text.length, goodBytes: at };
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
