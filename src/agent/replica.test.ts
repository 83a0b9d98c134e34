import assert from 'node:assert/strict';
import { test } from 'node:test';
import { portOf } from '../flow/fields.ts';
import { type Mac, parseMac } from '../packet/address.ts';
import type { Resource } from '../topology/kinds.ts';
import { refOf, sample, sampleId } from '../topology/testing/samples.ts';
import type { HostedStatus } from '../topology/wire.ts';
import { audit } from './audit.ts';
import { guest, LAN, macOf } from './testing/lan.ts';
import { ELSEWHERE, HERE, TestHost } from './testing/test-host.ts';

const NETWORK: Resource[] = [sample('bridge', 1), guest(5), guest(6), guest(7, ELSEWHERE)];
const CHAIN = sample('chain', 1);
const rule = (n: number, fields: object): Resource => sample('rule', n, { chainId: sampleId('chain', 1), ...fields });

const from5 = (to: number, l4 = 'udp(1000, 53)') => `eth(${macOf(5)}, ${macOf(to)}) ip(10.0.0.5, 10.0.0.${to}) ${l4}`;

function hostWith(...network: Resource[]): TestHost {
  const host = new TestHost();
  host.load(...network);
  host.settle();
  return host;
}

/** The audit of a host: nothing may differ. */
function assertSound(host: TestHost): void {
  const { replica, datapath } = host;
  const { topology, learned } = replica;
  const count = host.simulated.length;
  const report = audit(datapath.flows(), {
    hostId: HERE,
    topology,
    learned,
    wouldTeach: (lesson) => replica.learned.wouldTeach(lesson, host.now),
    simulate: host.simulate,
  });
  host.simulated.length = count;
  assert.deepEqual(report.differences, []);
  assert.equal(report.flows, host.flows.size);
}

test('a change rechecks exactly the flows that asked what it answers anew', () => {
  const host = hostWith(...NETWORK);
  host.send(5, from5(6));
  host.send(5, from5(7));
  host.simulated.length = 0;
  host.change([guest(7, ELSEWHERE, { mac: macOf(8) })]);
  host.settle();
  assert.equal(host.simulated.length, 1);
  assertSound(host);
  host.simulated.length = 0;
  host.change([sample('bridge', 2), sample('chain', 9)]);
  host.settle();
  assert.equal(host.simulated.length, 0);
});

test('a verdict with the same mask is overwritten in place', () => {
  const host = hostWith(...NETWORK);
  host.send(5, from5(6));
  const before = host.installed();
  host.change([guest(6, HERE, { adminUp: false })]);
  host.settle();
  assert.equal(host.installed().length, before.length);
  assert.equal(host.installed()[0]!.split(' -> ')[0], before[0]!.split(' -> ')[0]);
  assert.match(host.actions().join(), /^drop/);
  assertSound(host);
});

test('a verdict that looks at more gets another flow, and the old one goes', () => {
  const host = hostWith(
    CHAIN,
    ...NETWORK.slice(0, 1),
    guest(5, HERE, { inboundChainId: sampleId('chain', 1) }),
    guest(6),
  );
  host.send(5, from5(6));
  const [before] = host.installed();
  host.change([rule(1, { action: 'drop', match: { protocol: 17, destinationPorts: { from: 53, to: 53 } } })]);
  host.settle();
  assert.equal(host.installed().includes(before!), false);
  host.send(5, from5(6));
  assert.ok(host.actions().some((actions) => actions.startsWith('drop')));
  assertSound(host);
});

test('the host is done with a revision when all of it was decided, and not before', () => {
  const host = hostWith(...NETWORK);
  host.send(5, from5(6));
  host.done.length = 0;
  host.change([guest(6, HERE, { adminUp: false })]);
  host.change([guest(7, ELSEWHERE, { adminUp: false })]);
  assert.deepEqual(host.done, []);
  host.replica.slice(host.now);
  assert.deepEqual(host.done, []);
  host.settle();
  assert.deepEqual(host.done, [2, 3]);
});

test('a slice ends at its deadline, and the next one goes on', () => {
  const host = hostWith(...NETWORK);
  for (let port = 1; port <= 20; port++) host.send(5, from5(6, `tcp(${port}, 80, flags=2)`));
  host.change([
    sample('chain', 1),
    rule(1, { action: 'accept', match: { protocol: 6, sourcePorts: { from: 1, to: 20 } } }),
  ]);
  host.change([guest(5, HERE, { inboundChainId: sampleId('chain', 1) })]);
  host.settle();
  for (let port = 1; port <= 20; port++) host.send(5, from5(6, `tcp(${port}, 80, flags=2)`));
  host.change([rule(1, { action: 'drop', match: { protocol: 6, sourcePorts: { from: 1, to: 20 } } })]);
  const pending = host.replica.pending;
  assert.ok(pending > 20);
  assert.equal(host.replica.slice(host.now), true);
  assert.equal(host.replica.pending, pending - 1);
  host.settle();
  assertSound(host);
});

