// The walk of a packet through the virtual network: port → chains → device → port, until it is decided.
// One function serves the packet, the trace, the what-if and the recheck of installed flows.

import type { Action } from '../flow/actions.ts';
import { applyActions } from '../flow/apply.ts';
import { FIELD, type FlowKey, floodOf, markField, portOf } from '../flow/fields.ts';
import { keyOfFrame } from '../flow/key.ts';
import { DROP, type DropReason, UP } from '../flow/reasons.ts';
import type { Tag } from '../flow/tags.ts';
import { type Header, headerSteps } from '../flow/view.ts';
import { networkOffset } from '../packet/ethernet.ts';
import { fragmentIpv4 } from '../packet/fragment.ts';
import type { PortNode, Topology } from '../topology/nodes.ts';
import type { Id } from '../topology/resource.ts';
import { enterBridge, fitVlan, switchFrame } from './bridge.ts';
import { dhcp } from './dhcp.ts';
import { refusal } from './icmp.ts';
import { neighbourReply, routerAdvertisement, solicitation } from './nd.ts';
import { enterPort, leavePort } from './port.ts';
import type { Arrival, Born, Learned, Need, Recorder, Result, Verdict } from './result.ts';
import { enterRouter, rejectAtRouter, sendFromRouter } from './router.ts';
import {
  type Birth,
  type Birthplace,
  drop,
  type Next,
  named,
  needsDevice,
  portName,
  type Stop,
  Walk,
  type World,
} from './walk.ts';

/** Devices that a packet may pass; a topology that takes more loops. */
const HOP_LIMIT = 32;

export function simulate(arrival: Arrival, topology: Topology, learned: Learned, recorder?: Recorder): Result {
  const walk = new Walk({ topology, learned, recorder }, arrival.key, arrival.frame, arrival.lengthBytes, 0);
  const journey = new Journey(walk);
  const port = topology.portByNumber(portOf(arrival.key));
  if (port === undefined) journey.stop(drop(DROP.noDelivery, `no port has the number ${portOf(arrival.key)}`));
  else if (floodOf(arrival.key) !== 0) journey.receive(port);
  else journey.start(port);
  return conclude(journey);
}

/** The question for a neighbour of a router port, as the frames to send: ARP request or neighbour solicitation. */
export function solicit(need: Extract<Need, { kind: 'neighbour' }>, topology: Topology, learned: Learned): Born[] {
  const port = topology.port(need.portId);
  const frame = port === undefined ? undefined : solicitation(port, need.ip);
  if (port === undefined || frame === undefined) return [];
  return bear({ from: { kind: 'leave', port }, frame }, { topology, learned, recorder: undefined }, 0).born;
}

/** An unsolicited router advertisement out of a router port that advertises. */
export function advertise(portId: Id, topology: Topology, learned: Learned): Born[] {
  const port = topology.port(portId);
  if (port === undefined) return [];
  const world = { topology, learned, recorder: undefined };
  return routerAdvertisement(topology, port, undefined).flatMap((birth) => bear(birth, world, 0).born);
}

/** The outcome of all branches of one walk. */
class Journey {
  readonly walk: Walk;
  readonly outputs: Action[] = [];
  readonly stops: Stop[] = [];
  ttlSteps = 0;
  mtuBytes: number | undefined;
  #emitted: Header;
  #hops = 0;
  /** Bridges that a flood is going through: a frame that comes back to one would go round for ever. */
  readonly #flooding = new Set<Id>();

  constructor(walk: Walk) {
    this.walk = walk;
    this.#emitted = walk.view.header;
  }

  /** From the guest of a port. */
  start(port: PortNode): void {
    this.walk.ingress = port;
    const served = dhcp(this.walk, port);
    if (served !== undefined) this.stop(served);
    else this.#enter(port);
  }

  /** A flooded frame for a member of the group, in the form that it has on the bridge. */
  receive(member: PortNode): void {
    const bridge = this.walk.world.topology.bridgeByFlood(floodOf(this.walk.view.key));
    this.walk.ask(`port/${member.id}`);
    if (bridge === undefined || bridge.id !== member.deviceId) {
      this.stop(drop(DROP.noDelivery, `port ${portName(member)} is no member of the flood`));
      return;
    }
    this.walk.note(`bridge ${named(bridge)}`, () => `flooded to port ${portName(member)}`);
    this.#leave(member, unanswered);
  }

