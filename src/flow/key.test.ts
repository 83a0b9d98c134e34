import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatIp, formatMac, readIp6, readMac, readU16 } from '../packet/address.ts';
import { parseArp } from '../packet/arp.ts';
import { parseEthernet, tciOf } from '../packet/ethernet.ts';
import { parseIcmp } from '../packet/icmp.ts';
import { parseIpv4 } from '../packet/ipv4.ts';
import { parseIpv6 } from '../packet/ipv6.ts';
import { linkAddressOf, parseNd } from '../packet/nd.ts';
import { destinationIpOf, type Packet, parsePacket, sourceIpOf } from '../packet/packet.ts';
import { parseTcp } from '../packet/tcp.ts';
import { readHex } from '../packet/word/arguments.ts';
import { frameOf } from '../packet/words.ts';
import {
  ARP_SENDER_MAC_AT,
  ARP_TARGET_MAC_AT,
  FIELD,
  type FieldName,
  type FlowKey,
  FRAGMENT,
  floodOf,
  getIp,
  ND_LINK_ADDRESS_AT,
  portOf,
  VLAN_PRESENT,
} from './fields.ts';
import { keyOfFrame } from './key.ts';
import { DROP, DROP_NAMES } from './reasons.ts';

const ETH = 'eth(02:00:00:00:00:01, 02:00:00:00:00:02)';
const IP = `${ETH} ip(10.0.0.1, 10.0.0.2)`;
const IP6 = `${ETH} ip6(fd00::1, fd00::2)`;
const MAC = '02:00:00:00:00:01';

/** The fields of a key that are not 0, but those of layer 2 and the port. */
function fieldsOf(words: string | Uint8Array): Record<string, string | number> {
  const { key, drop } = keyOfFrame(typeof words === 'string' ? frameOf(words) : words, 1);
  assert.ok(key, `dropped: ${DROP_NAMES[drop ?? 0]}`);
  const fields: Record<string, string | number> = {};
  for (const name of Object.keys(FIELD) as FieldName[]) {
    const { at, bytes } = FIELD[name];
    const value = key.subarray(at, at + bytes);
    if (value.every((byte) => byte === 0) || name === 'port' || name.startsWith('ethernet')) continue;
    if (bytes === 16) fields[name] = formatIp(getIp(key, at));
    else fields[name] = value.reduce((sum, byte) => sum * 256 + byte, 0);
  }
  return fields;
}

function dropOf(words: string | Uint8Array): string | undefined {
  const { drop } = keyOfFrame(typeof words === 'string' ? frameOf(words) : words, 1);
  return drop === undefined ? undefined : DROP_NAMES[drop];
}

test('port and flood stand in host order in front', () => {
  const { key } = keyOfFrame(frameOf(IP), 0x12345, 0x3fffff);
  assert.ok(key);
  assert.deepEqual([portOf(key), floodOf(key)], [0x12345, 0x3fffff]);
  assert.deepEqual([...key.subarray(0, 8)], [0, 0, 0, 0, 0x45, 0x23, 0x01, 0]);
});

test('a TCP frame fills layer 2, addresses, ports and flags', () => {
  const { key } = keyOfFrame(frameOf(`${ETH} ip(10.0.0.1, 10.0.0.2, tos=0xb8) tcp(1000, 80, syn, ece)`), 1);
  assert.ok(key);
  assert.equal(formatMac(readMac(key, FIELD.ethernetSource.at)), '02:00:00:00:00:01');
  assert.equal(formatMac(readMac(key, FIELD.ethernetDestination.at)), '02:00:00:00:00:02');
  assert.deepEqual(fieldsOf(`${ETH} ip(10.0.0.1, 10.0.0.2, tos=0xb8) tcp(1000, 80, syn, ece)`), {
    etherType: 0x0800,
    protocol: 6,
    trafficClass: 0xb8,
    tcpFlags: 0x42,
    source: '10.0.0.1',
    destination: '10.0.0.2',
    sourcePort: 1000,
    destinationPort: 80,
  });
});

