import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Ip4, type Ip6, parseIp4, parseIp6 } from './address.ts';
import { checksumOf, crc32cOf, pseudoSumOf, updateChecksum } from './checksum.ts';
import { readHex } from './word/arguments.ts';

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
