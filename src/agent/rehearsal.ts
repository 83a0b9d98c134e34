// A rehearsal before the agent starts: packets of a small cloud that exists nowhere go through the loops of an agent of
// their own, over a data path that does nothing. None of it reaches the kernel, the disk, a server or the real agent.
//
// What it leaves behind is warm code: a walk that V8 has never run takes milliseconds, since each function is compiled
// at its first call and interpreted for its next hundreds. Without it the first guests after a start pay for that.

import type { Miss } from '../datapath/datapath.ts';
import { FIELD } from '../flow/fields.ts';
import { keyOfFrame } from '../flow/key.ts';
import { UP } from '../flow/reasons.ts';
import { FlowTable } from '../flow/table.ts';
import type { Log } from '../lib/log.ts';
import { frameOf } from '../packet/words.ts';
import { simulate, solicit } from '../simulate/simulate.ts';
import type { Resource } from '../topology/kinds.ts';
import { StatusBook } from './host/status.ts';
import { LearnedTable } from './learned.ts';
import { AnswerLimiter } from './packet/answers.ts';
import { Asker } from './packet/asking.ts';
import { ParkingLot } from './packet/parking.ts';
import { Replica } from './replica.ts';
import { Subscriptions } from './subscriptions.ts';
import { type UpcallCounts, Upcalls } from './upcalls.ts';

/**
 * How often all of it is played. By then V8 has compiled every function, and the hot ones well; more rounds cost the
 * start more than they give to the packets that follow (docs/benchmarks.md).
 */
const ROUNDS = 20;

const HOST = 'host';
const LAN_FLOOD = 1;
const [A, B, GATEWAY] = ['02:00:00:00:00:0a', '02:00:00:00:00:0b', '02:00:00:00:00:01'];
const TO_B = `eth(${A}, ${B})`;
const ROUTED = `eth(${A}, ${GATEWAY})`;

interface Line {
  readonly words: string;
  /** Each time to another destination, so that it is the first of its class every time. */
  readonly fresh?: true;
  /** It is decided for another member of its bridge, too, as a host does that receives it. */
  readonly flood?: true;
}

/** What a guest says in the first minutes of its life, in the order of a round. */
const PLAY: readonly Line[] = [
  { words: `dhcp(discover, ${A})` },
  { words: `arp(request, ${A}, 10.0.0.5, 10.0.0.1)` },
  { words: `arp(request, ${A}, 10.0.0.5, 10.0.0.7)`, fresh: true, flood: true },
  { words: `eth(${A}, 33:33:00:00:00:02) ip6(fe80::a, ff02::2) rs(${A})` },
  { words: `eth(${A}, 33:33:ff:00:00:01) ip6(fd00::5, ff02::1:ff00:1) ns(fd00::1, ${A})` },
  { words: `${TO_B} ip(10.0.0.5, 10.2.0.1) udp(1000, 53)`, fresh: true },
  { words: `${TO_B} ip6(fd00::5, fd00:2::1) tcp(1000, 80, syn)`, fresh: true },
  { words: `${ROUTED} ip(10.0.0.5, 10.1.0.7) icmp(echo-request)`, fresh: true },
  { words: `${ROUTED} ip(10.0.0.5, 10.3.0.1) tcp(1000, 80, syn)`, fresh: true },
  { words: `${ROUTED} ip6(fd00::5, fd00:3::1) udp(1000, 53)`, fresh: true },
  { words: `${ROUTED} ip(10.0.0.5, 10.0.0.1) icmp(echo-request)` },
  { words: `${ROUTED} ip(10.0.0.5, 192.0.2.1) udp(1000, 53)`, fresh: true },
  { words: `eth(${A}, ff:ff:ff:ff:ff:ff) ip(10.0.0.5, 10.0.0.255) udp(1000, 9)`, flood: true },
];

/**
 * Plays it, in about a tenth of a second. `now`: a clock in milliseconds. Gives what its packet loop has counted. An
 * agent whose rehearsal fails is only slower with its first packets: that is logged, and undefined.
 */
export function rehearse(now: () => number, log: Log): UpcallCounts | undefined {
  try {
    return play(now, log);
  } catch (error) {
    log.warn('the rehearsal before the start failed: first packets will be slow', { error });
    return undefined;
  }
}