const FOUR = { etherType: 0x0800, source: '10.0.0.1', destination: '10.0.0.2' };
const SIX = { etherType: 0x86dd, source: 'fd00::1', destination: 'fd00::2' };

for (const [words, fields] of [
  [`${IP} udp(53, 54)`, { ...FOUR, protocol: 17, sourcePort: 53, destinationPort: 54 }],
  [`${IP} sctp(5, 6)`, { ...FOUR, protocol: 132, sourcePort: 5, destinationPort: 6 }],
  [`${IP} icmp(type=3, code=4)`, { ...FOUR, protocol: 1, sourcePort: 3, destinationPort: 4 }],
  [`${IP} gre(key=1)`, { ...FOUR, protocol: 47 }],
  [
    `${ETH} ip(10.0.0.1, 10.0.0.2, options=94040000) udp(1, 2)`,
    { ...FOUR, protocol: 17, sourcePort: 1, destinationPort: 2 },
  ],
  [`${ETH} ip(10.0.0.1, 10.0.0.2, protocol=58) bytes(4)`, { ...FOUR, protocol: 58 }],
  [`${IP6} udp(53, 54)`, { ...SIX, protocol: 17, sourcePort: 53, destinationPort: 54 }],
  [
    `${ETH} ip6(fd00::1, fd00::2, class=0xb8, flow=0xfffff) tcp(1, 2, fin)`,
    { ...SIX, protocol: 6, trafficClass: 0xb8, tcpFlags: 1, sourcePort: 1, destinationPort: 2 },
  ],
  [`${IP6} icmp6(too-big, mtu=1280)`, { ...SIX, protocol: 58, sourcePort: 2 }],
  [`${ETH} ip6(fd00::1, fd00::2, protocol=1) bytes(4)`, { ...SIX, protocol: 1 }],
  [`${ETH} ip6(fd00::1, fd00::2, protocol=59)`, { ...SIX, protocol: 59 }],
  [
    `${ETH} ip6(fd00::1, fd00::2, ext=hop-by-hop+routing+authentication+destination) udp(1, 2)`,
    { ...SIX, protocol: 17, sourcePort: 1, destinationPort: 2 },
  ],
  [`${ETH} ip6(fd00::1, fd00::2, frag=atomic) udp(1, 2)`, { ...SIX, protocol: 17, sourcePort: 1, destinationPort: 2 }],
  [
    `${ETH} vlan(0) ip(10.0.0.1, 10.0.0.2) udp(1, 2)`,
    { ...FOUR, vlan: VLAN_PRESENT, protocol: 17, sourcePort: 1, destinationPort: 2 },
  ],
  [
    `${ETH} vlan(10, priority=7, qinq) vlan(20, dei) ip(10.0.0.1, 10.0.0.2) udp(1, 2)`,
    { ...FOUR, vlan: 0xf00a, innerVlan: 0x1014, vlanBits: 9, protocol: 17, sourcePort: 1, destinationPort: 2 },
  ],
  [`${ETH} vlan(1) vlan(2) vlan(3) ip(10.0.0.1, 10.0.0.2)`, { vlan: 0x1001, innerVlan: 0x1002, etherType: 0x8100 }],
  [`${ETH} bytes(3)`, { etherType: 0x88b5 }],
  ['eth(02:00:00:00:00:01, 01:80:c2:00:00:00, type=38) hex(424203)', { etherType: 38 }],
] as const) {
  test(`"${words}" has these fields and no others`, () => {
    assert.deepEqual(fieldsOf(words), fields);
  });
}

test('ARP rides in the address words', () => {
  const words = 'arp(reply, 02:00:00:00:00:01, 10.0.0.1, 02:00:00:00:00:02, 10.0.0.2)';
  const { key } = keyOfFrame(frameOf(words), 1);
  assert.ok(key);
  assert.equal(formatMac(readMac(key, ARP_SENDER_MAC_AT)), '02:00:00:00:00:01');
  assert.equal(formatMac(readMac(key, ARP_TARGET_MAC_AT)), '02:00:00:00:00:02');
  assert.deepEqual(fieldsOf(words), { etherType: 0x0806, protocol: 2, source: '10.0.0.1', destination: '10.0.0.2' });
});

