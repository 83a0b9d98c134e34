import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atOnce } from '../lib/steps.ts';
import { type Mac, parseIp, parseMac } from '../packet/address.ts';
import { QUESTION } from '../simulate/question.ts';
import type { Lesson } from '../simulate/result.ts';
import type { HostedStatus } from '../topology/wire.ts';
import { type LearnedChange, LearnedTable } from './learned.ts';
import {
  LEARN_BURST,
  MACS_PER_PORT,
  MOVES_MAX,
  MOVES_WINDOW_MS,
  NEIGHBOUR_REASK_MS,
  REFUSED_MS,
  UNRESOLVED_MS,
} from './limits.ts';

const MAC = parseMac('02:00:00:00:00:01')!;
const OTHER_MAC = parseMac('02:00:00:00:00:02')!;
const IP = parseIp('10.0.0.9')!;
const BRIDGED = QUESTION.mac('bridge', 0, MAC);
const NEIGHBOUR = QUESTION.neighbour('uplink', IP);
const fiveMinutes = () => 300_000;

const macAt = (portId: string, mac: Mac = MAC): Lesson => ({ kind: 'mac', bridgeId: 'bridge', vlan: 0, mac, portId });
const neighbour = (mac: Mac): Lesson => ({ kind: 'neighbour', portId: 'uplink', ip: IP, mac });
const claimOf = (hostId: string, portId: string): HostedStatus => ({
  hostId,
  status: { kind: 'mac', id: 'bridge,0,02:00:00:00:00:01', portId },
});
const refOf = (hostId: string) => ({ hostId, kind: 'mac' as const, id: 'bridge,0,02:00:00:00:00:01' });

function snapshot(table: LearnedTable, statuses: readonly HostedStatus[], connectedUntil: number, now: number) {
  const changes: LearnedChange[] = [];
  atOnce(table.remoteSnapshot(statuses, connectedUntil, now, (change) => changes.push(change)));
  return changes;
}

test('a lesson is known, told to others, and touches those who asked', () => {
  const table = new LearnedTable('me');
  const change = table.learn(macAt('p1'), 0);
  assert.equal(table.macPort('bridge', 0, MAC), 'p1');
  assert.deepEqual(change.touches, [{ question: BRIDGED }]);
  assert.deepEqual(change.put, [{ kind: 'mac', id: 'bridge,0,02:00:00:00:00:01', portId: 'p1' }]);
});

test('what is known already alters nothing', () => {
  const table = new LearnedTable('me');
  table.learn(macAt('p1'), 0);
  assert.deepEqual(table.learn(macAt('p1'), 1), { touches: [], put: [], del: [] });
  assert.equal(table.wouldTeach(macAt('p1'), 1), false);
  assert.equal(table.wouldTeach(macAt('p2'), 1), true);
});

test('a MAC that moves between ports of this host is followed', () => {
  const table = new LearnedTable('me');
  table.learn(macAt('p1'), 0);
  assert.deepEqual(table.learn(macAt('p2'), 1).touches, [{ question: BRIDGED }]);
  assert.equal(table.macPort('bridge', 0, MAC), 'p2');
  assert.equal([...table.own()].length, 1);
});

test('a claim of another host that comes later makes ours yield', () => {
  const table = new LearnedTable('me');
  table.learn(macAt('here'), 0);
  const change = table.remote([claimOf('other', 'there')], [], 1);
  assert.equal(table.macPort('bridge', 0, MAC), 'there');
  assert.deepEqual(change.del, [{ kind: 'mac', id: 'bridge,0,02:00:00:00:00:01' }]);
  assert.deepEqual(change.touches, [{ question: BRIDGED }]);
  assert.deepEqual([...table.own()], []);
});

test('a MAC that comes back from another host is ours again', () => {
  const table = new LearnedTable('me');
  table.remote([claimOf('other', 'there')], [], 0);
  assert.deepEqual(table.learn(macAt('here'), 1).touches, [{ question: BRIDGED }]);
  assert.equal(table.macPort('bridge', 0, MAC), 'here');
  assert.deepEqual(table.remote([], [refOf('other')], 2).touches, []);
});

