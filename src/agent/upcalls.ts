// The life of a packet that the kernel has no flow for. One batch, one thread, no events and no callbacks inside:
//
//   poll                   what came up, and what waited and may go on now
//   simulate               verdict, actions, mask, tags, lessons, needs
//   needs?                 learn, ask, park the packet, stop here; it is tried again when the answer is there
//   remember               flow table: mask, actions, tags
//   learn                  what the packet taught touches other flows
//   answer                 packets born of this one, as many as its sender may cause
//   install, inject        flows of the whole batch, then the packets themselves, which now find them
//
// A packet that the kernel could not carry out an action for (TTL used up, too long) is answered and installs nothing.

import { type Datapath, DatapathFull, type Injection } from '../datapath/datapath.ts';
import type { Action } from '../flow/actions.ts';
import { applyActions } from '../flow/apply.ts';
import { FIELD, type FlowKey, floodOf, getIp, portOf } from '../flow/fields.ts';
import { DROP, UP } from '../flow/reasons.ts';
import type { Flow, FlowTable } from '../flow/table.ts';
import type { Log } from '../lib/log.ts';
import type { Arrival, Born, Learned, Lesson, Result } from '../simulate/result.ts';
import type { Topology } from '../topology/nodes.ts';
import type { Id } from '../topology/resource.ts';
import { BATCH_PACKETS } from './limits.ts';
import type { AnswerLimiter } from './packet/answers.ts';
import { again, type Packet, packetOf } from './packet/arrival.ts';
import type { Asker } from './packet/asking.ts';
import { AgentDrops } from './packet/drops.ts';
import type { ParkingLot } from './packet/parking.ts';

export type Simulate = (arrival: Arrival, topology: Topology, learned: Learned) => Result;

/** What the packet loop needs of the replica. */
export interface World {
  readonly topology: Topology;
  readonly learned: Learned;
  learn(lessons: readonly Lesson[], now: number): void;
}

export interface UpcallParts {
  readonly datapath: Pick<Datapath, 'poll' | 'install' | 'remove' | 'inject' | 'plugged'>;
  readonly world: World;
  readonly flows: FlowTable;
  readonly parking: ParkingLot;
  readonly asker: Asker;
  readonly answers: AnswerLimiter;
  readonly simulate: Simulate;
  /** Routers at these ports were asked to advertise themselves: takes what they are to say. */
  readonly solicited: (portIds: readonly Id[], born: readonly Born[], now: number) => void;
  /** Makes room in the kernel's table; false: nothing could go. */
  readonly evict: () => boolean;
  readonly log: Log;
}

/** The part of its flows that a port which has its share gives up at once: looking for them takes a walk of them all. */
const CROWD_PART = 1 / 16;

/** What a batch will do to the data path. */
interface Batch {
  readonly install: Set<Flow>;
  /** Packets that wait for their flow to be there. */
  readonly through: { readonly flow: Flow; readonly packet: Packet }[];
  readonly inject: Injection[];
}

/** Counted since the start; shown by `aya host counters`. */
export interface UpcallCounts {
  packets: number;
  simulated: number;
  parked: number;
  /** No room to park, or its time was over. */
  parkedDropped: number;
  answers: number;
  answersLimited: number;
  /** Sent on by hand, since there was no room for a flow. */
  oneShot: number;
  /** The kernel reported an exception that a fresh walk does not see. */
  exceptionsUnexplained: number;
  failed: number;
}

export class Upcalls {
  readonly counts: UpcallCounts = {
    packets: 0,
    simulated: 0,
    parked: 0,
    parkedDropped: 0,
    answers: 0,
    answersLimited: 0,
    oneShot: 0,
    exceptionsUnexplained: 0,
    failed: 0,
  };
  readonly drops: AgentDrops;
  readonly #parts: UpcallParts;

  constructor(parts: UpcallParts) {
    this.#parts = parts;
    this.drops = new AgentDrops(() => parts.datapath.plugged());
  }

