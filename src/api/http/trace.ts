// POST /v1/trace: what would become of a frame that comes in at a port, by the same function that the agents run, on
// everything that this server knows.

import { applyActions } from '../../flow/apply.ts';
import { FIELD, type FlowKey, FRAGMENT, getU16, PROTOCOL } from '../../flow/fields.ts';
import { formatAction, formatMatch, formatTags } from '../../flow/format.ts';
import { datagramOf, fragmentIdOf, portsOf, setPorts } from '../../flow/fragment.ts';
import { keyOfFrame } from '../../flow/key.ts';
import { DROP, DROP_NAMES, type DropReason, dropWords } from '../../flow/reasons.ts';
import { formatIp } from '../../packet/address.ts';
import { lengthAtMtu } from '../../packet/length.ts';
import { formatQuestion } from '../../simulate/question.ts';
import type { Arrival, Learned, Result, Step } from '../../simulate/result.ts';
import { simulate } from '../../simulate/simulate.ts';
import { portName } from '../../simulate/walk.ts';
import type { PortNode, Topology } from '../../topology/nodes.ts';
import { ApiError } from '../errors.ts';
import type { Parts } from '../parts.ts';
import { Veil } from '../tenant/veil.ts';
import type { App } from './caller.ts';
import { readFields } from './request.ts';

/** The longest frame that a virtual wire carries: an IP packet of 64 KiB with its tags. */
const FRAME_BYTES_MAX = 65_535 + 22;

export function traceRoutes(app: App, { config, liveStatus }: Parts): void {
  const learned: Learned = {
    macPort: (bridgeId, vlan, mac) => liveStatus.macPort(bridgeId, vlan, mac),
    neighbour: (portId, ip) => liveStatus.neighbour(portId, ip),
  };

  app.post('/v1/trace', async (context) => {
    const { portId, frame: text, first: firstText } = await readFields(context, ['portId', 'frame', 'first']);
    const frame = frameOf(text, '/frame');
    const { view } = context.get('caller');
    const veil = view && new Veil(config.topology, view.projects);
    const topology = veil ?? config.topology;
    const port = typeof portId === 'string' ? topology.port(portId) : undefined;
    if (port === undefined || veil?.isLifted() === true)
      throw new ApiError('notFound', `there is no port ${String(portId)}`, '/portId');
    const read = keyOfFrame(frame, port.number);
    if (read.key === undefined) return context.json(dropped(read.drop, dropWords(read.drop)));
    const steps: Step[] = [];
    if (read.key[FIELD.fragment.at] === FRAGMENT.later) {
      if (firstText === undefined) return context.json(dropped(DROP.laterFragmentFirst, ALONE));
      setPorts(read.key, portsOfFirst(read.key, frame, frameOf(firstText, '/first'), port.number));
      steps.push({ depth: 0, at: `port ${portName(port)}`, text: takenText(read.key) });
    } else if (firstText !== undefined) {
      throw new ApiError('invalid', 'the frame is no later fragment: leave first out', '/first');
    }
    const arrival = { key: read.key, frame, lengthBytes: lengthAtMtu(frame) };
    const take = (step: Step): void => {
      if (veil?.isLifted() !== true) steps.push(step);
    };
    const result = simulate(arrival, topology, learned, { step: take });
    for (const step of membersSteps(result, arrival, port, topology, learned)) take(step);
    for (const action of result.actions) {
      const egress = action.kind === 'output' ? topology.portByNumber(action.port) : undefined;
      const live = egress && liveStatus.ofPort(egress.object);
      if (egress === undefined || live === undefined || live.state === 'up') continue;
      const text = `is ${live.state} at present${live.why === undefined || veil !== undefined ? '' : ` (${live.why})`}: nothing is delivered`;
      take({ depth: 0, at: `port ${egress.name || egress.id}`, text });
    }
    if (veil?.isLifted() === true) return context.json(summedUp(topology.revision, result, steps));
    return context.json({
      revision: topology.revision,
      verdict: result.verdict,
      why: result.why,
      ...(result.verdict === 'drop' || result.verdict === 'reject' ? { reason: DROP_NAMES[result.reason] } : {}),
      actions: result.actions.map(formatAction),
      mask: formatMatch(read.key, result.mask),
      tags: formatTags(result.tags.map((tag) => ({ ...tag, question: formatQuestion(tag.question) }))),
      cacheable: result.cacheable,
      needs: result.needs.map((need) => (need.kind === 'neighbour' ? { ...need, ip: formatIp(need.ip) } : need)),
      steps,
      born: result.born.map(({ to, frame: bytes }) => ({ to, frame: Buffer.from(bytes).toString('hex') })),
    });
  });
}

