import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Ip4, parseIp4, parseIp6, readU16 } from './address.ts';
import { emitUdp, formatUdp, parseUdp } from './udp.ts';
import { readHex } from './word/arguments.ts';

test('captured datagrams of both families have their ports, payload and checksum', () => {
  for (const [hex, source, destination, text] of [
    ['cb690009000badf968690a', parseIp4('10.0.0.1')!, parseIp4('10.0.0.2')!, 'udp 52073 > 9'],
    ['a7fc0009000beb6468690a', parseIp6('fd00::1')!, parseIp6('fd00::2')!, 'udp 43004 > 9'],
  ] as const) {
    const bytes = readHex(hex)!;
    const udp = parseUdp(bytes, 0, bytes.length)!;
    assert.equal(formatUdp(udp), text);
    assert.deepEqual([udp.payloadAt, udp.end], [8, 11]);
    assert.deepEqual(emitUdp(udp, bytes.subarray(8), source, destination), bytes);
  }
});

test('a checksum that comes out as 0 is sent as 0xffff', () => {
  const [a, b] = [0 as Ip4, 0 as Ip4];
  const checksum = (port: number) =>
    readU16(emitUdp({ sourcePort: port, destinationPort: 0 }, new Uint8Array(0), a, b), 6);
  // Protocol 17, length 8 twice: 33 in all.
  assert.equal(checksum(0xffff - 33), 0xffff);
  assert.equal(checksum(0xffff - 34), 1);
});

test('of a first fragment the part that is here counts', () => {
  const bytes = readHex('00010002ffff000001020304')!;
  assert.equal(parseUdp(bytes, 0, 12)?.end, 12);
});

test('a length below that of the header is no datagram', () => {
  assert.equal(parseUdp(readHex('0001000200070000')!, 0, 8), undefined);
  assert.equal(parseUdp(readHex('0001000200080000')!, 0, 7), undefined);
});
