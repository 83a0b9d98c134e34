import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check } from './check.ts';
import type { Resource, ResourceRef } from './kinds.ts';
import { applyChanges, emptyTopology } from './snapshot.ts';
import {
  before,
  del,
  guest,
  id,
  leg,
  NOWHERE,
  port,
  problems,
  type Row,
  ref,
  rule,
  WORLD,
} from './testing/check-world.ts';
import { cpuMs, putAll, refOf, sample } from './testing/samples.ts';

// References, identity, quotas, ports and deletions; check-rules.test.ts has the rest.

test('the world of this test has no problem', () => {
  const change = putAll(...WORLD);
  assert.deepEqual(check(change, emptyTopology(), before), []);
});

const ROWS: readonly Row[] = [
  // References and identity
  [
    'a device that is not there',
    [port(20, { deviceId: NOWHERE })],
    [`422 invalid /deviceId there is no bridge or router ${NOWHERE}: create it first, or name another`],
  ],
  [
    'a chain that is a router',
    [sample('bridge', 9, { inboundChainId: id('router', 1) })],
    ['422 invalid /inboundChainId #1 is a router: name a chain'],
  ],
  [
    'a group in a list that is not there',
    [guest(7, { portGroupIds: [id('portGroup', 3), NOWHERE] })],
    [`422 invalid /portGroupIds/1 there is no portGroup ${NOWHERE}: create it first, or name another`],
  ],
  [
    'an id that another kind has',
    [sample('router', 9, { id: id('bridge', 1) })],
    ['409 conflict /id #1 is the id of a bridge: choose another'],
  ],
  [
    'a port that changes its device',
    [port(7, { deviceId: id('bridge', 2) })],
    ['422 invalid /deviceId deviceId never changes: leave it#1, or create another port'],
  ],
  // Quotas
  [
    'more than the quota allows',
    [sample('bridge', 9, { projectId: id('project', 1) })],
    [
      '409 conflict /projectId project "red"#1 may have 1 of kind bridge, and this would make 2: delete some, or raise quotas.bridge',
    ],
  ],
  ['what the quota does not count anew', [sample('bridge', 1, { name: 'lan 2', projectId: id('project', 1) })], []],
  [
    'a quota on no kind',
    [sample('project', 2, { quotas: { ports: 3 } })],
    [
      '422 invalid /quotas/ports there is no kind ports; there are project, bridge, router, port, route, chain, rule, addressSet, portGroup, dhcpSubnet, dhcpHost, host, tunnelZone',
    ],
  ],
  // Ports by themselves
  [
    'a group MAC',
    [guest(20, { mac: '01:00:5e:00:00:01' })],
    [
      '422 invalid /mac 01:00:5e:00:00:01 is no address of one interface: choose one whose first byte is even, not all zero',
    ],
  ],
  [
    'a multicast address',
    [guest(20, { addresses: ['ff02::1/128'] })],
    ['422 invalid /addresses/0 ff02::1 is no address of one interface: choose a unicast address'],
  ],
  [
    'a broadcast address',
    [guest(20, { addresses: ['10.8.0.255/24'] })],
    ['422 invalid /addresses/0 10.8.0.255 is the network or broadcast address of its /24: choose one between them'],
  ],
  ['both addresses of a /31', [leg(20, { addresses: ['10.8.0.0/31'] })], []],
  ['a router port without addresses', [leg(20)], []],
  [
    'a VLAN on a router port',
    [leg(20, { vlan: 5 })],
    ['422 invalid /vlan a router port has no VLAN: set it on the bridge port at its other end'],
  ],
  [
    'advertisements on a bridge port',
    [
      guest(20, {
        routerAdvertisement: {
          managed: false,
          otherConfiguration: false,
          lifetimeSeconds: 0,
          intervalSeconds: 600,
          autonomous: true,
          dnsServers: [],
          prefixes: [],
        },
      }),
    ],
    ['422 invalid /routerAdvertisement only router ports advertise: set it on the router port behind this one'],
  ],
  [
    'anti-spoofing with nothing to compare',
    [guest(20, { antiSpoofing: true })],
    ['422 invalid /mac antiSpoofing compares packets with the mac of the port: give it one'],
  ],
  [
    'anti-spoofing on a router',
    [leg(20, { antiSpoofing: true })],
    ['422 invalid /antiSpoofing routers check no guests: set it on the ports of the bridge'],
  ],
  [
    'IPv6 on too small an MTU',
    [leg(20, { addresses: ['fd00:2::1/64'], mtuBytes: 1000 })],
    ['422 invalid /mtuBytes IPv6 needs at least 1280 bytes: raise it, or use IPv4 alone'],
  ],
  // Ports and their neighbours
  [
    'an address that a guest of the bridge has',
    [guest(20, { addresses: ['10.1.0.11/24'] })],
    ['409 conflict /addresses/0 10.1.0.11 is that of port "web"#1 on bridge "lan"#1: choose another'],
  ],
  [
    'an address that the router behind the bridge has',
    [guest(20, { addresses: ['10.1.0.20/24', 'fd00:1::1/64'] })],
    ['409 conflict /addresses/1 fd00:1::1 is that of port "to lan"#3 on bridge "lan"#1: choose another'],
  ],
  [
    'a router port that takes the address of a guest',
    [leg(3, { mac: '02:00:00:00:00:03', addresses: ['10.1.0.11/24'], peerId: id('port', 2) })],
    ['409 conflict /addresses/0 10.1.0.11 is that of port "web"#1 on bridge "lan"#1: choose another'],
  ],
  ['the same address on another bridge', [port(20, { deviceId: id('bridge', 2), addresses: ['10.1.0.11/24'] })], []],
  [
    'a MAC that a guest of the bridge has',
    [guest(20, { mac: '02:00:00:00:00:01' })],
    ['409 conflict /mac 02:00:00:00:00:01 is that of port "web"#1 on bridge "lan"#1: choose another'],
  ],
  ['the same MAC in another VLAN', [guest(20, { mac: '02:00:00:00:00:01', vlan: 7 })], []],
  [
    'a VLAN in which the MAC is taken',
    [guest(1, { mac: '02:00:00:00:00:08', vlan: 5 })],
    ['409 conflict /mac 02:00:00:00:00:08 is that of port "vlan 5"#8 on bridge "lan"#1: choose another'],
  ],
  [
    'networks of one router that overlap',
    [leg(20, { addresses: ['10.1.0.129/25'] })],
    [
      '409 conflict /addresses/0 10.1.0.128/25 overlaps 10.1.0.0/24 of port "to lan"#3 on router "r1"#1: choose another network',
    ],
  ],
  [
    'two addresses of one port in one network',
    [leg(4, { mac: '02:00:00:00:00:04', addresses: ['192.0.2.2/24', '192.0.2.3/24'] })],
    [],
  ],
  [
    'addresses that leave a route without a gateway',
    [leg(4, { mac: '02:00:00:00:00:04', addresses: ['192.0.3.2/24'] })],
    [
      '409 conflict /addresses route "default"#1 to 0.0.0.0/0 would be left without a way: gateway 192.0.2.1 is in no network of port#4; change or delete it first',
    ],
  ],
  // Binding
  [
    'a host without an interface',
    [guest(20, { hostId: id('host', 1) })],
    ['422 invalid /interfaceName hostId alone binds nothing: name the interface of the host too'],
  ],
  [
    'an interface without a host',
    [guest(20, { interfaceName: 'tap9' })],
    ['422 invalid /hostId interfaceName alone binds nothing: name the host too'],
  ],
  [
    'an interface that has a port',
    [guest(20, { hostId: id('host', 1), interfaceName: 'tap1' })],
    ['409 conflict /interfaceName interface tap1 of host "h1"#1 is bound to port "web"#1: unbind that one first'],
  ],
  ['the same interface name on another host', [guest(20, { hostId: id('host', 2), interfaceName: 'tap1' })], []],
  [
    'bound and peered',
    [guest(2, { peerId: id('port', 3), hostId: id('host', 1), interfaceName: 'tap2' })],
    ['422 invalid /peerId a port is bound or peered, not both: leave out peerId, or hostId and interfaceName'],
  ],
  // Peering
  [
    'a wire to itself',
    [guest(7, { peerId: id('port', 7) })],
    ['422 invalid /peerId a port cannot be peered with itself: name another port'],
  ],
  [
    'a wire that one end denies',
    [guest(7, { peerId: id('port', 5) })],
    ['409 conflict /peerId port "other"#5 does not name this one: both ends name each other'],
  ],
  [
    'a wire whose other end is taken',
    [guest(7, { peerId: id('port', 3) })],
    ['409 conflict /peerId port "to lan"#3 is peered with port "to r1"#2: both ends name each other'],
  ],
  [
    'a wire within one device',
    [guest(7, { peerId: id('port', 8) }), guest(8, { peerId: id('port', 7) })],
    [
      '422 invalid /peerId port#8 is on the same device: peer with a port of another one',
      '422 invalid /peerId port#7 is on the same device: peer with a port of another one',
    ],
  ],
  [
    'a wire between routers',
    [leg(20, { peerId: id('port', 5) }), port(5, { deviceId: id('router', 2), peerId: id('port', 20) })],
    [],
  ],
  [
    'a wire between projects',
    [
      guest(20, { projectId: id('project', 1), peerId: id('port', 4) }),
      leg(4, { projectId: id('project', 2), addresses: ['192.0.2.2/24'], peerId: id('port', 20) }),
    ],
    [
      '422 invalid /peerId project "red"#1 and project "blue"#2 do not share wires: peer with a port of the same project or the operator',
      '422 invalid /peerId project "blue"#2 and project "red"#1 do not share wires: peer with a port of the same project or the operator',
    ],
  ],
  [
    'a wire of a project to the operator',
    [
      guest(20, { projectId: id('project', 1), peerId: id('port', 5) }),
      port(5, { deviceId: id('router', 2), peerId: id('port', 20) }),
    ],
    [],
  ],
  [
    'a wire between bridges with VLANs at both ends',
    [
      guest(20, { vlan: 5, peerId: id('port', 6) }),
      port(6, { deviceId: id('bridge', 2), vlan: 6, peerId: id('port', 20) }),
    ],
    [
      '422 invalid /vlan port#6 has a VLAN as well: one end of a wire between bridges may, leave one out',
      '422 invalid /vlan port#20 has a VLAN as well: one end of a wire between bridges may, leave one out',
    ],
  ],
  [
    'a wire between bridges with a VLAN at one end',
    [guest(20, { vlan: 5, peerId: id('port', 6) }), port(6, { deviceId: id('bridge', 2), peerId: id('port', 20) })],
    [],
  ],
];

