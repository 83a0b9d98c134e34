// Chains and their rules. Rules are tried by rising position; no match at the end of a chain means accept.
import Type, { type Static } from 'typebox';
import { familyOf, parseMac, parsePrefix } from '../packet/address.ts';
import { type Checking, conflict, type Finding, invalid } from './problem.ts';
import { flag, type Id, id, ids, integer, mac, prefix, resource } from './resource.ts';

export const chainSchema = resource({}, 'an ordered list of rules');
export type Chain = Static<typeof chainSchema>;

const range = (description: string) =>
  Type.Object(
    { from: integer(0, 65535, 'first'), to: integer(0, 65535, 'last') },
    { additionalProperties: false, description },
  );

const maskedMac = (description: string) =>
  Type.Object(
    { mac: mac('address'), mask: Type.Optional(mac('bits that matter; none: all')) },
    { additionalProperties: false, description },
  );

/** All that are given must hold. `not` turns single ones round, `invert` the whole but `fragments`. */
const matchSchema = Type.Object(
  {
    fragments: Type.Optional(
      Type.Union(
        [Type.Literal('any'), Type.Literal('header'), Type.Literal('nonheader'), Type.Literal('unfragmented')],
        {
          description:
            'header: first fragments and whole packets; nonheader: later fragments, which match by the ports of their first. Default any',
        },
      ),
    ),
    inPortIds: Type.Optional(ids('port', 'came in here, on this device')),
    outPortIds: Type.Optional(ids('port', 'goes out there, on this device; never known when flooded')),
    ingressPortGroupId: Type.Optional(id('portGroup', 'entered the virtual network through a member')),
    inPortGroupId: Type.Optional(id('portGroup', 'came in on this device through a member')),
    outPortGroupId: Type.Optional(id('portGroup', 'goes out on this device through a member')),
    sourceSetId: Type.Optional(id('addressSet', 'source address is in the set')),
    destinationSetId: Type.Optional(id('addressSet', 'destination address is in the set')),
    etherType: Type.Optional(integer(0, 65535, '0x0800 IPv4, 0x86dd IPv6, 0x0806 ARP')),
    etherSource: Type.Optional(maskedMac('source MAC')),
    etherDestination: Type.Optional(maskedMac('destination MAC')),
    untagged: Type.Optional(Type.Literal(true, { description: 'has no VLAN tag' })),
    vlan: Type.Optional(integer(0, 4095, 'outermost VLAN id')),
    trafficClass: Type.Optional(integer(0, 255, 'IPv4 TOS or IPv6 traffic class')),
    protocol: Type.Optional(integer(0, 255, 'IP protocol; for ARP the opcode')),
    source: Type.Optional(prefix('source address; for ARP the sender')),
    destination: Type.Optional(prefix('destination address; for ARP the target')),
    sourcePorts: Type.Optional(range('TCP, UDP or SCTP')),
    destinationPorts: Type.Optional(range('TCP, UDP or SCTP')),
    icmpType: Type.Optional(integer(0, 255, 'ICMP or ICMPv6')),
    icmpCode: Type.Optional(integer(0, 255, 'ICMP or ICMPv6')),
    tcpFlags: Type.Optional(
      Type.Object(
        {
          set: integer(0, 255, 'of the flags looked at, exactly these are set'),
          of: integer(1, 255, 'flags looked at: FIN 1 SYN 2 RST 4 PSH 8 ACK 16 URG 32 ECE 64 CWR 128'),
        },
        { additionalProperties: false, description: 'TCP flags' },
      ),
    ),
    traversedDeviceId: Type.Optional(
      Type.String({ format: 'id', references: 'bridge|router|port', description: 'was at this device before' }),
    ),
    not: Type.Array(Type.String(), { description: 'names of conditions above that must not hold', default: [] }),
    invert: flag(false, 'the rule matches where the conditions do not (fragments aside)'),
  },
  { additionalProperties: false, description: 'conditions', default: {} },
);
export type Match = Static<typeof matchSchema>;

/** Conditions that `not` may name. */
const INVERTIBLE = [
  'inPortIds',
  'outPortIds',
  'ingressPortGroupId',
  'inPortGroupId',
  'outPortGroupId',
  'sourceSetId',
  'destinationSetId',
  'etherType',
  'etherSource',
  'etherDestination',
  'trafficClass',
  'protocol',
  'source',
  'destination',
  'sourcePorts',
  'destinationPorts',
  'icmpType',
  'icmpCode',
  'tcpFlags',
  'traversedDeviceId',
] as const satisfies (keyof Match)[];

export const ruleSchema = resource(
  {
    chainId: id('chain', 'never changes'),
    position: Type.Integer({
      minimum: 1,
      maximum: 2_000_000_000,
      description: 'order in the chain; unique there; none: at the end',
    }),
    match: matchSchema,
    action: Type.Union(
      [
        Type.Literal('accept'),
        Type.Literal('drop'),
        Type.Literal('reject'),
        Type.Literal('return'),
        Type.Literal('jump'),
      ],
      {
        description:
          'accept ends this hook; reject tells the sender (TCP reset or ICMP); jump goes on in another chain',
      },
    ),
    jumpChainId: Type.Optional(id('chain', 'with action jump')),
    number: Type.Integer({
      readOnly: true,
      description: 'names the rule in counters, 32 bits; new when the rule changes',
    }),
  },
  'a rule of a chain',
);
export type Rule = Static<typeof ruleSchema>;

