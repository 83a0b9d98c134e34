import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  formatIp,
  formatIp6,
  formatMac,
  formatPrefix,
  groupMacOf,
  type Ip,
  type Ip4,
  type Ip6,
  isGroupMac,
  isLinkLocalIp,
  isMulticastIp,
  linkLocalOf,
  type Mac,
  networkOf,
  parseInterfaceAddress,
  parseIp,
  parseIp4,
  parseIp6,
  parseMac,
  parsePrefix,
  prefixContains,
  prefixesOverlap,
  readIp4,
  readIp6,
  readMac,
  solicitedNodeOf,
  writeIp,
  writeMac,
} from './address.ts';

const mac = fc.integer({ min: 0, max: 2 ** 48 - 1 }).map((value) => value as Mac);
const ip4 = fc.integer({ min: 0, max: 0xffffffff }).map((value) => value as Ip4);
const ip6 = fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).map((value) => value as Ip6);
/** Many zero groups, so that they are shortened. */
const sparseIp6 = fc
  .array(fc.constantFrom(0n, 0n, 0n, 1n, 0xabcn, 0xffffn), { minLength: 8, maxLength: 8 })
  .map((groups) => groups.reduce<bigint>((value, group) => (value << 16n) | group, 0n) as Ip6);
const ip: fc.Arbitrary<Ip> = fc.oneof(ip4, ip6, sparseIp6);

test('text and bytes of an address give it back', () => {
  fc.assert(
    fc.property(mac, ip, (m, i) => {
      assert.equal(parseMac(formatMac(m)), m);
      assert.equal(parseIp(formatIp(i)), i);
      const bytes = new Uint8Array(24);
      writeMac(bytes, 1, m);
      writeIp(bytes, 7, i);
      assert.equal(readMac(bytes, 1), m);
      const read: Ip = typeof i === 'number' ? readIp4(bytes, 7) : readIp6(bytes, 7);
      assert.equal(read, i);
    }),
    { numRuns: 500 },
  );
});

test('IPv6 is written as RFC 5952 wants it', () => {
  for (const [text, canonical] of [
    ['2001:0DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['::ffff:192.0.2.1', '::ffff:c000:201'],
  ] as const) {
    assert.equal(formatIp6(parseIp6(text)!), canonical);
  }
});

test('what is no address is none', () => {
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.x',
    ' 1.2.3.4',
    '0x1.2.3.4',
    '1..2.3',
  ]) {
    assert.equal(parseIp4(text), undefined, text);
  }
  for (const text of [
    '',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '12345::',
    'g::',
    '1:2:3:4:5:6:7::8',
    '::1.2.3',
    '1.2.3.4',
  ]) {
    assert.equal(parseIp6(text), undefined, text);
  }
  for (const text of ['', '02:00:00:00:00', '02-00-00-00-00-01', '2:0:0:0:0:1', '02:00:00:00:00:0g']) {
    assert.equal(parseMac(text), undefined, text);
  }
});

test('a prefix has no host bits, an interface address may have', () => {
  assert.equal(formatPrefix(parsePrefix('10.0.0.0/8')!), '10.0.0.0/8');
  assert.equal(formatPrefix(parsePrefix('fd00::/64')!), 'fd00::/64');
  assert.equal(formatPrefix(parsePrefix('10.0.0.1')!), '10.0.0.1/32');
  assert.equal(parsePrefix('10.0.0.1/8'), undefined);
  assert.deepEqual(parseInterfaceAddress('10.0.0.1/8'), { ip: parseIp4('10.0.0.1'), bits: 8 });
  for (const text of ['10.0.0.0/33', 'fd00::/129', '10.0.0.0/', '10.0.0.0/8/8', '10.0.0.0/-1', '10.0.0.0/08']) {
    assert.equal(parseInterfaceAddress(text), undefined, text);
  }
});

test('a network contains an address when their first bits are the same', () => {
  fc.assert(
    fc.property(fc.oneof(fc.tuple(ip4, ip4), fc.tuple(ip6, ip6)), fc.nat({ max: 128 }), ([a, b], some) => {
      const width = typeof a === 'number' ? 32 : 128;
      const bits = Math.min(some, width);
      const first = (ip: Ip) => BigInt(ip).toString(2).padStart(width, '0').slice(0, bits);
      const network = { ip: networkOf(a as Ip, bits), bits };
      assert.equal(first(network.ip), first(a));
      assert.equal(prefixContains(network, a), true);
      assert.equal(prefixContains(network, b), first(a) === first(b));
      assert.equal(prefixContains(network, (typeof a === 'number' ? 0n : 0) as Ip), false);
    }),
  );
});

test('prefixes overlap when one holds the other', () => {
  const overlap = (a: string, b: string) => prefixesOverlap(parsePrefix(a)!, parsePrefix(b)!);
  assert.equal(overlap('10.0.0.0/8', '10.1.0.0/16'), true);
  assert.equal(overlap('10.1.0.0/16', '10.0.0.0/8'), true);
  assert.equal(overlap('10.0.0.0/16', '10.1.0.0/16'), false);
  assert.equal(overlap('0.0.0.0/0', '::/0'), false);
});

test('group, multicast and link-local addresses are told from others', () => {
  assert.deepEqual(
    ['01:00:5e:00:00:01', 'ff:ff:ff:ff:ff:ff', '02:00:00:00:00:01'].map((each) => isGroupMac(parseMac(each)!)),
    [true, true, false],
  );
  assert.deepEqual(
    ['224.0.0.1', '239.255.255.255', '240.0.0.0', 'ff02::1', 'fe80::1'].map((each) => isMulticastIp(parseIp(each)!)),
    [true, true, false, true, false],
  );
  assert.deepEqual(
    ['169.254.1.1', '169.255.1.1', 'fe80::1', 'febf::1', 'fec0::1'].map((each) => isLinkLocalIp(parseIp(each)!)),
    [true, false, true, true, false],
  );
});

test('derived addresses are those of the RFCs', () => {
  assert.equal(formatIp6(linkLocalOf(parseMac('02:00:00:00:00:0a')!)), 'fe80::ff:fe00:a');
  assert.equal(formatIp6(linkLocalOf(parseMac('34:56:78:9a:bc:de')!)), 'fe80::3656:78ff:fe9a:bcde');
  assert.equal(formatIp6(solicitedNodeOf(parseIp6('4037::1:800:200e:8c6c')!)), 'ff02::1:ff0e:8c6c');
  assert.equal(formatMac(groupMacOf(parseIp('239.129.1.2')!)), '01:00:5e:01:01:02');
  assert.equal(formatMac(groupMacOf(parseIp('ff02::1:ff0e:8c6c')!)), '33:33:ff:0e:8c:6c');
});
