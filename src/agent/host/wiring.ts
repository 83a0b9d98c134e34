// What the host's wiring stands on, kept up to date: interfaces that come and go, routes of the underlay, the numbers
// that stand for other hosts. Any of them, or the topology, having changed: `ports.ts` makes the difference.

import type { Datapath, UnderlayHost } from '../../datapath/datapath.ts';
import type { Log } from '../../lib/log.ts';
import type { Id } from '../../topology/resource.ts';
import type { PortStatus } from '../../topology/status.ts';
import { UNDERLAY_REFRESH_MS, WIRING_RETRY_MAX_MS } from '../limits.ts';
import { Ports } from '../ports.ts';
import type { Replica } from '../replica.ts';
import {
  type InterfaceInfo,
  interfaceStatus,
  isOwnDevice,
  type Lifelines,
  lifelinesAmong,
  type Machine,
  type Route,
  tunnelEnds,
  whyReserved,
} from './interfaces.ts';
import type { Journal, JournalRecord } from './journal.ts';
import type { StatusBook } from './status.ts';

export interface WiringParts {
  readonly hostId: Id;
  readonly datapath: Datapath;
  readonly replica: Replica;
  readonly statuses: StatusBook;
  readonly journal: Pick<Journal, 'append'>;
  readonly machine: Machine;
  /** URLs; the interfaces that lead there carry no ports. */
  readonly servers: readonly string[];
  readonly now: () => number;
  readonly log: Log;
  /** `turn` has something to do. */
  readonly onChange: () => void;
  /** A port of the device was delivered here and is not bound here any more: others may still send it to this host. */
  readonly onLeft: (deviceId: Id) => void;
}

const HOST_INDEX_MAX = 65_535;

export class HostWiring {
  readonly #parts: WiringParts;
  readonly #ports: Ports;
  readonly #indices = new Map<Id, number>();
  #interfaces: ReadonlyMap<string, InterfaceInfo> = new Map();
  #routes: ReadonlyMap<Id, Route> = new Map();
  /** Those that lead to servers now, or did: what is being changed there must not cut the host off either. */
  readonly #toServers = new Set<string>();
  /** Which ends the routes were asked for. */
  #ends = '';
  /** Ports that are or were delivered here as long as they are bound here, with their devices. */
  #delivered: ReadonlyMap<Id, Id> = new Map();
  #dirty = true;
  #nextLook = 0;
  #looking: Promise<void> | undefined;
  #lookAgain = false;
  #stopWatching: () => void = () => undefined;
  #closed = false;

