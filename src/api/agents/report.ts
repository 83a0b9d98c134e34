// What one host says of itself, on its way into the store: coalesced by key, one transaction after the other, only what
// differs from what is there. Words about ports go through the binding protocol.
//
// A host has one voice: it is written only while `alive` in the store is what this connection put there. Who was given up
// meanwhile, or has come back by another connection, of whatever server, changes nothing any more.

import { isDeepStrictEqual } from 'node:util';
import type { Guard, Rev } from '../../store/store.ts';
import type { Id } from '../../topology/resource.ts';
import type { PortStatus, Status, StatusKind } from '../../topology/status.ts';
import type { Parts } from '../parts.ts';
import { claimKey, encode, statusKey } from '../state/keys.ts';
import { decide } from './binding.ts';
import { Lessons } from './lessons.ts';

/** A port takes two writes and a guard; one more guard is for all of them. */
const BATCH = 45;
/** A host whose words do not fit any more is cut: 256 addresses a port leave room for hundreds of ports. */
const STATUS_MAX = 200_000;

type ReportParts = Pick<Parts, 'store' | 'config' | 'feed' | 'liveStatus' | 'log'>;
type Frame = {
  readonly put: readonly Status[];
  readonly del: readonly { readonly kind: StatusKind; readonly id: string }[];
  readonly reset: boolean;
  readonly more?: boolean;
};

export class Report {
  readonly #hostId: Id;
  readonly #parts: ReportParts;
  /** `<kind>/<id>` -> what the host said last and the store does not have yet; undefined: it is gone. */
  readonly #pending = new Map<string, Status | undefined>();
  readonly #confirm: (status: PortStatus) => void;
  readonly #outdated: () => void;
  readonly #lessons = new Lessons();
  /** Revision of `alive` that this connection put there. */
  #aliveRev: Rev | undefined;
  /** Keys of what the host has said since it began anew; the rest of what the store has is to be forgotten. */
  #anew: Set<string> | undefined;
  /** It has not said all of that yet. */
  #goesOn = false;
  #running: Promise<void> | undefined;
  #closed = false;
  #complained = false;

  /**
   * `confirm` is told of claims that the store has as they are said: nothing changes, so nobody else tells the host.
   * `outdated`: another connection speaks for the host, or nobody.
   */
  constructor(hostId: Id, parts: ReportParts, confirm: (status: PortStatus) => void, outdated: () => void) {
    this.#hostId = hostId;
    this.#parts = parts;
    this.#confirm = confirm;
    this.#outdated = outdated;
  }

  /** The store has `alive` since this revision, and so has what is known of it here: what is said may be written. */
  begin(aliveRev: Rev): void {
    this.#aliveRev = aliveRev;
    this.#go();
  }