test('what denies is written before what admits, however the slices fall', () => {
  const host = hostWith(...NETWORK, sample('chain', 1), sample('chain', 2));
  const chain = (n: number) => ({ inboundChainId: sampleId('chain', n) });
  host.change([
    sample('rule', 1, { chainId: sampleId('chain', 1), action: 'drop' }),
    sample('rule', 2, { chainId: sampleId('chain', 2), action: 'accept' }),
    guest(5, HERE, chain(1)),
    guest(6, HERE, chain(2)),
  ]);
  host.settle();
  host.send(5, from5(7));
  host.send(6, `eth(${macOf(6)}, ${macOf(7)}) ip(10.0.0.6, 10.0.0.7) udp(1, 2)`);
  host.datapath.installs.length = 0;
  // Guest 5, whose flow is rechecked first, is let through now; guest 6 is not any more.
  host.change([
    sample('rule', 1, { chainId: sampleId('chain', 1), action: 'accept' }),
    sample('rule', 2, { chainId: sampleId('chain', 2), action: 'drop' }),
  ]);
  const written = (): string[][] =>
    host.datapath.installs.map((batch) => batch.map(({ key, actions }) => `${portOf(key)} ${actions[0]!.kind}`));
  while (host.replica.slice(host.now));
  assert.deepEqual(written(), [['6 drop'], ['5 output']]);
  assertSound(host);

  // The other way round, in one slice and without a revision to be done with.
  host.settle();
  host.datapath.installs.length = 0;
  host.change([
    sample('rule', 1, { chainId: sampleId('chain', 1), action: 'drop' }),
    sample('rule', 2, { chainId: sampleId('chain', 2), action: 'accept' }),
  ]);
  host.settle();
  assert.deepEqual(written(), [['5 drop'], ['6 output']]);
});

test('a flow that is touched again before its admission was written is written as it is then', () => {
  const host = hostWith(...NETWORK, sample('chain', 1));
  const verdict = (action: 'accept' | 'drop') => sample('rule', 1, { chainId: sampleId('chain', 1), action });
  host.change([verdict('drop'), guest(5, HERE, { inboundChainId: sampleId('chain', 1) })]);
  host.settle();
  host.send(5, from5(7));
  host.change([verdict('accept')]);
  host.replica.slice(host.now);
  host.change([verdict('drop')]);
  host.settle();
  assert.match(host.actions().join(), /^drop/);
  assertSound(host);
});

test('a recheck that needs something takes the flow away, and its next packet asks', () => {
  const host = hostWith(...NETWORK, sample('router', 1));
  host.change([
    sample('port', 8, { deviceId: LAN, peerId: sampleId('port', 9) }),
    sample('port', 9, {
      deviceId: sampleId('router', 1),
      mac: macOf(9),
      addresses: ['10.0.0.1/24'],
      peerId: sampleId('port', 8),
    }),
    sample('port', 10, {
      deviceId: sampleId('router', 1),
      mac: macOf(10),
      addresses: ['10.1.0.1/24'],
      hostId: HERE,
      interfaceName: 'x',
    }),
  ]);
  host.settle();
  host.send(10, `arp(reply, ${macOf(77)}, 10.1.0.7, ${macOf(10)}, 10.1.0.1)`);
  host.send(5, `eth(${macOf(5)}, ${macOf(9)}) ip(10.0.0.5, 10.1.0.7) udp(1, 2)`);
  const routed = () => host.actions().filter((actions) => actions.includes('ttl-1'));
  assert.equal(routed().length, 1);
  host.now += 400_000;
  host.replica.expire(host.now);
  host.settle();
  assert.deepEqual(routed(), []);
  host.takeInjected();
  host.send(5, `eth(${macOf(5)}, ${macOf(9)}) ip(10.0.0.5, 10.1.0.7) udp(1, 2)`);
  assert.deepEqual(host.takeInjected(), ['deliver 10']);
  assertSound(host);
});