test('ND carries its target and the link-layer address of its kind', () => {
  for (const [words, type, target, mac] of [
    [`ns(fd00::9, ${MAC})`, 135, 'fd00::9', MAC],
    [`${IP6} ns(fd00::9)`, 135, 'fd00::9', '00:00:00:00:00:00'],
    [`na(fd00::9, ${MAC})`, 136, 'fd00::9', MAC],
    [`${IP6} na(fd00::9) hex(0101020000000007)`, 136, 'fd00::9', '00:00:00:00:00:00'],
    [`${IP6} ns(fd00::9) hex(0e010000000000000101020000000007)`, 135, 'fd00::9', '02:00:00:00:00:07'],
    [`ns(fd00::9, ${MAC}) hex(0101020000000007)`, 135, 'fd00::9', MAC],
    [`ns(fd00::9, ${MAC}) hex(00)`, 135, 'fd00::9', MAC],
    [`rs(${MAC})`, 133, '::', MAC],
    [`ra(${MAC}, mtu=1400)`, 134, '::', MAC],
  ] as const) {
    const { key } = keyOfFrame(frameOf(words), 1);
    assert.ok(key, words);
    assert.equal(readU16(key, FIELD.sourcePort.at), type, words);
    assert.equal(formatIp(readIp6(key, FIELD.translatedDestination.at)), target, words);
    assert.equal(formatMac(readMac(key, ND_LINK_ADDRESS_AT)), mac, words);
  }
});

test('fragments tell first from later; later ones have no ports', () => {
  for (const [network, fields] of [
    ['ip(10.0.0.1, 10.0.0.2', FOUR],
    ['ip6(fd00::1, fd00::2', SIX],
  ] as const) {
    const first = { ...fields, protocol: 17, fragment: FRAGMENT.first, sourcePort: 1, destinationPort: 2 };
    assert.deepEqual(fieldsOf(`${ETH} ${network}, frag=first) udp(1, 2)`), first);
    const later = { ...fields, protocol: 17, fragment: FRAGMENT.later };
    assert.deepEqual(fieldsOf(`${ETH} ${network}, frag=later) udp(1, 2) bytes(8)`), later);
    assert.deepEqual(fieldsOf(`${ETH} ${network}, offset=8, more) udp(1, 2) bytes(8)`), later);
  }
});

test('behind a first fragment header the extension headers go on', () => {
  const frame = readHex(
    `02000000000202000000000186dd6000000000182c40${'fd00'.padEnd(32, '0')}${'fd01'.padEnd(32, '0')}` +
      '3c00000100000007110001040000000000010002000800ff',
  )!;
  assert.deepEqual(fieldsOf(frame), {
    etherType: 0x86dd,
    protocol: 17,
    fragment: FRAGMENT.first,
    source: 'fd00::',
    destination: 'fd01::',
    sourcePort: 1,
    destinationPort: 2,
  });
});

test('what the kernel pads is not read', () => {
  assert.equal(dropOf(`${ETH} ip(10.0.0.1, 10.0.0.2, protocol=17) bytes(7) pad(60)`), 'malformed');
  assert.equal(dropOf(`${ETH} ip6(fd00::1, fd00::2, protocol=17) bytes(7) pad(90)`), 'malformed');
});

