import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Ip4, type Ip6, parseIp4, parseIp6, readU16, writeU16 } from './address.ts';
import { checksumOf, crc32cOf, pseudoSumOf, sumOf, updateChecksum, updateChecksumBytes } from './checksum.ts';
import { readHex } from './word/arguments.ts';

/** RFC 1071 as it is told: words added one by one, each carry brought round at once. */
function slowChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) {
    sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return 0xffff - sum;
}

test('the checksum of a captured IPv4 header is the one it carries', () => {
  const header = readHex('450000540fd44000400116d30a0000010a000002')!;
  assert.equal(checksumOf(header, 0, 20), 0);
  header.fill(0, 10, 12);
  assert.equal(checksumOf(header, 0, 20), 0x16d3);
});

test('the pseudo-header of a captured UDP datagram completes its checksum, in both families', () => {
  const four = readHex('cb690009000badf968690a')!;
  const [a, b] = [parseIp4('10.0.0.1')!, parseIp4('10.0.0.2')!];
  assert.equal(checksumOf(four, 0, four.length, pseudoSumOf(a, b, 17, four.length)), 0);
  const six = readHex('a7fc0009000beb6468690a')!;
  const [c, d] = [parseIp6('fd00::1')!, parseIp6('fd00::2')!];
  assert.equal(checksumOf(six, 0, six.length, pseudoSumOf(c, d, 17, six.length)), 0);
});

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

test('a checksum updated for changed bytes is the checksum computed anew', () => {
  fc.assert(
    fc.property(words(40), fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes, value) => {
      const before = checksumOf(bytes, 0, bytes.length);
      const old = bytes.slice(4, 20);
      bytes.set(value, 4);
      assertSame(updateChecksumBytes(before, old, value), bytes);
    }),
  );
});

test('the examples of RFC 1624 come out right', () => {
  assert.equal(updateChecksum(0xdd2f, 0x5555, 0x3285), 0x0000);
});

test('the pseudo-header sum does not depend on the direction', () => {
  const ip = fc.nat({ max: 0xffffffff }).map((value) => value as Ip4);
  fc.assert(
    fc.property(ip, ip, (a, b) => {
      assert.equal(pseudoSumOf(a, b, 6, 100), pseudoSumOf(b, a, 6, 100));
    }),
  );
  assert.equal(pseudoSumOf(((1n << 128n) - 1n) as Ip6, 0n as Ip6, 58, 0x10002), 8 * 0xffff + 58 + 3);
});

test('CRC32c gives the check value of its definition', () => {
  const digits = new TextEncoder().encode('123456789');
  assert.equal(crc32cOf(digits, 0, 9), 0xe3069283);
});

function words(length: number): fc.Arbitrary<Uint8Array> {
  return fc.uint8Array({ minLength: length, maxLength: length });
}

/** Of zeros only the full sum is 0 and the updated one 0xffff: the same number in one's complement. */
function assertSame(updated: number, bytes: Uint8Array): void {
  if (bytes.every((byte) => byte === 0)) assert.equal(updated % 0xffff, 0);
  else assert.equal(updated, checksumOf(bytes, 0, bytes.length));
}
