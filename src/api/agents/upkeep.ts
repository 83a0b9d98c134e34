// What servers do for hosts that cannot: status of a host that is gone for good is removed, and a port that one host let
// go of is given to the host that was refused it. Any server may do it, twice does no harm.

import { MAX_TXN_WRITES } from '../../store/store.ts';
import type { Id } from '../../topology/resource.ts';
import type { PortStatus } from '../../topology/status.ts';
import type { Parts } from '../parts.ts';
import type { ConfigStep } from '../state/config.ts';
import { claimKey, encode, statusKey } from '../state/keys.ts';
import type { StatusChange } from '../state/live-status.ts';

/**
 * From the end of a host's lease until its ports are nobody's. Its kernel may forward all that time; an agent that is
 * upgraded or restarted is back long before.
 */
export const EXPIRE_MS = 60_000;

/** Until a port is given away again that the store did not take. */
const RETRY_MS = 500;

type UpkeepParts = Pick<Parts, 'store' | 'config' | 'liveStatus' | 'log'>;

export class Upkeep {
  readonly #parts: UpkeepParts;
  readonly #expireMs: number;
  readonly #timers = new Map<Id, NodeJS.Timeout>();
  readonly #retries = new Set<NodeJS.Timeout>();
  readonly #undo: (() => void)[];
  #closed = false;

  constructor(parts: UpkeepParts, expireMs = EXPIRE_MS) {
    this.#parts = parts;
    this.#expireMs = expireMs;
    this.#undo = [
      parts.liveStatus.onChange((changes) => this.#statusChanged(changes)),
      parts.config.onStep((step) => this.#configChanged(step)),
    ];
    this.#statusChanged(undefined);
  }

  close(): void {
    this.#closed = true;
    for (const undo of this.#undo) undo();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    for (const timer of this.#retries) clearTimeout(timer);
    this.#retries.clear();
  }

  #statusChanged(changes: readonly StatusChange[] | undefined): void {
    const { liveStatus } = this.#parts;
    const hosts = changes === undefined ? [...liveStatus.hostIds()] : new Set(changes.map(({ hostId }) => hostId));
    for (const hostId of hosts) this.#watchOver(hostId);
    for (const { kind, id } of changes ?? []) if (kind === 'port') void this.#promote(id);
    // All was read anew: a host may have let go unseen. Or nobody was there to take it.
    const back = changes === undefined ? hosts : new Set(changes.flatMap((c) => (c.kind === 'alive' ? c.hostId : [])));
    for (const hostId of back) {
      for (const { status } of liveStatus.ofHost(hostId).values()) {
        if (status.kind === 'port' && status.state === 'refused') void this.#promote(status.id);
      }
    }
  }

  #configChanged({ after, change }: ConfigStep): void {
    for (const { kind, value } of change?.put ?? []) if (kind === 'port') void this.#promote(value.id);
    for (const { kind, id } of change?.del ?? []) if (kind === 'host') this.#watchOver(id);
    if (change !== undefined) return;
    for (const id of after.objects('port').keys()) void this.#promote(id);
  }

  /** A host with status and without life is given time, then given up; one that was deleted at once. */
  #watchOver(hostId: Id): void {
    const { liveStatus, config } = this.#parts;
    const deleted = config.topology.object('host', hostId) === undefined;
    const dead = liveStatus.ofHost(hostId).size > 0 && (deleted || liveStatus.alive(hostId) === undefined);
    if (!dead) {
      clearTimeout(this.#timers.get(hostId));
      this.#timers.delete(hostId);
    } else if (deleted || !this.#timers.has(hostId)) {
      clearTimeout(this.#timers.get(hostId));
      const timer = setTimeout(() => void this.#expire(hostId), deleted ? 0 : this.#expireMs);
      timer.unref();
      this.#timers.set(hostId, timer);
    }
  }

  async #expire(hostId: Id): Promise<void> {
    const { store, liveStatus, config, log } = this.#parts;
    this.#timers.delete(hostId);
    try {
      // Each transaction makes sure anew that the host has not come back.
      const deleted = config.topology.object('host', hostId) === undefined;
      const guards = deleted ? [] : [{ key: statusKey(hostId, 'alive', '-'), modRev: 0n }];
      const keys = [
        ...liveStatus.claimsOf(hostId).map(claimKey),
        ...[...liveStatus.ofHost(hostId).values()].map(({ status }) => statusKey(hostId, status.kind, status.id)),
      ];
      if (keys.length === 0) return;
      log.warn('gave up a host that does not come back; its ports are nobody’s now', { hostId, keys: keys.length });
      for (let at = 0; at < keys.length; at += MAX_TXN_WRITES) {
        const some = keys.slice(at, at + MAX_TXN_WRITES).map((del) => ({ del }));
        if (!(await store.txn(guards, some)).ok) return;
      }
    } catch (error) {
      log.warn('cannot remove the status of a host that is gone', { hostId, error });
      this.#watchOver(hostId);
    }
  }

  /** The host that the port is bound to and that was refused it gets it, when nobody holds it any more. */
  async #promote(portId: Id): Promise<void> {
    const { store, liveStatus, config, log } = this.#parts;
    const hostId = config.topology.object('port', portId)?.hostId;
    if (hostId === undefined || liveStatus.claim(portId) !== undefined) return;
    const known = liveStatus.ofHost(hostId).get(`port/${portId}`);
    if (known?.status.kind !== 'port' || known.status.state !== 'refused') return;
    if (liveStatus.alive(hostId) === undefined) return;
    const claimed: PortStatus = { kind: 'port', id: portId, state: 'claimed' };
    const statusOf = statusKey(hostId, 'port', portId);
    try {
      // A host that does not want it any more would not know that it holds it.
      await store.txn(
        [
          { key: claimKey(portId), modRev: 0n },
          { key: statusOf, modRev: known.modRev },
        ],
        [
          { put: claimKey(portId), value: encode(hostId) },
          { put: statusOf, value: encode(claimed) },
        ],
      );
    } catch (error) {
      log.warn('cannot give a port to its host; trying again', { portId, hostId, error });
      if (this.#closed) return;
      const timer = setTimeout(() => {
        this.#retries.delete(timer);
        void this.#promote(portId);
      }, RETRY_MS);
      timer.unref();
      this.#retries.add(timer);
    }
  }
}
