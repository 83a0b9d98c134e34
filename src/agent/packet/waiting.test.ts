import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyOfFrame } from '../../flow/key.ts';
import { UP } from '../../flow/reasons.ts';
import { type Ip, parseIp } from '../../packet/address.ts';
import { frameOf } from '../../packet/words.ts';
import type { Need } from '../../simulate/result.ts';
import { emptyTopology } from '../../topology/snapshot.ts';
import {
  ANSWER_SOURCES_MAX,
  ANSWERS_BURST,
  ASK_GIVE_UP_MS,
  ASKS_PER_PORT,
  PARKED_BYTES_MAX,
  PARKED_MAX,
  PARKED_MS,
} from '../limits.ts';
import { Subscriptions } from '../subscriptions.ts';
import { AnswerLimiter } from './answers.ts';
import { again, keep, type Packet, packetOf } from './arrival.ts';
import { Asker } from './asking.ts';
import { ParkingLot, questionOfNeed } from './parking.ts';

const ETH = 'eth(02:00:00:00:00:0a, 02:00:00:00:00:0b)';

function packetFrom(port: number, words = `${ETH} ip(10.0.0.1, 10.0.0.2) udp(1, 2)`, gsoBytes = 0, flood = 0): Packet {
  const frame = frameOf(words);
  const { key } = keyOfFrame(frame, port, flood);
  return packetOf({ cause: UP.miss, key: key!, frame, frameBytes: frame.length, gsoBytes, detail: 0, ageMs: 0 });
}
const needOf = (last: number): Need => ({ kind: 'neighbour', portId: 'p', ip: parseIp(`10.0.0.${last}`)! });
const touchOf = (need: Need) => ({ question: questionOfNeed(need) });

test('the length that counts against an MTU is that of IP, of a super-packet that of a segment', () => {
  assert.equal(packetFrom(1).arrival.lengthBytes, 28);
  assert.equal(
    packetFrom(1, `${ETH} vlan(5) vlan(6) ip(10.0.0.1, 10.0.0.2) udp(1, 2) bytes(100)`).arrival.lengthBytes,
    128,
  );
  const tcp = (ip: string) => `${ETH} ${ip} tcp(1, 2, syn, mss=1400) bytes(7000)`;
  assert.equal(packetFrom(1, tcp('ip(10.0.0.1, 10.0.0.2)'), 1400).arrival.lengthBytes, 20 + 24 + 1400);
  assert.equal(packetFrom(1, tcp('ip6(fd00::1, fd00::2)'), 1400).arrival.lengthBytes, 40 + 24 + 1400);
  const udp = `${ETH} ip(10.0.0.1, 10.0.0.2) udp(1, 2) bytes(7000)`;
  assert.equal(packetFrom(1, udp, 1000).arrival.lengthBytes, 20 + 8 + 1000);
});

test('a packet goes on as what it came as', () => {
  assert.equal(again(packetFrom(5)).sense, 'from');
  const member = again(packetFrom(6, undefined, 0, 100));
  assert.deepEqual([member.sense, member.number], ['member', 6]);
  assert.equal(again(packetFrom(5, undefined, 1400)).gsoBytes, 1400);
});

test('what is kept outlives the ring', () => {
  const packet = packetFrom(5);
  const kept = keep(packet);
  const before = kept.arrival.frame.slice();
  packet.arrival.frame.fill(0);
  packet.arrival.key.fill(0);
  assert.deepEqual(kept.arrival.frame, before);
  assert.equal(again(kept).number, 5);
});

test('a packet waits for any of its needs, and goes on once', () => {
  const lot = new ParkingLot();
  lot.park(packetFrom(5), { needs: [needOf(1), needOf(2)], tags: [] }, 0);
  lot.touched([touchOf(needOf(3))]);
  assert.deepEqual(lot.takeReady(10), []);
  lot.touched([touchOf(needOf(2)), touchOf(needOf(1))]);
  assert.equal(lot.takeReady(10).length, 1);
  assert.equal(lot.size, 0);
});

test('packets go on in the order in which they came, a batch at a time', () => {
  const lot = new ParkingLot();
  for (const port of [7, 5, 6]) lot.park(packetFrom(port), { needs: [needOf(1)], tags: [] }, 0);
  lot.touched([touchOf(needOf(1))]);
  assert.deepEqual(
    lot.takeReady(2).map((packet) => again(packet).number),
    [7, 5],
  );
  assert.deepEqual(
    lot.takeReady(2).map((packet) => again(packet).number),
    [6],
  );
});

