// What holds for every checksum: the fast one is the slow one, one that is updated is one computed anew, and what is
// emitted carries the right one.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Ip, type Ip4, type Ip6, readU16, writeIp, writeU16, writeU32 } from './address.ts';
import { checksumOf, sumOf, updateChecksum } from './checksum.ts';
import { emitIcmp6 } from './icmp.ts';
import { emitIpv4, IPV4_BYTES, PROTOCOL } from './ipv4.ts';
import { emitTcp } from './tcp.ts';
import { emitUdp } from './udp.ts';

/** RFC 1071 as it is told: words added one by one, each carry brought round at once. */
function slowChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) {
    sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return 0xffff - sum;
}

test('the fast checksum is the slow one, for even and odd lengths', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      assert.equal(checksumOf(bytes, 0, bytes.length), slowChecksum(bytes));
    }),
  );
});

test('sums of parts of even length add up to the sum of the whole', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat({ max: 40 }), (bytes, half) => {
      const cut = Math.min(half * 2, bytes.length - (bytes.length % 2));
      assert.equal(sumOf(bytes, cut, bytes.length, sumOf(bytes, 0, cut)), sumOf(bytes, 0, bytes.length));
    }),
  );
});

test('a checksum updated for a changed word is the checksum computed anew', () => {
  fc.assert(
    fc.property(words(40), fc.nat({ max: 19 }), fc.nat({ max: 0xffff }), (bytes, index, value) => {
      const before = checksumOf(bytes, 0, bytes.length);
      const at = (index * 2) % bytes.length;
      const old = readU16(bytes, at);
      writeU16(bytes, at, value);
      assertSame(updateChecksum(before, old, value), bytes);
    }),
  );
});

/** Pseudo-header (RFC 768, RFC 8200 §8.1) and segment, laid out as bytes. */
function withPseudoHeader(source: Ip, destination: Ip, protocol: number, segment: Uint8Array): Uint8Array {
  const addressBytes = typeof source === 'number' ? 4 : 16;
  const at = 2 * addressBytes;
  const bytes = new Uint8Array(at + 8 + segment.length);
  writeIp(bytes, 0, source);
  writeIp(bytes, addressBytes, destination);
  writeU32(bytes, at, segment.length);
  bytes[at + 7] = protocol;
  bytes.set(segment, at + 8);
  return bytes;
}

const u16 = fc.nat({ max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const ip4 = u32.map((value) => value as Ip4);
const ip6 = fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).map((value) => value as Ip6);
const pair: fc.Arbitrary<readonly [Ip, Ip]> = fc.oneof(fc.tuple(ip4, ip4), fc.tuple(ip6, ip6));
const payload = fc.uint8Array({ maxLength: 60 });

test('TCP, UDP and ICMPv6 carry the checksum of their pseudo-header and all their bytes', () => {
  fc.assert(
    fc.property(pair, fc.tuple(ip6, ip6), payload, u16, u32, ([from, to], [from6, to6], data, port, number) => {
      const ports = { sourcePort: port, destinationPort: port ^ 0xff };
      const numbers = { sequence: number, acknowledgement: 0, flags: 0x10, window: port, urgent: 0 };
      const tcp = emitTcp({ ...ports, ...numbers, options: new Uint8Array(4) }, data, from, to);
      assert.equal(slowChecksum(withPseudoHeader(from, to, PROTOCOL.tcp, tcp)), 0);
      const udp = emitUdp(ports, data, from, to);
      assert.equal(slowChecksum(withPseudoHeader(from, to, PROTOCOL.udp, udp)), 0);
      const icmp6 = emitIcmp6({ type: 128, code: 0, rest: number }, data, from6, to6);
      assert.equal(slowChecksum(withPseudoHeader(from6, to6, PROTOCOL.icmp6, icmp6)), 0);
    }),
  );
});

test('IPv4 carries the checksum of its header alone', () => {
  fc.assert(
    fc.property(ip4, ip4, u16, payload, (source, destination, id, data) => {
      const header = { trafficClass: 0, id, dontFragment: false, moreFragments: false, fragmentOffset: 0, ttl: 64 };
      const options = new Uint8Array();
      const bytes = emitIpv4({ ...header, protocol: PROTOCOL.udp, source, destination, options }, data);
      assert.equal(slowChecksum(bytes.subarray(0, IPV4_BYTES)), 0);
    }),
  );
});

function words(length: number): fc.Arbitrary<Uint8Array> {
  return fc.uint8Array({ minLength: length, maxLength: length });
}

/** Of zeros only the full sum is 0 and the updated one 0xffff: the same number in one's complement. */
function assertSame(updated: number, bytes: Uint8Array): void {
  if (bytes.every((byte) => byte === 0)) assert.equal(updated % 0xffff, 0);
  else assert.equal(updated, checksumOf(bytes, 0, bytes.length));
}
