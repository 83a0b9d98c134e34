import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Mac, parseIp4, parseMac } from './address.ts';
import { emitArp, formatArp, parseArp } from './arp.ts';
import { readHex } from './word/arguments.ts';

const REQUEST = '000108000604000102000000000a0a0000010000000000000a000002';
const REPLY = '000108000604000202000000000b0a00000202000000000a0a000001';
const [a, b] = [parseMac('02:00:00:00:00:0a')!, parseMac('02:00:00:00:00:0b')!];
const [ipA, ipB] = [parseIp4('10.0.0.1')!, parseIp4('10.0.0.2')!];

test('a captured request asks for the target, with no MAC for it', () => {
  const request = parseArp(readHex(REQUEST)!, 0, 28)!;
  assert.deepEqual(request, { operation: 1, senderMac: a, senderIp: ipA, targetMac: 0 as Mac, targetIp: ipB });
  assert.equal(formatArp(request), 'arp who-has 10.0.0.2 tell 10.0.0.1');
  assert.deepEqual(emitArp(request), readHex(REQUEST));
});

test('a captured reply tells the MAC of its sender', () => {
  const reply = parseArp(readHex(REPLY)!, 0, 28)!;
  assert.deepEqual(reply, { operation: 2, senderMac: b, senderIp: ipB, targetMac: a, targetIp: ipA });
  assert.equal(formatArp(reply), 'arp reply 10.0.0.2 is-at 02:00:00:00:00:0b');
  assert.deepEqual(emitArp(reply), readHex(REPLY));
});

test('other hardware, protocols and address lengths are not parsed', () => {
  const bytes = readHex(REQUEST)!;
  for (const [at, value] of [
    [1, 6],
    [2, 0x86],
    [4, 8],
    [5, 16],
  ] as const) {
    assert.equal(parseArp(bytes.with(at, value), 0, 28), undefined, `byte ${at}`);
  }
  assert.equal(parseArp(bytes, 0, 27), undefined);
});
