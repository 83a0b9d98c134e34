// The host's wiring: which interfaces are plugged into which ports, where every port is delivered, who gets a flooded
// frame, how other hosts are reached. Wanted − actual = operations; a restart is just another difference.
//
//   topology, interfaces, status of others ─► desiredWiring ─► diffWiring ─► operations ─► data path
//                                                                               │ one fails: tried again, with backoff
//                                                                               ▼
//                                                              status of the host's ports: claimed, up, down
//
// A port that is bound here is claimed first, and plugged when the server has confirmed that: nobody else delivers it
// then. What is plugged stays so until the server says otherwise, with and without a server.

import type { Datapath, Delivery, FloodGroup, UnderlayHost } from '../datapath/datapath.ts';
import type { Log } from '../lib/log.ts';
import { formatIp } from '../packet/address.ts';
import type { PortNode, Topology } from '../topology/nodes.ts';
import type { Id } from '../topology/resource.ts';
import type { PortStatus } from '../topology/status.ts';
import type { InterfaceInfo } from './host/interfaces.ts';
import { WIRING_RETRY_MAX_MS, WIRING_RETRY_MS } from './limits.ts';

/** A plugged interface; `ifindex` tells a new interface of the same name from the old one. */
export interface Plug {
  readonly interfaceName: string;
  readonly ifindex: number;
  readonly tap: boolean;
}
export type Place = Delivery & { readonly ifindex?: number };

export interface Wiring {
  /** By index of the host. */
  readonly hosts: ReadonlyMap<number, UnderlayHost>;
  /** By port number. */
  readonly plugs: ReadonlyMap<number, Plug>;
  readonly places: ReadonlyMap<number, Place>;
  /** By flood number. */
  readonly floods: ReadonlyMap<number, FloodGroup>;
}

/** Of every network namespace; the listing of interfaces leaves it out. */
const LOOPBACK = 'lo';

export const NO_WIRING: Wiring = { hosts: new Map(), plugs: new Map(), places: new Map(), floods: new Map() };

/** What wiring is made from. */
export interface Surroundings {
  readonly hostId: Id;
  readonly topology: Topology;
  readonly interfaces: ReadonlyMap<string, InterfaceInfo>;
  /** Hosts that share a zone with this one and have a route, by id. */
  readonly underlay: ReadonlyMap<Id, UnderlayHost>;
  readonly indexOf: (hostId: Id) => number;
  /** What that host says of the port; undefined: nothing. */
  readonly stateAt: (hostId: Id, portId: Id) => PortStatus['state'] | undefined;
  /** Why the interface cannot carry a port; undefined: it can. */
  readonly reserved: (found: InterfaceInfo) => string | undefined;
  /** The server's last word about this host's claim to the port; undefined: none yet. */
  readonly word: (portId: Id) => PortStatus | undefined;
}

export type Operation =
  | { readonly kind: 'host'; readonly index: number; readonly host: UnderlayHost | undefined }
  | { readonly kind: 'place'; readonly port: number; readonly place: Place | undefined }
  | { readonly kind: 'flood'; readonly flood: number; readonly group: FloodGroup | undefined }
  | { readonly kind: 'plug'; readonly port: number; readonly plug: Plug }
  | { readonly kind: 'unplug'; readonly port: number };

/** The wiring that the topology asks for, and what to say of each port that is bound to this host. `actual`: what is. */
export function desiredWiring(
  around: Surroundings,
  actual: Pick<Wiring, 'plugs' | 'places'>,
): { readonly wiring: Wiring; readonly statuses: PortStatus[] } {
  const hosts = new Map<number, UnderlayHost>();
  for (const [hostId, underlay] of around.underlay) hosts.set(around.indexOf(hostId), underlay);
  const plugs = new Map<number, Plug>();
  const places = new Map<number, Place>();
  const statuses: PortStatus[] = [];
  const taken = new Map<string, PortNode>();
  const ports = [...around.topology.objects('port').keys()].sort();
  for (const id of ports) {
    const port = around.topology.port(id);
    if (port?.binding === undefined) continue;
    if (port.binding.hostId !== around.hostId) {
      const place = remotePlace(port, around, actual, hosts);
      if (place !== undefined) places.set(port.number, place);
      continue;
    }
    const { status, found } = localPort(port, around, taken, actual.plugs.has(port.number));
    statuses.push(status);
    if (found === undefined) continue;
    taken.set(found.name, port);
    plugs.set(port.number, { interfaceName: found.name, ifindex: found.ifindex, tap: found.tap });
    places.set(port.number, { kind: 'local', interfaceName: found.name, ifindex: found.ifindex });
  }
  return { wiring: { hosts, plugs, places, floods: desiredFloods(around, plugs, places) }, statuses };
}

