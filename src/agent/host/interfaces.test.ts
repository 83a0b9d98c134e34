import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp } from '../../packet/address.ts';
import { applyChanges, emptyTopology } from '../../topology/snapshot.ts';
import { putAll, sample, sampleId } from '../../topology/testing/samples.ts';
import { lifelinesAmong, parseInterfaces, parseRoutes, tunnelEnds, whyReserved } from './interfaces.ts';

// `ip -d -j address show` of iproute2 6.1, shortened to the fields that are read and some that are not.
const LISTING = JSON.stringify([
  { ifindex: 1, ifname: 'lo', flags: ['LOOPBACK', 'UP'], mtu: 65536, operstate: 'UNKNOWN', addr_info: [] },
  {
    ifindex: 2,
    ifname: 'eth0',
    flags: ['BROADCAST', 'UP', 'LOWER_UP'],
    mtu: 1600,
    operstate: 'UP',
    address: '02:00:00:00:00:02',
    addr_info: [{ family: 'inet', local: '192.0.2.1', prefixlen: 24 }, {}],
  },
  {
    ifindex: 7,
    link_index: 2,
    link_netnsid: 0,
    ifname: 'vm1',
    flags: ['NO-CARRIER', 'UP'],
    mtu: 1500,
    operstate: 'LOWERLAYERDOWN',
    linkinfo: { info_kind: 'veth' },
  },
  { ifindex: 8, link: 'v0', ifname: 'v1', flags: [], mtu: 1500, operstate: 'DOWN', linkinfo: { info_kind: 'veth' } },
  { ifindex: 9, ifname: 'tap0', flags: ['UP'], mtu: 1500, operstate: 'UNKNOWN', linkinfo: { info_kind: 'tun' } },
]);

test('interfaces are read as iproute2 lists them, without loopback', () => {
  const found = parseInterfaces(LISTING);
  assert.deepEqual([...found.keys()], ['eth0', 'vm1', 'v1', 'tap0']);
  assert.deepEqual(found.get('eth0'), {
    name: 'eth0',
    ifindex: 2,
    mac: '02:00:00:00:00:02',
    mtuBytes: 1600,
    raised: true,
    up: true,
    addresses: ['192.0.2.1/24'],
    tap: true,
  });
});

test('up means raised and not known to be without carrier', () => {
  const found = parseInterfaces(LISTING);
  assert.deepEqual(
    ['vm1', 'v1', 'tap0'].map((name) => [found.get(name)?.raised, found.get(name)?.up]),
    [
      [true, false],
      [false, false],
      [true, true],
    ],
  );
});

test('only a veth whose other end is in another namespace is delivered to its peer', () => {
  const found = parseInterfaces(LISTING);
  assert.deepEqual(
    ['vm1', 'v1', 'tap0'].map((name) => found.get(name)?.tap),
    [false, true, true],
  );
});

// A bond of two under a bridge with a guest's tap beside it, and a VLAN on the bridge that has the underlay address.
const STACKED = JSON.stringify(
  [
    { ifname: 'eth0', master: 'bond0' },
    { ifname: 'eth1', master: 'bond0' },
    { ifname: 'bond0', master: 'br0', linkinfo: { info_kind: 'bond' } },
    { ifname: 'tap7', master: 'br0', linkinfo: { info_kind: 'tun' } },
    { ifname: 'br0', linkinfo: { info_kind: 'bridge' } },
    {
      ifname: 'br0.9',
      link: 'br0',
      linkinfo: { info_kind: 'vlan' },
      addr_info: [{ local: '192.0.2.1', prefixlen: 24 }],
    },
    { ifname: 'br0.5', link: 'br0', linkinfo: { info_kind: 'vlan' } },
    { ifname: 'eth2', link: null },
    { ifname: 'eth2.3', link: 'eth2', linkinfo: { info_kind: 'vlan' } },
    { ifname: 'vm1', link_index: 2, link_netnsid: 0, linkinfo: { info_kind: 'veth' } },
  ].map((link, at) => ({ ifindex: at + 2, flags: ['UP'], mtu: 1500, operstate: 'UP', ...link })),
);

test('what carries the underlay is a lifeline too: members of bonds and bridges, parents of VLANs', () => {
  const found = parseInterfaces(STACKED);
  const free = (lifelines: ReadonlySet<string>) =>
    [...found.values()].filter((one) => whyReserved(one, lifelines) === undefined).map(({ name }) => name);
  const local = new Set([parseIp('192.0.2.1')!]);
  const carrying = ['br0.9', 'br0', 'bond0', 'tap7', 'eth0', 'eth1'];
  assert.deepEqual([...lifelinesAmong(found, [], local)].sort(), [...carrying].sort());
  assert.deepEqual(free(lifelinesAmong(found, [], local)), ['br0.5', 'eth2', 'eth2.3', 'vm1']);
  // By the way to a server, whatever the addresses are; and one that is not listed any more.
  assert.deepEqual(free(lifelinesAmong(found, ['eth2.3', 'gone'], new Set())), [
    ...carrying.toSorted((a, b) => found.get(a)!.ifindex - found.get(b)!.ifindex),
    'br0.5',
    'vm1',
  ]);
  assert.deepEqual(free(lifelinesAmong(found, [], new Set())), [...found.keys()]);
});

test('routes are those that iproute2 found, by the host that they lead to', () => {
  const output = [
    '[{"dst":"192.0.2.2","from":"192.0.2.1","dev":"eth0","flags":[],"uid":0,"cache":[]}]',
    '[{"type":"local","dst":"192.0.2.4","from":"192.0.2.1","dev":"lo"}]',
    '[{"type":"unreachable","dst":"192.0.2.5","dev":"lo"}]',
    '',
  ].join('\n');
  const local = parseIp('192.0.2.1')!;
  const end = (hostId: string, last: number) => ({ hostId, local, remote: parseIp(`192.0.2.${last}`)! });
  const routes = parseRoutes(output, [end('two', 2), end('three', 3), end('four', 4), end('five', 5)]);
  assert.deepEqual([...routes.values()], [{ ...end('two', 2), interfaceName: 'eth0' }]);
});

test('two hosts tunnel by the first zone that both are in', () => {
  const [me, other, stranger] = [1, 2, 3].map((n) => sampleId('host', n));
  const member = (hostId: string | undefined, address: string) => ({ hostId: hostId!, address });
  const zones = [
    sample('tunnelZone', 2, { members: [member(me, '10.2.0.1'), member(other, '10.2.0.2')] }),
    sample('tunnelZone', 1, { members: [member(other, 'fd00::2'), member(me, 'fd00::1')] }),
    sample('tunnelZone', 3, { members: [member(stranger, '10.3.0.3'), member(other, '10.3.0.2')] }),
  ];
  const { topology } = applyChanges(emptyTopology(), putAll(...zones));
  assert.deepEqual(tunnelEnds(me!, topology), [
    { hostId: other, local: parseIp('fd00::1'), remote: parseIp('fd00::2') },
  ]);
});
