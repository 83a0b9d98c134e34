// Small random clouds: three bridges, three routers, guests, overlapping prefixes, chains, sets, both families. All
// names and values come from small pools, so that edits and packets meet.

import fc from 'fast-check';
import { FIELD, type FlowKey } from '../../src/flow/fields.ts';
import { keyOfFrame } from '../../src/flow/key.ts';
import { parseIp, parseMac } from '../../src/packet/address.ts';
import { parseWords } from '../../src/packet/words.ts';
import { QUESTION } from '../../src/simulate/question.ts';
import type { Lesson } from '../../src/simulate/result.ts';
import type { Kind } from '../../src/topology/kinds.ts';
import type { Change } from '../../src/topology/nodes.ts';
import { idOf, LearnedMaps, Model } from '../model.ts';

export const BRIDGES = ['b0', 'b1', 'b2'] as const;
export const ROUTERS = ['r0', 'r1', 'r2'] as const;
/** Guests of bridge n are at addresses n.1 … n.4. */
export const GUESTS = BRIDGES.flatMap((_, bridge) => [1, 2, 3].map((guest) => `p${bridge}${guest}`));
const CHAINS = ['c0', 'c1', 'c2'] as const;
const SETS = ['s0', 's1'] as const;
const GROUPS = ['g0', 'g1'] as const;
const POSITIONS = [10, 20, 30, 40] as const;
const PREFIXES4 = [
  '0.0.0.0/0',
  '10.0.0.0/8',
  '10.0.1.0/24',
  '10.0.1.0/30',
  '10.0.2.0/23',
  '10.0.2.2/32',
  '10.0.0.0/31',
  '172.16.0.0/12',
];
const PREFIXES6 = ['::/0', 'fd00::/8', 'fd00:1::/64', 'fd00:1::2/128', 'fd00:2::/63', 'fd00:0:0:8000::/49'];
const PREFIXES = [...PREFIXES4, ...PREFIXES6];
const PORT_RANGES = [
  { from: 53, to: 53 },
  { from: 0, to: 1023 },
  { from: 80, to: 8080 },
];

const macOf = (bridge: number, guest: number): string => `02:00:00:00:0${bridge}:0${guest}`;
const ip4Of = (bridge: number, guest: number): string => `10.0.${bridge}.${guest}`;
const ip6Of = (bridge: number, guest: number): string => `fd00:${bridge}::${guest}`;
const routerMac = (router: number, port: number): string => `02:aa:00:00:0${router}:0${port}`;

const MACS = [
  ...BRIDGES.flatMap((_, bridge) => [1, 2, 3, 4].map((guest) => macOf(bridge, guest))),
  ...ROUTERS.flatMap((_, router) => [0, 1].map((port) => routerMac(router, port))),
];

export class Cloud {
  readonly model = new Model();
  readonly learned = new LearnedMaps();