  born(from: Birthplace): void {
    const { walk } = this;
    switch (from.kind) {
      case 'router':
        this.#follow(sendFromRouter(walk, from.router, from.link));
        return;
      case 'bridge':
        this.#follow(switchFrame(walk, from.bridge, undefined, unanswered));
        return;
      case 'leave':
        this.#leave(from.port);
        return;
      case 'enter':
        this.#enter(from.port);
        return;
      case 'deliver':
        this.#emit({ kind: 'output', port: from.port.number });
        return;
    }
  }

  stop(stop: Stop): void {
    this.stops.push(stop);
    if (stop.kind !== 'needs') this.walk.note(stop.kind, () => stop.why);
  }

  #enter(port: PortNode): void {
    const { walk } = this;
    walk.ask(`port/${port.id}`);
    if (++this.#hops > HOP_LIMIT) {
      this.stop(drop(DROP.hopLimit, `more than ${HOP_LIMIT} devices: the topology loops`));
      return;
    }
    walk.note(`port ${portName(port)}`, () => 'in');
    walk.entered = port;
    if (port.deviceKind === 'bridge') {
      const bridge = walk.bridge(port.deviceId);
      if (bridge === undefined) this.stop(needsDevice(port.deviceId));
      else if (this.#flooding.has(bridge.id)) {
        this.stop(drop(DROP.hopLimit, `bridge ${named(bridge)} gets its own flood back: the topology loops`));
      } else {
        const reject = this.#rejectAtBridge({ kind: 'bridge', bridge });
        const stop = enterPort(walk, port, this.#rejectAtBridge({ kind: 'leave', port }));
        this.#follow(stop ?? enterBridge(walk, bridge, port, reject));
      }
      return;
    }
    const router = walk.router(port.deviceId);
    if (router === undefined) this.stop(needsDevice(port.deviceId));
    else this.#follow(enterPort(walk, port, rejectAtRouter(walk, router, port)) ?? enterRouter(walk, router, port));
  }

  #follow(next: Next): void {
    if (next.kind === 'leave') this.#leave(next.port);
    else if (next.kind === 'flood') this.#fork(next);
    else this.stop(next);
  }

  #fork(flood: Extract<Next, { kind: 'flood' }>): void {
    const { walk } = this;
    if (flood.members) this.#emit({ kind: 'flood', flood: flood.bridge.flood });
    else if (flood.ports.length === 0)
      this.stop(drop(DROP.noDelivery, `nobody else is on bridge ${named(flood.bridge)}`));
    const header = walk.view.header;
    const passed = walk.traversed.length;
    const { entered } = walk;
    this.#flooding.add(flood.bridge.id);
    for (const port of flood.ports) {
      this.#leave(port, unanswered);
      walk.view.header = header;
      walk.traversed.length = passed;
      walk.entered = entered;
    }
    this.#flooding.delete(flood.bridge.id);
  }

  /** `reject`: what a rule's reject does, when it is not to tell the sender. */
  #leave(port: PortNode, reject?: (why: string) => Stop): void {
    const { walk } = this;
    const stop = port.deviceKind === 'bridge' ? this.#leaveBridge(port, reject) : this.#leaveRouter(port);
    if (stop !== undefined) {
      this.stop(stop);
      return;
    }
    if (port.binding !== undefined) {
      walk.note(`port ${portName(port)}`, () => 'out to its guest');
      this.#emit({ kind: 'output', port: port.number });
      return;
    }
    const peer = port.peerId === undefined ? undefined : walk.port(port.peerId);
    if (peer === undefined) this.stop(drop(DROP.unplugged, `port ${portName(port)} has neither peer nor binding`));
    else this.#enter(peer);
  }

  #leaveBridge(port: PortNode, reject?: (why: string) => Stop): Stop | undefined {
    const bridge = this.walk.world.topology.bridge(port.deviceId);
    if (bridge === undefined) return needsDevice(port.deviceId);
    return (
      fitVlan(this.walk, port) ?? leavePort(this.walk, port, reject ?? this.#rejectAtBridge({ kind: 'bridge', bridge }))
    );
  }

  #leaveRouter(port: PortNode): Stop | undefined {
    const router = this.walk.world.topology.router(port.deviceId);
    if (router === undefined) return needsDevice(port.deviceId);
    return leavePort(this.walk, port, rejectAtRouter(this.walk, router, undefined));
  }

  #emit(output: Action): void {
    const { view } = this.walk;
    this.outputs.push(...headerSteps(this.#emitted, view.header, view), output);
    this.#emitted = view.header;
    this.ttlSteps = Math.max(this.ttlSteps, view.header.ttlSteps);
    this.mtuBytes = view.header.mtuBytes;
  }

  /** What a rule's reject does on a bridge: the refusal comes from the address that was refused. */
  #rejectAtBridge(from: Birthplace): (why: string) => Stop {
    return (why) => ({
      kind: 'reject',
      reason: DROP.rejected,
      why,
      births: () => {
        const frame = refusal(this.walk, undefined);
        return frame === undefined ? [] : [{ from, frame }];
      },
    });
  }
}

