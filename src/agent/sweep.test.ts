import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatPacket } from '../packet/packet.ts';
import type { Resource } from '../topology/kinds.ts';
import { sample, sampleId } from '../topology/testing/samples.ts';
import { FLOW_IDLE_MS, NEIGHBOUR_REASK_MS } from './limits.ts';
import { ELSEWHERE, HERE, TestHost } from './testing/test-host.ts';

const LAN = sampleId('bridge', 1);
const ROUTER = sampleId('router', 1);
const A = '02:00:00:00:00:0a';
const B = '02:00:00:00:00:0b';
const GATEWAY = '02:00:00:00:00:01';
const NEIGHBOUR = '02:00:00:00:00:99';
const packet = `eth(${A}, ${B}) ip(10.0.0.5, 10.0.0.6) udp(1000, 53)`;

const guest = (n: number, fields: object = {}): Resource =>
  sample('port', n, { deviceId: LAN, hostId: HERE, interfaceName: `tap${n}`, ...fields });

function hostWith(...network: Resource[]): TestHost {
  const host = new TestHost();
  host.load(...network);
  host.settle();
  return host;
}

const LEARNING = [sample('bridge', 1), guest(5), guest(6)];
const ROUTED = [
  sample('bridge', 1),
  sample('router', 1),
  guest(5, { mac: A, addresses: ['10.0.0.5/24', 'fd00::5/64'] }),
  guest(6, { vlan: 7 }),
  guest(4, { hostId: ELSEWHERE }),
  sample('port', 7, {
    deviceId: ROUTER,
    mac: GATEWAY,
    addresses: ['10.0.0.1/24', 'fd00::1/64'],
    peerId: sampleId('port', 8),
  }),
  sample('port', 8, { deviceId: LAN, peerId: sampleId('port', 7) }),
  sample('port', 9, {
    deviceId: ROUTER,
    mac: '02:00:00:00:00:02',
    addresses: ['198.51.100.1/24'],
    hostId: HERE,
    interfaceName: 'eth1',
  }),
];

test('a flow that nothing used for a minute goes, others stay', () => {
  const host = hostWith(...LEARNING);
  host.send(5, packet);
  host.send(6, `eth(${B}, ${A}) ip(10.0.0.6, 10.0.0.5) udp(53, 1000)`);
  const flows = host.datapath.flows();
  const gone = flows[0]!;
  host.datapath.age(gone, FLOW_IDLE_MS + 1);
  host.sweeper.sweep(host.now);
  assert.equal(host.datapath.flows().length, flows.length - 1);
  assert.equal(host.flows.get(gone.key, gone.mask), undefined);
});

test('a flow that answers for a neighbour stays however long nobody asks', () => {
  const host = hostWith(...ROUTED);
  host.send(5, `arp(request, ${A}, 10.0.0.5, 10.0.0.1)`);
  const [flow] = host.datapath.flows();
  host.datapath.age(flow!, 10 * FLOW_IDLE_MS);
  host.sweeper.sweep(host.now);
  assert.match(host.actions().join(), /answer-neighbour/);
});

test('a flow in the kernel that no one knows is removed once nothing is pending', () => {
  const host = hostWith(...LEARNING);
  host.send(5, packet);
  const other = new TestHost(host.datapath);
  other.load(...LEARNING);
  other.sweeper.sweep(other.now);
  assert.equal(host.datapath.installed.size, 1);
  other.settle();
  other.sweeper.sweep(other.now);
  assert.equal(host.datapath.installed.size, 0);
});

test('a learned MAC lives on by the use of its flows, not by packets, and is forgotten after them', () => {
  const host = hostWith(...LEARNING);
  host.send(5, packet);
  const known = () => host.replica.learned.macPort(LAN, 0, 0x02_00_00_00_00_0a as never);
  const minutes = (n: number) => n * 60_000;
  host.now += minutes(4);
  host.sweeper.sweep(host.now);
  host.now += minutes(4);
  host.sweeper.turn(host.now);
  assert.equal(known(), sampleId('port', 5));
  host.datapath.age(host.datapath.flows()[0]!, minutes(9));
  host.now += minutes(6);
  host.sweeper.turn(host.now);
  assert.equal(known(), undefined);
  assert.deepEqual(host.statuses.changes().at(-1)?.put, []);
});

test('a neighbour that a flow in use leads to is asked again in time', () => {
  const host = hostWith(...ROUTED);
  host.send(9, `arp(reply, ${NEIGHBOUR}, 198.51.100.7, 02:00:00:00:00:02, 198.51.100.1)`);
  host.send(5, `eth(${A}, ${GATEWAY}) ip(10.0.0.5, 198.51.100.7) udp(1, 2)`);
  host.sweeper.sweep(host.now);
  host.takeInjected();
  host.now += NEIGHBOUR_REASK_MS;
  host.sweeper.sweep(host.now);
  assert.match(formatPacket(host.datapath.injected[0]!.frame), /arp.*198\.51\.100\.7/);
  assert.deepEqual(host.takeInjected(), ['deliver 9']);
});
