import assert from 'node:assert/strict';
import { test } from 'node:test';
import { portOf } from '../flow/fields.ts';
import { DROP, UP } from '../flow/reasons.ts';
import { formatPacket } from '../packet/packet.ts';
import { frameOf } from '../packet/words.ts';
import type { Resource } from '../topology/kinds.ts';
import { sample, sampleId } from '../topology/testing/samples.ts';
import { ANSWERS_BURST, ASK_GIVE_UP_MS, PARKED_MS, PARKED_PER_PORT } from './limits.ts';
import { ELSEWHERE, HERE, TestHost } from './testing/test-host.ts';

const LAN = sampleId('bridge', 1);
const ROUTER = sampleId('router', 1);
const A = '02:00:00:00:00:0a';
const B = '02:00:00:00:00:0b';
const GATEWAY = '02:00:00:00:00:01';
const NEIGHBOUR = '02:00:00:00:00:99';

const guest = (n: number, mac: string | undefined, address: string, hostId = HERE): Resource =>
  sample('port', n, {
    deviceId: LAN,
    hostId,
    interfaceName: `tap${n}`,
    addresses: [address],
    ...(mac === undefined ? {} : { mac }),
  });

/**
 * guest 5 (A, here) and guest 6 (B, elsewhere) on a bridge; its router (10.0.0.1) is port 7, peer of 8; uplink 9 is bound
 * here, to a network that holds 198.51.100.7.
 */
const NETWORK: Resource[] = [
  sample('bridge', 1),
  sample('router', 1),
  guest(5, A, '10.0.0.5/24'),
  guest(6, B, '10.0.0.6/24', ELSEWHERE),
  sample('port', 7, { deviceId: ROUTER, mac: GATEWAY, addresses: ['10.0.0.1/24'], peerId: sampleId('port', 8) }),
  sample('port', 8, { deviceId: LAN, peerId: sampleId('port', 7) }),
  sample('port', 9, {
    deviceId: ROUTER,
    mac: '02:00:00:00:00:02',
    addresses: ['198.51.100.1/24'],
    hostId: HERE,
    interfaceName: 'eth1',
  }),
];

const toB = `eth(${A}, ${B}) ip(10.0.0.5, 10.0.0.6) udp(1000, 53)`;
const toUplink = `eth(${A}, ${GATEWAY}) ip(10.0.0.5, 198.51.100.7) udp(1000, 53)`;
/** What the agent dropped: reason, port, packets. */
const agentDrops = (host: TestHost) => host.upcalls.drops.list().map(({ id, port, packets }) => [id, port, packets]);

const arpReply = `arp(reply, ${NEIGHBOUR}, 198.51.100.7, 02:00:00:00:00:02, 198.51.100.1)`;

function hostWith(...network: Resource[]): TestHost {
  const host = new TestHost();
  for (const port of [5, 9]) host.datapath.plug(port, `eth${port}`, { tap: false });
  host.load(...network);
  host.settle();
  return host;
}

test('a packet without a flow gets one, and goes on through it', () => {
  const host = hostWith(...NETWORK);
  host.send(5, toB);
  assert.deepEqual(host.actions(), ['output 6']);
  assert.deepEqual(host.takeInjected(), ['from 5']);
  assert.equal(host.flows.size, 1);
});

test('a flooded frame that no flow decides for a member is decided here and looked up again for it', () => {
  const host = hostWith(...NETWORK);
  host.datapath.comesUp(frameOf(toB), 5, { flood: 100_001 });
  host.settle();
  assert.deepEqual(host.takeInjected(), ['member 5']);
  assert.match(host.installed()[0]!, /flood=100001 .* -> output 5$/);
});

test('a drop is a flow too', () => {
  const host = hostWith(...NETWORK);
  host.send(5, `eth(01:00:00:00:00:01, ${B}) ip(10.0.0.5, 10.0.0.6) udp(1, 2)`);
  assert.match(host.actions().join(), /^drop /);
  assert.deepEqual(host.takeInjected(), ['from 5']);
});

test('a packet to an unknown neighbour waits, its neighbour is asked for, and the answer sends it on', () => {
  const host = hostWith(...NETWORK);
  host.send(5, toUplink);
  assert.deepEqual(host.takeInjected(), ['deliver 9']);
  assert.equal(host.parking.size, 1);
  assert.equal(host.flows.size, 0);

  host.send(9, arpReply);
  assert.equal(host.parking.size, 0);
  assert.deepEqual(host.takeInjected(), ['from 5']);
  assert.ok(host.actions().some((actions) => actions.endsWith(`eth(02:00:00:00:00:02>${NEIGHBOUR}) output 9`)));
});

