import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lengthAtMtu } from './length.ts';
import { frameOf } from './words.ts';

const ETH = 'eth(02:00:00:00:00:01, 02:00:00:00:00:02)';
const IP = 'ip(10.0.0.1, 10.0.0.2)';
const IP6 = 'ip6(fd00::1, fd00::2)';

test('what follows the Ethernet header and its tags counts, at most two tags', () => {
  assert.equal(lengthAtMtu(frameOf(`${ETH} ${IP} udp(1, 2) bytes(100)`)), 128);
  assert.equal(lengthAtMtu(frameOf(`${ETH} vlan(7) ${IP} udp(1, 2) bytes(100)`)), 128);
  assert.equal(lengthAtMtu(frameOf(`${ETH} vlan(5, qinq) vlan(7) ${IP6} udp(1, 2) bytes(100)`)), 148);
  assert.equal(lengthAtMtu(frameOf(`${ETH} vlan(5) vlan(6) vlan(7) ${IP} udp(1, 2) bytes(100)`)), 132);
});

test('of a frame that was cut off its whole length counts', () => {
  const frame = frameOf(`${ETH} vlan(7) ${IP} udp(1, 2) bytes(1000)`);
  assert.equal(lengthAtMtu(frame.subarray(0, 64), frame.length), 1028);
});

test('of a super-packet each of its segments counts, with its headers', () => {
  const tcp = frameOf(`${ETH} vlan(7) ip(10.0.0.1, 10.0.0.2, options=01010101) tcp(1, 2, mss=1400) bytes(9000)`);
  assert.equal(lengthAtMtu(tcp, tcp.length, 1400), 24 + 24 + 1400);
  const udp = frameOf(`${ETH} ${IP6} udp(1, 2) bytes(9000)`);
  assert.equal(lengthAtMtu(udp, udp.length, 1200), 40 + 8 + 1200);
});