  /** False when the host says more than is kept. */
  take({ put, del, reset, more = false }: Frame): boolean {
    this.#goesOn = more;
    if (reset) {
      this.#lessons.clear();
      this.#pending.clear();
      this.#anew = new Set();
    }
    for (const { kind, id } of del) {
      this.#lessons.forget(`${kind}/${id}`);
      this.#anew?.delete(`${kind}/${id}`);
      if (kind !== 'alive') this.#pending.set(`${kind}/${id}`, undefined);
    }
    let refused = 0;
    for (const status of put) {
      // Whether a host is alive is what its lease says.
      if (status.kind === 'alive') continue;
      const isLesson = status.kind === 'mac' || status.kind === 'neighbour';
      if (isLesson && !this.#lessons.take(status, this.#hostId, this.#parts.config.topology)) refused++;
      else {
        this.#anew?.add(`${status.kind}/${status.id}`);
        this.#pending.set(`${status.kind}/${status.id}`, status);
      }
    }
    if (refused > 0) this.#complain(refused);
    if (this.#pending.size + this.#parts.liveStatus.ofHost(this.#hostId).size > STATUS_MAX) return false;
    this.#go();
    return true;
  }

  #go(): void {
    if (this.#aliveRev === undefined || this.#closed) return;
    if (this.#anew !== undefined && !this.#goesOn) this.#forgetAllBut(this.#anew);
    if (this.#pending.size > 0) this.#running ??= this.#run(this.#aliveRev);
  }

  #forgetAllBut(said: ReadonlySet<string>): void {
    this.#anew = undefined;
    for (const [key, { status }] of this.#parts.liveStatus.ofHost(this.#hostId)) {
      if (status.kind !== 'alive' && !said.has(key)) this.#pending.set(key, undefined);
    }
  }

  /** Once for a connection: a host that means harm would fill the log. */
  #complain(addresses: number): void {
    if (this.#complained) return;
    this.#complained = true;
    this.#parts.log.warn(
      'a host tells of addresses that it cannot have learned, or of too many; they are passed over',
      {
        hostId: this.#hostId,
        addresses,
      },
    );
  }

  /** What was taken is still written. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  async #run(aliveRev: Rev): Promise<void> {
    const { store, feed, log } = this.#parts;
    const isAlive: Guard = { key: statusKey(this.#hostId, 'alive', '-'), modRev: aliveRev };
    await Promise.resolve();
    while (this.#pending.size > 0) {
      const items: (readonly [string, Status | undefined])[] = [];
      for (const item of this.#pending) if (items.push(item) === BATCH) break;
      for (const [key] of items) this.#pending.delete(key);
      try {
        const { guards, writes, unchanged } = this.#writesFor(items);
        const { ok, rev } = await store.txn([isAlive, ...guards], writes);
        await feed.through(rev);
        if (!ok && this.#isOutdated(aliveRev)) {
          this.#pending.clear();
          this.#closed = true;
          this.#outdated();
        } else if (!ok) this.#putBack(items);
        else for (const status of unchanged) this.#confirm(status);
      } catch (error) {
        log.warn('cannot store the status of a host; trying again', { hostId: this.#hostId, error });
        this.#putBack(items);
        if (this.#closed) break;
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    }
    this.#running = undefined;
  }

  #isOutdated(aliveRev: Rev): boolean {
    return this.#parts.liveStatus.ofHost(this.#hostId).get('alive/-')?.modRev !== aliveRev;
  }

  /** What was said meanwhile is newer. */
  #putBack(items: readonly (readonly [string, Status | undefined])[]): void {
    for (const [key, status] of items) if (!this.#pending.has(key)) this.#pending.set(key, status);
  }

  #writesFor(items: readonly (readonly [string, Status | undefined])[]) {
    const { liveStatus, config } = this.#parts;
    const known = liveStatus.ofHost(this.#hostId);
    const guards: Guard[] = [];
    const writes: ({ put: string; value: Uint8Array } | { del: string })[] = [];
    const unchanged: PortStatus[] = [];
    for (const [key, said] of items) {
      const slash = key.indexOf('/');
      const kind = key.slice(0, slash) as StatusKind;
      const id = key.slice(slash + 1);
      const storeKey = statusKey(this.#hostId, kind, id);
      let status = said;
      if (kind === 'port') {
        const holder = liveStatus.claim(id);
        const port = config.topology.object('port', id);
        const nameOf = (hostId: Id): string => this.#nameOf(hostId);
        const decision = said?.kind === 'port' ? decide(said, this.#hostId, port, holder, nameOf) : undefined;
        const releases = said === undefined && holder?.hostId === this.#hostId;
        status = decision?.status;
        // Who lets go makes sure that the port is not being given to it just now.
        if (said === undefined || decision?.takesClaim === true) {
          guards.push({ key: claimKey(id), modRev: holder?.modRev ?? 0n });
        }
        if (releases) writes.push({ del: claimKey(id) });
        else if (decision?.takesClaim === true) writes.push({ put: claimKey(id), value: encode(this.#hostId) });
      }
      const before = known.get(key)?.status;
      if (status === undefined) {
        if (before !== undefined) writes.push({ del: storeKey });
      } else if (!isDeepStrictEqual(before, status)) {
        writes.push({ put: storeKey, value: encode(status) });
      } else if (status.kind === 'port' && said?.kind === 'port' && said.state === 'claimed') {
        unchanged.push(status);
      }
    }
    return { guards, writes, unchanged };
  }

  #nameOf(hostId: Id): string {
    return this.#parts.config.topology.object('host', hostId)?.name || hostId;
  }
}
