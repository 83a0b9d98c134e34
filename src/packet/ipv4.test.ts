import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp4 } from './address.ts';
import { checksumOf } from './checksum.ts';
import { emitIpv4, formatIpv4, type Ipv4, parseIpv4 } from './ipv4.ts';
import { readHex } from './word/arguments.ts';

const [a, b] = [parseIp4('10.0.0.1')!, parseIp4('10.0.0.2')!];
const UDP = '4500001ff04040004011368b0a0000010a000002cb690009000badf968690a';
/** The kernel's first and later fragment of a ping with 2000 bytes: the first 24 bytes of each. */
const FIRST = '450005dc0fd62000400131490a0000010a0000020800e972';
const LATER = '450002240fd600b9400154480a0000010a000002c0c1c2c3';
/** A ping with the record-route option. */
const RECORD_ROUTE =
  '4f00007c0fd540004001da990a0000010a000002' +
  '010727080a0000010000000000000000000000000000000000000000000000000000000000000000';

/** The header alone, in a packet of the length it says. */
function parsed(hex: string): Ipv4 {
  const head = readHex(hex)!;
  const bytes = new Uint8Array(Math.max(head.length, (head[2]! << 8) | head[3]!));
  bytes.set(head);
  const ip = parseIpv4(bytes, 0, bytes.length);
  assert.ok(ip);
  return ip;
}

test('a captured datagram has the addresses, flags and bounds that it shows', () => {
  const ip = parsed(UDP);
  assert.equal(formatIpv4(ip), '10.0.0.1 > 10.0.0.2 ttl 64');
  assert.deepEqual([ip.id, ip.dontFragment, ip.protocol, ip.payloadAt, ip.end], [0xf040, true, 17, 20, 31]);
  assert.deepEqual(emitIpv4(ip, readHex(UDP)!.subarray(20)), readHex(UDP));
});

test('captured fragments tell their place in bytes', () => {
  const first = parsed(FIRST);
  assert.deepEqual([first.moreFragments, first.fragmentOffset, first.end], [true, 0, 1500]);
  const later = parsed(LATER);
  assert.deepEqual([later.moreFragments, later.fragmentOffset, later.end], [false, 1480, 548]);
  assert.equal(formatIpv4(later), '10.0.0.1 > 10.0.0.2 ttl 64 fragment 1480 id 4054');
});

test('options are kept as they are', () => {
  const ip = parsed(RECORD_ROUTE);
  assert.equal(ip.options.length, 40);
  assert.equal(ip.payloadAt, 60);
  assert.deepEqual(emitIpv4(ip, new Uint8Array(64)).subarray(0, 60), readHex(RECORD_ROUTE));
});

test('options that end inside a word are padded', () => {
  const header = { ...parsed(UDP), options: Uint8Array.of(0x94, 4, 0, 0, 1) };
  const bytes = emitIpv4(header, new Uint8Array(0));
  assert.equal(bytes.length, 28);
  assert.equal(checksumOf(bytes, 0, 28), 0);
});

test('what is behind the total length does not belong to the packet', () => {
  const padded = new Uint8Array(46);
  padded.set(readHex(UDP)!);
  assert.equal(parseIpv4(padded, 0, 46)?.end, 31);
});

test('a wrong version, header length or total length is no packet', () => {
  const bytes = readHex(UDP)!;
  assert.equal(parseIpv4(bytes.with(0, 0x65), 0, 31), undefined);
  assert.equal(parseIpv4(bytes.with(0, 0x44), 0, 31), undefined);
  assert.equal(parseIpv4(bytes.with(0, 0x4f), 0, 31), undefined);
  assert.equal(parseIpv4(bytes.with(3, 19), 0, 31), undefined);
  assert.equal(parseIpv4(bytes.with(3, 32), 0, 31), undefined);
  assert.equal(parseIpv4(bytes, 0, 30), undefined);
  assert.deepEqual([parseIpv4(bytes, 0, 31)?.source, parseIpv4(bytes, 0, 31)?.destination], [a, b]);
});
