import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guest, id, lease, leg, problems, type Row, route, rule, subnet } from './testing/check-world.ts';
import { sample } from './testing/samples.ts';

// Groups, routes, rules, DHCP and zones.
const ROWS: readonly Row[] = [
  // Groups
  [
    'a port in two stateful groups',
    [leg(3, { peerId: id('port', 2), portGroupIds: [id('portGroup', 1), id('portGroup', 2)] })],
    [
      '422 invalid /portGroupIds portGroup "edge"#1 and portGroup "more"#2 are both stateful: a port is in at most one such group, leave one out',
    ],
  ],
  [
    'a stateful group over two devices',
    [guest(7, { portGroupIds: [id('portGroup', 1)] })],
    [
      '409 conflict /portGroupIds port "to lan"#3 of stateful portGroup "edge"#1 is on another device: its members are on one',
    ],
  ],
  [
    'a group over two devices',
    [
      guest(7, { portGroupIds: [id('portGroup', 3)] }),
      leg(4, { addresses: ['192.0.2.2/24'], portGroupIds: [id('portGroup', 3)] }),
    ],
    [],
  ],
  [
    'a group over two devices that becomes stateful',
    [
      guest(7, { portGroupIds: [id('portGroup', 3)] }),
      leg(4, { addresses: ['192.0.2.2/24'], portGroupIds: [id('portGroup', 3)] }),
      sample('portGroup', 3, { stateful: true }),
    ],
    [
      '409 conflict /portGroupIds port#4 of stateful portGroup#3 is on another device: its members are on one',
      '409 conflict /portGroupIds port#7 of stateful portGroup#3 is on another device: its members are on one',
      '409 conflict /stateful port#4 and port#7 are in the group and on different devices: members of a stateful group are on one device, take one out',
    ],
  ],
  [
    'a set that is too large',
    [sample('addressSet', 1, { addresses: Array.from({ length: 10_001 }, (_, n) => `10.0.${n >> 8}.${n & 255}/32`) })],
    [
      '422 invalid /addresses 10001 addresses are more than the 10000 that a set may hold: merge some into shorter prefixes, or use two sets',
    ],
  ],
  // Routes
  ['a route out of no port', [route(20, {})], ['422 invalid /portId a route out of a port needs portId: that port']],
  [
    'a route out of the port of another router',
    [route(20, { portId: id('port', 5) })],
    ['422 invalid /portId port "other"#5 is not on router "r1"#1: name a port of the router'],
  ],
  [
    'a blackhole with a gateway',
    [route(20, { nextHop: 'blackhole', gateway: '192.0.2.1' })],
    ['422 invalid /gateway blackhole leaves by no port: leave gateway out, or make nextHop port'],
  ],
  [
    'a gateway that is far away',
    [route(20, { portId: id('port', 4), gateway: '198.51.100.1' })],
    ['422 invalid /gateway gateway 198.51.100.1 is in no network of port "uplink": name a neighbour of the port'],
  ],
  [
    'a gateway that is the port itself',
    [route(20, { portId: id('port', 4), gateway: '192.0.2.2' })],
    ["422 invalid /gateway gateway 192.0.2.2 is the port's own address: name a neighbour of the port"],
  ],
  ['a link-local gateway', [route(20, { destination: '::/0', portId: id('port', 3), gateway: 'fe80::1' })], []],
  ['a route on the link', [route(20, { portId: id('port', 4) })], []],
  [
    'families mixed in a route',
    [route(20, { destination: 'fd00:9::/64', source: '10.0.0.0/8', portId: id('port', 4), gateway: '192.0.2.1' })],
    [
      '422 invalid /source source is not IPv6 as the destination is: make them one family',
      '422 invalid /gateway gateway is not IPv6 as the destination is: make them one family',
    ],
  ],
  // Rules
  [
    'a position that is taken',
    [rule(20, { position: 10 })],
    ['409 conflict /position position 10 of chain "in"#1 is that of rule "to web"#1: choose another'],
  ],
  ['two rules that change places', [rule(1, { position: 20 }), rule(20, { position: 10 })], []],
  [
    'a jump to nowhere',
    [rule(20, { action: 'jump' })],
    ['422 invalid /jumpChainId a jump needs jumpChainId: the chain to go on in'],
  ],
  [
    'an accept that goes somewhere',
    [rule(20, { jumpChainId: id('chain', 2) })],
    ['422 invalid /jumpChainId accept goes nowhere: leave jumpChainId out, or make the action jump'],
  ],
  [
    'a jump to its own chain',
    [rule(20, { action: 'jump', jumpChainId: id('chain', 1) })],
    ['422 invalid /jumpChainId chain "in"#1 would jump to itself: break the loop'],
  ],
  [
    'a jump that comes round',
    [rule(20, { chainId: id('chain', 3), action: 'jump', jumpChainId: id('chain', 1) })],
    ['422 invalid /jumpChainId chain "log"#3 would jump to chain "in"#1, which jumps back to it: break the loop'],
  ],
  ['ports of later fragments', [rule(20, {}, { fragments: 'nonheader', destinationPorts: { from: 53, to: 53 } })], []],
  ['ICMP type of all fragments', [rule(20, {}, { fragments: 'any', icmpType: 8 })], []],
  [
    'TCP flags of later fragments',
    [rule(20, {}, { fragments: 'nonheader', protocol: 6, tcpFlags: { set: 2, of: 2 } })],
    ['422 invalid /match/fragments later fragments carry no TCP flags: leave fragments or tcpFlags out'],
  ],
  ['ports of first fragments', [rule(20, {}, { fragments: 'header', destinationPorts: { from: 53, to: 53 } })], []],
  [
    'ports of a protocol without',
    [rule(20, {}, { protocol: 1, sourcePorts: { from: 1, to: 2 } })],
    [
      '422 invalid /match/sourcePorts sourcePorts is for TCP (6), UDP (17) and SCTP (132), not for protocol 1: change one of them',
    ],
  ],
  [
    'ports of whatever is not ICMP',
    [rule(20, {}, { protocol: 1, not: ['protocol'], sourcePorts: { from: 1, to: 2 } })],
    [],
  ],
  [
    'an ICMP type of TCP',
    [rule(20, {}, { protocol: 6, icmpType: 8 })],
    ['422 invalid /match/icmpType icmpType is for ICMP (1) and ICMPv6 (58), not for protocol 6: change one of them'],
  ],
  [
    'TCP flags of UDP',
    [rule(20, {}, { protocol: 17, tcpFlags: { set: 2, of: 2 } })],
    ['422 invalid /match/tcpFlags tcpFlags is for TCP (6), not for protocol 17: change one of them'],
  ],
  [
    'an ICMP type and ports',
    [rule(20, {}, { icmpType: 8, sourcePorts: { from: 1, to: 2 } })],
    ['422 invalid /match/icmpType no packet has both icmpType and sourcePorts: leave one out'],
  ],
  [
    'flags set that are not looked at',
    [rule(20, {}, { tcpFlags: { set: 3, of: 2 } })],
    ['422 invalid /match/tcpFlags/set set holds flags that are not looked at: add them to of'],
  ],
  [
    'a range that is empty',
    [rule(20, {}, { sourcePorts: { from: 9, to: 2 } })],
    ['422 invalid /match/sourcePorts the range from 9 to 2 is empty: swap from and to'],
  ],
  [
    'families mixed in a rule',
    [rule(20, {}, { source: '10.0.0.0/8', destination: 'fd00::/8' })],
    ['422 invalid /match/destination source and destination are of different families: make them both IPv4 or IPv6'],
  ],
  [
    'an address that the EtherType has not',
    [rule(20, {}, { etherType: 0x0806, source: 'fd00::/8' })],
    ['422 invalid /match/source source is IPv6, which etherType 0x0806 never carries: change one'],
  ],
  [
    'ports of ARP',
    [rule(20, {}, { etherType: 0x0806, destinationPorts: { from: 1, to: 1 } })],
    ['422 invalid /match/destinationPorts destinationPorts is for IP, not for etherType 0x0806: change one of them'],
  ],
  [
    'untagged and in a VLAN',
    [rule(20, {}, { untagged: true, vlan: 5 })],
    ['422 invalid /match/vlan no frame is untagged and in a VLAN: leave untagged or vlan out'],
  ],
  [
    'a MAC outside of its mask',
    [rule(20, {}, { etherSource: { mac: '02:00:00:00:00:01', mask: 'ff:00:00:00:00:00' } })],
    ['422 invalid /match/etherSource/mac the address has bits that the mask leaves out: clear them'],
  ],
  [
    'a condition that is not there turned round',
    [rule(20, {}, { not: ['source'] })],
    ['422 invalid /match/not/0 the rule has no condition source to turn round: add it, or leave it out here'],
  ],
  [
    'a condition turned round twice',
    [rule(20, {}, { protocol: 6, not: ['protocol', 'protocol'] })],
    ['422 invalid /match/not/1 protocol is in the list twice: leave one out'],
  ],
  [
    'no port in a list of ports',
    [rule(20, {}, { inPortIds: [] })],
    ['422 invalid /match/inPortIds no port is in inPortIds: name some, or leave it out'],
  ],
  // DHCP
  [
    'a gateway outside of the subnet',
    [subnet(1, { gateway: '10.6.0.1' })],
    ['422 invalid /gateway 10.6.0.1 is not in the prefix of the subnet: choose one inside'],
  ],
  [
    'no address to serve from',
    [sample('dhcpSubnet', 20, { bridgeId: id('bridge', 2), prefix: '10.5.0.0/24' })],
    ['422 invalid /serverAddress a DHCPv4 server needs an address to speak from: give serverAddress or gateway'],
  ],
  [
    'subnets of one bridge that overlap',
    [subnet(20, { prefix: '10.5.0.128/25', gateway: '10.5.0.129' })],
    [
      '409 conflict /prefix 10.5.0.128/25 overlaps dhcpSubnet "guests"#1 of the same bridge: choose another prefix, or change that one',
    ],
  ],
  ['the same subnet on another bridge', [subnet(20, { bridgeId: id('bridge', 2) })], []],
  [
    'a prefix that leaves a host outside',
    [subnet(1, { prefix: '10.7.0.0/24', gateway: '10.7.0.1' })],
    ['409 conflict /prefix dhcpHost "printer"#1 has an address outside of 10.7.0.0/24: change or delete it first'],
  ],
  [
    'a name server of the other family',
    [subnet(1, { dnsServers: ['10.5.0.2', 'fd00::53'] })],
    ['422 invalid /dnsServers/1 fd00::53 is not IPv4 as the prefix is: DHCPv4 cannot tell it'],
  ],
  [
    'a gateway by DHCPv6',
    [subnet(20, { prefix: 'fd00:5::/64', gateway: 'fd00:5::1' })],
    ['422 invalid /gateway DHCPv6 tells no gateway: leave it out; routers advertise themselves'],
  ],
  [
    'a host outside of its subnet',
    [lease(20, { mac: '02:00:00:00:05:20', address: '10.6.0.9' })],
    ['422 invalid /address 10.6.0.9 is not in the prefix of the subnet: choose one inside'],
  ],
  [
    'a host at the broadcast address',
    [lease(20, { mac: '02:00:00:00:05:20', address: '10.5.0.255' })],
    ['422 invalid /address 10.5.0.255 is the network or broadcast address of the subnet: choose one between them'],
  ],
  [
    'a host with the address of the gateway',
    [lease(20, { mac: '02:00:00:00:05:20', address: '10.5.0.1' })],
    ['409 conflict /address 10.5.0.1 is the gateway of the subnet: choose another'],
  ],
  [
    'a host twice',
    [lease(20, {})],
    [
      '409 conflict /mac 02:00:00:00:05:09 is that of dhcpHost "printer"#1: change or delete that one first',
      '409 conflict /address 10.5.0.9 is that of dhcpHost "printer"#1: change or delete that one first',
    ],
  ],
  // Zones
  [
    'a member twice',
    [
      sample('tunnelZone', 1, {
        members: [
          { hostId: id('host', 1), address: '172.16.0.1' },
          { hostId: id('host', 1), address: '172.16.0.2' },
        ],
      }),
    ],
    ['422 invalid /members/1/hostId host "h1"#1 is a member already, with 172.16.0.1: leave one out'],
  ],
  [
    'an underlay address that another host has',
    [sample('tunnelZone', 2, { members: [{ hostId: id('host', 2), address: '172.16.0.1' }] })],
    ['409 conflict /members/0/address 172.16.0.1 is the underlay address of host "h1"#1: give another'],
  ],
  [
    'an underlay of two families',
    [
      sample('tunnelZone', 1, {
        members: [
          { hostId: id('host', 1), address: '172.16.0.1' },
          { hostId: id('host', 2), address: 'fd00::2' },
        ],
      }),
    ],
    ["422 invalid /members/1/address fd00::2 is not IPv4 as the first member's: use one family in a zone"],
  ],
];

for (const [what, put, expected] of ROWS) {
  test(`${expected.length === 0 ? 'allowed' : 'refused'}: ${what}`, () => {
    assert.deepEqual(problems(put), expected);
  });
}

/** So many chains, each of which jumps to the next. */
const ladder = (chains: number) =>
  Array.from({ length: chains }, (_, at) => [
    sample('chain', 100 + at),
    ...(at + 1 < chains ? [rule(100 + at, jumpFrom(at))] : []),
  ]).flat();
const jumpFrom = (at: number) =>
  ({ chainId: id('chain', 100 + at), action: 'jump', jumpChainId: id('chain', 101 + at) }) as const;

test('jumps may be nested 64 chains deep and not deeper', () => {
  assert.deepEqual(problems(ladder(64)), []);
  const found = problems(ladder(65));
  assert.match(found[0]!, /^422 invalid \/jumpChainId jumps through .* would be nested deeper than 64 chains: put the/);
});