const long = (words: string, bytes: number) => `${words} cut(${bytes})`;
for (const [rule, words] of [
  [1, `${ETH} cut(13)`],
  [2, `${ETH} vlan(1) cut(17)`],
  [2, `${ETH} vlan(1) vlan(2) cut(21)`],
  [3, long(`arp(request, ${MAC}, 1.1.1.1, 2.2.2.2)`, 41)],
  [3, `${ETH} arp(256, ${MAC}, 1.1.1.1, 2.2.2.2)`],
  [4, long(IP, 33)],
  [4, `${IP} bytes(3) cut(36)`],
  [6, long(IP6, 53)],
  [6, `${IP6} bytes(3) cut(56)`],
  [7, `${ETH} ip6(fd00::1, fd00::2, protocol=0)`],
  [7, `${ETH} ip6(fd00::1, fd00::2, protocol=60) hex(11010000000000)`],
  [7, `${ETH} ip6(fd00::1, fd00::2, protocol=60) hex(1101000000000000)`],
  [7, `${ETH} ip6(fd00::1, fd00::2, protocol=51) hex(1101000000000000)`],
  [8, `${ETH} ip6(fd00::1, fd00::2, frag=atomic, protocol=44) hex(3b00000000000001)`],
  [9, `${ETH} ip(10.0.0.1, 10.0.0.2, offset=16) tcp(1, 2)`],
  [9, `${ETH} ip6(fd00::1, fd00::2, offset=8) tcp(1, 2)`],
  [10, `${ETH} ip(10.0.0.1, 10.0.0.2, protocol=6) bytes(19)`],
  [10, `${ETH} ip(10.0.0.1, 10.0.0.2, protocol=6) hex(0001000200000000000000004002000000000000)`],
  [10, `${ETH} ip(10.0.0.1, 10.0.0.2, protocol=6) hex(0001000200000000000000006002000000000000)`],
  [10, `${ETH} ip(10.0.0.1, 10.0.0.2, protocol=6, frag=first) bytes(8)`],
  [10, `${ETH} ip(10.0.0.1, 10.0.0.2, protocol=17) bytes(7)`],
  [10, `${ETH} ip(10.0.0.1, 10.0.0.2, protocol=132) bytes(11)`],
  [10, `${ETH} ip(10.0.0.1, 10.0.0.2, protocol=1) bytes(7)`],
  [10, `${ETH} ip6(fd00::1, fd00::2, protocol=58) bytes(7)`],
  [11, `${ETH} ip6(fd00::1, fd00::2, hop=254) ns(fd00::2)`],
  [11, `${ETH} ip6(fd00::1, fd00::2, frag=first) ns(fd00::2)`],
  [11, `${ETH} ip6(fd00::1, fd00::2, hop=255) icmp6(type=135, code=1) bytes(16)`],
  [11, `${ETH} ip6(fd00::1, fd00::2, hop=255) icmp6(type=134) bytes(7)`],
  [11, `${ETH} ip6(fd00::1, fd00::2, hop=255) icmp6(type=136) bytes(15)`],
  [11, `${ETH} ip6(fd00::1, fd00::2, hop=255) icmp6(type=137) bytes(31)`],
  [12, `${IP6} ns(fd00::2) hex(0e01000000)`],
  [12, `${IP6} ns(fd00::2) hex(0e00000000000000)`],
  [12, `${IP6} ns(fd00::2) hex(0e02000000000000)`],
  [12, `${IP6} ns(fd00::2) hex(01020000000000000000000000000000)`],
] as const) {
  test(`rule ${rule}: "${words}" is malformed`, () => {
    assert.equal(dropOf(words), 'malformed');
  });
}

test('rule 3: ARP of other hardware, protocols or address lengths is malformed', () => {
  const frame = frameOf(`arp(request, ${MAC}, 1.1.1.1, 2.2.2.2)`);
  for (const at of [14, 15, 16, 17, 18, 19, 20]) {
    assert.equal(dropOf(frame.with(at, frame[at]! + 1)), 'malformed', `byte ${at}`);
  }
});

test('rule 4: IPv4 of another version, with a short or long header or total length is malformed', () => {
  const frame = frameOf(`${IP} udp(1, 2)`);
  for (const first of [0x55, 0x44, 0x4f, 0x4e]) assert.equal(dropOf(frame.with(14, first)), 'malformed');
  for (const total of [0, 19, 27, 29, 255]) assert.equal(dropOf(frame.with(17, total)), 'malformed');
  assert.equal(dropOf(frame.with(17, 28)), undefined);
});