  constructor() {
    const { model } = this;
    for (const host of ['h1', 'h2']) model.put('host', host);
    for (const chain of CHAINS) model.put('chain', chain);
    for (const set of SETS) model.put('addressSet', set, { addresses: ['10.0.1.2/32', '10.0.2.0/25', 'fd00:1::/65'] });
    for (const group of GROUPS) model.put('portGroup', group);
    for (const bridge of BRIDGES) model.put('bridge', bridge);
    for (const router of ROUTERS) model.put('router', router);
    for (const [bridge, name] of BRIDGES.entries()) {
      for (const guest of [1, 2, 3]) this.#guest(bridge, guest, guest !== 3);
      model.put('port', `${name}r`, { deviceId: name });
      model.put('port', `r${bridge}b`, {
        deviceId: `r${bridge}`,
        mac: routerMac(bridge, 0),
        addresses: [`${ip4Of(bridge, 254 - 250)}/24`, `${ip6Of(bridge, 4)}/64`],
      });
      model.peer(`${name}r`, `r${bridge}b`);
    }
    for (const [bridge] of BRIDGES.entries()) {
      for (const ip of [ip4Of(bridge, 3), ip6Of(bridge, 3)]) {
        this.learned.neighbours.set(QUESTION.neighbour(idOf(`r${bridge}b`), parseIp(ip)!), parseMac(macOf(bridge, 3))!);
      }
    }
    // Routers in a row: r0 – r1 – r2.
    for (const [a, b] of [
      [0, 1],
      [1, 2],
    ] as const) {
      model.put('port', `r${a}n`, {
        deviceId: `r${a}`,
        mac: routerMac(a, 1),
        addresses: [`10.9.${a}.1/30`, `fd09:${a}::1/64`],
      });
      model.put('port', `r${b}p`, {
        deviceId: `r${b}`,
        mac: `02:bb:00:00:00:0${b}`,
        addresses: [`10.9.${a}.2/30`, `fd09:${a}::2/64`],
      });
      model.peer(`r${a}n`, `r${b}p`);
    }
    for (const [router, via, gateway] of [
      ['r0', 'r0n', '9.0.2'],
      ['r1', 'r1n', '9.1.2'],
      ['r2', 'r2p', '9.1.1'],
    ] as const) {
      model.put('route', `${router}-default4`, {
        routerId: router,
        destination: '0.0.0.0/0',
        nextHop: 'port',
        portId: via,
        gateway: `10.${gateway}`,
      });
      const [, net, host] = gateway.split('.');
      model.put('route', `${router}-default6`, {
        routerId: router,
        destination: '::/0',
        nextHop: 'port',
        portId: via,
        gateway: `fd09:${net}::${host}`,
      });
    }
    for (const family of ['10.0.0.0/24', 'fd00::/64']) {
      model.put('route', `r1-back-${family}`, {
        routerId: 'r1',
        destination: family,
        nextHop: 'port',
        portId: 'r1p',
        gateway: family.includes(':') ? 'fd09:0::1' : '10.9.0.1',
      });
    }
  }

  /** Half of the guests are configured with their addresses; the others have to be learned. */
  #guest(bridge: number, guest: number, configured: boolean): void {
    this.model.put('port', `p${bridge}${guest}`, {
      deviceId: BRIDGES[bridge],
      ...(configured
        ? { mac: macOf(bridge, guest), addresses: [`${ip4Of(bridge, guest)}/24`, `${ip6Of(bridge, guest)}/64`] }
        : {}),
      hostId: guest === 2 ? 'h2' : 'h1',
      interfaceName: `i${bridge}${guest}`,
    });
  }

  /** Takes lessons; returns those that were new. */
  learn(lessons: readonly Lesson[]): Lesson[] {
    return lessons.filter((lesson) => {
      if (lesson.kind === 'mac') {
        const question = QUESTION.mac(lesson.bridgeId, lesson.vlan, lesson.mac);
        if (this.learned.macs.get(question) === lesson.portId) return false;
        this.learned.macs.set(question, lesson.portId);
        return true;
      }
      const question = QUESTION.neighbour(lesson.portId, lesson.ip);
      if (this.learned.neighbours.get(question) === lesson.mac) return false;
      this.learned.neighbours.set(question, lesson.mac);
      return true;
    });
  }
}

/** What happens to a cloud: a change of the model, or of what was learned. */
export type Edit =
  | { readonly kind: 'put'; readonly of: Kind; readonly name: string; readonly fields: Record<string, unknown> }
  | { readonly kind: 'set'; readonly of: Kind; readonly name: string; readonly fields: Record<string, unknown> }
  | { readonly kind: 'del'; readonly of: Kind; readonly name: string }
  | {
      readonly kind: 'mac';
      readonly bridge: string;
      readonly vlan: number;
      readonly mac: string;
      readonly port: string | undefined;
    }
  | { readonly kind: 'neighbour'; readonly port: string; readonly ip: string; readonly mac: string | null | undefined };