function play(now: () => number, log: Log): UpcallCounts {
  const nothing = (): void => undefined;
  const coming: Miss[] = [];
  const datapath = {
    poll: () => coming.splice(0),
    install: nothing,
    remove: nothing,
    inject: nothing,
    plugged: () => [],
  };
  const flows = new FlowTable();
  const parking = new ParkingLot();
  const replica = new Replica({
    hostId: HOST,
    datapath,
    flows,
    learned: new LearnedTable(HOST),
    journal: { append: nothing },
    statuses: new StatusBook(),
    simulate,
    now,
    log,
    onTouched: (touches) => parking.touched(touches),
    onPlaces: nothing,
    onDone: nothing,
  });
  const subscriptions = new Subscriptions({
    journal: { append: nothing },
    connected: () => false,
    send: nothing,
    wallNow: now,
  });
  const asker = new Asker({ solicit, world: replica, inject: nothing, giveUp: nothing, subscriptions });
  const upcalls = new Upcalls({
    datapath,
    world: replica,
    flows,
    parking,
    asker,
    answers: new AnswerLimiter(),
    simulate,
    solicited: nothing,
    evict: () => false,
    log,
  });
  replica.apply({ kind: 'snapshot', revision: 1, put: CLOUD, status: [], more: false });
  const frames = PLAY.map(({ words }) => frameOf(words));
  for (let round = 0; round < ROUNDS; round++) {
    PLAY.forEach((line, at) => {
      coming.push(missOf(frames[at]!, 5, 0, line.fresh && round));
      if (line.flood) coming.push(missOf(frames[at]!, 6, LAN_FLOOD, line.fresh && round));
      while (upcalls.turn(now()) > 0 || replica.slice(Number.POSITIVE_INFINITY));
    });
  }
  return upcalls.counts;
}

/** The last byte of the destination is `fresh` more, in the key alone: the frame is only quoted in answers. */
function missOf(frame: Uint8Array, port: number, flood: number, fresh = 0): Miss {
  const key = keyOfFrame(frame, port, flood).key!;
  key[FIELD.destination.at + FIELD.destination.bytes - 1]! += fresh;
  const cause = flood === 0 ? UP.miss : UP.memberMiss;
  return { cause, key, frame, frameBytes: frame.length, gsoBytes: 0, detail: 0, ageMs: 0 };
}

const object = (id: string) => ({ id, name: '', tags: [], revision: 1, createdAt: '', updatedAt: '' });
type Port = Extract<Resource, { kind: 'port' }>['value'];
const port = (tunnelKey: number, deviceId: string, fields: Partial<Port>): Resource => {
  const preset = { adminUp: true, addresses: [], antiSpoofing: false, portGroupIds: [] };
  return { kind: 'port', value: { ...object(`port${tunnelKey}`), ...preset, deviceId, tunnelKey, ...fields } };
};
const guest = (tunnelKey: number, mac: string, addresses: string[]): Resource =>
  port(tunnelKey, 'lan', {
    ...{ mac, addresses, antiSpoofing: true, inboundChainId: 'chain', outboundChainId: 'chain' },
    ...{ hostId: HOST, interfaceName: `tap${tunnelKey}` },
  });
const route = (destination: string, gateway: string): Resource => ({
  kind: 'route',
  value: {
    ...{ ...object(destination), routerId: 'router', destination, nextHop: 'port', portId: 'port9', gateway },
    ...{ weight: 100, learned: false },
  },
});

/**
 * Guests 5 and 6 on a bridge with DHCP and filters; its router has a second network, where a neighbour is known who leads
 * to the rest of the world, and nobody else answers.
 */
const CLOUD: Resource[] = [
  { kind: 'bridge', value: { ...object('lan'), adminUp: true, macExpirySeconds: 300, floodKey: 1 } },
  { kind: 'bridge', value: { ...object('far'), adminUp: true, macExpirySeconds: 300, floodKey: 2 } },
  { kind: 'router', value: { ...object('router'), adminUp: true } },
  { kind: 'chain', value: object('chain') },
  {
    kind: 'rule',
    value: {
      ...{ ...object('rule'), chainId: 'chain', position: 1, number: 1, action: 'drop' },
      match: { protocol: 6, destinationPorts: { from: 22, to: 22 }, not: [], invert: false },
    },
  },
  guest(5, A, ['10.0.0.5/24', 'fd00::5/64', 'fe80::a/64']),
  guest(6, B, ['10.0.0.6/24', 'fd00::6/64']),
  port(7, 'router', {
    ...{ mac: GATEWAY, addresses: ['10.0.0.1/24', 'fd00::1/64'], peerId: 'port8' },
    routerAdvertisement: {
      ...{ managed: false, otherConfiguration: false, lifetimeSeconds: 1800, intervalSeconds: 600 },
      ...{ autonomous: true, dnsServers: [], prefixes: [] },
    },
  }),
  port(8, 'lan', { peerId: 'port7' }),
  port(9, 'router', { mac: '02:00:00:00:00:02', addresses: ['10.1.0.1/16', 'fd00:1::1/64'], peerId: 'port10' }),
  port(10, 'far', { peerId: 'port9' }),
  port(11, 'far', {
    ...{ mac: '02:00:00:00:00:0c', addresses: ['10.1.0.2/16', 'fd00:1::2/64'] },
    ...{ hostId: 'elsewhere', interfaceName: 'tap11' },
  }),
  route('10.3.0.0/16', '10.1.0.2'),
  route('fd00:3::/32', 'fd00:1::2'),
  {
    kind: 'dhcpSubnet',
    value: {
      ...{ ...object('subnet'), bridgeId: 'lan', prefix: '10.0.0.0/24', enabled: true, gateway: '10.0.0.1' },
      ...{ dnsServers: [], domainSearch: [], ntpServers: [], routes: [], leaseSeconds: 86_400, options: [] },
    },
  },
];
