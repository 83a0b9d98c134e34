// The store in memory: the twin of the real drivers, for tests. Deliberately plain: lists are sorted when asked for.

import { randomUUID } from 'node:crypto';
import { type ReadLog, Watches } from './follow.ts';
import { LeaseTimers } from './lease-timers.ts';
import { checkTxn, holds, keyOf } from './limits.ts';
import {
  Compacted,
  type Entry,
  type Guard,
  type ListResult,
  type Rev,
  type Store,
  type StoreEvent,
  Unavailable,
  type WatchBatch,
  type Write,
} from './store.ts';

export interface MemoryStoreOptions {
  /** Revisions that a watch can go back. */
  readonly keepRevisions?: number;
}

const LIST_LIMIT = 1000;

export class MemoryStore implements Store {
  readonly #keepRevisions: number;
  readonly #entries = new Map<string, Entry>();
  readonly #leases = new Set<string>();
  readonly #timers = new LeaseTimers((lease) => this.#end(lease));
  readonly #watches = new Watches();
  #log: WatchBatch[] = [];
  #rev: Rev = 0n;
  /** Changes up to this revision are gone from the log. */
  #compacted: Rev = 0n;
  #closed = false;

  constructor(options: MemoryStoreOptions = {}) {
    this.#keepRevisions = options.keepRevisions ?? 10_000;
  }

  async get(key: string): Promise<{ readonly entry?: Entry; readonly rev: Rev }> {
    this.#checkOpen();
    const entry = this.#entries.get(key);
    return entry === undefined ? { rev: this.#rev } : { entry, rev: this.#rev };
  }

  async list(prefix: string, options: { readonly after?: string; readonly limit?: number } = {}): Promise<ListResult> {
    this.#checkOpen();
    const after = options.after ?? '';
    const limit = options.limit ?? LIST_LIMIT;
    const keys = [...this.#entries.keys()]
      .filter((key) => key.startsWith(prefix) && compareKeys(key, after) > 0)
      .sort(compareKeys);
    const entries = keys.slice(0, limit).map((key) => this.#entries.get(key)!);
    return { entries, rev: this.#rev, more: keys.length > limit };
  }

  async txn(guards: readonly Guard[], writes: readonly Write[]): Promise<{ readonly ok: boolean; readonly rev: Rev }> {
    this.#checkOpen();
    checkTxn(guards, writes);
    const modRevOf = (key: string): Rev | undefined => this.#entries.get(key)?.modRev;
    const ok = holds(guards, writes, modRevOf, (lease) => this.#leases.has(lease));
    if (ok) this.#commit(writes);
    return { ok, rev: this.#rev };
  }

  watch(prefix: string, from: Rev, signal: AbortSignal): AsyncIterable<WatchBatch> {
    return this.#watches.follow(this.#read, prefix, from, signal);
  }

  async grant(ttlSeconds: number): Promise<string> {
    this.#checkOpen();
    const lease = randomUUID();
    this.#leases.add(lease);
    this.#timers.arm(lease, ttlSeconds);
    return lease;
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
    this.#closed = true;
    this.#timers.close();
    this.#watches.close();
  }

  #commit(writes: readonly Write[]): void {
    const effective = writes.filter((write) => 'put' in write || this.#entries.has(keyOf(write)));
    if (effective.length === 0) return;
    const rev = this.#rev + 1n;
    const events = effective.map((write): StoreEvent => {
      if ('del' in write) {
        this.#entries.delete(write.del);
        return { kind: 'del', key: write.del };
      }
      const entry: Entry = {
        key: write.put,
        value: new Uint8Array(write.value),
        createRev: this.#entries.get(write.put)?.createRev ?? rev,
        modRev: rev,
        ...(write.lease === undefined ? {} : { lease: write.lease }),
      };
      this.#entries.set(entry.key, entry);
      return { kind: 'put', entry };
    });
    this.#rev = rev;
    this.#log.push({ rev, events });
    if (this.#log.length > this.#keepRevisions) {
      this.#log = this.#log.slice(-this.#keepRevisions);
      this.#compacted = this.#log[0]!.rev - 1n;
    }
    this.#watches.wake();
  }

  #end(lease: string): void {
    this.#timers.disarm(lease);
    this.#leases.delete(lease);
    const keys = [...this.#entries.values()].filter((entry) => entry.lease === lease).map((entry) => entry.key);
    this.#commit(keys.map((key) => ({ del: key })));
  }

  readonly #read: ReadLog = (prefix, after, limit) => {
    if (after < this.#compacted) throw new Compacted(this.#compacted + 1n);
    const found = this.#log.filter((batch) => batch.rev > after);
    const page = found.slice(0, limit);
    const batches = page
      .map(({ rev, events }) => ({
        rev,
        events: events.filter((event) => (event.kind === 'put' ? event.entry.key : event.key).startsWith(prefix)),
      }))
      .filter((batch) => batch.events.length > 0);
    return { batches, through: page.at(-1)?.rev ?? after, more: found.length > limit };
  };

  #checkOpen(): void {
    if (this.#closed) throw new Unavailable('the store is closed');
  }
}

/** UTF-8 byte order, which is not that of JavaScript's own comparison. */
const compareKeys = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