test('a guest that moves takes its flows along: those that would teach its old place go', () => {
  const host = hostWith(
    sample('bridge', 1),
    ...[5, 6, 7].map((n) => sample('port', n, { deviceId: LAN, hostId: HERE, interfaceName: `tap${n}` })),
  );
  const [m, other] = [macOf(0xaa), macOf(0xbb)];
  const packet = (a: string, b: string) => `eth(${a}, ${b}) ip(10.0.0.1, 10.0.0.2) udp(1, 2)`;
  host.send(7, packet(other, m));
  host.send(5, packet(m, other));
  host.send(7, packet(other, m));
  assert.deepEqual(host.actions(), ['output 5', 'output 7']);
  host.send(6, packet(m, other));
  assert.deepEqual(host.actions(), ['output 6', 'output 7']);
  assert.deepEqual(
    host.datapath
      .flows()
      .map(({ key }) => portOf(key))
      .sort(),
    [6, 7],
  );
  assertSound(host);
});

test('a MAC that another host claims is followed without a packet', () => {
  const host = hostWith(
    sample('bridge', 1),
    guest(5),
    sample('port', 6, { deviceId: LAN, hostId: HERE, interfaceName: 'tap6' }),
    sample('port', 7, { deviceId: LAN, hostId: ELSEWHERE, interfaceName: 'tap7' }),
  );
  host.replica.learn(
    [{ kind: 'mac', bridgeId: LAN, vlan: 0, mac: parseMac(macOf(0xaa)) as Mac, portId: sampleId('port', 6) }],
    host.now,
  );
  host.send(5, `eth(${macOf(5)}, ${macOf(0xaa)}) ip(10.0.0.5, 10.0.0.9) udp(1, 2)`);
  assert.deepEqual(host.actions(), ['output 6']);
  host.hear({ hostId: ELSEWHERE, status: { kind: 'mac', id: `${LAN},0,${macOf(0xaa)}`, portId: sampleId('port', 7) } });
  host.settle();
  assert.deepEqual(host.actions(), ['output 7']);
  assert.deepEqual(host.statuses.changes().at(-1)?.del, [{ kind: 'mac', id: `${LAN},0,${macOf(0xaa)}` }]);
  assertSound(host);
});

test('an adopted flow is kept when it is right, replaced when it is not, and removed when it is nobody’s', () => {
  const before = hostWith(...NETWORK);
  before.send(5, from5(6));
  before.send(5, from5(7));
  before.send(6, `eth(${macOf(6)}, ${macOf(5)}) ip(10.0.0.6, 10.0.0.5) udp(1, 2)`);
  const left = before.datapath;
  const after = new TestHost(left);
  after.load(...NETWORK.filter(({ value }) => value.id !== sampleId('port', 6)), guest(6, HERE, { adminUp: false }));
  left.installs.length = 0;
  after.replica.adopt(left.flows());
  after.settle();
  assert.deepEqual(
    after.actions().map((actions) => actions.split(' ')[0]),
    ['drop', 'drop', 'output'],
  );
  assert.equal(left.installs.flat().length, 2);
  assertSound(after);
});

test('adopted flows that are all right cause no write at all', () => {
  const before = hostWith(...NETWORK);
  before.send(5, from5(6));
  before.send(5, from5(7));
  const left = before.datapath;
  const after = new TestHost(left);
  after.load(...NETWORK);
  const kept = after.installed();
  left.installs.length = 0;
  after.replica.adopt(left.flows());
  after.settle();
  assert.deepEqual(left.installs, []);
  assert.deepEqual(after.installed(), kept);
  assert.equal(after.flows.size, 2);
});

test('a snapshot replaces everything, touches only what differs, and brings the others’ claims', () => {
  const host = hostWith(...NETWORK);
  host.send(5, from5(6));
  host.send(5, from5(7));
  host.simulated.length = 0;
  const claim: HostedStatus = { hostId: ELSEWHERE, status: { kind: 'port', id: sampleId('port', 7), state: 'up' } };
  const part = { kind: 'snapshot' as const, revision: 9 };
  host.replica.receive({ ...part, put: NETWORK.slice(0, 2), status: [], more: true });
  assert.equal(host.replica.topology.revision, 1);
  host.replica.receive({ ...part, put: [guest(7, ELSEWHERE)], status: [claim], more: false });
  host.settle();
  assert.equal(host.replica.topology.port(sampleId('port', 6)), undefined);
  assert.equal(host.replica.stateAt(ELSEWHERE, sampleId('port', 7)), 'up');
  assert.equal(host.simulated.length, 1);
  assert.equal(host.done.at(-1), 9);
  assertSound(host);
});