/** Conditions that only IP packets meet. */
const L4_CONDITIONS = [
  'sourcePorts',
  'destinationPorts',
  'icmpType',
  'icmpCode',
  'tcpFlags',
] as const satisfies (keyof Match)[];

const ETHER_TYPE = { ip4: 0x0800, arp: 0x0806, ip6: 0x86dd } as const;
const WITH_PORTS: readonly number[] = [6, 17, 132]; // TCP, UDP, SCTP
const ICMP: readonly number[] = [1, 58]; // ICMP, ICMPv6
const TCP = 6;

/** What makes no sense in a rule, and what of its chain is in the way. */
export function checkRule(rule: Rule, checking: Checking): Finding[] {
  return [...checkPlace(rule, checking), ...checkJump(rule, checking), ...checkMatch(rule.match)];
}

function checkPlace({ id: own, chainId, position }: Rule, { after, users, named, once }: Checking): Finding[] {
  const places = once(`places/${chainId}`, () =>
    Map.groupBy(users('rule.chainId', chainId), (other) => after.object('rule', other)?.position),
  );
  const others = (places.get(position) ?? []).filter((other) => other !== own);
  const [other] = others;
  if (other === undefined) return [];
  const taken = `position ${position} of ${named('chain', chainId)} is that of ${named('rule', other)}: choose another`;
  return [
    conflict(
      '/position',
      taken,
      others.map((one) => ({ kind: 'rule', id: one })),
    ),
  ];
}

function checkJump(rule: Rule, checking: Checking): Finding[] {
  const { action, jumpChainId, chainId } = rule;
  if (action !== 'jump') {
    if (jumpChainId === undefined) return [];
    return [invalid('/jumpChainId', `${action} goes nowhere: leave jumpChainId out, or make the action jump`)];
  }
  if (jumpChainId === undefined) return [invalid('/jumpChainId', 'a jump needs jumpChainId: the chain to go on in')];
  const depth = levels(chainId, checking, 'above') + levels(jumpChainId, checking, 'below');
  if (depth <= DEPTH_MAX) return [];
  const { named } = checking;
  const [chain, next] = [named('chain', chainId), named('chain', jumpChainId)];
  if (!reachable(jumpChainId, checking).has(chainId)) {
    const nested = `jumps through ${chain} and ${next} would be nested deeper than ${DEPTH_MAX} chains`;
    return [invalid('/jumpChainId', `${nested}: put the rules of some into one`)];
  }
  const loop = jumpChainId === chainId ? 'itself' : `${next}, which jumps back to it`;
  return [invalid('/jumpChainId', `${chain} would jump to ${loop}: break the loop`)];
}

/** Chains on the way of a packet through jumps: each host walks them with a stack, for every first packet. */
const DEPTH_MAX = 64;

const NEXT = {
  above: (chainId: Id, { after, users }: Checking) =>
    users('rule.jumpChainId', chainId).flatMap((rule) => after.object('rule', rule)?.chainId ?? []),
  below: (chainId: Id, { after }: Checking) =>
    (after.chain(chainId)?.rules ?? []).flatMap((rule) => rule.jumpChainId ?? []),
};

/** Chains on the longest way from this one, itself included; more than DEPTH_MAX is as bad as a loop. */
function levels(chainId: Id, checking: Checking, direction: keyof typeof NEXT): number {
  return checking.once(`levels/${direction}/${chainId}`, () => {
    let count = 0;
    for (let level = new Set([chainId]); level.size > 0 && count <= DEPTH_MAX; count++) {
      level = new Set([...level].flatMap((id) => NEXT[direction](id, checking)));
    }
    return count;
  });
}

/** The chain and every chain that its jumps lead to. */
function reachable(chainId: Id, { after, once }: Checking): ReadonlySet<Id> {
  return once(`jumps/${chainId}`, () => {
    const found = new Set([chainId]);
    // A set is iterated in order of insertion, what is added meanwhile included.
    for (const at of found) {
      for (const { jumpChainId } of after.chain(at)?.rules ?? []) if (jumpChainId !== undefined) found.add(jumpChainId);
    }
    return found;
  });
}

function checkMatch(match: Match): Finding[] {
  const not = new Set(match.not);
  /** The value of a condition that must hold; undefined when it is not there or turned round. */
  const held = <K extends keyof Match>(name: K): Match[K] | undefined => (not.has(name) ? undefined : match[name]);
  return [
    ...checkNot(match),
    ...checkLists(match),
    ...checkFragments(match),
    ...checkProtocol(held),
    ...checkFamily(held),
    ...checkRanges(match),
  ].map((finding) => ({ ...finding, path: `/match${finding.path}` }));
}