for (const [what, put, expected] of ROWS) {
  test(`${expected.length === 0 ? 'allowed' : 'refused'}: ${what}`, () => {
    assert.deepEqual(problems(put), expected);
  });
}

const DELETIONS: readonly (readonly [
  what: string,
  put: readonly Resource[],
  deleted: readonly ResourceRef[],
  expected: readonly string[],
])[] = [
  [
    'a bridge with ports and a subnet',
    [],
    del(ref('bridge', 1)),
    [
      '409 inUse  bridge "lan"#1 is in use by port "web"#1, port "to r1"#2, port "spare"#7, port "vlan 5"#8, dhcpSubnet "guests"#1: change or delete those first',
    ],
  ],
  [
    'a chain that others jump to',
    [],
    del(ref('chain', 3)),
    ['409 inUse  chain "log"#3 is in use by rule#2: change or delete that first'],
  ],
  [
    'a host with ports, in a zone',
    [],
    del(ref('host', 1)),
    ['409 inUse  host "h1"#1 is in use by port "web"#1, tunnelZone "underlay"#1: change or delete those first'],
  ],
  [
    'a set that a rule speaks of',
    [],
    del(ref('addressSet', 1)),
    ['409 inUse  addressSet "office"#1 is in use by rule "to web"#1: change or delete that first'],
  ],
  [
    'a port that a route leaves by',
    [],
    del(ref('port', 4)),
    ['409 inUse  port "uplink"#4 is in use by route "default"#1: change or delete that first'],
  ],
  [
    'a project with objects',
    [],
    del(ref('project', 1)),
    ['409 inUse  project "red"#1 is in use by bridge "lan"#1, port "to r1"#2: change or delete those first'],
  ],
  ['a set together with its rule', [], del(ref('addressSet', 1), ref('rule', 1)), []],
  ['a chain together with what it owns', [], del(ref('chain', 1), ref('rule', 1)), []],
  ['a set that a rule no longer speaks of', [rule(1, { position: 10 })], del(ref('addressSet', 1)), []],
  [
    'a set that a new rule speaks of',
    [rule(1, { position: 10 }, { sourceSetId: id('addressSet', 1) })],
    del(ref('addressSet', 1)),
    ['422 invalid /match/sourceSetId addressSet "office"#1 is deleted by the same request'],
  ],
  ['an unused port', [], del(refOf(guest(7))), []],
];

