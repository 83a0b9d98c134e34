// What becomes of a packet, and of all packets of its class: port → chains → device → port, until it is decided.
// One function serves the packet, the trace, the what-if and the recheck of installed flows.

import type { Action } from '../flow/actions.ts';
import { FIELD, floodOf, markField, portOf } from '../flow/fields.ts';
import { DROP, type DropReason, UP } from '../flow/reasons.ts';
import { networkOffset } from '../packet/ethernet.ts';
import { fragmentIpv4 } from '../packet/fragment.ts';
import type { Topology } from '../topology/nodes.ts';
import type { Id } from '../topology/resource.ts';
import { bear, bearAll, sendable } from './birth.ts';
import { Journey, unanswered } from './journey.ts';
import { neighbourReply, routerAdvertisement, solicitation } from './nd.ts';
import { leavePort } from './port.ts';
import type { Arrival, Born, Learned, Need, Recorder, Result, Verdict } from './result.ts';
import { named, portName, type Stop, Walk } from './walk.ts';

export function simulate(arrival: Arrival, topology: Topology, learned: Learned, recorder?: Recorder): Result {
  const walk = new Walk({ topology, learned, recorder }, arrival.key, arrival.frame, arrival.lengthBytes, 0);
  const journey = new Journey(walk);
  const port = topology.portByNumber(portOf(arrival.key));
  if (port === undefined) return unknown(journey, `no port has the number ${portOf(arrival.key)}`);
  if (floodOf(arrival.key) !== 0) journey.receive(port);
  else journey.start(port);
  return conclude(journey);
}

/** Numbers are no questions: a port that appears touches nothing that could be asked here, so nothing is remembered. */
function unknown(journey: Journey, why: string): Result {
  const actions = [{ kind: 'drop' as const, reason: DROP.noDelivery }];
  return result(journey, { verdict: 'drop', why, reason: DROP.noDelivery, actions, cacheable: false });
}

/** The question for a neighbour of a router port, as the frames to send: ARP request or neighbour solicitation. */
export function solicit(need: Extract<Need, { kind: 'neighbour' }>, topology: Topology, learned: Learned): Born[] {
  const port = topology.port(need.portId);
  const frame = port === undefined ? undefined : solicitation(port, need.ip);
  if (port === undefined || frame === undefined) return [];
  return bear({ from: { kind: 'leave', port }, frame }, { topology, learned, recorder: undefined }, 0).born;
}

/** An unsolicited router advertisement out of a router port that advertises; `last`: it ceases to be a router. */
export function advertise(portId: Id, topology: Topology, learned: Learned, last: boolean): Born[] {
  const port = topology.port(portId);
  if (port === undefined) return [];
  const world = { topology, learned, recorder: undefined };
  return routerAdvertisement(topology, port, undefined, last).flatMap((birth) => bear(birth, world, 0).born);
}

function conclude(journey: Journey): Result {
  const { walk } = journey;
  const needs = journey.needs;
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
        actions: [...journey.actions, { kind: 'toAgent', cause: UP.service }],
      });
    case 'answerNeighbour':
      return answeredNeighbour(journey, stop);
    case 'answer':
    case 'reject':
    case 'exception': {
      // A solicitation goes to every router on the link, and each of them answers.
      const routers = journey.stops.filter(
        (other) => other.kind === 'answer' && other.solicited !== undefined,
      ) as Solicited[];
      const births = routers.length < 2 ? stop.births : () => routers.flatMap((router) => router.births());
      const answers = bearAll(births, walk);
      const solicited = routers.map((router) => router.solicited);
      const cause = stop.kind === 'answer' ? stop.cause : UP.packet;
      return result(journey, {
        verdict: answers.needs.length > 0 ? 'needs' : stop.kind === 'answer' ? 'answer' : 'reject',
        why: stop.why,
        reason: stop.kind === 'answer' ? DROP.none : stop.reason,
        actions: [...journey.actions, { kind: 'toAgent', cause }],
        cacheable: stop.kind !== 'exception',
        born: answers.born,
        needs: answers.needs,
        solicited,
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

function forwarded(journey: Journey): Result {
  const { walk } = journey;
  const actions = journey.actions;
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
  if (frame === undefined) throw new Error('what is no request for a neighbour was to be answered as one');
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
    actions: [...journey.actions, { kind: 'answerNeighbour', mac: stop.mac, router: stop.router }],
  });
}

const dropped = (reason: DropReason): Action[] => [{ kind: 'drop', reason }];

interface Outcome {
  readonly verdict: Verdict;
  readonly why: string;
  readonly actions: readonly Action[];
  readonly reason?: DropReason;
  readonly cacheable?: boolean;
  readonly born?: readonly Born[];
  readonly needs?: readonly Need[];
  readonly solicited?: readonly Id[];
}

type Solicited = Extract<Stop, { kind: 'answer' }> & { readonly solicited: Id };

function result(journey: Journey, outcome: Outcome): Result {
  const { walk } = journey;
  return {
    reason: DROP.none,
    cacheable: true,
    born: [],
    needs: [],
    solicited: [],
    ...outcome,
    mask: walk.view.mask,
    tags: walk.tags,
    learn: walk.lessons,
  };
}