function checkNot(match: Match): Finding[] {
  const known: readonly string[] = INVERTIBLE;
  return match.not.flatMap((name, index): Finding[] => {
    const path = `/not/${index}`;
    if (!known.includes(name)) return [invalid(path, `${name} cannot be turned round; these can: ${known.join(', ')}`)];
    if (match.not.indexOf(name) < index) return [invalid(path, `${name} is in the list twice: leave one out`)];
    if (match[name as keyof Match] !== undefined) return [];
    return [invalid(path, `the rule has no condition ${name} to turn round: add it, or leave it out here`)];
  });
}

function checkLists(match: Match): Finding[] {
  return (['inPortIds', 'outPortIds'] as const)
    .filter((name) => match[name]?.length === 0)
    .map((name) => invalid(`/${name}`, `no port is in ${name}: name some, or leave it out`));
}

function checkFragments(match: Match): Finding[] {
  if (match.fragments !== 'nonheader' || match.tcpFlags === undefined) return [];
  return [invalid('/fragments', 'later fragments carry no TCP flags: leave fragments or tcpFlags out')];
}

type Held = <K extends keyof Match>(name: K) => Match[K] | undefined;

function checkProtocol(held: Held): Finding[] {
  const found: Finding[] = [];
  const protocol = held('protocol');
  const clash = (name: keyof Match, wanted: string) =>
    found.push(invalid(`/${name}`, `${name} is for ${wanted}, not for protocol ${protocol}: change one of them`));
  const ports = (['sourcePorts', 'destinationPorts'] as const).filter((name) => held(name) !== undefined);
  const icmp = (['icmpType', 'icmpCode'] as const).filter((name) => held(name) !== undefined);
  if (protocol !== undefined) {
    if (!WITH_PORTS.includes(protocol)) for (const name of ports) clash(name, 'TCP (6), UDP (17) and SCTP (132)');
    if (!ICMP.includes(protocol)) for (const name of icmp) clash(name, 'ICMP (1) and ICMPv6 (58)');
    if (protocol !== TCP && held('tcpFlags') !== undefined) clash('tcpFlags', 'TCP (6)');
  }
  for (const name of icmp) {
    const other = ports[0] ?? (held('tcpFlags') === undefined ? undefined : 'tcpFlags');
    if (other !== undefined) found.push(invalid(`/${name}`, `no packet has both ${name} and ${other}: leave one out`));
  }
  return found;
}

function checkFamily(held: Held): Finding[] {
  const found: Finding[] = [];
  const etherType = held('etherType');
  const named = (['source', 'destination'] as const).flatMap((name) => {
    const prefix = parsePrefix(held(name) ?? '');
    return prefix === undefined ? [] : [{ name, family: familyOf(prefix.ip) }];
  });
  const [source, destination] = named;
  if (source !== undefined && destination !== undefined && source.family !== destination.family) {
    found.push(
      invalid('/destination', 'source and destination are of different families: make them both IPv4 or IPv6'),
    );
  }
  if (etherType === undefined) return found;
  const family =
    etherType === ETHER_TYPE.ip6 ? 6 : etherType === ETHER_TYPE.ip4 || etherType === ETHER_TYPE.arp ? 4 : 0;
  for (const { name, family: other } of named) {
    if (other === family) continue;
    found.push(
      invalid(`/${name}`, `${name} is IPv${other}, which etherType ${hex(etherType)} never carries: change one`),
    );
  }
  const l4 = L4_CONDITIONS.find((name) => held(name) !== undefined);
  if (l4 !== undefined && etherType !== ETHER_TYPE.ip4 && etherType !== ETHER_TYPE.ip6) {
    found.push(invalid(`/${l4}`, `${l4} is for IP, not for etherType ${hex(etherType)}: change one of them`));
  }
  return found;
}

const hex = (value: number): string => `0x${value.toString(16).padStart(4, '0')}`;

function checkRanges(match: Match): Finding[] {
  const found: Finding[] = [];
  for (const name of ['sourcePorts', 'destinationPorts'] as const) {
    const range = match[name];
    if (range === undefined || range.from <= range.to) continue;
    found.push(invalid(`/${name}`, `the range from ${range.from} to ${range.to} is empty: swap from and to`));
  }
  const flags = match.tcpFlags;
  if (flags !== undefined && (flags.set & ~flags.of) !== 0) {
    found.push(invalid('/tcpFlags/set', 'set holds flags that are not looked at: add them to of'));
  }
  if (match.untagged !== undefined && match.vlan !== undefined) {
    found.push(invalid('/vlan', 'no frame is untagged and in a VLAN: leave untagged or vlan out'));
  }
  for (const name of ['etherSource', 'etherDestination'] as const) {
    const given = match[name];
    if (given?.mask === undefined || (BigInt(parseMac(given.mac)!) & ~BigInt(parseMac(given.mask)!)) === 0n) continue;
    found.push(invalid(`/${name}/mac`, 'the address has bits that the mask leaves out: clear them'));
  }
  return found;
}
