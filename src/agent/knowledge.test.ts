import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { portOf } from '../flow/fields.ts';
import { frameOf } from '../packet/words.ts';
import type { Resource } from '../topology/kinds.ts';
import { nodesOf } from '../topology/testing/nodes.ts';
import { changesArbitrary, refOf, resourcesOf, sample, sampleId } from '../topology/testing/samples.ts';
import type { HostedStatus } from '../topology/wire.ts';
import { audit } from './audit.ts';
import { type KnowledgeFrame, UnusableFrame } from './knowledge.ts';
import { guest, macOf } from './testing/lan.ts';
import { ELSEWHERE, HERE, TestHost } from './testing/test-host.ts';

const NETWORK: Resource[] = [sample('bridge', 1), ...Array.from({ length: 40 }, (_, at) => guest(at + 5))];
const from5 = (to: number) => `eth(${macOf(5)}, ${macOf(to)}) ip(10.0.0.5, 10.0.0.${to}) udp(1000, 53)`;
const at = (revision: number, ...put: Resource[]): Resource[] =>
  put.map((one) => ({ ...one, value: { ...one.value, revision } }) as Resource);
const snapshot = (revision: number, put: Resource[], more = false, status: HostedStatus[] = []): KnowledgeFrame => ({
  kind: 'snapshot',
  revision,
  put,
  status,
  more,
});
const change = (revision: number, put: Resource[], del: Resource[] = []): KnowledgeFrame => ({
  kind: 'change',
  revision,
  put: at(revision, ...put),
  del: del.map(refOf),
  more: false,
});

/** A host whose slices are single pieces, with a network that it knows. */
function slowHost(...network: Resource[]): TestHost {
  const host = new TestHost();
  host.load(...network);
  host.settle();
  host.msPerReading = 1;
  return host;
}
/** One piece of what came and one recheck. False when nothing is left. */
const piece = (host: TestHost): boolean => host.replica.slice(host.now);

test('a snapshot that is compiled in pieces is seen whole or not at all', () => {
  const host = slowHost(...NETWORK);
  const ports = (): number => host.replica.topology.objects('port').size;
  const claim: HostedStatus = { hostId: ELSEWHERE, status: { kind: 'port', id: sampleId('port', 50), state: 'up' } };
  host.replica.receive(snapshot(9, [sample('bridge', 1), guest(50, ELSEWHERE)], false, [claim]));
  let pieces = 0;
  for (; piece(host); pieces++) {
    const isNew = host.replica.topology.revision === 9;
    assert.equal(ports(), isNew ? 1 : 40);
    assert.equal(host.replica.stateAt(ELSEWHERE, sampleId('port', 50)) === 'up', isNew);
    assert.equal(host.done.includes(9), false);
  }
  assert.ok(pieces > 10);
  assert.equal(ports(), 1);
  assert.equal(host.done.at(-1), 9);
});

test('what comes while a snapshot is compiled waits for it, in order', () => {
  const host = slowHost(...NETWORK);
  host.replica.receive(snapshot(9, at(9, ...NETWORK)));
  host.replica.receive(change(10, [guest(50)]));
  host.replica.receive(change(11, [guest(51)], [guest(50)]));
  const order: string[] = [];
  host.replica.after(() => order.push(`after ${host.replica.topology.revision}`));
  host.replica.receive({ kind: 'status', put: [], del: [] });
  assert.equal(host.replica.topology.revision, 1);
  assert.deepEqual(order, []);
  const seen = new Set<number>();
  while (piece(host)) seen.add(host.replica.topology.revision);
  assert.deepEqual([...seen], [1, 9, 10, 11]);
  assert.deepEqual(order, ['after 11']);
  assert.deepEqual(host.done.slice(-3), [9, 10, 11]);
  assert.equal(host.replica.topology.port(sampleId('port', 50)), undefined);
});

test('a snapshot takes the place of what waits before it', () => {
  const host = slowHost(...NETWORK);
  host.replica.receive(change(8, [guest(60)]));
  host.replica.receive(change(9, [guest(61)]));
  host.replica.receive(snapshot(10, NETWORK));
  while (piece(host));
  assert.equal(host.replica.topology.port(sampleId('port', 61)), undefined);
  assert.equal(host.replica.topology.revision, 10);
  assert.equal(host.done.includes(9), false);
});