test('rule 7: eight extension headers are read, a ninth is not', () => {
  const list = (count: number) => new Array(count).fill('destination').join('+');
  assert.equal(dropOf(`${ETH} ip6(fd00::1, fd00::2, ext=${list(8)}) udp(1, 2)`), undefined);
  assert.equal(dropOf(`${ETH} ip6(fd00::1, fd00::2, ext=${list(9)}) udp(1, 2)`), 'unparsedExtension');
  assert.equal(dropOf(`${ETH} ip6(fd00::1, fd00::2, ext=${list(8)}, frag=later) udp(1, 2)`), 'unparsedExtension');
});

test('rule 8: a later fragment of an extension header has no upper layer to tell', () => {
  assert.equal(dropOf(`${ETH} ip6(fd00::1, fd00::2, frag=later, protocol=60) bytes(8)`), 'unparsedExtension');
});

test('rule 12: the link-layer address is the seventeenth option: not looked for', () => {
  const nonces = (count: number) => '0e01000000000000'.repeat(count);
  assert.equal(dropOf(`${IP6} ns(fd00::2) hex(${nonces(16)})`), undefined);
  assert.equal(dropOf(`${IP6} ns(fd00::2) hex(${nonces(16)}0101020000000001)`), 'unparsedExtension');
  assert.equal(dropOf(`${IP6} ns(fd00::2) hex(${nonces(15)}0101020000000001)`), undefined);
});

const spoiltFrame = fc
  .record({
    frame: fc.constantFrom(
      ...[
        `arp(request, ${MAC}, 10.0.0.1, 10.0.0.2)`,
        `${ETH} vlan(1) vlan(2) ip(10.0.0.1, 10.0.0.2, options=94040000) tcp(1, 2, mss=1400)`,
        `${ETH} ip(10.0.0.1, 10.0.0.2, frag=first) udp(1, 2) bytes(8)`,
        `${ETH} ip(10.0.0.1, 10.0.0.2, frag=later) tcp(1, 2) bytes(8)`,
        `${IP} icmp(echo-request)`,
        `${ETH} ip6(fd00::1, fd00::2, ext=hop-by-hop+authentication+destination, frag=first) tcp(1, 2)`,
        `${ETH} ip6(fd00::1, fd00::2, frag=later) udp(1, 2) bytes(8)`,
        `ra(${MAC}, prefix=fd00::/64, mtu=1400)`,
        `na(fd00::1, ${MAC})`,
        `${IP6} ns(fd00::1) hex(0e01000000000000)`,
      ].map(frameOf),
    ),
    changes: fc.array(fc.record({ at: fc.nat({ max: 127 }), value: fc.nat({ max: 255 }) }), { maxLength: 4 }),
    cut: fc.option(fc.nat({ max: 127 }), { nil: undefined }),
  })
  .map(({ frame, changes, cut }) => {
    const bytes = frame.slice(0, cut);
    for (const change of changes) bytes[change.at % (bytes.length || 1)] = change.value;
    return bytes;
  });

test('any bytes give a key or a drop, the same each time, and a key holds nothing in its unused bytes', () => {
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), spoiltFrame), (frame) => {
      const { key, drop } = keyOfFrame(frame, 1);
      assert.deepEqual(keyOfFrame(frame.slice(), 1), key === undefined ? { drop } : { key });
      if (key === undefined) assert.ok(drop === DROP.malformed || drop === DROP.unparsedExtension);
      else for (const at of [0, 34, 104, 105, 106, 107, 116, 117, 118, 119]) assert.equal(key[at], 0);
    }),
    { numRuns: 3000 },
  );
});