/** The way from one wiring to the other: what is new is reachable before it is used, what goes is cut off first. */
export function diffWiring(desired: Wiring, actual: Wiring): Operation[] {
  const operations: Operation[] = [];
  for (const [port, plug] of actual.plugs) {
    if (!sameValue(plug, desired.plugs.get(port))) operations.push({ kind: 'unplug', port });
  }
  for (const [index, host] of desired.hosts) {
    if (!sameValue(host, actual.hosts.get(index))) operations.push({ kind: 'host', index, host });
  }
  for (const port of new Set([...actual.places.keys(), ...desired.places.keys()])) {
    const place = desired.places.get(port);
    if (!sameValue(place, actual.places.get(port))) operations.push({ kind: 'place', port, place });
  }
  for (const flood of new Set([...actual.floods.keys(), ...desired.floods.keys()])) {
    const group = desired.floods.get(flood);
    if (!sameValue(group, actual.floods.get(flood))) operations.push({ kind: 'flood', flood, group });
  }
  for (const [port, plug] of desired.plugs) {
    if (!sameValue(plug, actual.plugs.get(port))) operations.push({ kind: 'plug', port, plug });
  }
  for (const index of actual.hosts.keys()) {
    if (!desired.hosts.has(index)) operations.push({ kind: 'host', index, host: undefined });
  }
  return operations;
}

/** For tests and logs: one operation, one line. */
export function formatOperation(operation: Operation): string {
  switch (operation.kind) {
    case 'host': {
      const { index, host } = operation;
      if (host === undefined) return `host ${index} gone`;
      const ends = `${formatIp(host.local)} > ${formatIp(host.remote)}`;
      return `host ${index} ${ends} on ${host.interfaceName} mtu ${host.mtuBytes}`;
    }
    case 'place': {
      const { port, place } = operation;
      if (place === undefined) return `port ${port} nowhere`;
      return place.kind === 'local' ? `port ${port} at ${place.interfaceName}` : `port ${port} at host ${place.host}`;
    }
    case 'flood': {
      const { flood, group } = operation;
      if (group === undefined) return `flood ${flood} gone`;
      return `flood ${flood} ports [${group.members.join(' ')}] hosts [${group.hosts.join(' ')}]`;
    }
    case 'plug': {
      const { port, plug } = operation;
      return `plug ${port} ${plug.interfaceName}${plug.tap ? ' tap' : ''}`;
    }
    case 'unplug':
      return `unplug ${operation.port}`;
  }
}

export interface PortsOptions {
  readonly datapath: Datapath;
  readonly log: Log;
  readonly now: () => number;
  /** Brings a plugged interface up: it was plugged first, so nothing slips past the port. */
  readonly raise: (interfaceName: string) => void;
  readonly onStatuses: (statuses: readonly PortStatus[]) => void;
}