/** Changes of the model, or the question that learning answered anew. */
export function applyEdit(cloud: Cloud, edit: Edit): { readonly changes: Change[]; readonly questions: string[] } {
  const { model, learned } = cloud;
  switch (edit.kind) {
    case 'put':
      return { changes: model.put(edit.of, edit.name, edit.fields), questions: [] };
    case 'set':
      if (model.topology.object(edit.of, idOf(edit.name)) === undefined) return { changes: [], questions: [] };
      return { changes: model.set(edit.of, edit.name, edit.fields), questions: [] };
    case 'del':
      return { changes: model.del(edit.of, edit.name), questions: [] };
    case 'mac': {
      const question = QUESTION.mac(idOf(edit.bridge), edit.vlan, parseMac(edit.mac)!);
      if (edit.port === undefined) learned.macs.delete(question);
      else learned.macs.set(question, idOf(edit.port));
      return { changes: [], questions: [question] };
    }
    case 'neighbour': {
      const question = QUESTION.neighbour(idOf(edit.port), parseIp(edit.ip)!);
      if (edit.mac === undefined) learned.neighbours.delete(question);
      else learned.neighbours.set(question, edit.mac === null ? null : parseMac(edit.mac)!);
      return { changes: [], questions: [question] };
    }
  }
}

