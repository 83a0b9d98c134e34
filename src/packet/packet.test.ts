import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatIp } from './address.ts';
import { destinationIpOf, formatPacket, parsePacket, sourceIpOf } from './packet.ts';
import { readHex } from './word/arguments.ts';
import { frameOf } from './words.ts';

const ETH = 'eth(02:00:00:00:00:01, 02:00:00:00:00:02)';
const A = '02:00:00:00:00:01 > 02:00:00:00:00:02';

test('a tagged IPv4 frame with options and padding has its layers where they are', () => {
  const frame = frameOf(
    `${ETH} vlan(10) vlan(20) ip(10.0.0.1, 10.0.0.2, ttl=3, options=94040000) udp(1, 2) bytes(2) pad(80)`,
  );
  const { bytes, ...packet } = parsePacket(frame)!;
  assert.equal(bytes, frame);
  assert.deepEqual(packet, {
    tagCount: 2,
    etherType: 0x0800,
    network: 'ip4',
    l3At: 22,
    l3Bytes: 34,
    end: 56,
    ttl: 3,
    protocol: 17,
    l4At: 46,
  });
});

test('an IPv6 frame counts its extension headers into the length', () => {
  const { bytes, ...packet } = parsePacket(
    frameOf(`${ETH} ip6(fd00::1, fd00::2, hop=9, ext=hop-by-hop, frag=first) udp(1, 2)`),
  )!;
  assert.equal(bytes.length, 14 + 40 + 8 + 8 + 8);
  assert.deepEqual(packet, {
    tagCount: 0,
    etherType: 0x86dd,
    network: 'ip6',
    l3At: 14,
    l3Bytes: 64,
    end: 78,
    ttl: 9,
    protocol: 17,
    l4At: 70,
    fragment: { id: 1, offsetBytes: 0, more: true },
  });
});

test('addresses are read in place', () => {
  const four = parsePacket(frameOf(`${ETH} ip(10.0.0.1, 10.0.0.2)`))!;
  assert.equal(`${formatIp(sourceIpOf(four))} ${formatIp(destinationIpOf(four))}`, '10.0.0.1 10.0.0.2');
  const six = parsePacket(frameOf(`${ETH} ip6(fd00::1, fd00::2)`))!;
  assert.equal(`${formatIp(sourceIpOf(six))} ${formatIp(destinationIpOf(six))}`, 'fd00::1 fd00::2');
});

test('an atomic fragment is a whole packet', () => {
  assert.equal(parsePacket(frameOf(`${ETH} ip6(fd00::1, fd00::2, frag=atomic) udp(1, 2)`))?.fragment, undefined);
});

test('a later fragment has its data where the upper layer would be', () => {
  const packet = parsePacket(frameOf(`${ETH} ip(10.0.0.1, 10.0.0.2, offset=8, id=5) udp(1, 2) bytes(4)`))!;
  assert.deepEqual(packet.fragment, { id: 5, offsetBytes: 8, more: false });
  assert.deepEqual([packet.l4At, packet.end], [34, 38]);
});

test('frames of other types are whole, without network fields', () => {
  const packet = parsePacket(frameOf(`${ETH} bytes(5)`))!;
  assert.deepEqual([packet.network, packet.etherType, packet.l3Bytes, packet.protocol], ['other', 0x88b5, 5, 0]);
});

test('what is malformed up to the network layer is no packet', () => {
  assert.equal(parsePacket(new Uint8Array(13)), undefined);
  assert.equal(parsePacket(frameOf(`${ETH} vlan(1) cut(16)`)), undefined);
  assert.equal(parsePacket(frameOf('arp(request, 02:00:00:00:00:01, 10.0.0.1, 10.0.0.2) cut(41)')), undefined);
  assert.equal(parsePacket(frameOf(`${ETH} ip(10.0.0.1, 10.0.0.2) bytes(2) cut(35)`)), undefined);
});

