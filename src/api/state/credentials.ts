// Who may call: tokens by their SHA-256, held in memory. A token is 32 random bytes, so a plain hash is enough: there is
// nothing to guess that a slow hash would slow down.

import { createHash, randomBytes } from 'node:crypto';
import type { Entry, StoreEvent, WatchBatch } from '../../store/store.ts';
import type { Id } from '../../topology/resource.ts';
import { decode, PREFIX } from './keys.ts';

export type Credential =
  | { readonly role: 'admin'; readonly name: string; readonly createdAt: string }
  | { readonly role: 'host'; readonly hostId: Id; readonly createdAt: string };

const TOKEN_BYTES = 32;

export const newToken = (): string => `aya_${randomBytes(TOKEN_BYTES).toString('base64url')}`;
export const hashOf = (token: string): string => createHash('sha256').update(token).digest('hex');
export const tokenKey = (token: string): string => PREFIX.token + hashOf(token);

export class Credentials {
  readonly #byHash = new Map<string, Credential>();
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
    for (const listener of this.#listeners) listener();
  }

  apply(batch: WatchBatch): void {
    let changed = false;
    for (const event of batch.events) if (this.#take(event)) changed = true;
    if (changed) for (const listener of this.#listeners) listener();
  }

  /** Whose token this is. */
  find(token: string): Credential | undefined {
    // Looked up by hash: how long it takes tells of the hash, of which the caller cannot choose a single byte.
    return this.#byHash.get(hashOf(token));
  }

  has(hash: string): boolean {
    return this.#byHash.has(hash);
  }

  hasAdmin(): boolean {
    return [...this.#byHash.values()].some((credential) => credential.role === 'admin');
  }

  /** Store keys of a host's tokens. */
  keysOfHost(hostId: Id): readonly string[] {
    return [...(this.#hosts.get(hostId) ?? [])].map((hash) => PREFIX.token + hash);
  }

  #take(event: StoreEvent): boolean {
    const key = event.kind === 'put' ? event.entry.key : event.key;
    if (!key.startsWith(PREFIX.token)) return false;
    const hash = key.slice(PREFIX.token.length);
    const before = this.#byHash.get(hash);
    if (before?.role === 'host') this.#hosts.get(before.hostId)?.delete(hash);
    this.#byHash.delete(hash);
    if (event.kind === 'put') {
      const credential = decode<Credential>(event.entry.value);
      this.#byHash.set(hash, credential);
      if (credential.role === 'host') {
        this.#hosts.set(credential.hostId, (this.#hosts.get(credential.hostId) ?? new Set()).add(hash));
      }
    }
    return true;
  }
}
