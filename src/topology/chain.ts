// Chains and their rules. Rules are tried by rising position; no match at the end of a chain means accept.
import Type, { type Static } from 'typebox';
import { flag, id, ids, integer, mac, prefix, resource } from './resource.ts';

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
export const matchSchema = Type.Object(
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
export const INVERTIBLE = [
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