test('of the claims of others the latest counts, and the one before when that is withdrawn', () => {
  const table = new LearnedTable('me');
  table.remote([claimOf('a', 'at-a')], [], 0);
  table.remote([claimOf('b', 'at-b')], [], 1);
  assert.equal(table.macPort('bridge', 0, MAC), 'at-b');
  assert.deepEqual(table.remote([], [refOf('b')], 2).touches, [{ question: BRIDGED }]);
  assert.equal(table.macPort('bridge', 0, MAC), 'at-a');
});

test('status of this host and status that makes no sense are passed over', () => {
  const table = new LearnedTable('me');
  const nonsense = { kind: 'mac' as const, id: 'bridge,zero,nothing', portId: 'p' };
  const change = table.remote([claimOf('me', 'p9'), { hostId: 'other', status: nonsense }], [refOf('me')], 0);
  assert.deepEqual(change, { touches: [], put: [], del: [] });
  assert.equal(table.macPort('bridge', 0, MAC), undefined);
});

test('after a time without a server, lessons of that time stand and older ones yield', () => {
  const table = new LearnedTable('me');
  table.learn(macAt('old'), 10);
  table.learn(macAt('new', OTHER_MAC), 30);
  const others: HostedStatus[] = [
    claimOf('other', 'there'),
    { hostId: 'other', status: { kind: 'mac', id: 'bridge,0,02:00:00:00:00:02', portId: 'there' } },
  ];
  snapshot(table, others, 20, 40);
  assert.equal(table.macPort('bridge', 0, MAC), 'there');
  assert.equal(table.macPort('bridge', 0, OTHER_MAC), 'new');
  const changes = snapshot(table, [], 50, 60);
  assert.deepEqual(
    changes.flatMap(({ touches }) => touches),
    [{ question: BRIDGED }],
  );
});

test('an entry lives as long as its flows are used and no longer', () => {
  const table = new LearnedTable('me');
  table.learn(macAt('p1'), 0);
  table.use(BRIDGED, OTHER_MAC, 350_000);
  table.use(BRIDGED, MAC, 200_000);
  assert.deepEqual(table.expire(400_000, fiveMinutes).touches, []);
  const change = table.expire(500_001, fiveMinutes);
  assert.deepEqual(change.touches, [{ question: BRIDGED }]);
  assert.equal(change.del.length, 1);
  assert.equal(table.macPort('bridge', 0, MAC), undefined);
});

test('a port teaches a burst, then ten a second, and never more than it may hold', () => {
  const table = new LearnedTable('me');
  const teach = (n: number, at: number) => table.learn(macAt('p1', n as Mac), at).put.length;
  let learned = 0;
  for (let n = 1; n <= LEARN_BURST + 10; n++) learned += teach(n, 0);
  assert.equal(learned, LEARN_BURST);
  for (let n = 1000; n < 1020; n++) learned += teach(n, 1000);
  assert.equal(learned, LEARN_BURST + 10);
  for (let second = 10; second < 200; second += 10) {
    for (let n = 0; n < 64; n++) learned += teach(second * 100 + n, second * 1000);
  }
  assert.equal(learned, MACS_PER_PORT);
  assert.equal([...table.own()].length, MACS_PER_PORT);
});

test('a refused lesson is no reason to take a flow away, until it is time to look again', () => {
  const table = new LearnedTable('me');
  for (let n = 1; n <= LEARN_BURST; n++) table.learn(macAt('p1', n as Mac), 0);
  const late = macAt('p1', 999 as Mac);
  assert.equal(table.wouldTeach(late, 0), false);
  assert.deepEqual(table.learn(late, 0).touches, []);
  assert.deepEqual(table.expire(REFUSED_MS, fiveMinutes).touches, [
    { question: QUESTION.mac('bridge', 0, 999 as Mac) },
  ]);
  assert.equal(table.wouldTeach(late, REFUSED_MS), true);
});