/**
 * Refused and not answered: packets of the network itself, and copies of a flooded frame, which most members get in
 * vain; a reset from one of them would end a connection with another.
 */
const unanswered = (why: string): Stop => drop(DROP.rejected, why);

function conclude(journey: Journey): Result {
  const { walk } = journey;
  const needs = needsOf(journey);
  if (needs.length > 0) return result(journey, { verdict: 'needs', why: 'more must be known', actions: [], needs });

  const stop = deciding(journey);
  if (stop === undefined) return forwarded(journey);
  switch (stop.kind) {
    case 'drop':
      return result(journey, {
        verdict: 'drop',
        why: stop.why,
        reason: stop.reason,
        actions: [{ kind: 'drop', reason: stop.reason }],
      });
    case 'consumed':
      return result(journey, {
        verdict: 'answer',
        why: stop.why,
        actions: [...checked(journey), { kind: 'toAgent', cause: UP.service }],
      });
    case 'answerNeighbour':
      return answeredNeighbour(journey, stop);
    case 'answer':
    case 'reject':
    case 'exception': {
      const answers = bearAll(stop.births, walk);
      const cause = stop.kind === 'answer' ? stop.cause : UP.packet;
      return result(journey, {
        verdict: answers.needs.length > 0 ? 'needs' : stop.kind === 'answer' ? 'answer' : 'reject',
        why: stop.why,
        reason: stop.kind === 'answer' ? DROP.none : stop.reason,
        actions: [...checked(journey), { kind: 'toAgent', cause }],
        cacheable: stop.kind !== 'exception',
        born: answers.born,
        needs: answers.needs,
      });
    }
    case 'needs':
      throw new Error('a walk that needs something was concluded');
  }
}

/** The stop that makes the verdict: an answer, or a drop when nothing went out; none when it is forwarded. */
function deciding(journey: Journey): Stop | undefined {
  const answer = journey.stops.find(
    (stop) => stop.kind === 'answer' || stop.kind === 'answerNeighbour' || stop.kind === 'consumed',
  );
  if (answer !== undefined) return answer;
  return journey.outputs.length > 0 ? undefined : journey.stops[0];
}

const needsOf = (journey: Journey): Need[] =>
  journey.stops.flatMap((stop) => (stop.kind === 'needs' ? [stop.need] : []));

/** The outputs behind what has to be checked first. */
function checked(journey: Journey): Action[] {
  const checks: Action[] = [];
  if (journey.outputs.length === 0) return checks;
  if (journey.mtuBytes !== undefined) checks.push({ kind: 'checkLength', mtuBytes: journey.mtuBytes });
  if (journey.ttlSteps > 0) checks.push({ kind: 'decrementTtl', by: journey.ttlSteps });
  return [...checks, ...journey.outputs];
}

function forwarded(journey: Journey): Result {
  const { walk } = journey;
  const actions = checked(journey);
  const outcome = { verdict: 'forward' as const, why: waysOut(journey), actions };
  if (walk.fragmentTo === undefined) return result(journey, outcome);
  const unchecked = actions.filter((action) => action.kind !== 'checkLength');
  const born = fragmentIpv4(walk.frame, networkOffset(walk.frame), walk.fragmentTo).flatMap((piece) =>
    sendable(unchecked, piece, walk.view.key),
  );
  return result(journey, { ...outcome, cacheable: false, born });
}

