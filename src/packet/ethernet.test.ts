import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Mac, parseMac } from './address.ts';
import { emitEthernet, formatEthernet, parseEthernet, tciOf } from './ethernet.ts';
import { readHex } from './word/arguments.ts';

const a = parseMac('02:00:00:00:00:0a')!;
const b = parseMac('02:00:00:00:00:0b')!;

test('an untagged header is destination, source, type', () => {
  const bytes = readHex('02000000000b02000000000a0800')!;
  const parsed = parseEthernet(bytes, 0, bytes.length);
  assert.deepEqual(parsed, { destination: b, source: a, tags: [], etherType: 0x0800, payloadAt: 14 });
});

test('two tags are read outer first, with priority, drop eligibility and VLAN', () => {
  const bytes = readHex('02000000000b02000000000a88a8700a8100c0146003')!.with(20, 0x08).with(21, 0x06);
  const parsed = parseEthernet(bytes, 0, bytes.length);
  assert.deepEqual(parsed?.tags, [
    { tpid: 0x88a8, priority: 3, dropEligible: true, vlan: 10 },
    { tpid: 0x8100, priority: 6, dropEligible: false, vlan: 20 },
  ]);
  assert.equal(parsed.etherType, 0x0806);
  assert.equal(parsed.payloadAt, 22);
  assert.equal(
    formatEthernet(parsed),
    '02:00:00:00:00:0a > 02:00:00:00:00:0b svlan 10 priority 3 dei vlan 20 priority 6',
  );
});

test('a third tag is payload: its TPID is the type', () => {
  const bytes = readHex('02000000000b02000000000a8100000181000002810000030800')!;
  const parsed = parseEthernet(bytes, 0, bytes.length);
  assert.equal(parsed?.tags.length, 2);
  assert.equal(parsed.etherType, 0x8100);
});

test('a header or tag that is cut off is none', () => {
  const bytes = readHex('02000000000b02000000000a810000010800')!;
  assert.notEqual(parseEthernet(bytes, 0, 18), undefined);
  for (let end = 0; end < 18; end++) assert.equal(parseEthernet(bytes, 0, end), undefined, `${end} bytes`);
});

test('the control information of a tag holds priority, drop eligibility and VLAN', () => {
  assert.equal(tciOf({ tpid: 0x8100, priority: 7, dropEligible: true, vlan: 4095 }), 0xffff);
  assert.equal(tciOf({ tpid: 0x8100, priority: 1, dropEligible: false, vlan: 5 }), 0x2005);
});

test('the payload follows the header as it is', () => {
  const header = { destination: b, source: 0xffffffffffff as Mac, tags: [], etherType: 0x88b5 };
  assert.deepEqual(emitEthernet(header, Uint8Array.of(1, 2)), readHex('02000000000bffffffffffff88b50102'));
});