test('packets wait only so long', () => {
  const lot = new ParkingLot();
  lot.park(packetFrom(5), { needs: [needOf(1)], tags: [] }, 0);
  lot.park(packetFrom(5), { needs: [needOf(1)], tags: [] }, 10);
  assert.equal(lot.expire(PARKED_MS - 1), 0);
  assert.equal(lot.expire(PARKED_MS), 1);
  assert.equal(lot.size, 1);
});

test('all that waits is bounded in number and in bytes', () => {
  const many = new ParkingLot();
  let taken = 0;
  for (let n = 0; n < PARKED_MAX + 50; n++) if (many.park(packetFrom(n), { needs: [needOf(1)], tags: [] }, 0)) taken++;
  assert.equal(taken, PARKED_MAX);

  const large = new ParkingLot();
  const packet = packetFrom(1, `${ETH} ip(10.0.0.1, 10.0.0.2) udp(1, 2) bytes(60000)`);
  let bytes = 0;
  for (let port = 1; port <= 1000; port++) {
    packet.arrival.key[4] = port & 0xff;
    packet.arrival.key[5] = port >> 8;
    if (large.park(packet, { needs: [needOf(1)], tags: [] }, 0)) bytes += packet.arrival.frame.length;
  }
  assert.ok(bytes <= PARKED_BYTES_MAX);
  assert.ok(bytes > PARKED_BYTES_MAX - 2 * packet.arrival.frame.length);
});

test('sources are limited one by one, and only so many are remembered', () => {
  const limiter = new AnswerLimiter();
  for (let n = 0; n < ANSWERS_BURST; n++) assert.equal(limiter.admits(1, 'a', 0), true);
  assert.equal(limiter.admits(1, 'a', 0), false);
  assert.equal(limiter.admits(1, 'b', 0), true);
  assert.equal(limiter.admits(2, 'a', 0), true);
  assert.equal(limiter.admits(1, 'a', 11), true);
  for (let n = 0; n < ANSWER_SOURCES_MAX; n++) limiter.admits(3, `s${n}`, 11);
  assert.equal(limiter.admits(1, 'a', 11), true);
});

test('a packet goes on when another question of its walk is touched: it may fare otherwise now', () => {
  const lot = new ParkingLot();
  lot.park(
    packetFrom(5),
    { needs: [needOf(1)], tags: [{ question: 'routes/r', prefix: { ip: parseIp('0.0.0.0')!, bits: 0 } }] },
    0,
  );
  lot.touched([{ question: 'routes/other' }]);
  assert.equal(lot.takeReady(10).length, 0);
  lot.touched([{ question: 'routes/r' }]);
  assert.equal(lot.takeReady(10).length, 1);
});

test('one port asks for so many neighbours at a time, and the others are still heard', () => {
  const asked: string[] = [];
  const asker = new Asker({
    solicit: (need) => {
      asked.push(String(need.ip));
      return [];
    },
    world: { topology: emptyTopology(), learned: { macPort: () => undefined, neighbour: () => undefined } },
    inject: () => undefined,
    giveUp: () => undefined,
    subscriptions: new Subscriptions({
      journal: { append: () => undefined },
      connected: () => false,
      send: () => undefined,
      wallNow: () => 0,
    }),
  });
  const need = (n: number): Need => ({ kind: 'neighbour', portId: 'p', ip: n as Ip });
  for (let n = 0; n < ASKS_PER_PORT; n++) assert.equal(asker.ask(need(n), 1, 0), true);
  assert.equal(asker.ask(need(5000), 1, 0), false);
  assert.equal(asker.ask(need(0), 1, 0), true);
  assert.equal(asker.ask(need(5000), 2, 0), true);
  assert.equal(asked.length, ASKS_PER_PORT + 1);
  // Given up, they make room again.
  asker.turn(ASK_GIVE_UP_MS);
  assert.equal(asker.ask(need(6000), 1, ASK_GIVE_UP_MS), true);
});

test('a packet that needs a device waits until all of it was sent, whatever else changes', () => {
  const lot = new ParkingLot();
  const need: Need = { kind: 'device', deviceId: 'd' };
  lot.park(packetFrom(5), { needs: [need, needOf(1)], tags: [{ question: 'routes/r' }] }, 0);
  lot.touched([{ question: 'routes/r' }, touchOf(needOf(1))]);
  assert.equal(lot.takeReady(10).length, 0);
  lot.touched([touchOf(need)]);
  assert.equal(lot.takeReady(10).length, 1);
});
