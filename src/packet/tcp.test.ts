import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp4 } from './address.ts';
import { emitMss, emitTcp, formatTcp, mssOf, parseTcp, TCP } from './tcp.ts';
import { readHex } from './word/arguments.ts';

const SYN = 'b7f6000948df254100000000a002faf086120000020405b40402080af6d895fe000000000103030a';
const [a, b] = [parseIp4('10.0.0.1')!, parseIp4('10.0.0.2')!];

test('a captured SYN has its ports, numbers and options', () => {
  const bytes = readHex(SYN)!;
  const tcp = parseTcp(bytes, 0, bytes.length)!;
  assert.equal(formatTcp(tcp), 'tcp 47094 > 9 syn seq 1222583617 mss 1460');
  assert.deepEqual([tcp.flags, tcp.window, tcp.options.length, tcp.payloadAt], [TCP.syn, 64240, 20, 40]);
  assert.deepEqual(emitTcp(tcp, new Uint8Array(0), a, b), bytes);
});

test('the segment size is found behind padding and other options, and nowhere else', () => {
  assert.equal(mssOf(readHex('0101080a0000000000000000020405b4')!), 1460);
  assert.equal(mssOf(emitMss(536)), 536);
  assert.equal(mssOf(readHex('0002040578')!), undefined);
  assert.equal(mssOf(readHex('03000204')!), undefined);
  assert.equal(mssOf(readHex('020405')!), undefined);
  assert.equal(mssOf(readHex('08')!), undefined);
});

test('a data offset below the header or beyond the segment is no segment', () => {
  const bytes = readHex(SYN)!;
  assert.equal(parseTcp(bytes.with(12, 0x40), 0, 40), undefined);
  assert.equal(parseTcp(bytes.with(12, 0xb0), 0, 40), undefined);
  assert.equal(parseTcp(bytes, 0, 39), undefined);
});

test('flags are told by name', () => {
  const tcp = { ...parseTcp(readHex(SYN)!, 0, 40)!, options: new Uint8Array(0) };
  assert.equal(
    formatTcp({ ...tcp, flags: TCP.syn | TCP.ack, sequence: 5, acknowledgement: 7 }),
    'tcp 47094 > 9 syn,ack seq 5 ack 7',
  );
  assert.equal(formatTcp({ ...tcp, flags: 0, sequence: 5 }), 'tcp 47094 > 9 no-flags seq 5');
});
