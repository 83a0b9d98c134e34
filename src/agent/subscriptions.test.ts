import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QUESTION } from '../simulate/question.ts';
import type { Resource } from '../topology/kinds.ts';
import { applyChanges, emptyTopology } from '../topology/snapshot.ts';
import { refOf, sample, sampleId } from '../topology/testing/samples.ts';
import type { ServerFrame } from '../topology/wire.ts';
import type { JournalRecord } from './host/journal.ts';
import {
  DEVICE_UNUSED_MS,
  DEVICE_USE_WRITTEN_MS,
  DEVICES_RELEASED_AT_ONCE,
  DEVICES_SUBSCRIBED_MAX,
  FLOW_IDLE_MS,
} from './limits.ts';
import { deviceQuestion } from './packet/parking.ts';
import { Subscriptions } from './subscriptions.ts';
import { HostScope } from './testing/host-scope.ts';
import { ELSEWHERE, HERE, TestHost } from './testing/test-host.ts';

const HOUR_MS = 3_600_000;

/** Subscriptions alone, with everything that they say. */
class Alone {
  readonly journal: JournalRecord[] = [];
  readonly told: string[] = [];
  connected = true;
  wallNow = Date.UTC(2026, 0, 1);
  readonly subscriptions = new Subscriptions({
    journal: { append: (record) => this.journal.push(record) },
    connected: () => this.connected,
    send: (frame) => this.told.push(`${frame.kind} ${'deviceIds' in frame ? frame.deviceIds.join(' ') : ''}`),
    wallNow: () => this.wallNow,
  });

  /** Asked for and sent. */
  have(now: number, ...deviceIds: string[]): void {
    for (const id of deviceIds) this.subscriptions.ask(id, now);
    this.subscriptions.sent(deviceIds);
    this.told.length = 0;
    this.journal.length = 0;
  }

  /** Another process with what is on disk, at 0 of its steady clock. */
  restarted(records: readonly JournalRecord[], laterMs: number): Alone {
    const next = new Alone();
    next.wallNow = this.wallNow + laterMs;
    for (const record of records) {
      if (record.kind === 'subscribe' || record.kind === 'unsubscribe') next.subscriptions.restore(record, 0);
    }
    return next;
  }
}

test('a device is asked for once, and waiting for it helps until all of it was sent', () => {
  const { subscriptions, told } = new Alone();
  assert.equal(subscriptions.ask('d', 0), true);
  assert.equal(subscriptions.ask('d', 1), true);
  assert.deepEqual(told, ['subscribe d']);
  subscriptions.sent(['d', 'other']);
  assert.equal(subscriptions.ask('d', 2), false);
  assert.deepEqual(subscriptions.deviceIds, ['d']);
});

test('what nothing used for a day is released, once, on disk before it is said, and asked for again', () => {
  const alone = new Alone();
  const { subscriptions, told, journal } = alone;
  alone.have(0, 'd');
  subscriptions.turn(DEVICE_UNUSED_MS - 1);
  assert.deepEqual(told, []);
  subscriptions.turn(DEVICE_UNUSED_MS);
  subscriptions.turn(DEVICE_UNUSED_MS);
  assert.deepEqual(told, ['unsubscribe d']);
  assert.deepEqual(journal, [{ kind: 'unsubscribe', deviceIds: ['d'] }]);
  assert.equal(subscriptions.ask('d', DEVICE_UNUSED_MS), true);
  assert.deepEqual(told, ['unsubscribe d', 'subscribe d']);
});

test('a walk that comes to a bridge or router, or needs it, uses it; one that asks of others does not', () => {
  const alone = new Alone();
  const { subscriptions } = alone;
  alone.have(0, 'bridge', 'router', 'needed', 'idle');
  subscriptions.use(QUESTION.bridge('bridge'), 5);
  subscriptions.walked([{ question: QUESTION.router('router') }, { question: QUESTION.port('idle') }], 5);
  subscriptions.ask('needed', 5);
  // An older use takes nothing back.
  subscriptions.use(QUESTION.bridge('bridge'), 1);
  subscriptions.turn(DEVICE_UNUSED_MS + 4);
  assert.deepEqual(subscriptions.deviceIds, ['bridge', 'router', 'needed']);
});

test('with no server nothing is released: nobody could bring it back', () => {
  const alone = new Alone();
  alone.have(0, 'd');
  alone.connected = false;
  alone.subscriptions.turn(10 * DEVICE_UNUSED_MS);
  assert.deepEqual(alone.subscriptions.deviceIds, ['d']);
  alone.connected = true;
  alone.subscriptions.turn(10 * DEVICE_UNUSED_MS);
  assert.deepEqual(alone.subscriptions.deviceIds, []);
});

