// The default store: one SQLite file (node:sqlite), write-ahead log, synchronous FULL: what was acknowledged is on disk.
// One process owns the file; a second is told so when it starts. Calls block the thread for as long as they take
// (a write about 0.2 ms and one fdatasync), so lists come in pages.

import { randomUUID } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { type ReadLog, Watches } from './follow.ts';
import { LeaseTimers } from './lease-timers.ts';
import { checkTxn, holds, keyOf } from './limits.ts';
import {
  Compacted,
  type Entry,
  type Guard,
  type ListResult,
  OutcomeUnknown,
  type Rev,
  type Store,
  type StoreEvent,
  Unavailable,
  type WatchBatch,
  type Write,
} from './store.ts';

export interface SqliteStoreOptions {
  /** The file; made, readable by its owner only, when it is not there. */
  readonly path: string;
  /** Revisions that a watch can go back, at most. */
  readonly keepRevisions?: number;
  /** Age from which changes may be dropped from the log. */
  readonly keepSeconds?: number;
}

const LIST_LIMIT = 1000;
/** A trim costs one indexed delete: done once for this many commits, not for each. */
const TRIM_EVERY = 64;
/** Layout of the tables, kept in `user_version`. */
const LAYOUT = 1;

const TABLES = `
  CREATE TABLE kv (k TEXT PRIMARY KEY, v BLOB NOT NULL, crev INTEGER NOT NULL, mrev INTEGER NOT NULL, lease TEXT)
    WITHOUT ROWID;
  CREATE INDEX kv_lease ON kv (lease) WHERE lease IS NOT NULL;
  -- One row for each event; v is NULL for a deletion. at: Unix milliseconds.
  CREATE TABLE log (rev INTEGER NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, k TEXT NOT NULL, v BLOB,
    crev INTEGER, lease TEXT, PRIMARY KEY (rev, seq)) WITHOUT ROWID;
  CREATE TABLE lease (id TEXT PRIMARY KEY, ttl REAL NOT NULL) WITHOUT ROWID;
  -- rev: the last one given out; compacted: changes up to it are gone from the log.
  CREATE TABLE counter (one INTEGER PRIMARY KEY CHECK (one = 1), rev INTEGER NOT NULL, compacted INTEGER NOT NULL);
  INSERT INTO counter VALUES (1, 0, 0);
  PRAGMA user_version = ${LAYOUT};
`;

interface Row {
  readonly k: string;
  readonly v: Uint8Array;
  readonly crev: bigint;
  readonly mrev: bigint;
  readonly lease: string | null;
}
interface LogRow {
  readonly rev: bigint;
  readonly k: string;
  readonly v: Uint8Array | null;
  readonly crev: bigint | null;
  readonly lease: string | null;
}

export class SqliteStore implements Store {
  readonly #db: DatabaseSync;
  readonly #keepRevisions: number;
  readonly #keepMs: number;
  readonly #timers = new LeaseTimers((lease) => this.#end(lease));
  readonly #watches = new Watches();
  readonly #sql: ReturnType<typeof statements>;
  #rev: Rev;
  #compacted: Rev;
  #commitsSinceTrim = 0;
  #closed = false;

  /** Throws Unavailable with the reason when the file cannot be used. */
  constructor(options: SqliteStoreOptions) {
    this.#keepRevisions = options.keepRevisions ?? 10_000;
    this.#keepMs = (options.keepSeconds ?? 3600) * 1000;
    this.#db = openDatabase(options.path);
    this.#sql = statements(this.#db);
    const counter = this.#sql.counter.get() as { rev: bigint; compacted: bigint };
    this.#rev = counter.rev;
    this.#compacted = counter.compacted;
    const leases = this.#sql.leases.all() as { id: string; ttl: number }[];
    for (const { id, ttl } of leases) this.#timers.arm(id, ttl);
  }