test('a neighbour is asked again with growing pauses', () => {
  const host = hostWith(...NETWORK);
  host.send(5, toUplink);
  const asked: number[] = [];
  for (; host.now < 1000 + ASK_GIVE_UP_MS - 1; host.now += 10) {
    host.takeInjected();
    host.settle();
    if (host.datapath.injected.length > 0) asked.push(host.now - 1000);
  }
  assert.deepEqual(asked, [250, 750, 1750]);
});

test('a neighbour that does not answer is given up, and the sender is told', () => {
  const host = hostWith(...NETWORK);
  host.send(5, toUplink);
  host.takeInjected();
  host.now += ASK_GIVE_UP_MS;
  host.settle();
  assert.equal(host.parking.size, 0);
  const [answer] = host.datapath.injected;
  assert.match(formatPacket(answer!.frame), /unreachable/);
  assert.deepEqual(host.takeInjected(), ['deliver 5']);
});

test('packets that wait are bounded for each port, and in time', () => {
  const host = hostWith(...NETWORK);
  for (let n = 0; n < PARKED_PER_PORT + 3; n++) host.datapath.comesUp(frameOf(toUplink), 5);
  host.settle();
  assert.equal(host.parking.size, PARKED_PER_PORT);
  assert.equal(host.upcalls.counts.parkedDropped, 3);
  assert.deepEqual(agentDrops(host), [[DROP.agent, 5, 3]]);
  assert.equal(host.parking.expire(host.now + PARKED_MS), PARKED_PER_PORT);
  assert.equal(host.parking.size, 0);
});

test('a device that is not known is asked of the server, and the packet goes on when it is', () => {
  const host = hostWith(...NETWORK.filter(({ kind }) => kind !== 'router'));
  host.send(5, toUplink);
  host.send(5, toUplink);
  assert.deepEqual(host.told, [{ kind: 'subscribe', deviceIds: [ROUTER] }]);
  assert.equal(host.parking.size, 2);

  host.change([sample('router', 1)]);
  host.subscriptions.sent([ROUTER]);
  host.replica.touch([{ question: `device/${ROUTER}` }]);
  host.settle();
  assert.deepEqual(host.takeInjected(), ['deliver 9']);
});

test('a packet that has waited in vain is a drop of the agent', () => {
  const host = hostWith(...NETWORK.filter(({ kind }) => kind !== 'router'));
  host.send(5, toUplink);
  assert.deepEqual(agentDrops(host), []);
  host.now += PARKED_MS;
  host.settle();
  assert.equal(host.parking.size, 0);
  assert.deepEqual(agentDrops(host), [[DROP.agent, 5, 1]]);
});

test('a device that the server does not know either is not waited for', () => {
  const host = hostWith(...NETWORK.filter(({ kind }) => kind !== 'router'));
  host.send(5, toUplink);
  host.subscriptions.sent([ROUTER]);
  host.replica.touch([{ question: `device/${ROUTER}` }]);
  host.settle();
  assert.equal(host.parking.size, 0);
  assert.equal(host.upcalls.counts.parkedDropped, 1);
});

test('an unknown sender is learned once, published, and its flow teaches nothing any more', () => {
  const host = hostWith(sample('bridge', 1), guest(5, undefined, '10.0.0.5/24'), guest(6, B, '10.0.0.6/24'));
  host.send(5, toB);
  assert.equal(host.replica.learned.macPort(LAN, 0, 0x02_00_00_00_00_0a as never), sampleId('port', 5));
  const [published] = host.statuses.changes();
  assert.deepEqual(published?.put, [{ kind: 'mac', id: `${LAN},0,${A}`, portId: sampleId('port', 5) }]);
  assert.deepEqual(host.actions(), ['output 6']);
});

test('an exception is answered and installs nothing', () => {
  const host = hostWith(...NETWORK);
  host.send(9, arpReply);
  host.send(5, toUplink);
  const flows = host.flows.size;
  host.takeInjected();
  host.datapath.comesUp(frameOf(toUplink.replace('198.51.100.7)', '198.51.100.7, ttl=1)')), 5, { cause: UP.ttl });
  host.settle();
  assert.match(formatPacket(host.datapath.injected[0]!.frame), /time-exceeded|time exceeded/);
  assert.deepEqual(host.takeInjected(), ['deliver 5']);
  assert.equal(host.flows.size, flows);
});