test('what a hello names is released only when it was sent: no late word is taken for a later one', () => {
  const alone = new Alone();
  const { subscriptions } = alone;
  alone.have(0, 'd');
  assert.deepEqual(subscriptions.hello(), ['d']);
  subscriptions.turn(2 * DEVICE_UNUSED_MS);
  assert.deepEqual(subscriptions.deviceIds, ['d']);
  assert.equal(subscriptions.ask('d', 0), true);
  subscriptions.sent(['d']);
  subscriptions.turn(2 * DEVICE_UNUSED_MS);
  assert.deepEqual(subscriptions.deviceIds, []);
});

test('many are released some at a time', () => {
  const alone = new Alone();
  const ids = Array.from({ length: DEVICES_RELEASED_AT_ONCE + 1 }, (_, n) => `d${n}`);
  alone.have(0, ...ids);
  alone.subscriptions.turn(DEVICE_UNUSED_MS);
  assert.deepEqual(alone.subscriptions.deviceIds, ids.slice(-1));
  alone.subscriptions.turn(DEVICE_UNUSED_MS);
  assert.deepEqual(alone.subscriptions.deviceIds, []);
});

test('as many as a server takes: then the one that was not used for longest makes room, unless it is in use', () => {
  const alone = new Alone();
  const { subscriptions, told } = alone;
  alone.have(0, ...Array.from({ length: DEVICES_SUBSCRIBED_MAX }, (_, n) => `d${n}`));
  subscriptions.use(QUESTION.bridge('d0'), 1);
  assert.equal(subscriptions.ask('one more', FLOW_IDLE_MS - 1), false);
  assert.equal(subscriptions.ask('one more', FLOW_IDLE_MS), true);
  assert.deepEqual(told, ['unsubscribe d1', 'subscribe one more']);
  assert.equal(subscriptions.deviceIds.length, DEVICES_SUBSCRIBED_MAX);
});

test('a restart brings back what is subscribed, with its age, and not what was released', () => {
  const alone = new Alone();
  alone.have(0, 'released');
  alone.subscriptions.ask('kept', HOUR_MS);
  alone.subscriptions.turn(DEVICE_UNUSED_MS);
  const next = alone.restarted([...alone.journal], 0);
  assert.deepEqual(next.subscriptions.deviceIds, ['kept']);

  const later = alone.restarted(alone.journal, 2 * HOUR_MS);
  later.subscriptions.sent(['kept']);
  // Two hours passed without an agent; what is on disk is up to an hour late.
  later.subscriptions.turn(DEVICE_UNUSED_MS - 3 * HOUR_MS - 1);
  assert.deepEqual(later.subscriptions.deviceIds, ['kept']);
  later.subscriptions.turn(DEVICE_UNUSED_MS - 2 * HOUR_MS);
  assert.deepEqual(later.subscriptions.deviceIds, []);
});

test('a use is written down at most once an hour, and a rewritten copy says the same', () => {
  const alone = new Alone();
  const { subscriptions, journal } = alone;
  alone.have(0, 'a', 'b');
  for (let now = 0; now < DEVICE_USE_WRITTEN_MS; now += HOUR_MS / 20) {
    subscriptions.use(QUESTION.bridge('a'), now);
    subscriptions.turn(now);
  }
  assert.deepEqual(journal, []);
  alone.wallNow += DEVICE_USE_WRITTEN_MS;
  subscriptions.use(QUESTION.bridge('a'), DEVICE_USE_WRITTEN_MS);
  subscriptions.turn(DEVICE_USE_WRITTEN_MS);
  subscriptions.turn(DEVICE_USE_WRITTEN_MS);
  const usedHour = alone.wallNow / HOUR_MS;
  assert.deepEqual(journal, [{ kind: 'subscribe', deviceIds: ['a'], usedHour }]);
  assert.deepEqual(subscriptions.records(DEVICE_USE_WRITTEN_MS), [
    { kind: 'subscribe', deviceIds: ['a'], usedHour },
    { kind: 'subscribe', deviceIds: ['b'], usedHour: usedHour - 1 },
  ]);
});

test('a wall clock that was set back makes nothing older, and no use is later than now', () => {
  const alone = new Alone();
  const record: JournalRecord = { kind: 'subscribe', deviceIds: ['d'], usedHour: alone.wallNow / HOUR_MS };
  const next = alone.restarted([record], -1000 * HOUR_MS);
  next.subscriptions.sent(['d']);
  next.subscriptions.turn(DEVICE_UNUSED_MS - 1);
  assert.deepEqual(next.subscriptions.deviceIds, ['d']);
  next.subscriptions.turn(DEVICE_UNUSED_MS);
  assert.deepEqual(next.subscriptions.deviceIds, []);
});