/** To a tenant: its own part of the way, up to where something comes in that it may not see, and the end. */
const summedUp = (revision: number, { verdict, cacheable }: Result, steps: readonly Step[]) => ({
  revision,
  verdict,
  why: BEYOND,
  ...{ actions: [], mask: '', tags: [], cacheable, needs: [], born: [] },
  steps: [...steps, { depth: 0, at: 'elsewhere', text: BEYOND }],
});

const BEYOND = 'decided with what this token may not see';

/** What each member of a flood makes of its copy: the part of the way that its own host decides. */
function membersSteps(result: Result, arrival: Arrival, from: PortNode, topology: Topology, learned: Learned): Step[] {
  const steps: Step[] = [];
  for (const output of applyActions(result.actions, arrival.frame, arrival.key).outputs) {
    const bridge = output.kind === 'flood' ? topology.bridgeByFlood(output.flood) : undefined;
    if (output.kind !== 'flood' || bridge === undefined) continue;
    for (const id of bridge.members) {
      const member = topology.port(id);
      const read = member === undefined ? undefined : keyOfFrame(output.frame, member.number, bridge.flood);
      if (member === undefined || member.id === from.id || read?.key === undefined) continue;
      // The copies of the first fragment went the same way, and left the same ports.
      setPorts(read.key, portsOf(arrival.key));
      const copy = { key: read.key, frame: output.frame, lengthBytes: arrival.lengthBytes };
      simulate(copy, topology, learned, { step: (step) => steps.push({ ...step, depth: step.depth + 1 }) });
    }
  }
  return steps;
}

const ALONE =
  'a later fragment is decided as its first was, by the ports of that; where the first was not seen, it is dropped: ' +
  'trace it with its first';

const dropped = (reason: DropReason, why: string) => ({
  verdict: 'drop',
  why,
  reason: DROP_NAMES[reason],
  actions: [],
  mask: '',
  tags: [],
  steps: [],
  born: [],
});

/** What the data path remembers for the fragments that follow. */
function portsOfFirst(later: FlowKey, laterFrame: Uint8Array, frame: Uint8Array, port: number): Uint8Array {
  const { key } = keyOfFrame(frame, port);
  if (key === undefined || key[FIELD.fragment.at] !== FRAGMENT.first) {
    throw new ApiError('invalid', 'first is no first fragment: it begins its datagram, and more follow', '/first');
  }
  if (datagramOf(key, fragmentIdOf(frame)) !== datagramOf(later, fragmentIdOf(laterFrame))) {
    const same = 'tags, addresses, protocol and identification are the same in all fragments of one';
    throw new ApiError('invalid', `first is of another datagram than the frame: ${same}`, '/first');
  }
  return portsOf(key);
}

function takenText(key: FlowKey): string {
  const protocol = key[FIELD.protocol.at];
  const isIcmp = protocol === PROTOCOL.icmp || protocol === PROTOCOL.icmp6;
  const [one, other] = [getU16(key, FIELD.sourcePort.at), getU16(key, FIELD.destinationPort.at)];
  return `a later fragment, decided by the ${isIcmp ? `type ${one} and code` : `ports ${one} and`} ${other} of its first`;
}

function frameOf(text: unknown, path: string): Uint8Array {
  if (typeof text !== 'string' || !/^([0-9a-f]{2})*$/i.test(text)) {
    throw new ApiError('malformed', `${path.slice(1)} is the bytes of an Ethernet frame in hexadecimal`, path);
  }
  if (text.length > FRAME_BYTES_MAX * 2) {
    throw new ApiError('tooLarge', `a frame is at most ${FRAME_BYTES_MAX} bytes long`, path);
  }
  return new Uint8Array(Buffer.from(text, 'hex'));
}
