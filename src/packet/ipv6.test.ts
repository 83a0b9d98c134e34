import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp6 } from './address.ts';
import { EXTENSION, emitIpv6, formatIpv6, IPV6_EXTENSIONS_MAX, parseIpv6 } from './ipv6.ts';
import { readHex } from './word/arguments.ts';

const ADDRESSES = 'fd000000000000000000000000000001fd000000000000000000000000000002';
const UDP = `600d7293000b1140${ADDRESSES}a7fc0009000beb6468690a`;
/** A multicast listener report: router alert in hop-by-hop options. */
const LISTENER =
  '600000000038000100000000000000000000000000000000ff020000000000000000000000000016' +
  '3a000502000001008f006d630000000204000000ff0200000000000000000001ff00000b04000000ff0200000000000000000001ff000002';
/** The kernel's later fragment of a ping with 2000 bytes, cut after 8 bytes of data. */
const LATER = `600b903800102c40${ADDRESSES}3a0005a8a38c9b13a0a1a2a3a4a5a6a7`;

test('a captured datagram has the addresses, flow label and bounds that it shows', () => {
  const bytes = readHex(UDP)!;
  const ip = parseIpv6(bytes, 0, bytes.length)!;
  assert.equal(formatIpv6(ip), 'fd00::1 > fd00::2 hop 64');
  assert.deepEqual([ip.flowLabel, ip.protocol, ip.payloadAt, ip.end], [0xd7293, 17, 40, 51]);
  assert.deepEqual(emitIpv6(ip, bytes.subarray(40)), bytes);
});

test('hop-by-hop options stand between the header and ICMPv6 in a captured listener report', () => {
  const bytes = readHex(LISTENER)!;
  const ip = parseIpv6(bytes, 0, bytes.length)!;
  assert.deepEqual(ip.extensions, [{ protocol: EXTENSION.hopByHop, data: readHex('050200000100') }]);
  assert.deepEqual([ip.protocol, ip.payloadAt], [58, 48]);
  assert.deepEqual(emitIpv6(ip, bytes.subarray(48)), bytes);
});

test('a captured later fragment ends the header chain', () => {
  const bytes = readHex(LATER)!;
  const ip = parseIpv6(bytes, 0, bytes.length)!;
  assert.deepEqual(ip.extensions, [{ protocol: EXTENSION.fragment, offset: 1448, more: false, id: 0xa38c9b13 }]);
  assert.deepEqual([ip.protocol, ip.payloadAt], [58, 48]);
  assert.equal(formatIpv6(ip), 'fd00::1 > fd00::2 hop 64 fragment 1448 id 2743900947');
  const asExtension = parseIpv6(bytes.with(40, EXTENSION.destination), 0, bytes.length)!;
  assert.deepEqual([asExtension.protocol, asExtension.extensions.length], [EXTENSION.destination, 1]);
});

test('behind a first fragment the chain goes on', () => {
  const bytes = readHex(`6000000000182c40${ADDRESSES}3c00000100000007110001040000000000010002000800ff`)!;
  const ip = parseIpv6(bytes, 0, bytes.length)!;
  assert.deepEqual([ip.extensions.length, ip.protocol, ip.payloadAt], [2, 17, 56]);
});

test('the length of an authentication header counts words, not doublewords', () => {
  const header = {
    trafficClass: 0,
    flowLabel: 0,
    hopLimit: 1,
    source: parseIp6('::1')!,
    destination: parseIp6('::2')!,
    extensions: [{ protocol: EXTENSION.authentication, data: new Uint8Array(22) }],
    protocol: 6,
  } as const;
  const bytes = emitIpv6(header, new Uint8Array(3));
  assert.equal(bytes[41], 4);
  assert.equal(parseIpv6(bytes, 0, bytes.length)?.payloadAt, 64);
});

test('eight extension headers are read, nine are too many', () => {
  const option = { protocol: EXTENSION.destination, data: readHex('010400000000')! };
  const base = parseIpv6(readHex(UDP)!, 0, 51)!;
  for (const count of [IPV6_EXTENSIONS_MAX, IPV6_EXTENSIONS_MAX + 1]) {
    const bytes = emitIpv6({ ...base, extensions: new Array(count).fill(option) }, new Uint8Array(8));
    const ip = parseIpv6(bytes, 0, bytes.length);
    assert.equal(ip?.protocol, count > IPV6_EXTENSIONS_MAX ? undefined : 17, `${count} headers`);
  }
});

test('a wrong version, a length beyond the frame or a cut-off extension header is no packet', () => {
  const bytes = readHex(LISTENER)!;
  assert.equal(parseIpv6(bytes.with(0, 0x40), 0, bytes.length), undefined);
  assert.equal(parseIpv6(bytes, 0, bytes.length - 1), undefined);
  assert.equal(parseIpv6(bytes.with(41, 7), 0, bytes.length), undefined);
  assert.equal(parseIpv6(bytes.with(5, 7), 0, bytes.length), undefined);
});