test('the server’s word about a port of this host holds until it is taken back, or the port is bound elsewhere', () => {
  const host = hostWith(...NETWORK);
  const id = sampleId('port', 5);
  const say = (state: 'refused' | 'claimed'): void => host.hear({ hostId: HERE, status: { kind: 'port', id, state } });
  const word = (): string | undefined => host.replica.word(id)?.state;
  assert.equal(word(), undefined);
  say('refused');
  assert.equal(word(), 'refused');
  say('claimed');
  assert.equal(word(), 'claimed');

  const here = NETWORK.find(({ value }) => value.id === id)!;
  host.change([{ ...here, value: { ...here.value, hostId: ELSEWHERE } } as Resource]);
  assert.equal(word(), undefined);
  say('claimed');
  host.change([here]);
  assert.equal(word(), undefined, 'a word from before is not about the new claim');
});

test('a port that was bound elsewhere for a moment is claimed anew', () => {
  const host = hostWith(...NETWORK);
  const [id, claim] = [sampleId('port', 5), { kind: 'port', id: sampleId('port', 5), state: 'claimed' } as const];
  host.statuses.put(claim);
  host.statuses.changes();
  host.change([guest(5, ELSEWHERE)]);
  host.hear({ hostId: HERE, status: claim });
  host.change([guest(5, HERE)]);
  assert.equal(host.replica.word(id), undefined);
  host.statuses.put(claim);
  assert.deepEqual(
    host.statuses.changes().flatMap(({ put }) => put),
    [claim],
  );
});

test('half a snapshot is forgotten with the connection that broke in the middle of it', () => {
  const host = hostWith(...NETWORK);
  const part = { kind: 'snapshot' as const, status: [] };
  host.replica.receive({ ...part, revision: 8, put: [], more: true });
  host.replica.disconnected();
  host.replica.receive({ ...part, revision: 9, put: NETWORK, more: false });
  assert.equal(host.replica.topology.objects('port').size, 3);
});

test('a frame is on disk before it is applied, and the records bring another agent to the same place', () => {
  const host = hostWith(...NETWORK);
  host.change([], [refOf(guest(6))]);
  host.replica.learn(
    [{ kind: 'mac', bridgeId: LAN, vlan: 0, mac: parseMac(macOf(0xaa)) as Mac, portId: sampleId('port', 5) }],
    host.now,
  );
  for (const records of [host.journal, host.replica.records()]) {
    const again = new TestHost();
    for (const record of records) {
      if (record.kind === 'frame') again.replica.apply(record.frame);
      else if (record.kind === 'learned') again.replica.restoreLearned(record.put, record.del);
    }
    assert.equal(again.replica.topology.revision, 2);
    assert.equal(again.replica.topology.objects('port').size, 2);
    assert.deepEqual([...again.replica.learned.own()], [...host.replica.learned.own()]);
  }
});

test('rechecked flows that the kernel has no room for are deleted, never left as they were', () => {
  const host = hostWith(...NETWORK);
  host.send(5, from5(6));
  host.change([guest(6, HERE, { adminUp: false })]);
  host.datapath.room = -1;
  host.settle();
  assert.deepEqual(host.installed(), []);
  assert.equal(host.flows.size, 0);
});

test('what other hosts said of a port goes with the port', () => {
  const host = hostWith(...NETWORK);
  host.hear({ hostId: ELSEWHERE, status: { kind: 'port', id: sampleId('port', 7), state: 'up' } });
  assert.equal(host.replica.stateAt(ELSEWHERE, sampleId('port', 7)), 'up');
  host.change([], [refOf(guest(7))]);
  host.change([guest(7)]);
  assert.equal(host.replica.stateAt(ELSEWHERE, sampleId('port', 7)), undefined);
});

test('what other hosts learned on a bridge goes with the bridge', () => {
  const host = hostWith(...NETWORK);
  const id = `${LAN},0,${macOf(0xaa)}`;
  host.hear({ hostId: ELSEWHERE, status: { kind: 'mac', id, portId: sampleId('port', 7) } });
  const where = () => host.replica.learned.macPort(LAN, 0, parseMac(macOf(0xaa)) as Mac);
  assert.equal(where(), sampleId('port', 7));
  host.change([], NETWORK.map(refOf));
  host.change(NETWORK);
  assert.equal(where(), undefined);
});

test('status of an object that is still to come is kept for it', () => {
  const host = hostWith(sample('bridge', 1), guest(5));
  host.hear({ hostId: ELSEWHERE, status: { kind: 'port', id: sampleId('port', 7), state: 'up' } });
  host.change([guest(7, ELSEWHERE)]);
  assert.equal(host.replica.stateAt(ELSEWHERE, sampleId('port', 7)), 'up');
});
