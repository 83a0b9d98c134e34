// Scenarios on two hosts, each with the loops of a real agent over a data path: the in-memory one, or the kernel's
// program by test-run. Only the wiring of ports and the server between the hosts are played here.

import { audit } from '../../src/agent/audit.ts';
import { StatusBook } from '../../src/agent/host/status.ts';
import { LearnedTable } from '../../src/agent/learned.ts';
import { AnswerLimiter } from '../../src/agent/packet/answers.ts';
import { Asker } from '../../src/agent/packet/asking.ts';
import { ParkingLot } from '../../src/agent/packet/parking.ts';
import { Replica } from '../../src/agent/replica.ts';
import { Subscriptions } from '../../src/agent/subscriptions.ts';
import { Upcalls } from '../../src/agent/upcalls.ts';
import type { Datapath, FloodGroup, Delivery as Place } from '../../src/datapath/datapath.ts';
import { FlowTable } from '../../src/flow/table.ts';
import { memoryLog } from '../../src/lib/log.ts';
import { type Ip4, parseIp4 } from '../../src/packet/address.ts';
import type { Lesson } from '../../src/simulate/result.ts';
import { simulate, solicit } from '../../src/simulate/simulate.ts';
import { KIND_NAMES, type Resource, type ResourceRef } from '../../src/topology/kinds.ts';
import type { AuditReport, HostedStatus, HostedStatusRef } from '../../src/topology/wire.ts';
import { idOf, type Model } from '../model.ts';
import type { Delivery, Engine, Sent } from './engine.ts';

export const HOSTS = ['h1', 'h2'] as const;
export type HostName = (typeof HOSTS)[number];
export const ADDRESS: Readonly<Record<HostName, Ip4>> = { h1: parseIp4('192.0.2.1')!, h2: parseIp4('192.0.2.2')! };
/** Index of a host in the tables of the other. */
export const INDEX: Readonly<Record<HostName, number>> = { h1: 1, h2: 2 };
/** Between two commands: no scenario is about rates, or long enough for a question to be asked again. */
const STEP_MS = 1;
const LONG_MS = 100 * 24 * 3600 * 1000;

/** The data paths of all hosts and the underlay between them. */
export interface Fabric {
  readonly name: string;
  path(host: HostName): Datapath;
  /** A guest sends. */
  receive(host: HostName, port: number, frame: Uint8Array): void;
  /** What guests got since the last call. */
  take(): { readonly port: number; readonly frame: Uint8Array }[];
  close(): void;
}

class Host {
  readonly name: HostName;
  readonly flows = new FlowTable();
  readonly replica: Replica;
  readonly statuses = new StatusBook();
  readonly log = memoryLog();
  readonly #upcalls: Upcalls;
  readonly #path: Datapath;
  readonly #clock: { ms: number };
  readonly #places = new Map<number, string>();
  readonly #floods = new Map<number, string>();