const pick = <T>(values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
const maybe = <T>(values: readonly T[]): fc.Arbitrary<T | undefined> => fc.option(pick(values), { nil: undefined });

const prefixPair = fc.oneof(
  fc.record({ source: pick(PREFIXES4), destination: pick(PREFIXES4) }),
  fc.record({ source: pick(PREFIXES6), destination: pick(PREFIXES6) }),
  fc.record({ source: pick(PREFIXES) }),
  fc.record({ destination: pick(PREFIXES) }),
);
const condition: fc.Arbitrary<Record<string, unknown>> = fc.oneof(
  prefixPair,
  fc.record({ etherType: pick([0x800, 0x86dd, 0x806]) }),
  fc.record({ protocol: pick([1, 6, 17, 58]) }),
  fc.record({ destinationPorts: pick(PORT_RANGES) }),
  fc.record({ sourcePorts: pick(PORT_RANGES) }),
  fc.record({
    tcpFlags: pick([
      { set: 2, of: 18 },
      { set: 16, of: 16 },
    ]),
  }),
  fc.record({ icmpType: pick([8, 128, 3]) }),
  fc.record({ trafficClass: pick([0, 16]) }),
  fc.record({ fragments: pick(['header', 'nonheader', 'unfragmented']) }),
  fc.record({ sourceSetId: pick(SETS) }),
  fc.record({ destinationSetId: pick(SETS) }),
  fc.record({ inPortIds: fc.subarray(GUESTS, { minLength: 1, maxLength: 3 }) }),
  fc.record({ outPortIds: fc.subarray(GUESTS, { minLength: 1, maxLength: 3 }) }),
  fc.record({ ingressPortGroupId: pick(GROUPS) }),
  fc.record({ outPortGroupId: pick(GROUPS) }),
  fc.record({
    etherSource: fc.record({
      mac: pick(MACS),
      mask: pick(['ff:ff:ff:ff:ff:ff', '00:00:00:00:ff:00', '00:00:00:00:00:01']),
    }),
  }),
  fc.record({ etherDestination: fc.record({ mac: pick(MACS) }) }),
  fc.record({ untagged: fc.constant(true) }),
  fc.record({ vlan: pick([10, 20]) }),
  fc.record({ traversedDeviceId: pick([...BRIDGES, ...ROUTERS]) }),
);
const match = fc
  .tuple(condition, fc.option(condition, { nil: {} }), fc.boolean(), fc.boolean())
  .map(([first, second, not, invert]) => {
    const conditions: Record<string, unknown> = { ...second, ...first };
    const [name] = Object.keys(first).filter((key) => key !== 'fragments' && key !== 'untagged' && key !== 'vlan');
    return { ...conditions, ...(not && name !== undefined ? { not: [name] } : {}), invert: invert && not };
  });

const rule: fc.Arbitrary<Edit> = fc
  .record({
    chain: pick(CHAINS),
    position: pick(POSITIONS),
    match,
    action: pick(['accept', 'drop', 'drop', 'reject', 'return', 'jump']),
    jump: pick(CHAINS),
  })
  .map(({ chain, position, match: conditions, action, jump }) => ({
    kind: 'put',
    of: 'rule',
    name: `${chain}-${position}`,
    fields: {
      chainId: chain,
      position,
      match: conditions,
      action,
      ...(action === 'jump' ? { jumpChainId: jump } : {}),
    },
  }));

const ALL_PORTS = [...GUESTS, ...BRIDGES.map((name) => `${name}r`), 'r0b', 'r1b', 'r2b', 'r0n', 'r1p', 'r1n', 'r2p'];

export const edit: fc.Arbitrary<Edit> = fc.oneof(
  { weight: 6, arbitrary: rule },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('del' as const),
      of: fc.constant('rule' as const),
      name: fc.tuple(pick(CHAINS), pick(POSITIONS)).map(([chain, position]) => `${chain}-${position}`),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('set' as const),
      of: fc.constant('port' as const),
      name: pick(ALL_PORTS),
      fields: fc.oneof(
        fc.record({ inboundChainId: maybe(CHAINS) }),
        fc.record({ outboundChainId: maybe(CHAINS) }),
        fc.record({ antiSpoofing: fc.boolean() }),
        fc.record({ adminUp: fc.boolean() }),
        fc.record({ portGroupIds: fc.subarray([...GROUPS]) }),
        fc.record({ mtuBytes: maybe([1400, 1280, 9000]) }),
      ),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('set' as const),
      of: fc.constant('port' as const),
      name: pick(GUESTS),
      fields: fc.oneof(
        fc.record({ vlan: maybe([10, 20]) }),
        fc.record({ mac: maybe(MACS) }),
        fc.record({ addresses: fc.subarray(['10.0.1.2/24', '10.0.0.3/24', 'fd00:2::2/64', 'fd00:1::3/64']) }),
        fc.record({ hostId: pick(['h1', 'h2']) }),
        fc.constant({ hostId: undefined, interfaceName: undefined }),
        fc.constant({ hostId: 'h1', interfaceName: 'back' }),
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('set' as const),
      of: pick(['bridge', 'router'] as const),
      name: pick([...BRIDGES, ...ROUTERS]),
      fields: fc.oneof(
        fc.record({ inboundChainId: maybe(CHAINS) }),
        fc.record({ outboundChainId: maybe(CHAINS) }),
        fc.record({ adminUp: fc.boolean() }),
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('set' as const),
      of: fc.constant('addressSet' as const),
      name: pick(SETS),
      fields: fc.record({ addresses: fc.subarray(PREFIXES.filter((text) => !text.endsWith('/0'))) }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc
      .record({
        router: pick(ROUTERS),
        prefixes: prefixPair,
        nextHop: pick(['port', 'blackhole', 'reject', 'local'] as const),
        port: pick(['r0b', 'r0n', 'r1p', 'r1n', 'r2p', 'r1b']),
        weight: pick([10, 100, 200]),
        gateway: maybe(['10.0.1.2', '10.9.0.2', '10.9.1.1']),
      })
      .map(({ router, prefixes, nextHop, port, weight, gateway }): Edit => {
        const destination = 'destination' in prefixes ? prefixes.destination : '10.0.0.0/8';
        const source =
          'source' in prefixes && prefixes.source.includes(':') === destination.includes(':')
            ? { source: prefixes.source }
            : {};
        const via = destination.includes(':') || gateway === undefined ? {} : { gateway };
        const hop = nextHop === 'port' ? { nextHop, portId: port, ...via } : { nextHop };
        return {
          kind: 'put',
          of: 'route',
          name: `${router}-${destination}-${weight}`,
          fields: { routerId: router, destination, ...source, ...hop, weight },
        };
      }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('del' as const),
      of: fc.constant('route' as const),
      name: fc
        .tuple(pick(ROUTERS), pick(PREFIXES), pick([10, 100, 200]))
        .map(([router, destination, weight]) => `${router}-${destination}-${weight}`),
    }),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({ bridge: pick([0, 1, 2]), six: fc.boolean(), gone: fc.boolean(), enabled: fc.boolean() })
      .map(({ bridge, six, gone, enabled }): Edit => {
        const name = `d${bridge}${six}`;
        if (gone) return { kind: 'del', of: 'dhcpSubnet', name };
        const prefix = six ? `fd00:${bridge}::/64` : `10.0.${bridge}.0/24`;
        const gateway = six ? {} : { gateway: ip4Of(bridge, 4) };
        return {
          kind: 'put',
          of: 'dhcpSubnet',
          name,
          fields: { bridgeId: BRIDGES[bridge], prefix, enabled, ...gateway },
        };
      }),
  },
  {
    weight: 1,
    arbitrary: maybe([1330, 1400, 9000]).map(
      (underlayMtuBytes): Edit =>
        underlayMtuBytes === undefined
          ? { kind: 'del', of: 'tunnelZone', name: 'z' }
          : { kind: 'put', of: 'tunnelZone', name: 'z', fields: { underlayMtuBytes } },
    ),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('mac' as const),
      bridge: pick(BRIDGES),
      vlan: pick([0, 0, 10]),
      mac: pick(MACS),
      port: maybe([...GUESTS, 'b0r']),
    }),
  },
  {
    weight: 3,
    // Of the guests that are not configured: nobody asks for the others.
    arbitrary: fc
      .record({
        bridge: pick([0, 1, 2]),
        guest: pick([3, 3, 5]),
        six: fc.boolean(),
        mac: fc.option(fc.oneof(pick(MACS), fc.constant(null)), { nil: undefined }),
      })
      .map(
        ({ bridge, guest, six, mac }): Edit => ({
          kind: 'neighbour',
          port: `r${bridge}b`,
          ip: six ? ip6Of(bridge, guest) : ip4Of(bridge, guest),
          mac,
        }),
      ),
  },
);