test('the key holds what the codecs read in the frame, for any frame that gives one', () => {
  let keys = 0;
  fc.assert(
    fc.property(spoiltFrame, (frame) => {
      const { key } = keyOfFrame(frame, 1);
      const packet = parsePacket(frame);
      if (key === undefined) return;
      keys++;
      assert.ok(packet);
      const ethernet = parseEthernet(frame, 0, frame.length)!;
      const words = [0, 1].map((index) => {
        const tag = ethernet.tags[index];
        return tag === undefined ? 0 : tciOf(tag) | VLAN_PRESENT;
      });
      assert.deepEqual([readU16(key, FIELD.vlan.at), readU16(key, FIELD.innerVlan.at)], words);
      const bits = ethernet.tags.map(({ tpid, dropEligible }) => (tpid === 0x88a8 ? 1 : 0) | (dropEligible ? 4 : 0));
      assert.equal(key[FIELD.vlanBits.at], (bits[0] ?? 0) | ((bits[1] ?? 0) << 1));
      assert.equal(readMac(key, FIELD.ethernetSource.at), ethernet.source);
      assert.equal(readU16(key, FIELD.etherType.at), ethernet.etherType);
      if (packet.network === 'arp') assertArp(key, packet);
      if (packet.network === 'ip4' || packet.network === 'ip6') assertIp(key, packet);
    }),
    { numRuns: 3000 },
  );
  assert.ok(keys > 500, `${keys} keys`);
});

function assertArp(key: FlowKey, packet: Packet): void {
  const arp = parseArp(packet.bytes, packet.l3At, packet.end)!;
  assert.equal(key[FIELD.protocol.at], arp.operation);
  assert.deepEqual([readMac(key, ARP_SENDER_MAC_AT), readMac(key, ARP_TARGET_MAC_AT)], [arp.senderMac, arp.targetMac]);
  assert.deepEqual([getIp(key, FIELD.source.at), getIp(key, FIELD.destination.at)], [arp.senderIp, arp.targetIp]);
}

function assertIp(key: FlowKey, packet: Packet): void {
  const { bytes, l3At, l4At, end, protocol, fragment } = packet;
  const header = packet.network === 'ip4' ? parseIpv4(bytes, l3At, bytes.length) : parseIpv6(bytes, l3At, bytes.length);
  const place = fragment === undefined ? FRAGMENT.none : fragment.offsetBytes === 0 ? FRAGMENT.first : FRAGMENT.later;
  assert.equal(key[FIELD.fragment.at], place);
  assert.equal(key[FIELD.protocol.at], protocol);
  assert.equal(key[FIELD.trafficClass.at], header?.trafficClass);
  assert.deepEqual(
    [getIp(key, FIELD.source.at), getIp(key, FIELD.destination.at)],
    [sourceIpOf(packet), destinationIpOf(packet)],
  );
  const ports = [readU16(key, FIELD.sourcePort.at), readU16(key, FIELD.destinationPort.at)];
  const hasIcmp = protocol === (packet.network === 'ip4' ? 1 : 58);
  if (place === FRAGMENT.later) {
    assert.deepEqual(ports, [0, 0]);
  } else if (protocol === 6 || protocol === 17 || protocol === 132) {
    assert.deepEqual(ports, [readU16(bytes, l4At), readU16(bytes, l4At + 2)]);
    assert.equal(key[FIELD.tcpFlags.at], protocol === 6 ? parseTcp(bytes, l4At, end)?.flags : 0);
  } else if (hasIcmp) {
    const icmp = parseIcmp(bytes, l4At, end)!;
    assert.deepEqual(ports, [icmp.type, icmp.code]);
    if (packet.network === 'ip6' && icmp.type >= 133 && icmp.type <= 137) assertNd(key, packet);
  } else {
    assert.deepEqual(ports, [0, 0]);
  }
}

/** A message with something malformed behind the link-layer address has a key, but is none to the codec. */
function assertNd(key: FlowKey, packet: Packet): void {
  const message = parseNd(packet.bytes, packet.l4At, packet.end);
  if (message === undefined) return;
  assert.equal(readMac(key, ND_LINK_ADDRESS_AT), linkAddressOf(message) ?? 0);
  if ('target' in message) assert.equal(readIp6(key, FIELD.translatedDestination.at), message.target);
}