  constructor(parts: WiringParts) {
    this.#parts = parts;
    this.#ports = new Ports({
      datapath: parts.datapath,
      log: parts.log,
      now: parts.now,
      raise: (name) => this.#raise(name),
      onStatuses: (statuses) => this.#publish(statuses),
    });
  }

  /** Looks at the machine and takes over what is plugged. */
  async start(): Promise<void> {
    await Promise.all([this.#look(), this.#findServers()]);
    this.#ports.adopt(this.#interfaces);
    this.#stopWatching = this.#parts.machine.watch(() => this.#lookSoon());
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopWatching();
    await this.#looking;
  }

  /** The topology or what other hosts say of their ports has changed. */
  changed(): void {
    this.#dirty = true;
  }

  /** Wires what has changed; looks at the machine when it is time. */
  turn(): void {
    const now = this.#parts.now();
    if (now >= this.#nextLook || (this.#dirty && this.#endsText() !== this.#ends)) this.#lookSoon();
    if (!this.#dirty && now < this.#ports.retryAt) return;
    this.#dirty = false;
    const { hostId, replica } = this.#parts;
    const lifelines = this.#lifelines();
    this.#ports.wire({
      hostId,
      topology: replica.topology,
      interfaces: this.#interfaces,
      underlay: this.#underlay(),
      indexOf: (id) => this.#indexOf(id),
      stateAt: (id, portId) => replica.stateAt(id, portId),
      reserved: (found) => whyReserved(found, lifelines),
      word: (portId) => replica.word(portId),
    });
  }

  isPlugged(port: number): boolean {
    return this.#ports.isPlugged(port);
  }

  restoreIndex(hostId: Id, index: number): void {
    this.#indices.set(hostId, index);
  }

  /** The host that an index of the data path stands for. */
  hostIdOf(index: number): Id | undefined {
    for (const [hostId, known] of this.#indices) if (known === index) return hostId;
    return undefined;
  }

  records(): JournalRecord[] {
    return [...this.#indices].map(([hostId, index]) => ({ kind: 'hostIndex', hostId, index }));
  }

  #lookSoon(): void {
    if (this.#looking !== undefined) {
      this.#lookAgain = true;
      return;
    }
    this.#looking = this.#look()
      .catch((error: unknown) => {
        // Known interfaces stay plugged; the machine is looked at again soon.
        this.#nextLook = this.#parts.now() + WIRING_RETRY_MAX_MS;
        this.#parts.log.error('the interfaces of the host cannot be listed', { error });
      })
      .finally(() => {
        this.#looking = undefined;
        // A name server that is silent must not keep ports from being wired.
        void this.#findServers();
        const again = this.#lookAgain && !this.#closed;
        this.#lookAgain = false;
        if (again) this.#lookSoon();
        this.#parts.onChange();
      });
  }

  async #look(): Promise<void> {
    const { machine, hostId, replica, now } = this.#parts;
    this.#nextLook = now() + UNDERLAY_REFRESH_MS;
    const ends = tunnelEnds(hostId, replica.topology);
    this.#ends = this.#endsText();
    this.#interfaces = await machine.interfaces();
    this.#routes = ends.length === 0 ? new Map() : await machine.routes(ends);
    this.#dirty = true;
  }

  async #findServers(): Promise<void> {
    const { machine, servers, log } = this.#parts;
    try {
      for (const name of await machine.interfacesTo(servers)) {
        if (!this.#toServers.has(name)) this.#dirty = true;
        this.#toServers.add(name);
      }
    } catch (error) {
      log.warn('the interfaces that lead to servers cannot be told', { error });
    }
  }

  #lifelines(): Lifelines {
    const { hostId, replica } = this.#parts;
    const tunnels = [...this.#routes.values()].map(({ interfaceName }) => interfaceName);
    const local = tunnelEnds(hostId, replica.topology).map((end) => end.local);
    return lifelinesAmong(this.#interfaces, [...this.#toServers, ...tunnels], new Set(local));
  }

  #endsText(): string {
    return tunnelEnds(this.#parts.hostId, this.#parts.replica.topology)
      .map(({ hostId, local, remote }) => `${hostId} ${local} ${remote}`)
      .join('\n');
  }

  #underlay(): Map<Id, UnderlayHost> {
    const underlay = new Map<Id, UnderlayHost>();
    for (const [hostId, { local, remote, interfaceName }] of this.#routes) {
      const mtuBytes = this.#interfaces.get(interfaceName)?.mtuBytes;
      if (mtuBytes !== undefined) underlay.set(hostId, { local, remote, interfaceName, mtuBytes });
    }
    return underlay;
  }

  /** The same for good: what is in the kernel refers to it. */
  #indexOf(hostId: Id): number {
    const known = this.#indices.get(hostId);
    if (known !== undefined) return known;
    const taken = new Set(this.#indices.values());
    let index = 1;
    while (taken.has(index)) index++;
    if (index > HOST_INDEX_MAX)
      throw new Error(`no number is left for host ${hostId}: ${HOST_INDEX_MAX} hosts are known`);
    this.#parts.journal.append({ kind: 'hostIndex', hostId, index });
    this.#indices.set(hostId, index);
    return index;
  }

  #raise(name: string): void {
    if (this.#interfaces.get(name)?.raised === true) return;
    this.#parts.machine.raise(name).catch((error: unknown) => {
      this.#parts.log.warn('a plugged interface cannot be brought up', { interfaceName: name, error });
    });
  }

  /** `ports`: all that are bound here. */
  #noticeLeft(ports: readonly PortStatus[]): void {
    const bound = new Set(ports.map(({ id }) => id));
    for (const [id, deviceId] of this.#delivered) if (!bound.has(id)) this.#parts.onLeft(deviceId);
    const { topology } = this.#parts.replica;
    const delivered = ports.filter(({ id, state }) => state === 'up' || this.#delivered.has(id));
    this.#delivered = new Map(delivered.map(({ id }) => [id, topology.port(id)!.deviceId]));
  }

  #publish(ports: readonly PortStatus[]): void {
    const { statuses, replica } = this.#parts;
    this.#noticeLeft(ports);
    statuses.replaceKind('port', ports);
    const portOf = new Map<string, Id>();
    for (const { id } of ports) {
      const { number, binding } = replica.topology.port(id)!;
      if (this.#ports.isPlugged(number)) portOf.set(binding!.interfaceName, id);
    }
    const found = [...this.#interfaces.values()]
      .filter(({ name }) => !isOwnDevice(name))
      .map((info) => interfaceStatus(info, portOf.get(info.name)));
    statuses.replaceKind('interface', found);
  }
}