/** A chain is hung up somewhere: without that, rules would rarely be met. */
const attachment: fc.Arbitrary<Edit> = fc
  .record({
    name: pick([...BRIDGES, ...ROUTERS, ...ALL_PORTS]),
    way: pick(['inboundChainId', 'outboundChainId']),
    chain: pick(CHAINS),
  })
  .map(({ name, way, chain }) => {
    const of = /^b\d$/.test(name) ? 'bridge' : /^r\d$/.test(name) ? 'router' : 'port';
    return { kind: 'set', of, name, fields: { [way]: chain } };
  });

/** What a cloud is like before the packets come: rules, hung up in several places, and some edits. */
export const edits = (most: number): fc.Arbitrary<Edit[]> =>
  fc
    .tuple(
      fc.array(rule, { minLength: 3, maxLength: 9 }),
      fc.array(attachment, { minLength: 2, maxLength: 8 }),
      fc.array(edit, { maxLength: most }),
    )
    .map((parts) => parts.flat());

const guestIndex = fc.tuple(pick([0, 1, 2]), pick([1, 2, 3, 4, 5]));

/** A frame, with the guest that sends it; mostly what a guest there would send. */
export interface Packet {
  readonly port: string;
  readonly words: string;
}

const transport = fc.oneof(
  fc.tuple(pick([1000, 53]), pick([53, 80, 9000])).map(([from, to]) => `udp(${from},${to})`),
  fc
    .tuple(pick([1000, 53]), pick([53, 80, 9000]), pick(['syn', 'ack', 'syn,ack']))
    .map(([from, to, flags]) => `tcp(${from},${to},${flags})`),
  pick(['icmp', 'icmp', 'sctp(5,6)']),
);