function waysOut(journey: Journey): string {
  const { topology } = journey.walk.world;
  const ways = journey.outputs.flatMap((action) => {
    if (action.kind === 'flood') return [`the members of bridge ${named(topology.bridgeByFlood(action.flood)!)}`];
    return action.kind === 'output' ? [`port ${portName(topology.portByNumber(action.port)!)}`] : [];
  });
  return `to ${ways.join(', ')}`;
}

/** The data path may answer if the owner's own answer would reach the asker. All that the answer is made of is marked. */
function answeredNeighbour(journey: Journey, stop: Extract<Stop, { kind: 'answerNeighbour' }>): Result {
  const { walk } = journey;
  const asker = walk.ingress;
  if (stop.through !== undefined) {
    const denied = leavePort(walk, stop.through, unanswered);
    if (denied?.kind === 'drop')
      return result(journey, {
        verdict: 'drop',
        why: denied.why,
        reason: denied.reason,
        actions: dropped(denied.reason),
      });
  }
  for (const field of [
    'ethernetDestination',
    'ethernetSource',
    'source',
    'destination',
    'translatedSource',
    'translatedDestination',
  ] as const) {
    markField(walk.view.mask, FIELD[field]);
  }
  const frame = neighbourReply(walk.view.key, stop.mac, stop.router);
  const reply = bear({ from: stop.from, frame }, { ...walk.world, learned: walk.taught() }, walk.depth + 1);
  walk.tags.push(...reply.tags);
  if (reply.needs.length > 0)
    return result(journey, { verdict: 'needs', why: 'more must be known', actions: [], needs: reply.needs });
  if (asker === undefined || !reply.born.some((sent) => sent.to === asker.number)) {
    return result(journey, {
      verdict: 'drop',
      why: `${stop.why}, but the answer may not go back`,
      reason: DROP.policy,
      actions: dropped(DROP.policy),
    });
  }
  return result(journey, {
    verdict: 'answer',
    why: stop.why,
    actions: [...checked(journey), { kind: 'answerNeighbour', mac: stop.mac, router: stop.router }],
  });
}

const dropped = (reason: DropReason): Action[] => [{ kind: 'drop', reason }];

function bearAll(births: () => readonly Birth[], walk: Walk): { readonly born: Born[]; readonly needs: Need[] } {
  const born: Born[] = [];
  const needs: Need[] = [];
  if (walk.frame.length === 0 || walk.depth > 0) return { born, needs };
  for (const birth of births()) {
    const child = bear(birth, { ...walk.world, learned: walk.taught() }, walk.depth + 1);
    born.push(...child.born);
    needs.push(...child.needs);
  }
  return { born, needs };
}

/** Walks a packet that is born in the network to where it leaves it. */
function bear(birth: Birth, world: World, depth: number): { born: Born[]; needs: Need[]; tags: readonly Tag[] } {
  const parsed = keyOfFrame(birth.frame, 0);
  if ('drop' in parsed) throw new Error(`a frame made here does not parse (drop reason ${parsed.drop})`);
  const walk = new Walk(world, parsed.key, birth.frame, birth.frame.length - networkOffset(birth.frame), depth);
  const journey = new Journey(walk);
  journey.born(birth.from);
  return { born: sendable(checked(journey), birth.frame, parsed.key), needs: needsOf(journey), tags: walk.tags };
}

/** The frames that the actions make of this one, each with where it goes. */
function sendable(actions: readonly Action[], frame: Uint8Array, key: FlowKey): Born[] {
  const born: Born[] = [];
  for (const outcome of applyActions(actions, frame, key).outputs) {
    if (outcome.kind === 'output') born.push({ to: outcome.port, frame: outcome.frame });
    else if (outcome.kind === 'flood') born.push({ to: outcome.flood, frame: outcome.frame });
  }
  return born;
}

interface Outcome {
  readonly verdict: Verdict;
  readonly why: string;
  readonly actions: readonly Action[];
  readonly reason?: DropReason;
  readonly cacheable?: boolean;
  readonly born?: readonly Born[];
  readonly needs?: readonly Need[];
}

function result(journey: Journey, outcome: Outcome): Result {
  const { walk } = journey;
  return {
    reason: DROP.none,
    cacheable: true,
    born: [],
    needs: [],
    ...outcome,
    mask: walk.view.mask,
    tags: walk.tags,
    learn: walk.lessons,
  };
}