test('a connection that breaks leaves what was whole to be compiled, and what was half to be forgotten', () => {
  const host = slowHost(...NETWORK);
  host.replica.receive(snapshot(9, at(9, ...NETWORK, guest(50))));
  host.replica.receive(snapshot(12, at(12, guest(70)), true));
  host.replica.disconnected();
  while (piece(host));
  assert.equal(host.replica.topology.revision, 9);
  host.replica.receive(snapshot(13, NETWORK));
  while (piece(host));
  assert.equal(host.replica.topology.objects('port').size, 40);
  // The same from the disk.
  const again = new TestHost();
  for (const record of host.journal) {
    if (record.kind === 'frame') again.replica.apply(record.frame);
    else if (record.kind === 'disconnected') again.replica.disconnected();
  }
  assert.deepEqual(nodesOf(again.replica.topology), nodesOf(host.replica.topology));
});

test('flows found in the kernel are not decided by a topology that is not there yet', () => {
  const before = slowHost(...NETWORK);
  before.msPerReading = 0;
  before.send(5, from5(6));
  const after = new TestHost(before.datapath);
  const kept = after.installed();
  after.msPerReading = 1;
  after.replica.adopt(before.datapath.flows());
  after.replica.receive(snapshot(1, NETWORK));
  while (piece(after)) if (!after.replica.loaded) assert.deepEqual(after.installed(), kept);
  assert.equal(after.replica.loaded, true);
  assert.deepEqual(after.installed(), kept);
  assert.equal(after.replica.counts.rechecked, 1);
});

test('a frame that makes no sense is given up in its slice, and the next snapshot heals', () => {
  const host = slowHost(...NETWORK);
  const senseless = { kind: 'router', value: { id: sampleId('router', 1), revision: 2, name: 'r', adminUp: true } };
  const chain = { kind: 'addressSet', value: { id: sampleId('addressSet', 1), revision: 2 } } as unknown as Resource;
  host.replica.receive(snapshot(9, at(9, ...NETWORK, senseless as unknown as Resource, chain)));
  assert.throws(() => {
    while (piece(host));
  }, UnusableFrame);
  assert.equal(host.replica.topology.revision, 1);
  assert.equal(host.replica.settled, true);
  host.replica.receive(snapshot(10, NETWORK));
  while (piece(host));
  assert.equal(host.done.at(-1), 10);
});

test('what denies is written before what admits, however many pieces a change is told in', () => {
  const chainOf = (n: number) => ({ inboundChainId: sampleId('chain', n) });
  const verdict = (n: number, action: 'accept' | 'drop') =>
    sample('rule', n, { chainId: sampleId('chain', n), action });
  const fill = Array.from({ length: 200 }, (_, n) => guest(n + 20, ELSEWHERE, { mac: undefined, addresses: [] }));
  const host = slowHost(
    sample('bridge', 1),
    sample('chain', 1),
    sample('chain', 2),
    verdict(1, 'drop'),
    verdict(2, 'accept'),
    guest(5, HERE, chainOf(1)),
    guest(6, HERE, chainOf(2)),
    guest(7, ELSEWHERE),
    ...fill,
  );
  host.msPerReading = 0;
  host.send(5, from5(7));
  host.send(6, `eth(${macOf(6)}, ${macOf(7)}) ip(10.0.0.6, 10.0.0.7) udp(1, 2)`);
  host.datapath.installs.length = 0;
  host.msPerReading = 1;
  // Ports are told before rules, and 5 is admitted by its port: it comes first, with pieces of others in between.
  const renamed = at(2, ...fill.map((port) => ({ ...port, value: { ...port.value, adminUp: false } }) as Resource));
  host.replica.receive(change(2, [guest(5), ...renamed, verdict(2, 'drop')]));
  while (piece(host));
  const written = host.datapath.installs.flat().map(({ key, actions }) => `${portOf(key)} ${actions[0]!.kind}`);
  assert.deepEqual(written, ['6 drop', '5 output']);
});

