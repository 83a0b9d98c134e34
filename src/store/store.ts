// The persistence edge: keys, values, revisions, watches and leases. It knows nothing of networks.
// Drivers: memory.ts (the twin, for tests) and sqlite.ts; each passes conformance.ts.

/** One counter for the whole store; every transaction that writes has its own. Opaque to callers but for order. */
export type Rev = bigint;

export interface Entry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly createRev: Rev;
  readonly modRev: Rev;
  readonly lease?: string;
}

export interface Guard {
  readonly key: string;
  /** The revision that the key must have; 0n: it must not exist. */
  readonly modRev: Rev;
}

export type Write =
  | { readonly put: string; readonly value: Uint8Array; readonly lease?: string }
  | { readonly del: string };

export type StoreEvent =
  | { readonly kind: 'put'; readonly entry: Entry }
  | { readonly kind: 'del'; readonly key: string };

/** Everything one transaction did below the prefix. `events` may be empty: the watch is alive and this far. */
export interface WatchBatch {
  readonly rev: Rev;
  readonly events: readonly StoreEvent[];
}

export interface ListResult {
  readonly entries: readonly Entry[];
  readonly rev: Rev;
  /** There are more: ask again with `after` = the last key. */
  readonly more: boolean;
}

/** Limits of a transaction, those of the narrowest driver. */
export const MAX_TXN_WRITES = 100;
export const MAX_TXN_BYTES = 1_000_000;

export interface Store {
  get(key: string): Promise<{ readonly entry?: Entry; readonly rev: Rev }>;
  /** Keys in byte order. */
  list(prefix: string, options?: { readonly after?: string; readonly limit?: number }): Promise<ListResult>;
  /** All writes or none. `ok: false` when a guard did not hold or a lease has ended; a key may be written once. */
  txn(guards: readonly Guard[], writes: readonly Write[]): Promise<{ readonly ok: boolean; readonly rev: Rev }>;
  /**
   * Batches after `from`, one per transaction; one without events when all of the past has been told. Ends when the
   * signal aborts; throws Compacted when `from` is gone.
   */
  watch(prefix: string, from: Rev, signal: AbortSignal): AsyncIterable<WatchBatch>;
  /** A lease that ends `ttlSeconds` after the last keepAlive; its keys are then deleted in one transaction. */
  grant(ttlSeconds: number): Promise<string>;
  /** False when the lease has ended. */
  keepAlive(lease: string): Promise<boolean>;
  revoke(lease: string): Promise<void>;
  close(): Promise<void>;
}

/** The past that a watch asked for has been trimmed: list again, then watch from that list's revision. */
export class Compacted extends Error {
  override readonly name = 'Compacted';
  readonly oldest: Rev;
  constructor(oldest: Rev) {
    super(`the store keeps changes from revision ${oldest} on`);
    this.oldest = oldest;
  }
}

/** Nothing was done; it may be tried again. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable';
}

/** The answer to a write was lost: it may or may not have happened. Read before writing again. */
export class OutcomeUnknown extends Error {
  override readonly name = 'OutcomeUnknown';
}