export const packet: fc.Arbitrary<Packet> = fc
  .record({
    from: fc.tuple(pick([0, 1, 2]), pick([1, 2, 3])),
    spoof: fc.option(guestIndex, { nil: undefined, freq: 5 }),
    to: guestIndex,
    toMac: fc.oneof(
      { weight: 3, arbitrary: fc.constant('router') },
      { weight: 2, arbitrary: fc.constant('peer') },
      { weight: 1, arbitrary: pick([...MACS, 'ff:ff:ff:ff:ff:ff', '33:33:00:00:00:01']) },
    ),
    vlan: fc.option(pick(['10', '20', '10,qinq', '20,dei']), { nil: undefined, freq: 6 }),
    six: fc.boolean(),
    upper: transport,
    fragment: fc.option(pick(['first', 'later']), { nil: undefined, freq: 8 }),
    tos: fc.option(pick([16]), { nil: undefined, freq: 5 }),
    kind: fc.oneof(
      { weight: 6, arbitrary: fc.constant('ip') },
      { weight: 2, arbitrary: fc.constant('neighbour') },
      { weight: 1, arbitrary: pick(['dhcp', 'rs', 'other', 'reply']) },
    ),
  })
  .map((draw): Packet => {
    const [bridge, guest] = draw.from;
    const [sourceBridge, sourceGuest] = draw.spoof ?? draw.from;
    const [toBridge, toGuest] = draw.to;
    const mac = macOf(sourceBridge, sourceGuest);
    const target =
      draw.toMac === 'router' ? routerMac(bridge, 0) : draw.toMac === 'peer' ? macOf(bridge, toGuest) : draw.toMac;
    const tag = draw.vlan === undefined ? '' : ` vlan(${draw.vlan})`;
    const port = `p${bridge}${guest}`;
    const source = draw.six ? ip6Of(sourceBridge, sourceGuest) : ip4Of(sourceBridge, sourceGuest);
    const destination = draw.six ? ip6Of(toBridge, toGuest) : ip4Of(toBridge, toGuest);
    switch (draw.kind) {
      case 'neighbour':
        if (!draw.six)
          return {
            port,
            words: `eth(${mac},ff:ff:ff:ff:ff:ff)${tag} arp(request,${mac},${source},${ip4Of(bridge, toGuest)})`,
          };
        return {
          port,
          words: `eth(${mac},33:33:ff:00:00:0${toGuest})${tag} ip6(${source},ff02::1:ff00:${toGuest},hop=255) ns(${ip6Of(bridge, toGuest)},${mac})`,
        };
      case 'reply':
        if (!draw.six)
          return {
            port,
            words: `eth(${mac},${target})${tag} arp(reply,${mac},${source},${routerMac(bridge, 0)},${ip4Of(bridge, 4)})`,
          };
        return {
          port,
          words: `eth(${mac},${target})${tag} ip6(${source},${ip6Of(bridge, 4)},hop=255) na(${source},${mac},solicited)`,
        };
      case 'dhcp':
        return { port, words: draw.six ? `dhcp6(solicit,${mac})` : `dhcp(discover,${mac})` };
      case 'rs':
        return { port, words: `rs(${mac})` };
      case 'other':
        return { port, words: `eth(${mac},${target},type=0x88cc)${tag} bytes(20)` };
      default: {
        const options = `${draw.tos === undefined ? '' : draw.six ? ',class=16' : ',tos=16'}${draw.fragment === undefined ? '' : `,frag=${draw.fragment}`}`;
        const upper = draw.upper === 'icmp' ? (draw.six ? 'icmp6(echo-request)' : 'icmp(echo-request)') : draw.upper;
        return {
          port,
          words: `eth(${mac},${target})${tag} ${draw.six ? 'ip6' : 'ip'}(${source},${destination}${options}) ${upper} bytes(64)`,
        };
      }
    }
  });

export function frameOf(words: string): Uint8Array {
  const frame = parseWords(words);
  if ('error' in frame) throw new Error(`${words}: ${frame.error}`);
  return frame;
}

/** The key of a packet as its guest's port sees it; later fragments get the ports of a made-up first one. */
export function keyOf(cloud: Cloud, { port, words }: Packet): FlowKey {
  const parsed = keyOfFrame(frameOf(words), cloud.model.number(port));
  if (parsed.drop !== undefined) throw new Error(`${words} is malformed (${parsed.drop})`);
  if (parsed.key[FIELD.fragment.at] === 2) parsed.key.set([3, 232, 0, 53], FIELD.sourcePort.at);
  return parsed.key;
}