// A host whose guest is on a bridge with router 1; router 2 behind that leads to a bridge of another host.
//
//   guest 5 ─ bridge 1 ─ 8:7 ─ router 1 ─ 9:10 ─ router 2 ─ 11:12 ─ bridge 2 ─ guest 6, elsewhere
const mac = (n: number): string => `02:00:00:00:00:${n.toString(16).padStart(2, '0')}`;
const [LAN, FAR] = [sampleId('bridge', 1), sampleId('bridge', 2)];
const [NEAR, BEHIND] = [sampleId('router', 1), sampleId('router', 2)];
const port = (n: number, deviceId: string, fields: object): Resource =>
  sample('port', n, { deviceId, mac: mac(n), ...fields });
const wire = (deviceId: string, n: number, to: number, ...addresses: string[]): Resource =>
  port(n, deviceId, { peerId: sampleId('port', to), addresses });
const route = (n: number, routerId: string, destination: string, portId: number, gateway: string): Resource =>
  sample('route', n, { routerId, destination, nextHop: 'port', portId: sampleId('port', portId), gateway });
const NETWORK: Resource[] = [
  sample('bridge', 1),
  sample('bridge', 2),
  sample('router', 1),
  sample('router', 2),
  port(5, LAN, { hostId: HERE, interfaceName: 'tap5', addresses: ['10.1.0.5/24'] }),
  wire(LAN, 8, 7),
  wire(NEAR, 7, 8, '10.1.0.1/24'),
  wire(NEAR, 9, 10, '10.9.0.1/30'),
  wire(BEHIND, 10, 9, '10.9.0.2/30'),
  wire(BEHIND, 11, 12, '10.2.0.1/24'),
  wire(FAR, 12, 11),
  port(6, FAR, { hostId: ELSEWHERE, interfaceName: 'tap6', addresses: ['10.2.0.6/24'] }),
  route(1, NEAR, '10.2.0.0/24', 9, '10.9.0.2'),
  route(2, BEHIND, '10.1.0.0/24', 10, '10.9.0.1'),
];
const toFar = `eth(${mac(5)}, ${mac(7)}) ip(10.1.0.5, 10.2.0.6) udp(1000, 53)`;

/** The host and its server, which answers when it is let. */
class Pair {
  readonly host = new TestHost();
  readonly scope: HostScope;
  topology = applyChanges(emptyTopology(), { revision: 1, put: NETWORK, del: [] }).topology;
  #heard = 0;

  constructor() {
    this.scope = new HostScope(HERE, () => this.topology);
    this.hear(this.scope.answer({ kind: 'hello', wireVersion: 1, version: '', deviceIds: [] }));
  }

  hear(frames: readonly ServerFrame[]): void {
    for (const frame of frames) {
      if (frame.kind === 'snapshot' || frame.kind === 'change') this.host.replica.receive(frame);
      if (frame.kind !== 'subscribed') continue;
      this.host.subscriptions.sent(frame.deviceIds);
      this.host.replica.touch(frame.deviceIds.map((id) => ({ question: deviceQuestion(id) })));
    }
    this.host.settle();
  }