  constructor(name: HostName, path: Datapath, clock: { ms: number }) {
    this.name = name;
    this.#path = path;
    this.#clock = clock;
    const now = () => clock.ms;
    const parking = new ParkingLot();
    this.replica = new Replica({
      hostId: idOf(name),
      datapath: path,
      flows: this.flows,
      learned: new LearnedTable(idOf(name)),
      journal: { append: () => undefined },
      statuses: this.statuses,
      simulate,
      now,
      log: this.log,
      onTouched: (touches) => parking.touched(touches),
      onPlaces: () => undefined,
      onDone: () => undefined,
    });
    const asker = new Asker({
      solicit,
      world: this.replica,
      inject: (packets) => path.inject(packets),
      giveUp: (portId, ip, at) => this.replica.giveUp(portId, ip, at),
      subscriptions: new Subscriptions({
        journal: { append: () => undefined },
        connected: () => false,
        send: () => undefined,
        wallNow: now,
      }),
    });
    this.#upcalls = new Upcalls({
      datapath: path,
      world: this.replica,
      flows: this.flows,
      parking,
      asker,
      answers: new AnswerLimiter(),
      simulate,
      solicited: (_, born) => path.inject(born.map(({ to, frame }) => ({ sense: 'deliver', number: to, frame }))),
      evict: () => false,
      log: this.log,
    });
    for (const other of HOSTS) {
      if (other === name) continue;
      path.setHost(INDEX[other], {
        local: ADDRESS[name],
        remote: ADDRESS[other],
        interfaceName: 'underlay',
        mtuBytes: 9000,
      });
    }
  }

  /** Works until there is nothing to do. True when there was anything. */
  settle(): boolean {
    let worked = false;
    while (this.#upcalls.turn(this.#clock.ms) > 0 || this.replica.slice(Number.POSITIVE_INFINITY)) worked = true;
    return worked;
  }

  /** Every flow of the data path beside a fresh computation. */
  audit(): AuditReport {
    const { topology, learned } = this.replica;
    const wouldTeach = (lesson: Lesson) => learned.wouldTeach(lesson, this.#clock.ms);
    return audit(this.#path.flows(), { hostId: idOf(this.name), topology, learned, wouldTeach, simulate });
  }

  /** Plugs, places and floods as the model has them. */
  wire(model: Model): void {
    const places = new Map<number, Place>();
    const floods = new Map<number, { members: number[]; hosts: Set<number> }>();
    for (const id of model.topology.objects('port').keys()) {
      const port = model.topology.port(id)!;
      const host = HOSTS.find((each) => idOf(each) === port.binding?.hostId);
      if (host === undefined || port.binding === undefined) continue;
      const here = host === this.name;
      places.set(
        port.number,
        here ? { kind: 'local', interfaceName: `i${port.number}` } : { kind: 'remote', host: INDEX[host] },
      );
      const bridge = model.topology.bridge(port.deviceId);
      if (bridge === undefined || !bridge.members.includes(port.id)) continue;
      const group = floods.get(bridge.flood) ?? { members: [], hosts: new Set<number>() };
      if (here) group.members.push(port.number);
      else group.hosts.add(INDEX[host]);
      floods.set(bridge.flood, group);
    }
    this.#place(places);
    this.#flood(new Map([...floods].map(([flood, { members, hosts }]) => [flood, { members, hosts: [...hosts] }])));
  }

  #place(places: ReadonlyMap<number, Place>): void {
    for (const number of this.#places.keys()) {
      if (places.has(number)) continue;
      this.#path.setDelivery(number, undefined);
      this.#path.unplug(number);
      this.#places.delete(number);
    }
    for (const [number, place] of places) {
      const text = JSON.stringify(place);
      if (this.#places.get(number) === text) continue;
      this.#places.set(number, text);
      if (place.kind === 'local') this.#path.plug(number, place.interfaceName, { tap: false });
      else this.#path.unplug(number);
      this.#path.setDelivery(number, place);
    }
  }

  #flood(groups: ReadonlyMap<number, FloodGroup>): void {
    for (const flood of this.#floods.keys()) {
      if (groups.has(flood)) continue;
      this.#path.setFlood(flood, undefined);
      this.#floods.delete(flood);
    }
    for (const [flood, group] of groups) {
      const text = JSON.stringify(group);
      if (this.#floods.get(flood) === text) continue;
      this.#floods.set(flood, text);
      this.#path.setFlood(flood, group);
    }
  }
}

export class HostsEngine implements Engine {
  readonly name: string;
  readonly #model: Model;
  readonly #fabric: Fabric;
  readonly #clock: { ms: number };
  readonly #hosts: readonly Host[];
  /** What each host was given, by kind and id. */
  #known = new Map<string, unknown>();

  constructor(model: Model, fabric: Fabric, clock: { ms: number }) {
    this.#model = model;
    this.#fabric = fabric;
    this.#clock = clock;
    this.name = fabric.name;
    this.#hosts = HOSTS.map((name) => new Host(name, fabric.path(name), clock));
    for (const host of this.#hosts)
      host.replica.receive({ kind: 'snapshot', revision: 0, put: [], status: [], more: false });
  }

  async change(): Promise<void> {
    this.#clock.ms += STEP_MS;
    const { put, del } = this.#difference();
    for (const host of this.#hosts) {
      host.wire(this.#model);
      host.replica.receive({ kind: 'change', revision: this.#model.topology.revision, put, del, more: false });
    }
    this.#settle();
    this.#fabric.take();
  }

  async send(port: string, frame: Uint8Array): Promise<Sent> {
    this.#clock.ms += STEP_MS;
    const node = this.#model.topology.port(idOf(port));
    const host = HOSTS.find((each) => idOf(each) === node?.binding?.hostId);
    if (node === undefined || host === undefined) throw new Error(`port ${port} is not bound`);
    this.#fabric.receive(host, node.number, frame);
    this.#settle();
    return { verdict: [], deliveries: this.#deliveries() };
  }

  audit(): AuditReport[] {
    return this.#hosts.map((host) => host.audit());
  }

  async forget(): Promise<void> {
    this.#clock.ms += LONG_MS;
    for (const host of this.#hosts) host.replica.expire(this.#clock.ms);
    this.#settle();
    this.#fabric.take();
  }

  async close(): Promise<void> {
    this.#fabric.close();
    for (const host of this.#hosts) {
      const loud = host.log.lines.filter(({ level }) => level === 'warn' || level === 'error');
      if (loud.length > 0) throw new Error(`the log of ${host.name} holds ${JSON.stringify(loud)}`);
    }
  }

  #deliveries(): Delivery[] {
    return this.#fabric.take().map(({ port, frame }) => ({ port: this.#model.nameOf(port), frame }));
  }

  /** Packets, rechecks and what the hosts tell each other, until all is quiet. */
  #settle(): void {
    let worked = true;
    for (let round = 0; worked; round++) {
      if (round > 100) throw new Error('the hosts do not come to rest');
      worked = false;
      for (const host of this.#hosts) worked = host.settle() || worked;
      for (const host of this.#hosts) worked = this.#tell(host) || worked;
    }
  }

  /** What one host says of itself reaches the others. */
  #tell(from: Host): boolean {
    const frames = from.statuses.changes();
    const hostId = idOf(from.name);
    const put: HostedStatus[] = frames.flatMap((frame) => frame.put.map((status) => ({ hostId, status })));
    const del: HostedStatusRef[] = frames.flatMap((frame) => frame.del.map((ref) => ({ hostId, ...ref })));
    if (put.length + del.length === 0) return false;
    for (const host of this.#hosts) if (host !== from) host.replica.receive({ kind: 'status', put, del });
    return true;
  }

  #difference(): { put: Resource[]; del: ResourceRef[] } {
    const put: Resource[] = [];
    const known = new Map<string, unknown>();
    for (const kind of KIND_NAMES) {
      for (const [id, value] of this.#model.topology.objects(kind)) {
        known.set(`${kind} ${id}`, value);
        if (this.#known.get(`${kind} ${id}`) !== value) put.push({ kind, value } as Resource);
      }
    }
    const del = [...this.#known.keys()]
      .filter((key) => !known.has(key))
      .map((key) => ({ kind: key.split(' ')[0] as Resource['kind'], id: key.split(' ')[1]! }));
    this.#known = known;
    return { put, del };
  }
}
