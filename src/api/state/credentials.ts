// Who may call: tokens by their SHA-256, held in memory. A token is 32 random bytes, so a plain hash is enough: there is
// nothing to guess that a slow hash would slow down.

import { createHash, randomBytes } from 'node:crypto';
import type { Entry, StoreEvent, WatchBatch } from '../../store/store.ts';
import type { ResourceRef } from '../../topology/kinds.ts';
import type { Id } from '../../topology/resource.ts';
import { decode, PREFIX } from './keys.ts';

/** As the store has it. `expiresAt`: RFC 3339; none: it is good until it is revoked. */
export type Credential =
  | { readonly role: 'admin'; readonly name: string; readonly createdAt: string; readonly expiresAt?: string }
  | {
      /** member: may change the objects of its projects; reader: may look at them. */
      readonly role: 'member' | 'reader';
      readonly name: string;
      /** At least one. */
      readonly projectIds: readonly Id[];
      readonly createdAt: string;
      readonly expiresAt?: string;
    }
  | { readonly role: 'host'; readonly hostId: Id; readonly createdAt: string };

/** A token that is known. */
export interface Token {
  /** Made of the hash, from which nobody gets back to the token. */
  readonly id: Id;
  readonly hash: string;
  readonly credential: Credential;
}

const TOKEN_BYTES = 32;
/** The longest that a timer of Node waits is 2³¹ - 1 ms; one that has to wait longer is wound up again. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export const newToken = (): string => `aya_${randomBytes(TOKEN_BYTES).toString('base64url')}`;
export const hashOf = (token: string): string => createHash('sha256').update(token).digest('hex');
export const tokenKey = (token: string): string => PREFIX.token + hashOf(token);

/** A UUID of the hash's first bits, marked as RFC 9562 §5.8 (version 8) has it. */
function idOf(hash: string): Id {
  const variant = ((Number.parseInt(hash.charAt(16), 16) & 3) | 8).toString(16);
  const parts = [hash.slice(0, 8), hash.slice(8, 12), `8${hash.slice(13, 16)}`, variant + hash.slice(17, 20)];
  return [...parts, hash.slice(20, 32)].join('-');
}

export const expiryMs = (credential: Credential): number =>
  credential.role === 'host' || credential.expiresAt === undefined
    ? Number.POSITIVE_INFINITY
    : Date.parse(credential.expiresAt);

export class Credentials {
  readonly #byHash = new Map<string, Token>();
  /** What goes on under a token, and is told when that is revoked or expires. */
  readonly #ends = new Map<string, AbortController>();
  /** Hash -> Unix milliseconds of the last call to this server. */
  readonly #usedAtMs = new Map<string, number>();
  /** Host -> hashes of its tokens. */
  readonly #hosts = new Map<Id, Set<string>>();
  readonly #listeners = new Set<() => void>();

  /** Told when tokens came or went. Returns its undo. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  load(entries: readonly Entry[]): void {
    this.#byHash.clear();
    this.#hosts.clear();
    for (const entry of entries) this.#take({ kind: 'put', entry });
    for (const hash of [...this.#ends.keys()]) if (!this.#byHash.has(hash)) this.#end(hash);
    for (const listener of this.#listeners) listener();
  }

  apply(batch: WatchBatch): void {
    let changed = false;
    for (const event of batch.events) if (this.#take(event)) changed = true;
    if (changed) for (const listener of this.#listeners) listener();
  }

  /** The token, unless it is unknown, revoked or expired. It counts as used. */
  find(token: string): Token | undefined {
    // Looked up by hash: how long it takes tells of the hash, of which the caller cannot choose a single byte.
    const found = this.#byHash.get(hashOf(token));
    const nowMs = Date.now();
    if (found === undefined || expiryMs(found.credential) <= nowMs) return undefined;
    this.#usedAtMs.set(found.hash, nowMs);
    return found;
  }

  has(hash: string): boolean {
    return this.#byHash.has(hash);
  }

  /** All that are stored, expired ones too, in order of their ids. */
  all(): readonly Token[] {
    return [...this.#byHash.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Unix milliseconds; undefined: not since this server started. */
  usedAtMs(hash: string): number | undefined {
    return this.#usedAtMs.get(hash);
  }

  /** Aborted when the token is revoked or expires. */
  ended(hash: string): AbortSignal {
    let end = this.#ends.get(hash);
    if (end === undefined) {
      end = new AbortController();
      this.#ends.set(hash, end);
      this.#awaitExpiry(hash);
    }
    return end.signal;
  }

  /** An admin that is there for good: where there is none, a server makes one at its start. */
  hasAdmin(): boolean {
    return this.lastingAdmins() > 0;
  }

  lastingAdmins(): number {
    const all = [...this.#byHash.values()];
    return all.filter(({ credential }) => credential.role === 'admin' && credential.expiresAt === undefined).length;
  }

  /** Store keys of the tokens that are worth nothing without this object: those of a host, or of a project alone. */
  keysOf({ kind, id }: ResourceRef): readonly string[] {
    if (kind === 'host') return this.keysOfHost(id);
    if (kind !== 'project') return [];
    return [...this.#byHash.values()]
      .filter(({ credential }) => 'projectIds' in credential && credential.projectIds.every((one) => one === id))
      .map(({ hash }) => PREFIX.token + hash);
  }

  /** Store keys of a host's tokens. */
  keysOfHost(hostId: Id): readonly string[] {
    return [...(this.#hosts.get(hostId) ?? [])].map((hash) => PREFIX.token + hash);
  }

  #take(event: StoreEvent): boolean {
    const key = event.kind === 'put' ? event.entry.key : event.key;
    if (!key.startsWith(PREFIX.token)) return false;
    const hash = key.slice(PREFIX.token.length);
    const before = this.#byHash.get(hash)?.credential;
    if (before?.role === 'host') this.#hosts.get(before.hostId)?.delete(hash);
    this.#byHash.delete(hash);
    if (event.kind === 'put') {
      const credential = decode<Credential>(event.entry.value);
      this.#byHash.set(hash, { id: idOf(hash), hash, credential });
      if (credential.role === 'host') {
        this.#hosts.set(credential.hostId, (this.#hosts.get(credential.hostId) ?? new Set()).add(hash));
      }
    } else {
      this.#usedAtMs.delete(hash);
      this.#end(hash);
    }
    return true;
  }

  #end(hash: string): void {
    this.#ends.get(hash)?.abort();
    this.#ends.delete(hash);
  }

  #awaitExpiry(hash: string): void {
    const token = this.#byHash.get(hash);
    const leftMs = token === undefined ? 0 : expiryMs(token.credential) - Date.now();
    if (leftMs === Number.POSITIVE_INFINITY) return;
    if (leftMs <= 0) {
      this.#end(hash);
      return;
    }
    setTimeout(
      () => {
        if (this.#ends.has(hash)) this.#awaitExpiry(hash);
      },
      Math.min(leftMs, TIMER_MS_MAX),
    ).unref();
  }
}