test('a MAC that moves to and fro stays where it is for a while', () => {
  const table = new LearnedTable('me');
  table.learn(macAt('p0'), 0);
  for (let move = 1; move <= MOVES_MAX; move++) table.learn(macAt(`p${move}`), move);
  assert.deepEqual(table.learn(macAt('p9'), 10).put, []);
  assert.equal(table.macPort('bridge', 0, MAC), `p${MOVES_MAX}`);
  const later = MOVES_WINDOW_MS + 20;
  assert.deepEqual(table.expire(later, fiveMinutes).touches, [{ question: BRIDGED }]);
  assert.equal(table.learn(macAt('p9'), later).put.length, 1);
});

test('a neighbour that was asked in vain is null for a while, and an answer ends that at once', () => {
  const table = new LearnedTable('me');
  assert.equal(table.neighbour('uplink', IP), undefined);
  assert.deepEqual(table.giveUp('uplink', IP, 0).touches, [{ question: NEIGHBOUR }]);
  assert.equal(table.neighbour('uplink', IP), null);
  assert.deepEqual(table.expire(UNRESOLVED_MS, fiveMinutes).touches, [{ question: NEIGHBOUR }]);
  assert.equal(table.neighbour('uplink', IP), undefined);

  table.giveUp('uplink', IP, 10_000);
  assert.deepEqual(table.learn(neighbour(MAC), 10_001).touches, [{ question: NEIGHBOUR }]);
  assert.equal(table.neighbour('uplink', IP), MAC);
  assert.deepEqual(table.expire(20_000, fiveMinutes).touches, []);
});

test('giving up comes too late for a neighbour that has answered', () => {
  const table = new LearnedTable('me');
  table.learn(neighbour(MAC), 0);
  assert.deepEqual(table.giveUp('uplink', IP, 1).touches, []);
  assert.equal(table.neighbour('uplink', IP), MAC);
});

test('a neighbour in use is asked again in time, one that nobody uses is not', () => {
  const table = new LearnedTable('me');
  table.learn(neighbour(MAC), 0);
  table.use(NEIGHBOUR, OTHER_MAC, 1);
  assert.deepEqual(table.dueNeighbours(NEIGHBOUR_REASK_MS), []);
  table.use(NEIGHBOUR, OTHER_MAC, NEIGHBOUR_REASK_MS);
  assert.deepEqual(table.dueNeighbours(NEIGHBOUR_REASK_MS + 1), [{ portId: 'uplink', ip: IP }]);
  assert.deepEqual(table.dueNeighbours(NEIGHBOUR_REASK_MS + 2), []);
  assert.deepEqual(table.dueNeighbours(3 * NEIGHBOUR_REASK_MS), []);
});

test('what was on disk is known again and yields to any claim', () => {
  const before = new LearnedTable('me');
  before.learn(macAt('p1'), 5);
  before.learn(neighbour(OTHER_MAC), 5);
  const table = new LearnedTable('me');
  table.restore([...before.own()], [], 100);
  assert.equal(table.macPort('bridge', 0, MAC), 'p1');
  assert.equal(table.neighbour('uplink', IP), OTHER_MAC);
  snapshot(table, [claimOf('other', 'there')], 0, 200);
  assert.equal(table.macPort('bridge', 0, MAC), 'there');
  assert.equal(table.neighbour('uplink', IP), OTHER_MAC);
});

test('entries of ports that left the host go', () => {
  const table = new LearnedTable('me');
  table.learn(macAt('p1'), 0);
  table.learn(macAt('p2', OTHER_MAC), 0);
  const change = table.prune((portId) => portId === 'p2');
  assert.deepEqual(change.touches, [{ question: BRIDGED }]);
  assert.equal(table.macPort('bridge', 0, OTHER_MAC), 'p2');
});