for (const [what, put, deleted, expected] of DELETIONS) {
  test(`${expected.length === 0 ? 'allowed' : 'refused'}: deleting ${what}`, () => {
    assert.deepEqual(problems(put, deleted), expected);
  });
}

test('a problem says which objects are in the way', () => {
  const change = { revision: 2, put: [], del: del(ref('host', 1)) };
  const [problem] = check(change, before, applyChanges(before, change).topology);
  assert.deepEqual(problem?.objects, [ref('port', 1), ref('tunnelZone', 1)]);
  assert.deepEqual([problem?.kind, problem?.id], ['host', id('host', 1)]);
});

test('a winner of an address that was there first does not hide the second', () => {
  // The new one has the lower number, so the snapshot would give it the address.
  const put = [guest(9, { tunnelKey: 0, addresses: ['10.1.0.11/24'] })];
  assert.equal(problems(put).length, 1);
});

test('ten thousand ports are checked in well under a second', () => {
  const ports = Array.from({ length: 10_000 }, (_, n) => {
    const low = (n + 1000)
      .toString(16)
      .padStart(4, '0')
      .replace(/..(?=.)/, '$&:');
    return guest(n + 1000, { mac: `02:00:00:01:${low}`, addresses: [`10.${100 + (n >> 8)}.${n & 255}.1/16`] });
  });
  const change = { revision: 2, put: ports, del: [] };
  const { topology: after } = applyChanges(before, change);
  const spent = cpuMs(() => assert.deepEqual(check(change, before, after), []));
  assert.ok(spent < 1000, `${spent} ms`);
});
