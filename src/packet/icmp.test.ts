import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp6 } from './address.ts';
import { emitIcmp, emitIcmp6, formatIcmp, formatIcmp6, ICMP, isIcmpError, parseIcmp } from './icmp.ts';
import { readHex } from './word/arguments.ts';

const PAYLOAD = '101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637';
const ECHO = `0800f4a53f410001db2c006b0000000027ad020000000000${PAYLOAD}`;
const ECHO_6 = `800050fb3f440001db2c006b0000000058d5020000000000${PAYLOAD}`;
const PORT_UNREACHABLE = '0303111c000000004500001ff04040004011368b0a0000010a000002cb690009000badf968690a';

test('a captured echo request has its id and sequence, and its own checksum when emitted', () => {
  const bytes = readHex(ECHO)!;
  const icmp = parseIcmp(bytes, 0, bytes.length)!;
  assert.equal(formatIcmp(icmp), 'icmp echo-request id 16193 seq 1');
  assert.deepEqual(emitIcmp(icmp, bytes.subarray(icmp.payloadAt)), bytes);
});

test('the checksum of ICMPv6 covers the addresses', () => {
  const bytes = readHex(ECHO_6)!;
  const icmp = parseIcmp(bytes, 0, bytes.length)!;
  assert.equal(formatIcmp6(icmp), 'icmp6 echo-request id 16196 seq 1');
  assert.deepEqual(emitIcmp6(icmp, bytes.subarray(8), parseIp6('fd00::1')!, parseIp6('fd00::2')!), bytes);
  assert.notDeepEqual(emitIcmp6(icmp, bytes.subarray(8), parseIp6('fd00::1')!, parseIp6('fd00::3')!), bytes);
});

test('a captured error quotes the packet it is about', () => {
  const bytes = readHex(PORT_UNREACHABLE)!;
  const icmp = parseIcmp(bytes, 0, bytes.length)!;
  assert.equal(formatIcmp(icmp), 'icmp unreachable port');
  assert.equal(bytes[icmp.payloadAt], 0x45);
});

test('what is told depends on the type', () => {
  assert.equal(formatIcmp({ type: 3, code: 4, rest: 1400 }), 'icmp unreachable fragmentation-needed mtu 1400');
  assert.equal(formatIcmp({ type: 3, code: 13, rest: 0 }), 'icmp unreachable prohibited');
  assert.equal(formatIcmp({ type: 11, code: 0, rest: 0 }), 'icmp time-exceeded');
  assert.equal(formatIcmp({ type: 13, code: 0, rest: 0 }), 'icmp type 13 code 0');
  assert.equal(formatIcmp6({ type: 2, code: 0, rest: 1280 }), 'icmp6 too-big mtu 1280');
  assert.equal(formatIcmp6({ type: 1, code: 3, rest: 0 }), 'icmp6 unreachable address');
});

test('errors are told from queries', () => {
  assert.deepEqual(
    [0, 3, 4, 5, 8, 11, 12, 13].filter((type) => isIcmpError(type, 4)),
    [3, 4, 5, 11, 12],
  );
  assert.deepEqual(
    [1, 2, 3, 4, 127, 128, 129, 135].filter((type) => isIcmpError(type, 6)),
    [1, 2, 3, 4, 127],
  );
});

test('seven bytes are no ICMP header', () => {
  assert.equal(parseIcmp(new Uint8Array(7), 0, 7), undefined);
  assert.equal(parseIcmp(new Uint8Array(8), 0, 8)?.type, ICMP.echoReply);
});