/** Keeps the data path wired as wanted. */
export class Ports {
  readonly #options: PortsOptions;
  readonly #actual = {
    hosts: new Map<number, UnderlayHost>(),
    plugs: new Map<number, Plug>(),
    places: new Map<number, Place>(),
    floods: new Map<number, FloodGroup>(),
  };
  #retryMs = WIRING_RETRY_MS;
  #retryAt = Number.POSITIVE_INFINITY;

  constructor(options: PortsOptions) {
    this.#options = options;
  }

  /** When `wire` is to be called even if nothing has changed, since operations failed. */
  get retryAt(): number {
    return this.#retryAt;
  }

  isPlugged(port: number): boolean {
    return this.#actual.plugs.has(port);
  }

  /** What a predecessor left, so that it is kept where it is still wanted and taken back where not. */
  adopt(interfaces: ReadonlyMap<string, InterfaceInfo>): void {
    const { datapath } = this.#options;
    for (const { port, interfaceName } of datapath.plugged()) {
      const found = interfaces.get(interfaceName);
      this.#actual.plugs.set(port, { interfaceName, ifindex: found?.ifindex ?? 0, tap: found?.tap ?? false });
    }
    for (const [port, delivery] of datapath.places()) {
      const found = delivery.kind === 'local' ? interfaces.get(delivery.interfaceName) : undefined;
      this.#actual.places.set(port, found === undefined ? delivery : { ...delivery, ifindex: found.ifindex });
    }
    for (const [flood, group] of datapath.floods()) this.#actual.floods.set(flood, group);
    for (const [index, host] of datapath.hosts()) this.#actual.hosts.set(index, host);
  }

  /** Makes the data path what the surroundings ask for, as far as it can be done now. */
  wire(around: Surroundings): void {
    const { wiring, statuses } = desiredWiring(around, this.#actual);
    const failures = new Map<number, string>();
    let failed = false;
    for (const operation of diffWiring(wiring, this.#actual)) {
      try {
        this.#apply(operation);
      } catch (error) {
        failed = true;
        if ('port' in operation) failures.set(operation.port, (error as Error).message);
        this.#options.log.warn('wiring failed; trying again', { operation: formatOperation(operation), error });
      }
    }
    this.#retryAt = failed ? this.#options.now() + this.#retryMs : Number.POSITIVE_INFINITY;
    this.#retryMs = failed ? Math.min(this.#retryMs * 2, WIRING_RETRY_MAX_MS) : WIRING_RETRY_MS;
    this.#options.onStatuses(
      statuses.map((status) => {
        const why = failures.get(around.topology.port(status.id)!.number);
        return why === undefined ? status : { kind: 'port', id: status.id, state: 'down', why };
      }),
    );
  }

  #apply(operation: Operation): void {
    const { datapath, raise } = this.#options;
    switch (operation.kind) {
      case 'host':
        datapath.setHost(operation.index, operation.host);
        record(this.#actual.hosts, operation.index, operation.host);
        break;
      case 'place':
        datapath.setDelivery(operation.port, deliveryOf(operation.place));
        record(this.#actual.places, operation.port, operation.place);
        break;
      case 'flood':
        datapath.setFlood(operation.flood, operation.group);
        record(this.#actual.floods, operation.flood, operation.group);
        break;
      case 'plug':
        datapath.plug(operation.port, operation.plug.interfaceName, { tap: operation.plug.tap });
        raise(operation.plug.interfaceName);
        record(this.#actual.plugs, operation.port, operation.plug);
        break;
      case 'unplug':
        datapath.unplug(operation.port);
        record(this.#actual.plugs, operation.port, undefined);
        break;
    }
  }
}

function record<K, V>(map: Map<K, V>, key: K, value: V | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}

function deliveryOf(place: Place | undefined): Delivery | undefined {
  if (place === undefined || place.kind === 'remote') return place;
  return { kind: 'local', interfaceName: place.interfaceName };
}

/**
 * Others are sent to only after they said `up`: nothing is lost on the way to a host that is not ready. Until then a port
 * is sent to where it was: a guest that moves is unplugged first, and its old host has it or sends it on.
 */
function remotePlace(
  { id, number, binding }: PortNode,
  around: Surroundings,
  actual: Pick<Wiring, 'places'>,
  hosts: ReadonlyMap<number, UnderlayHost>,
): Place | undefined {
  const { hostId } = binding!;
  if (!around.underlay.has(hostId)) return undefined;
  const host = around.indexOf(hostId);
  const state = around.stateAt(hostId, id);
  if (state === 'up') return { kind: 'remote', host };
  const before = actual.places.get(number);
  if (before?.kind !== 'remote' || !hosts.has(before.host)) return undefined;
  return before.host !== host || state === 'down' ? before : undefined;
}

/** What to say of a port that is bound here, and the interface that it is to be plugged into now. */
function localPort(
  port: PortNode,
  around: Surroundings,
  taken: ReadonlyMap<string, PortNode>,
  plugged: boolean,
): { readonly status: PortStatus; readonly found?: InterfaceInfo } {
  const { interfaceName } = port.binding!;
  const say = (state: 'claimed' | 'down', why: string): { readonly status: PortStatus } => ({
    status: { kind: 'port', id: port.id, state, why },
  });
  const found = around.interfaces.get(interfaceName);
  if (interfaceName === LOOPBACK) return say('down', 'interface lo is loopback: bind the port to another one');
  if (found === undefined) return say('down', `no interface ${interfaceName} on the host`);
  const reserved = around.reserved(found);
  if (reserved !== undefined) return say('down', reserved);
  const first = taken.get(interfaceName);
  if (first !== undefined) return say('down', `interface ${interfaceName} carries port ${first.id} already`);
  const word = around.word(port.id);
  if (word?.state === 'refused') return say('claimed', word.why ?? 'the server refused it');
  if (word === undefined && !plugged) return say('claimed', 'no server has confirmed it yet');
  if (!found.up) return { ...say('down', `interface ${interfaceName} has no carrier`), found };
  return { status: { kind: 'port', id: port.id, state: 'up' }, found };
}

function desiredFloods(
  around: Surroundings,
  plugs: ReadonlyMap<number, Plug>,
  places: ReadonlyMap<number, Place>,
): Map<number, FloodGroup> {
  const floods = new Map<number, FloodGroup>();
  for (const id of around.topology.objects('bridge').keys()) {
    const bridge = around.topology.bridge(id);
    if (bridge === undefined) continue;
    const members: number[] = [];
    const hosts = new Set<number>();
    for (const memberId of bridge.members) {
      const port = around.topology.port(memberId);
      if (port === undefined) continue;
      const place = places.get(port.number);
      if (plugs.has(port.number)) members.push(port.number);
      else if (place?.kind === 'remote') hosts.add(place.host);
    }
    floods.set(bridge.flood, { members, hosts: [...hosts].sort((a, b) => a - b) });
  }
  return floods;
}

/** Of plain values: objects and arrays of numbers, strings, booleans and bigints. */
function sameValue(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => sameValue((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]));
}
