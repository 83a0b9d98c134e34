// The data path in memory: what the eBPF program does, step by step, with Maps for its maps. For tests, scenarios and
// whole clouds in one process (testing/memory-underlay.ts); the clock is the caller's. Not here: GSO super-packets from guests,
// fragmentation of outer packets, CPUs.
//
//   receive ------+                              +--> guest here, tunnel to a host
//   inject -------+--> key --> look-up --> steps +--> flood: hosts, then each member looked up again
//   receiveTunnel ---> deliver or flood   |      +--> answer, drop
//                                         +--> up: the queue that `poll` reads

import type { Action } from '../flow/actions.ts';
import { applyActions } from '../flow/apply.ts';
import { type FlowKey, floodOf } from '../flow/fields.ts';
import { keyOfFrame } from '../flow/key.ts';
import { DROP, type DropReason, UP, type UpCause } from '../flow/reasons.ts';
import type { Ip } from '../packet/address.ts';
import { PROTOCOL } from '../packet/ipv4.ts';
import { parsePacket } from '../packet/packet.ts';
import { NUMBERS } from './contract.ts';
import {
  type Budgets,
  type Counter,
  type CounterKind,
  type Datapath,
  type Delivery,
  type FloodGroup,
  type FlowEntry,
  type Injection,
  type InstalledFlow,
  type Miss,
  PENDING,
  type UnderlayHost,
} from './datapath.ts';
import {
  type Bucket,
  MemoryBudgets,
  MemoryCounters,
  MemoryFlows,
  MemoryFragments,
  MemoryPending,
} from './memory-tables.ts';

const { NUMBER_MASK, KEY_STATE_FRAME, KEY_FORWARDED } = NUMBERS;
/** A packet spends a token, and one more for each of these. */
const BYTES_A_TOKEN = 2048;

export type Sent =
  | { readonly kind: 'guest'; readonly interfaceName: string; readonly port: number; readonly frame: Uint8Array }
  | {
      readonly kind: 'tunnel';
      readonly local: Ip;
      readonly remote: Ip;
      /** All 24 bits. */
      readonly key: number;
      readonly frame: Uint8Array;
    };

export interface MemoryOptions {
  /** Milliseconds, never going back. */
  now(): number;
  /** Takes what is sent in place of `sent`. */
  onOutput?(output: Sent): void;
  readonly flowsMax?: number;
  readonly countersMax?: number;
  /** Packets that may wait for `poll`. */
  readonly ringPackets?: number;
  /** Packets of one key that go up within `pendingMs` while there is no flow for it. */
  readonly pendingPackets?: number;
  readonly pendingMs?: number;
}

/** How a packet came in: what the agent sent never goes up again, what came through the tunnel is forwarded once. */
type Entry = 'guest' | 'agent' | 'flooded' | 'tunnel';

/** Where a packet is, while it is worked on. */
interface Walk {
  readonly entry: Entry;
  /** Ingress port, or the member; 0: from the tunnel, or delivered for the agent. */
  readonly port: number;
  /** Of the tunnel key that it came with. */
  readonly forwarded: boolean;
}

const BUCKET_DROP = { miss: DROP.missBudget, service: DROP.serviceBudget, exception: DROP.exceptionBudget } as const;