test('an exception that a fresh walk does not see is dropped and counted, never sent round again', () => {
  const host = hostWith(...NETWORK);
  host.datapath.comesUp(frameOf(toB), 5, { cause: UP.tooLong, detail: 1450 });
  host.settle();
  assert.deepEqual(host.takeInjected(), []);
  assert.equal(host.upcalls.counts.exceptionsUnexplained, 1);
});

test('each packet of a class that the agent answers is answered, and its flow is installed once', () => {
  const host = hostWith(...NETWORK);
  const ping = `eth(${A}, ${GATEWAY}) ip(10.0.0.5, 10.0.0.1) icmp(echo-request)`;
  host.send(5, ping);
  assert.deepEqual(host.takeInjected(), ['deliver 5']);
  const installs = host.datapath.installs.length;
  host.datapath.comesUp(frameOf(ping), 5, { cause: UP.packet });
  host.settle();
  assert.deepEqual(host.takeInjected(), ['deliver 5']);
  assert.equal(host.datapath.installs.length, installs);
});

test('one source is answered only so often', () => {
  const host = hostWith(...NETWORK);
  const ping = frameOf(`eth(${A}, ${GATEWAY}) ip(10.0.0.5, 10.0.0.1) icmp(echo-request)`);
  for (let n = 0; n < ANSWERS_BURST + 5; n++) host.datapath.comesUp(ping, 5, { cause: UP.packet });
  host.settle();
  assert.equal(host.takeInjected().length, ANSWERS_BURST);
  assert.equal(host.upcalls.counts.answersLimited, 5);
  host.now += 1000;
  host.datapath.comesUp(ping, 5, { cause: UP.packet });
  host.settle();
  assert.deepEqual(host.takeInjected(), ['deliver 5']);
});

test('when the table is full idle flows make room', () => {
  const host = hostWith(...NETWORK);
  host.send(5, toB);
  host.datapath.room = 1;
  host.datapath.age(host.datapath.flows()[0]!, 10_000);
  host.send(6, `eth(${B}, ${A}) ip(10.0.0.6, 10.0.0.5) udp(1, 2)`);
  assert.deepEqual(host.actions(), ['output 5']);
  assert.equal(host.flows.size, 1);
});

test('when flows in use leave no room, packets are sent on one by one', () => {
  const host = hostWith(...NETWORK);
  host.send(5, toB);
  host.takeInjected();
  host.datapath.room = 1;
  host.send(6, `eth(${B}, ${A}) ip(10.0.0.6, 10.0.0.5) udp(1, 2)`);
  assert.deepEqual(host.takeInjected(), ['deliver 5']);
  assert.equal(host.upcalls.counts.oneShot, 1);
  assert.deepEqual(host.actions(), ['output 6']);
  assert.equal(host.flows.size, 1);
});

test('when flows in use leave no room, a packet that is to be dropped is counted by its reason', () => {
  const host = hostWith(...NETWORK);
  host.send(5, toB);
  host.datapath.room = 1;
  host.send(5, `eth(03:00:00:00:00:0a, ${B}) ip(10.0.0.5, 10.0.0.6) udp(1000, 53)`);
  assert.equal(host.upcalls.counts.oneShot, 1);
  assert.deepEqual(agentDrops(host), [[DROP.groupSource, 5, 1]]);
});

test('a verdict that cannot be written leaves no older one behind', () => {
  const host = hostWith(...NETWORK);
  host.send(5, toB);
  host.datapath.room = -1;
  host.send(5, toB);
  assert.deepEqual(host.installed(), []);
  assert.equal(host.flows.size, 0);
});

test('a packet that breaks the simulation is dropped alone, and said to be', () => {
  const host = hostWith(...NETWORK);
  host.beforeSimulate = ({ key }) => {
    if (portOf(key) === 9) throw new Error('an invariant does not hold');
  };
  host.datapath.comesUp(frameOf(arpReply), 9);
  host.datapath.comesUp(frameOf(toB), 5);
  host.settle();
  assert.deepEqual(host.actions(), ['output 6']);
  assert.equal(host.upcalls.counts.failed, 1);
  assert.deepEqual(
    host.log.lines.map(({ level }) => level),
    ['error'],
  );
});
