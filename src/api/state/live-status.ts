// Live status in memory: what every host says of itself, its ports and what it learned, and which host holds which
// port. Written by the feed alone. Indexed by subject, because agents ask by device and ports by port.

import { formatIp, formatMac, type Ip, type Mac, parseMac } from '../../packet/address.ts';
import type { Entry, Rev, StoreEvent, WatchBatch } from '../../store/store.ts';
import type { Port } from '../../topology/port.ts';
import type { Id } from '../../topology/resource.ts';
import type { HostAlive, PortStatus, Status, StatusKind } from '../../topology/status.ts';
import { decode, PREFIX, parseStatusKey } from './keys.ts';

export interface KnownStatus {
  readonly hostId: Id;
  readonly status: Status;
  /** The store's revision: of two hosts that claim one address, the later is right. */
  readonly modRev: Rev;
}
export interface StatusChange {
  readonly hostId: Id;
  readonly kind: StatusKind;
  readonly id: string;
  /** Undefined: it is gone. */
  readonly status: Status | undefined;
}
/** `rev`: the store's revision of what changed, or of what was read. */
export type StatusListener = (changes: readonly StatusChange[] | undefined, rev: Rev) => void;
export interface Claim {
  readonly hostId: Id;
  readonly modRev: Rev;
}

/** What a status is about, so that it can be found from the model: `mac/<bridge>`, `neighbour/<port>`, `port/<port>`. */
export function subjectOf(kind: StatusKind, id: string): string {
  const comma = id.indexOf(',');
  return `${kind}/${comma < 0 ? id : id.slice(0, comma)}`;
}

/** Undefined: it is not about status. */
export function statusChangeOf(event: StoreEvent): StatusChange | undefined {
  const name = parseStatusKey(event.kind === 'put' ? event.entry.key : event.key);
  if (name === undefined) return undefined;
  return { ...name, status: event.kind === 'put' ? decode<Status>(event.entry.value) : undefined };
}

type ByHost = Map<Id, KnownStatus>;

export class LiveStatus {
  /** Host -> `<kind>/<id>` -> status. */
  readonly #hosts = new Map<Id, Map<string, KnownStatus>>();
  /** Subject -> `<kind>/<id>` -> host -> status. */
  readonly #subjects = new Map<string, Map<string, ByHost>>();
  readonly #claims = new Map<Id, Claim>();
  readonly #listeners = new Set<StatusListener>();

  /** Told after every batch what changed; undefined when all was read anew. Returns its undo. */
  onChange(listener: StatusListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  load(entries: readonly Entry[], rev: Rev): void {
    this.#hosts.clear();
    this.#subjects.clear();
    this.#claims.clear();
    for (const entry of entries) this.#take({ kind: 'put', entry });
    for (const listener of this.#listeners) listener(undefined, rev);
  }

  apply(batch: WatchBatch): void {
    const changes = batch.events.map((event) => this.#take(event)).filter((change) => change !== undefined);
    if (changes.length > 0) for (const listener of this.#listeners) listener(changes, batch.rev);
  }

  hostIds(): Iterable<Id> {
    return this.#hosts.keys();
  }

  ofHost(hostId: Id): ReadonlyMap<string, KnownStatus> {
    return this.#hosts.get(hostId) ?? new Map();
  }

  alive(hostId: Id): HostAlive | undefined {
    return this.ofHost(hostId).get('alive/-')?.status as HostAlive | undefined;
  }

  claim(portId: Id): Claim | undefined {
    return this.#claims.get(portId);
  }

  /** The ports that a host holds. */
  claimsOf(hostId: Id): readonly Id[] {
    return [...this.#claims].filter(([, claim]) => claim.hostId === hostId).map(([portId]) => portId);
  }

  /** Everything that hosts say about a subject, in no order. */
  *about(subject: string): Iterable<KnownStatus> {
    for (const byHost of this.#subjects.get(subject)?.values() ?? []) yield* byHost.values();
  }

  /** What people are told of a port: the word of the host that holds it, else of the host that it is bound to. */
  ofPort(port: Port): { readonly state: PortStatus['state']; readonly hostId?: Id; readonly why?: string } {
    const byHost = this.#subjects.get(`port/${port.id}`)?.get(`port/${port.id}`);
    const hostId = this.#claims.get(port.id)?.hostId ?? port.hostId;
    const known = hostId === undefined ? undefined : (byHost?.get(hostId)?.status as PortStatus | undefined);
    if (hostId !== undefined && known !== undefined) {
      return { state: known.state, hostId, ...(known.why === undefined ? {} : { why: known.why }) };
    }
    if (hostId !== undefined) return { state: 'down', hostId, why: 'its host has not claimed it yet' };
    if (port.peerId !== undefined) return { state: 'up' };
    return { state: 'down', why: 'neither bound to an interface nor peered with a port' };
  }

  macPort(bridgeId: Id, vlan: number, mac: Mac): Id | undefined {
    const status = this.#latest(`mac/${bridgeId}`, `mac/${bridgeId},${vlan},${formatMac(mac)}`);
    return status?.kind === 'mac' ? status.portId : undefined;
  }

  neighbour(portId: Id, ip: Ip): Mac | undefined {
    const status = this.#latest(`neighbour/${portId}`, `neighbour/${portId},${formatIp(ip)}`);
    return status?.kind === 'neighbour' ? parseMac(status.mac) : undefined;
  }

  #latest(subject: string, key: string): Status | undefined {
    let latest: KnownStatus | undefined;
    for (const known of this.#subjects.get(subject)?.get(key)?.values() ?? []) {
      if (latest === undefined || known.modRev > latest.modRev) latest = known;
    }
    return latest?.status;
  }

  #take(event: StoreEvent): StatusChange | undefined {
    const key = event.kind === 'put' ? event.entry.key : event.key;
    if (key.startsWith(PREFIX.claim)) {
      const portId = key.slice(PREFIX.claim.length);
      if (event.kind === 'del') this.#claims.delete(portId);
      else this.#claims.set(portId, { hostId: decode<Id>(event.entry.value), modRev: event.entry.modRev });
      return undefined;
    }
    const change = statusChangeOf(event);
    if (change === undefined) return undefined;
    const { hostId, status } = change;
    if (event.kind === 'put' && status !== undefined) {
      this.#put({ hostId, status, modRev: event.entry.modRev }, change);
    } else this.#remove(change);
    return change;
  }

  #put(known: KnownStatus, { hostId, kind, id }: { hostId: Id; kind: StatusKind; id: string }): void {
    const key = `${kind}/${id}`;
    getOrAdd(this.#hosts, hostId, () => new Map<string, KnownStatus>()).set(key, known);
    const subject = getOrAdd(this.#subjects, subjectOf(kind, id), () => new Map<string, ByHost>());
    getOrAdd(subject, key, (): ByHost => new Map()).set(hostId, known);
  }

  #remove({ hostId, kind, id }: { hostId: Id; kind: StatusKind; id: string }): void {
    const key = `${kind}/${id}`;
    const ofHost = this.#hosts.get(hostId);
    ofHost?.delete(key);
    if (ofHost?.size === 0) this.#hosts.delete(hostId);
    const subject = this.#subjects.get(subjectOf(kind, id));
    const byHost = subject?.get(key);
    byHost?.delete(hostId);
    if (byHost?.size === 0) subject?.delete(key);
    if (subject?.size === 0) this.#subjects.delete(subjectOf(kind, id));
  }
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