  /** One batch. Returns the number of packets: 0 when there was nothing to do. */
  turn(now: number): number {
    const { datapath, parking, asker } = this.#parts;
    asker.turn(now);
    this.counts.parkedDropped += parking.expire(now, (packet) => this.drops.count(DROP.agent, packet));
    const packets = [...parking.takeReady(BATCH_PACKETS), ...datapath.poll(BATCH_PACKETS).map(packetOf)];
    const batch: Batch = { install: new Set(), through: [], inject: [] };
    for (const packet of packets) {
      this.counts.packets++;
      try {
        this.#decide(packet, batch, now);
      } catch (error) {
        this.counts.failed++;
        this.drops.count(DROP.agent, packet);
        this.#parts.log.error('a packet could not be decided and was dropped', {
          port: portOf(packet.arrival.key),
          error,
        });
      }
    }
    if (batch.install.size > 0) this.#install(batch);
    if (batch.inject.length > 0) datapath.inject(batch.inject);
    return packets.length;
  }

  #decide(packet: Packet, batch: Batch, now: number): void {
    const { asker, world, simulate } = this.#parts;
    this.counts.simulated++;
    const result = simulate(packet.arrival, world.topology, world.learned);
    // Flows show at the sweep what devices they use; what leaves none shows it here.
    const leavesFlow = result.cacheable && result.needs.length === 0 && !isException(packet);
    if (!leavesFlow) asker.subscriptions.walked(result.tags, now);

    if (result.needs.length > 0) {
      world.learn(result.learn, now);
      this.#park(packet, result, now);
      return;
    }
    if (isException(packet)) {
      this.#except(packet, result, batch, now);
      return;
    }
    const flow = result.cacheable ? this.#remember(packet, result, batch) : undefined;
    world.learn(result.learn, now);
    this.#answer(packet, result, batch, now);
    const goesOn = flow?.actions.some(({ kind }) => kind !== 'toAgent') ?? false;
    if (flow !== undefined && goesOn) batch.through.push({ flow, packet });
  }

  #park(packet: Packet, result: Result, now: number): void {
    const { asker, parking } = this.#parts;
    // Every need is asked for, whatever becomes of this packet.
    const askable = result.needs.map((need) => asker.ask(need, portOf(packet.arrival.key), now)).every(Boolean);
    if (askable && parking.park(packet, result, now)) this.counts.parked++;
    else {
      this.counts.parkedDropped++;
      this.drops.count(DROP.agent, packet);
    }
  }

  #except(packet: Packet, result: Result, batch: Batch, now: number): void {
    if (result.cacheable) this.counts.exceptionsUnexplained++;
    else this.#answer(packet, result, batch, now);
  }

  /** Remembers the verdict for the class: the flow that is to be installed, unless it is there or may not be. */
  #remember(packet: Packet, result: Result, batch: Batch): Flow | undefined {
    const { mask, actions, tags, why } = result;
    const sentByFlow = packet.cause === UP.service || packet.cause === UP.packet;
    if (sentByFlow && isForAgent(actions)) return undefined;
    const { flows } = this.#parts;
    const decided = { key: packet.arrival.key, wantedMask: mask, actions, tags, why };
    let change = flows.add(decided);
    if (change.refused !== undefined && this.#makeRoom(change.refused, portOf(decided.key), batch)) {
      change = flows.add(decided);
    }
    const [flow] = change.install;
    if (flow === undefined) this.#oneShot(packet, actions, batch);
    else batch.install.add(flow);
    return flow;
  }

  /**
   * A port that has its share takes its own older flows' place. When the table is full idle flows go, and if there are
   * none, flows of the port that has the most. False: nothing could go.
   */
  #makeRoom(refused: 'portFull' | 'tableFull', port: number, batch: Batch): boolean {
    const { datapath, evict, flows } = this.#parts;
    if (refused === 'tableFull' && evict()) return true;
    const from = refused === 'portFull' ? port : (flows.greediest ?? port);
    const count = Math.max(1, Math.floor(flows.sizeOf(from) * CROWD_PART));
    const going = flows.someOf(from, count).filter((flow) => !batch.install.has(flow) && !answersNeighbour(flow));
    datapath.remove(going.flatMap((flow) => flows.remove(flow) ?? []));
    return going.length > 0;
  }

  #answer(packet: Packet, result: Result, batch: Batch, now: number): void {
    if (result.born.length === 0) return;
    // A packet that goes on in pieces, or one by one, is no answer: its way is bounded by the kernel's budgets.
    const forwarded = result.verdict === 'forward';
    if (!forwarded && !this.#parts.answers.admits(portOf(packet.arrival.key), sourceOf(packet.arrival.key), now)) {
      this.counts.answersLimited++;
      return;
    }
    if (!forwarded) this.counts.answers++;
    if (result.solicited.length === 0) batch.inject.push(...result.born.map(delivered));
    else this.#parts.solicited(result.solicited, result.born, now);
  }

  #install(batch: Batch): void {
    const { datapath, evict, flows } = this.#parts;
    for (;;) {
      // Making room for one may have taken another of the batch that had been idle.
      for (const flow of batch.install) if (!flows.has(flow)) batch.install.delete(flow);
      try {
        datapath.install([...batch.install]);
        for (const { packet } of batch.through) batch.inject.push(again(packet));
        return;
      } catch (error) {
        if (!(error instanceof DatapathFull)) throw error;
        if (!evict()) break;
      }
    }
    this.#parts.log.warn('no room for flows in the kernel: packets go one by one', { flows: flows.size });
    for (const { flow, packet } of batch.through) this.#oneShot(packet, flow.actions, batch);
    // Some of them may have been there with an older verdict.
    datapath.remove([...batch.install].flatMap((flow) => flows.remove(flow) ?? []));
  }

  /** Does to this one packet what the flow would have done. */
  #oneShot(packet: Packet, actions: readonly Action[], batch: Batch): void {
    this.counts.oneShot++;
    const { key, frame: original, lengthBytes } = packet.arrival;
    for (const output of applyActions(actions, original, key, lengthBytes).outputs) {
      const { frame } = output;
      if (output.kind === 'output') batch.inject.push(delivered({ to: output.port, frame }));
      else if (output.kind === 'flood') batch.inject.push(delivered({ to: output.flood, frame }));
      else if (output.kind === 'answer') batch.inject.push(delivered({ to: portOf(key), frame }));
      else if (output.kind === 'drop') this.drops.count(output.reason, packet);
    }
  }
}

const isException = ({ cause }: Packet): boolean => cause === UP.ttl || cause === UP.tooLong;
const answersNeighbour = ({ actions }: Flow): boolean => actions.some(({ kind }) => kind === 'answerNeighbour');
const isForAgent = (actions: readonly Action[]): boolean => actions.some(({ kind }) => kind === 'toAgent');
const delivered = ({ to, frame }: Born): Injection => ({ sense: 'deliver', number: to, frame });

/** Who is to be answered: for the limit, so floods of one guest do not silence the router for others. */
function sourceOf(key: FlowKey): string {
  return floodOf(key) === 0 ? String(getIp(key, FIELD.source.at)) : 'flood';
}