  async get(key: string): Promise<{ readonly entry?: Entry; readonly rev: Rev }> {
    this.#checkOpen();
    const row = this.#sql.get.get(key) as Row | undefined;
    return row === undefined ? { rev: this.#rev } : { entry: entryOf(row), rev: this.#rev };
  }

  async list(prefix: string, options: { readonly after?: string; readonly limit?: number } = {}): Promise<ListResult> {
    this.#checkOpen();
    const limit = options.limit ?? LIST_LIMIT;
    const entries: Entry[] = [];
    let more = false;
    for (const row of this.#sql.list.iterate(prefix, options.after ?? '') as Iterable<Row>) {
      if (!row.k.startsWith(prefix)) break;
      if (entries.length === limit) {
        more = true;
        break;
      }
      entries.push(entryOf(row));
    }
    return { entries, rev: this.#rev, more };
  }

  async txn(guards: readonly Guard[], writes: readonly Write[]): Promise<{ readonly ok: boolean; readonly rev: Rev }> {
    this.#checkOpen();
    checkTxn(guards, writes);
    const modRevOf = (key: string): Rev | undefined => this.#sql.modRev.get(key)?.mrev as Rev | undefined;
    const hasLease = (lease: string): boolean => this.#sql.lease.get(lease) !== undefined;
    const ok = this.#atomically(() => {
      const held = holds(guards, writes, modRevOf, hasLease);
      if (held) this.#apply(writes);
      return held;
    });
    return { ok, rev: this.#rev };
  }

  watch(prefix: string, from: Rev, signal: AbortSignal): AsyncIterable<WatchBatch> {
    return this.#watches.follow(this.#read, prefix, from, signal);
  }

  async grant(ttlSeconds: number): Promise<string> {
    this.#checkOpen();
    const id = randomUUID();
    this.#atomically(() => this.#sql.putLease.run(id, ttlSeconds));
    this.#timers.arm(id, ttlSeconds);
    return id;
  }

  async keepAlive(lease: string): Promise<boolean> {
    this.#checkOpen();
    return this.#timers.rewind(lease);
  }

  async revoke(lease: string): Promise<void> {
    this.#checkOpen();
    this.#end(lease);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#timers.close();
    this.#watches.close();
    this.#db.close();
  }

  /** Runs `work` as one transaction: on disk when this returns, undone when it throws. */
  #atomically<T>(work: () => T): T {
    const before = { rev: this.#rev, compacted: this.#compacted };
    let committing = false;
    try {
      this.#db.exec('BEGIN IMMEDIATE');
      const result = work();
      committing = true;
      this.#db.exec('COMMIT');
      if (this.#rev !== before.rev) this.#watches.wake();
      return result;
    } catch (error) {
      this.#rev = before.rev;
      this.#compacted = before.compacted;
      // A COMMIT that failed and left the transaction open did nothing; one that closed it may have reached the disk.
      const undone = !committing || this.#db.isTransaction;
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      if (!undone) throw new OutcomeUnknown(`SQLite: ${words(error)}`, { cause: error });
      throw isSqlite(error) ? new Unavailable(`SQLite: ${words(error)}`, { cause: error }) : error;
    }
  }

  /** Inside a transaction. A deletion of what is not there is no event, and without events there is no revision. */
  #apply(writes: readonly Write[]): void {
    const rev = this.#rev + 1n;
    const at = Date.now();
    let seq = 0;
    for (const write of writes) {
      const key = keyOf(write);
      const old = this.#sql.createRev.get(key) as { crev: bigint } | undefined;
      if ('del' in write) {
        if (old === undefined) continue;
        this.#sql.delete.run(key);
        this.#sql.append.run(rev, seq++, key, null, null, null, at);
      } else {
        const created = old?.crev ?? rev;
        const lease = write.lease ?? null;
        this.#sql.put.run(key, write.value, created, rev, lease);
        this.#sql.append.run(rev, seq++, key, write.value, created, lease, at);
      }
    }
    if (seq === 0) return;
    this.#rev = rev;
    if (++this.#commitsSinceTrim >= TRIM_EVERY) this.#trim(at);
    this.#sql.setCounter.run(rev, this.#compacted);
  }

  #trim(now: number): void {
    this.#commitsSinceTrim = 0;
    // Walks from the oldest row to the first that is to stay; the transaction at hand has already appended one.
    const fresh = this.#sql.firstSince.get(now - this.#keepMs) as { rev: bigint };
    const byCount = this.#rev - BigInt(this.#keepRevisions);
    const upTo = fresh.rev - 1n > byCount ? fresh.rev - 1n : byCount;
    if (upTo <= this.#compacted) return;
    this.#sql.trim.run(upTo);
    this.#compacted = upTo;
  }

  #end(lease: string): void {
    this.#timers.disarm(lease);
    this.#atomically(() => {
      const keys = this.#sql.ofLease.all(lease) as { k: string }[];
      this.#apply(keys.map(({ k }) => ({ del: k })));
      this.#sql.deleteLease.run(lease);
    });
  }

  readonly #read: ReadLog = (prefix, after, limit) => {
    if (after < this.#compacted) throw new Compacted(this.#compacted + 1n);
    // Revisions have no gaps, so a page is a range of them.
    const last = after + BigInt(limit);
    const batches: { rev: Rev; events: StoreEvent[] }[] = [];
    for (const row of this.#sql.log.all(after, last) as unknown as LogRow[]) {
      if (!row.k.startsWith(prefix)) continue;
      if (batches.at(-1)?.rev !== row.rev) batches.push({ rev: row.rev, events: [] });
      batches.at(-1)!.events.push(eventOf(row));
    }
    // A watch may wait for a revision that is still to come.
    if (after >= this.#rev) return { batches, through: after, more: false };
    const more = last < this.#rev;
    return { batches, through: more ? last : this.#rev, more };
  };

  #checkOpen(): void {
    if (this.#closed) throw new Unavailable('the store is closed');
  }
}

function openDatabase(path: string): DatabaseSync {
  let db: DatabaseSync | undefined;
  try {
    closeSync(openSync(path, 'a', 0o600));
    db = new DatabaseSync(path);
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    db.exec('BEGIN EXCLUSIVE');
    const { user_version: layout } = db.prepare('PRAGMA user_version').get() as { user_version: number };
    if (layout > LAYOUT) throw new Error(`the file has layout ${layout}, made by a newer version`);
    if (layout === 0) db.exec(TABLES);
    db.exec('COMMIT');
    return db;
  } catch (error) {
    db?.close();
    const locked = words(error).includes('locked');
    throw new Unavailable(`store ${path}: ${locked ? 'another process has it open' : words(error)}`, { cause: error });
  }
}

function statements(db: DatabaseSync) {
  const exact = (sql: string): StatementSync => {
    const statement = db.prepare(sql);
    statement.setReadBigInts(true);
    return statement;
  };
  return {
    counter: exact('SELECT rev, compacted FROM counter'),
    setCounter: db.prepare('UPDATE counter SET rev = ?, compacted = ?'),
    get: exact('SELECT k, v, crev, mrev, lease FROM kv WHERE k = ?'),
    list: exact('SELECT k, v, crev, mrev, lease FROM kv WHERE k >= ? AND k > ? ORDER BY k'),
    modRev: exact('SELECT mrev FROM kv WHERE k = ?'),
    createRev: exact('SELECT crev FROM kv WHERE k = ?'),
    put: db.prepare(
      `INSERT INTO kv (k, v, crev, mrev, lease) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (k) DO UPDATE SET v = excluded.v, mrev = excluded.mrev, lease = excluded.lease`,
    ),
    delete: db.prepare('DELETE FROM kv WHERE k = ?'),
    ofLease: db.prepare('SELECT k FROM kv WHERE lease = ?'),
    append: db.prepare('INSERT INTO log (rev, seq, k, v, crev, lease, at) VALUES (?, ?, ?, ?, ?, ?, ?)'),
    log: exact('SELECT rev, k, v, crev, lease FROM log WHERE rev > ? AND rev <= ? ORDER BY rev, seq'),
    firstSince: exact('SELECT rev FROM log WHERE at >= ? ORDER BY rev LIMIT 1'),
    trim: db.prepare('DELETE FROM log WHERE rev <= ?'),
    leases: db.prepare('SELECT id, ttl FROM lease'),
    lease: db.prepare('SELECT id FROM lease WHERE id = ?'),
    putLease: db.prepare('INSERT INTO lease (id, ttl) VALUES (?, ?)'),
    deleteLease: db.prepare('DELETE FROM lease WHERE id = ?'),
  };
}

function entryOf(row: Row): Entry {
  const entry = { key: row.k, value: row.v, createRev: row.crev, modRev: row.mrev };
  return row.lease === null ? entry : { ...entry, lease: row.lease };
}

function eventOf(row: LogRow): StoreEvent {
  if (row.v === null) return { kind: 'del', key: row.k };
  return { kind: 'put', entry: entryOf({ k: row.k, v: row.v, crev: row.crev!, mrev: row.rev, lease: row.lease }) };
}

const words = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const isSqlite = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ERR_SQLITE_ERROR';