test('what is kept on disk in the middle of anything brings another agent to the same place', () => {
  const host = slowHost(...NETWORK);
  host.replica.receive(change(2, [guest(60)]));
  host.replica.receive(snapshot(9, at(9, ...NETWORK, guest(50))));
  host.replica.receive(change(10, [guest(51)]));
  host.replica.receive(snapshot(12, at(12, guest(70)), true));
  for (;;) {
    const again = new TestHost();
    // The rest comes from what was appended after the records were asked for.
    for (const record of host.replica.records()) if (record.kind === 'frame') again.replica.apply(record.frame);
    again.replica.apply(snapshot(12, at(12, sample('bridge', 1))));
    assert.equal(again.replica.topology.revision, 12);
    assert.deepEqual([...again.replica.topology.objects('port').keys()], [sampleId('port', 70)]);
    const whole = new TestHost();
    for (const record of host.replica.records()) {
      if (record.kind === 'frame' && !('revision' in record.frame && record.frame.revision === 12))
        whole.replica.apply(record.frame);
    }
    assert.equal(whole.replica.topology.revision, 10);
    assert.equal(whole.replica.topology.objects('port').size, 42);
    if (!piece(host)) break;
  }
});

/** What a server may say, and how many slices pass before it says the next. */
type Event = { readonly frames: readonly KnowledgeFrame[]; readonly slices: number; readonly breaks: boolean };
const events: fc.Arbitrary<Event[]> = fc
  .array(
    fc.record({
      changes: changesArbitrary,
      whole: fc.boolean(),
      parts: fc.integer({ min: 1, max: 4 }),
      slices: fc.nat(60),
      breaks: fc.nat(5).map((n) => n === 0),
    }),
    { minLength: 1, maxLength: 5 },
  )
  .map((said) => {
    let revision = 1;
    return said.map(({ changes, whole, parts, slices, breaks }) => {
      revision++;
      const put = at(revision, ...changes.flatMap((one) => one.put));
      const del = changes.flatMap((one) => one.del);
      const size = Math.ceil((put.length + 1) / parts);
      const frames = Array.from({ length: parts }, (_, part): KnowledgeFrame => {
        const more = part < parts - 1;
        const some = put.slice(part * size, (part + 1) * size);
        return whole
          ? { kind: 'snapshot', revision, put: some, status: [], more }
          : { kind: 'change', revision, put: some, del: more ? [] : del, more };
      });
      return { frames: breaks ? frames.slice(0, -1) : frames, slices, breaks };
    });
  });

test('in slices of any size, with packets in between, the same is known in the end as in one go', () => {
  fc.assert(
    fc.property(events, (said) => {
      const [sliced, once] = [new TestHost(), new TestHost()];
      for (const host of [sliced, once]) host.load(sample('bridge', 1), guest(1), guest(2));
      for (const host of [sliced, once]) host.settle();
      for (const { frames, slices, breaks } of said) {
        once.msPerReading = 0;
        for (const frame of frames) once.replica.apply(frame);
        sliced.msPerReading = 1;
        for (const frame of frames) sliced.replica.receive(frame);
        for (let slice = 0; slice < slices && piece(sliced); slice++);
        sliced.datapath.comesUp(frameOf(from5(1 + (slices % 3))), 1 + (slices % 9));
        sliced.upcalls.turn(sliced.now);
        if (breaks) for (const host of [sliced, once]) host.replica.disconnected();
      }
      sliced.msPerReading = 0;
      sliced.settle();
      once.settle();
      const { topology, learned } = sliced.replica;
      assert.deepEqual(nodesOf(topology), nodesOf(once.replica.topology));
      assert.deepEqual(new Set(resourcesOf(topology)), new Set(resourcesOf(once.replica.topology)));
      assert.equal(topology.revision, once.replica.topology.revision);
      assert.equal(sliced.done.at(-1), once.done.at(-1));
      const wouldTeach = (lesson: Parameters<typeof learned.wouldTeach>[0]) => learned.wouldTeach(lesson, sliced.now);
      const { simulate } = sliced;
      const report = audit(sliced.datapath.flows(), { hostId: HERE, topology, learned, wouldTeach, simulate });
      assert.deepEqual(report.differences, []);
    }),
    { numRuns: Number(process.env.PROPERTY_RUNS ?? 60) },
  );
});