  /** The server's answers to one frame of the agent; false: there is none. */
  serveOne(): boolean {
    const frame = this.host.told[this.#heard];
    if (frame === undefined) return false;
    this.#heard++;
    this.hear(this.scope.answer(frame));
    return true;
  }

  serve(): void {
    while (this.serveOne());
  }

  send(words = toFar): string[] {
    this.host.send(5, words);
    this.serve();
    return this.host.takeInjected();
  }

  /** So long, in which the flows were idle for `idleMs`. */
  pass(ms: number, idleMs: number): void {
    this.host.now += ms;
    for (const flow of this.host.datapath.flows()) this.host.datapath.age(flow, idleMs);
    this.host.sweeper.sweep(this.host.now);
  }
}

const asked = (pair: Pair): string[] => pair.host.told.map((frame) => frame.kind);

test('devices behind the next are asked for one by one, and kept while a flow through them is used', () => {
  const pair = new Pair();
  assert.deepEqual(pair.send(), ['from 5']);
  assert.deepEqual(pair.host.subscriptions.deviceIds, [BEHIND, FAR]);
  assert.deepEqual(pair.host.actions(), [`mtu 1500 ttl-2 eth(${mac(11)}>${mac(6)}) output 6`]);
  for (let hours = 0; hours < 50; hours++) pair.pass(HOUR_MS, 1000);
  assert.deepEqual(pair.host.subscriptions.deviceIds, [BEHIND, FAR]);
  assert.equal(pair.host.datapath.flows().length, 1);
});

test('unused for a day they are released and leave; the next packet waits, and goes on', () => {
  const pair = new Pair();
  pair.send();
  const { topology } = pair.host.replica;
  pair.pass(DEVICE_UNUSED_MS, FLOW_IDLE_MS + 1);
  assert.deepEqual(pair.host.subscriptions.deviceIds, []);
  assert.ok(pair.host.journal.some(({ kind }) => kind === 'unsubscribe'));
  pair.serve();
  assert.equal(pair.host.replica.topology.router(BEHIND), undefined);
  assert.equal(pair.host.replica.topology.bridge(FAR), undefined);
  // The far end of the own router's wire stays, as part of that router's scope.
  assert.ok(pair.host.replica.topology.port(sampleId('port', 10)));
  assert.deepEqual(pair.send(), ['from 5']);
  assert.deepEqual(pair.host.replica.topology.objects('port'), topology.objects('port'));
  assert.deepEqual(asked(pair), ['subscribe', 'subscribe', 'unsubscribe', 'subscribe', 'subscribe']);
  assert.equal(pair.host.upcalls.counts.parkedDropped, 0);
});

test('packets that leave no flow keep their devices too', () => {
  const pair = new Pair();
  // Answered by the router behind, since its TTL ends there.
  const dying = `eth(${mac(5)}, ${mac(7)}) ip(10.1.0.5, 10.2.0.6, ttl=2) udp(1000, 53)`;
  pair.send(dying);
  for (let hours = 0; hours < 30; hours++) {
    pair.pass(HOUR_MS, FLOW_IDLE_MS + 1);
    pair.send(dying);
  }
  assert.ok(pair.host.subscriptions.deviceIds.includes(BEHIND));
  assert.ok(!asked(pair).includes('unsubscribe'));
});

test('a walk before the server has heard of the release finds the device; its flow goes with it, the next one asks', () => {
  const pair = new Pair();
  pair.send();
  pair.pass(DEVICE_UNUSED_MS, FLOW_IDLE_MS + 1);
  pair.host.send(5, toFar);
  assert.deepEqual(pair.host.takeInjected(), ['from 5']);
  assert.equal(asked(pair).at(-1), 'unsubscribe');
  pair.serve();
  assert.equal(pair.host.datapath.flows().length, 0);
  assert.deepEqual(pair.send(), ['from 5']);
  assert.deepEqual(pair.host.subscriptions.deviceIds, [BEHIND, FAR]);
});

test('a packet that asks while a second release is on its way waits for the answer to its own question', () => {
  const pair = new Pair();
  pair.send();
  pair.pass(DEVICE_UNUSED_MS, FLOW_IDLE_MS + 1);
  pair.serve();
  // The first device is there again and released once more before the second one is asked for.
  pair.host.send(5, toFar);
  assert.equal(pair.host.parking.size, 1);
  assert.ok(pair.serveOne());
  pair.host.subscriptions.turn(pair.host.now + DEVICE_UNUSED_MS);
  pair.host.send(5, toFar);
  pair.serve();
  pair.host.send(5, toFar);
  pair.serve();
  assert.equal(pair.host.parking.size, 0);
  assert.equal(pair.host.upcalls.counts.parkedDropped, 0);
  assert.deepEqual(new Set(pair.host.subscriptions.deviceIds), new Set([BEHIND, FAR]));
  assert.deepEqual(pair.host.actions(), [`mtu 1500 ttl-2 eth(${mac(11)}>${mac(6)}) output 6`]);
});

test('nothing is released before all that a predecessor left was decided again', () => {
  const before = new Pair();
  before.send();
  const host = new TestHost(before.host.datapath);
  for (const record of before.host.journal) {
    if (record.kind === 'frame') host.replica.apply(record.frame);
    if (record.kind === 'subscribe') host.subscriptions.restore(record, host.now);
  }
  host.subscriptions.sent([BEHIND, FAR]);
  host.replica.adopt(host.datapath.flows());
  host.now += 2 * DEVICE_UNUSED_MS;
  host.sweeper.sweep(host.now);
  assert.deepEqual(host.subscriptions.deviceIds, [BEHIND, FAR]);
  host.settle();
  host.sweeper.sweep(host.now);
  assert.deepEqual(host.subscriptions.deviceIds, [BEHIND, FAR]);
  assert.deepEqual(host.told, []);
});

test('a device that was deleted in the meantime is asked for in vain, and forgotten like any other', () => {
  const pair = new Pair();
  pair.send();
  const gone = NETWORK.filter(({ kind, value }) => kind === 'router' && value.id === BEHIND).map(refOf);
  pair.topology = applyChanges(pair.topology, { revision: 2, put: [], del: gone }).topology;
  pair.hear(pair.scope.changes());
  assert.deepEqual(pair.send(), []);
  assert.equal(pair.host.parking.size, 0);
  pair.pass(DEVICE_UNUSED_MS, FLOW_IDLE_MS + 1);
  pair.serve();
  assert.deepEqual(pair.host.subscriptions.deviceIds, []);
});