for (const [words, line] of [
  ['ip(10.0.0.1, 10.0.0.2) udp(53, 53) bytes(3)', '10.0.0.1 > 10.0.0.2 ttl 64 udp 53 > 53 (45 bytes)'],
  ['vlan(7) ip6(fd00::1, fd00::2) tcp(1, 2, syn)', 'vlan 7 fd00::1 > fd00::2 hop 64 tcp 1 > 2 syn seq 0 (78 bytes)'],
  ['ip(10.0.0.1, 10.0.0.2, frag=later) tcp(1, 2)', '10.0.0.1 > 10.0.0.2 ttl 64 fragment 1480 id 1 tcp (34 bytes)'],
  ['ip(10.0.0.1, 10.0.0.2) sctp(5, 6)', '10.0.0.1 > 10.0.0.2 ttl 64 sctp 5 > 6 (46 bytes)'],
  ['ip(10.0.0.1, 10.0.0.2) gre(key=3)', '10.0.0.1 > 10.0.0.2 ttl 64 gre 0x6558 key 3 (42 bytes)'],
  ['ip(10.0.0.1, 10.0.0.2, protocol=6) bytes(8)', '10.0.0.1 > 10.0.0.2 ttl 64 malformed tcp (42 bytes)'],
  ['ip(10.0.0.1, 10.0.0.2, protocol=99)', '10.0.0.1 > 10.0.0.2 ttl 64 protocol 99 (34 bytes)'],
  [
    'ip6(fd00::1, fd00::2) icmp6(echo-reply, id=1, seq=2)',
    'fd00::1 > fd00::2 hop 64 icmp6 echo-reply id 1 seq 2 (62 bytes)',
  ],
  [
    'ip6(fd00::1, fd00::2, ext=routing) ns(fd00::2)',
    'fd00::1 > fd00::2 hop 255 routing nd neighbour-solicitation who-has fd00::2 (86 bytes)',
  ],
  ['ip(10.0.0.1, 10.0.0.2) bytes(4) cut(36)', 'malformed ip (36 bytes)'],
  ['bytes(4)', 'type 0x88b5 (18 bytes)'],
] as const) {
  test(`"${words}" is told as "${line}"`, () => {
    assert.equal(formatPacket(frameOf(`${ETH} ${words}`)), `${A} ${line}`);
  });
}

test('DHCP is told behind its ports', () => {
  assert.match(
    formatPacket(frameOf('dhcp(request, 02:00:00:00:00:01, 10.0.0.5)')),
    /udp 68 > 67 dhcp request 02:00:00:00:00:01 requested 10\.0\.0\.5 \(/,
  );
  assert.match(formatPacket(frameOf('dhcp6(solicit, 02:00:00:00:00:01)')), /udp 546 > 547 dhcp6 solicit \(/);
});

test('a frame in a captured tunnel packet is told, one in that is not', () => {
  const captured =
    '02000000000b02000000000a08004500004ef4fb0000401171a10a0000010a00000298b012b5003a9dc40800000000002a00' +
    'ffffffffffff0e47d9ae3b26080600010800060400010e47d9ae3b260a0300010000000000000a030002';
  assert.equal(
    formatPacket(readHex(captured)!),
    '02:00:00:00:00:0a > 02:00:00:00:00:0b 10.0.0.1 > 10.0.0.2 ttl 64 udp 39088 > 4789 vxlan 42 ' +
      '0e:47:d9:ae:3b:26 > ff:ff:ff:ff:ff:ff arp who-has 10.3.0.2 tell 10.3.0.1 (42 bytes) (92 bytes)',
  );
  const layer = `${ETH} ip(10.0.0.1, 10.0.0.2) udp(1, 4789) vxlan(1)`;
  const nested = formatPacket(frameOf(`${layer} ${layer} ${layer} ${layer}`));
  assert.equal(nested.match(/vxlan/g)?.length, 2);
});