export class MemoryDatapath implements Datapath {
  /** What was sent, unless somebody else takes it. */
  readonly sent: Sent[] = [];
  readonly #options: MemoryOptions;
  readonly #flows: MemoryFlows;
  readonly #interfaces = new Map<string, number>();
  readonly #delivery = new Map<number, Delivery>();
  readonly #floods = new Map<number, FloodGroup>();
  readonly #hosts = new Map<number, UnderlayHost>();
  readonly #fragments = new MemoryFragments();
  readonly #pending: MemoryPending;
  readonly #budgets = new MemoryBudgets();
  readonly #counters: MemoryCounters;
  #queue: (Omit<Miss, 'ageMs'> & { readonly atMs: number })[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(options: MemoryOptions) {
    this.#options = options;
    this.#flows = new MemoryFlows(options.flowsMax ?? 262_144);
    this.#counters = new MemoryCounters(options.countersMax ?? 65_536);
    this.#pending = new MemoryPending(
      options.pendingPackets ?? PENDING.packets,
      options.pendingMs ?? PENDING.milliseconds,
    );
  }

  // ---- what happens outside: guests and other hosts --------------------------------------------------------------

  /** A guest sends. */
  receive(interfaceName: string, frame: Uint8Array): void {
    const port = this.#interfaces.get(interfaceName);
    if (port === undefined) {
      this.#drop(0, DROP.unknownInterface, frame);
      return;
    }
    this.#count('portRx', port, 0, frame);
    this.#process({ entry: 'guest', port, forwarded: false }, frame, 0, 0);
  }

  /** A tunnel packet comes in; `key` has 24 bits. */
  receiveTunnel(from: Ip, key: number, frame: Uint8Array): void {
    const host = [...this.#hosts].find(([, { remote }]) => remote === from)?.[0];
    if (host === undefined) {
      this.#drop(0, DROP.noPeer, frame);
      return;
    }
    this.#count('tunnelRx', host, 0, frame);
    if ((key & KEY_STATE_FRAME) !== 0) this.#drop(0, DROP.stateFrame, frame);
    else {
      const walk: Walk = { entry: 'tunnel', port: 0, forwarded: (key & KEY_FORWARDED) !== 0 };
      this.#deliverNumber(walk, key & NUMBER_MASK, frame);
    }
  }

  // ---- Datapath ---------------------------------------------------------------------------------------------------

  install(flows: readonly FlowEntry[]): void {
    this.#flows.install(flows, this.#options.now());
  }

  remove(flows: readonly Pick<FlowEntry, 'key' | 'mask'>[]): void {
    for (const { key, mask } of flows) this.#flows.remove(key, mask);
  }

  flows(): InstalledFlow[] {
    const now = this.#options.now();
    return this.#flows.all().map(({ usedMs, ...flow }) => ({ ...flow, idleMs: now - usedMs }));
  }

  *flowPages(): Iterable<InstalledFlow[]> {
    for (const page of this.#flows.pages()) {
      const now = this.#options.now();
      yield page.map(({ usedMs, ...flow }) => ({ ...flow, idleMs: now - usedMs }));
    }
  }

  plug(port: number, interfaceName: string, _options: { readonly tap: boolean }): void {
    this.#leaveInterfaces(port);
    this.#interfaces.set(interfaceName, port);
  }

  unplug(port: number): void {
    this.#leaveInterfaces(port);
    this.#counters.forget(port);
  }

  plugged(): { readonly port: number; readonly interfaceName: string }[] {
    return [...this.#interfaces].map(([interfaceName, port]) => ({ port, interfaceName }));
  }

  setDelivery(port: number, delivery: Delivery | undefined): void {
    setOrDelete(this.#delivery, port, delivery);
    if (delivery?.kind !== 'local') this.#counters.forgetSent(port);
  }

  setFlood(flood: number, group: FloodGroup | undefined): void {
    setOrDelete(this.#floods, flood, group);
  }

  setHost(index: number, host: UnderlayHost | undefined): void {
    setOrDelete(this.#hosts, index, host);
  }

  places(): Map<number, Delivery> {
    return new Map(this.#delivery);
  }

  floods(): Map<number, FloodGroup> {
    return new Map(this.#floods);
  }

  hosts(): Map<number, UnderlayHost> {
    return new Map(this.#hosts);
  }

  poll(limit: number): Miss[] {
    const now = this.#options.now();
    return this.#queue.splice(0, limit).map(({ atMs, ...miss }) => ({ ...miss, ageMs: now - atMs }));
  }

  wait(timeoutMs: number): Promise<void> {
    if (this.#queue.length > 0) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, timeoutMs);
      this.#waiting.add(wake);
    });
  }

  inject(packets: readonly Injection[]): void {
    for (const { sense, number, frame, gsoBytes } of packets) {
      if (sense === 'deliver') {
        this.#deliverNumber({ entry: 'agent', port: 0, forwarded: false }, number, frame);
        continue;
      }
      const walk: Walk = { entry: 'agent', port: number, forwarded: false };
      const flood = sense === 'from' ? 0 : this.#floodOfMember(number);
      if (flood === undefined) this.#drop(number, DROP.noDelivery, frame);
      else this.#process(walk, frame, flood, gsoBytes ?? 0);
    }
  }

  setBudgets(budgets: Budgets): void {
    this.#budgets.set(budgets);
  }

  counters(): Counter[] {
    return this.#counters.all();
  }

  close(): void {
    for (const wake of this.#waiting) wake();
  }

  // ---- the life of a packet -----------------------------------------------------------------------------------------

  #process(walk: Walk, frame: Uint8Array, flood: number, gsoBytes: number): void {
    const parsed = keyOfFrame(frame, walk.port, flood);
    if (parsed.key === undefined) {
      this.#drop(walk.port, parsed.drop, frame);
      return;
    }
    const { key } = parsed;
    if (!this.#fragments.fill(key, frame)) {
      this.#drop(walk.port, DROP.laterFragmentFirst, frame);
      return;
    }
    const flow = this.#flows.find(key);
    if (flow === undefined) {
      this.#up(walk, flood === 0 ? UP.miss : UP.memberMiss, key, frame, gsoBytes, 0);
      return;
    }
    flow.packets++;
    flow.bytes += frame.length;
    flow.usedMs = this.#options.now();
    this.#act(walk, flow.actions, key, frame, gsoBytes);
  }

  #act(walk: Walk, actions: readonly Action[], key: FlowKey, frame: Uint8Array, gsoBytes: number): void {
    const { outputs, counts } = applyActions(
      actions,
      frame,
      key,
      gsoBytes === 0 ? undefined : segmentOf(frame, gsoBytes),
    );
    for (const counter of counts) this.#count('rule', counter, 0, frame);
    for (const output of outputs) {
      switch (output.kind) {
        case 'output':
          this.#deliver(walk, output.port, output.frame);
          break;
        case 'flood':
          this.#flood(walk, output.flood, output.frame);
          break;
        case 'answer':
          this.#answer(walk, output.frame);
          break;
        case 'up':
          this.#up(walk, output.cause, key, output.frame, gsoBytes, output.detail);
          break;
        case 'drop':
          this.#drop(walk.port, output.reason, output.frame);
          break;
        default:
          output satisfies never;
      }
    }
  }

  #deliver(walk: Walk, port: number, frame: Uint8Array): void {
    const to = this.#delivery.get(port);
    if (to === undefined) this.#drop(walk.port, DROP.noDelivery, frame);
    else if (to.kind === 'local') this.#toGuest(to.interfaceName, port, frame);
    else if (walk.entry !== 'tunnel') this.#toHost(walk, to.host, port, frame);
    // The port has moved. Once is enough: two hosts that name each other must not play with the packet.
    else if (walk.forwarded) this.#drop(walk.port, DROP.noDelivery, frame);
    else this.#toHost(walk, to.host, port | KEY_FORWARDED, frame);
  }

  /** To a port or flood, without a look-up at a port. */
  #deliverNumber(walk: Walk, number: number, frame: Uint8Array): void {
    if (this.#delivery.has(number)) this.#deliver(walk, number, frame);
    else if (this.#floods.has(number)) this.#flood(walk, number, frame);
    else this.#drop(walk.port, DROP.noDelivery, frame);
  }

  /** One copy for each host, not for a packet that came from one; each member but the ingress port. */
  #flood(walk: Walk, flood: number, frame: Uint8Array): void {
    const group = this.#floods.get(flood);
    if (group === undefined) return;
    if (walk.entry !== 'tunnel') for (const host of group.hosts) this.#toHost(walk, host, flood, frame);
    for (const member of group.members) {
      if (member === walk.port) continue;
      this.#process({ entry: 'flooded', port: member, forwarded: false }, frame, flood, 0);
    }
  }

  #toGuest(interfaceName: string, port: number, frame: Uint8Array): void {
    this.#count('portTx', port, 0, frame);
    this.#send({ kind: 'guest', interfaceName, port, frame: frame.slice() });
  }

  #toHost(walk: Walk, host: number, key: number, frame: Uint8Array): void {
    const underlay = this.#hosts.get(host);
    if (underlay === undefined) {
      this.#drop(walk.port, DROP.noUnderlay, frame);
      return;
    }
    this.#count('tunnelTx', host, 0, frame);
    this.#send({ kind: 'tunnel', local: underlay.local, remote: underlay.remote, key, frame: frame.slice() });
  }

  #answer(walk: Walk, frame: Uint8Array): void {
    const interfaceName = this.#interfaceBack(walk);
    if (interfaceName === undefined) this.#drop(walk.port, DROP.noDelivery, frame);
    else this.#toGuest(interfaceName, walk.port, frame);
  }

  #interfaceBack({ entry, port }: Walk): string | undefined {
    if (entry === 'guest') return [...this.#interfaces].find(([, plugged]) => plugged === port)?.[0];
    const to = this.#delivery.get(port);
    return to?.kind === 'local' ? to.interfaceName : undefined;
  }

  #up(walk: Walk, cause: UpCause, key: FlowKey, frame: Uint8Array, gsoBytes: number, detail: number): void {
    const missed = cause === UP.miss || cause === UP.memberMiss;
    // What is flooded is paid for by the flood, once for all its members here.
    const payer = floodOf(key) === 0 ? walk.port : floodOf(key);
    const bucket: Bucket = missed ? 'miss' : cause === UP.service ? 'service' : 'exception';
    if (walk.entry === 'agent') this.#drop(walk.port, DROP.injectedMiss, frame);
    else if (missed && this.#pending.has(key, this.#options.now())) this.#drop(walk.port, DROP.pending, frame);
    else if (!this.#budgets.spend(bucket, payer, 1 + Math.floor(frame.length / BYTES_A_TOKEN), this.#options.now())) {
      this.#drop(walk.port, BUCKET_DROP[bucket], frame);
    } else if (this.#queue.length >= (this.#options.ringPackets ?? 16_384)) this.#drop(walk.port, DROP.ringFull, frame);
    else {
      const miss = { cause, key, frame: frame.slice(), frameBytes: frame.length, gsoBytes, detail };
      this.#queue.push({ ...miss, atMs: this.#options.now() });
      this.#count('up', cause, walk.port, frame);
      for (const wake of this.#waiting) wake();
    }
  }

  #leaveInterfaces(port: number): void {
    for (const [name, plugged] of this.#interfaces) if (plugged === port) this.#interfaces.delete(name);
  }

  #floodOfMember(port: number): number | undefined {
    return [...this.#floods].find(([, { members }]) => members.includes(port))?.[0];
  }

  #drop(port: number, reason: DropReason, frame: Uint8Array): void {
    this.#count('drop', reason, port, frame);
  }

  #count(kind: CounterKind, id: number, port: number, frame: Uint8Array): void {
    this.#counters.count(kind, id, port, frame.length);
  }

  #send(output: Sent): void {
    if (this.#options.onOutput === undefined) this.sent.push(output);
    else this.#options.onOutput(output);
  }
}

function setOrDelete<V>(map: Map<number, V>, key: number, value: V | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}

/** The L3 length of a full segment of a GSO super-packet. */
function segmentOf(frame: Uint8Array, gsoBytes: number): number {
  const packet = parsePacket(frame);
  if (packet === undefined) return gsoBytes;
  const l4Bytes = packet.protocol === PROTOCOL.tcp ? (frame[packet.l4At + 12]! >> 4) * 4 : 8;
  return packet.l4At - packet.l3At + l4Bytes + gsoBytes;
}
