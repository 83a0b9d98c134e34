import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checksumOf, crc32cOf, pseudoSumOf } from './checksum.ts';
import { parseIpv4 } from './ipv4.ts';
import { destinationIpOf, formatPacket, type Packet, parsePacket, sourceIpOf } from './packet.ts';
import { readHex } from './word/arguments.ts';
import { frameOf, parseFirstFragment, parseWords } from './words.ts';

const ETH = 'eth(02:00:00:00:00:0a, 02:00:00:00:00:0b)';

function hexOf(words: string): string {
  return Buffer.from(frameOf(words)).toString('hex');
}

test('words give the very bytes that were captured', () => {
  assert.equal(
    hexOf('arp(request, 02:00:00:00:00:0a, 10.0.0.1, 10.0.0.2)'),
    'ffffffffffff02000000000a0806000108000604000102000000000a0a0000010000000000000a000002',
  );
  assert.equal(
    hexOf('arp(reply, 02:00:00:00:00:0b, 10.0.0.2, 02:00:00:00:00:0a, 10.0.0.1)'),
    '02000000000a02000000000b0806000108000604000202000000000b0a00000202000000000a0a000001',
  );
  assert.equal(
    hexOf(`${ETH} ip(10.0.0.1, 10.0.0.2, id=0xf040, df) udp(52073, 9) hex(68690a)`),
    '02000000000b02000000000a08004500001ff04040004011368b0a0000010a000002cb690009000badf968690a',
  );
  assert.equal(
    hexOf('rs(02:00:00:00:00:0a)'),
    '33330000000202000000000a86dd6000000000103afffe80000000000000000000fffe00000aff02000000000000000000000000000285007b1a00000000010102000000000a',
  );
  assert.equal(
    hexOf(
      'eth(02:00:00:00:00:0b, 02:00:00:00:00:0a) ip6(fd00::2, fd00::1) na(fd00::2, 02:00:00:00:00:0b, solicited, override)',
    ),
    '02000000000a02000000000b86dd6000000000203afffd000000000000000000000000000002fd00000000000000000000000000000188001c9160000000fd000000000000000000000000000002020102000000000b',
  );
});

test('checksums of every layer are right', () => {
  const upper = ['tcp(1, 2, mss=1400)', 'udp(1, 2)'];
  const words = [
    ...upper.map((word) => `ip(10.0.0.1, 10.0.0.2, options=94040000) ${word}`),
    ...upper.map((word) => `ip6(fd00::1, fd00::2, ext=hop-by-hop+authentication) ${word}`),
    'ip6(fd00::1, fd00::2) icmp6(echo-request, id=1)',
    'ip6(fd00::1, fd00::2) ns(fd00::2, 02:00:00:00:00:0a)',
  ];
  for (const word of words) {
    const packet = parsePacket(frameOf(`${ETH} ${word} bytes(7)`))!;
    assert.equal(upperChecksum(packet), 0, word);
    if (packet.network === 'ip4') {
      const ip = parseIpv4(packet.bytes, packet.l3At, packet.end)!;
      assert.equal(checksumOf(packet.bytes, packet.l3At, ip.payloadAt), 0, word);
    }
  }
  const icmp = parsePacket(frameOf(`${ETH} ip(10.0.0.1, 10.0.0.2) icmp(echo-request) bytes(7)`))!;
  assert.equal(checksumOf(icmp.bytes, icmp.l4At, icmp.end), 0);
  const sctp = frameOf(`${ETH} ip(10.0.0.1, 10.0.0.2) sctp(1, 2) bytes(8)`).slice(34);
  const crc = new DataView(sctp.buffer).getUint32(8, true);
  assert.equal(crc32cOf(sctp.fill(0, 8, 12), 0, sctp.length), crc);
});

for (const [words, line] of [
  [
    'ns(fd00::1, 02:00:00:00:00:01)',
    '02:00:00:00:00:01 > 33:33:ff:00:00:01 fe80::ff:fe00:1 > ff02::1:ff00:1 hop 255 nd neighbour-solicitation who-has fd00::1 source-mac 02:00:00:00:00:01 (86 bytes)',
  ],
  [
    'na(fd00::1, 02:00:00:00:00:01, router)',
    '02:00:00:00:00:01 > 33:33:00:00:00:01 fd00::1 > ff02::1 hop 255 nd neighbour-advertisement fd00::1 router target-mac 02:00:00:00:00:01 (86 bytes)',
  ],
  [
    'eth(02:00:00:00:00:01, 02:00:00:00:00:02) vlan(5, priority=2, qinq) rs(02:00:00:00:00:01)',
    '02:00:00:00:00:01 > 02:00:00:00:00:02 svlan 5 priority 2 fe80::ff:fe00:1 > ff02::2 hop 255 nd router-solicitation source-mac 02:00:00:00:00:01 (74 bytes)',
  ],
  [
    'ra(02:00:00:00:00:01, prefix=fd00::/64, mtu=1400, managed)',
    '02:00:00:00:00:01 > 33:33:00:00:00:01 fe80::ff:fe00:1 > ff02::1 hop 255 nd router-advertisement lifetime 1800 managed source-mac 02:00:00:00:00:01 mtu 1400 prefix fd00::/64 (118 bytes)',
  ],
  [
    'dhcp(discover, 02:00:00:00:00:01)',
    '02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff 0.0.0.0 > 255.255.255.255 ttl 64 udp 68 > 67 dhcp discover 02:00:00:00:00:01 (342 bytes)',
  ],
  [
    'dhcp6(request, 02:00:00:00:00:01, fd00::5)',
    '02:00:00:00:00:01 > 33:33:00:01:00:02 fe80::ff:fe00:1 > ff02::1:2 hop 64 udp 546 > 547 dhcp6 request fd00::5 (138 bytes)',
  ],
] as const) {
  test(`"${words}" brings what is below it`, () => {
    assert.equal(formatPacket(frameOf(words)), line);
  });
}

test('the words of a later fragment, at offset 0, are those of its first', () => {
  const first = (network: string) => parseFirstFragment(`${ETH} ${network} udp(5000, 53) bytes(100)`);
  const written = (network: string) => frameOf(`${ETH} ${network} udp(5000, 53) bytes(100)`);
  const ip = 'ip(10.0.0.1, 10.0.0.2';
  const ip6 = 'ip6(fd00::1, fd00::2';
  assert.deepEqual(first(`${ip}, id=7, offset=1480, more)`), written(`${ip}, id=7, frag=first)`));
  assert.deepEqual(first(`${ip}, frag=later, ttl=9)`), written(`${ip}, frag=first, ttl=9)`));
  assert.deepEqual(first(`${ip6}, frag = later)`), written(`${ip6}, frag=first)`));
  for (const network of [`${ip})`, `${ip}, frag=first)`, `${ip}, offset=0, more)`, `${ip6}, frag=atomic)`]) {
    assert.equal(first(network), undefined, network);
  }
  for (const words of [`${ETH} ${ip}, frag=later, protocol=17) bytes(8)`, `${ETH} ${ip}, frag=later)`, ETH, 'eht(1)']) {
    assert.equal(parseFirstFragment(words), undefined, words);
  }
});

test('in a later fragment the upper layer gives its protocol, and its payload is there', () => {
  for (const network of ['ip(10.0.0.1, 10.0.0.2, frag=later)', 'ip6(fd00::1, fd00::2, frag=later)']) {
    const packet = parsePacket(frameOf(`${ETH} ${network} udp(1, 2) bytes(16)`))!;
    assert.deepEqual([packet.protocol, packet.fragment?.offsetBytes, packet.end - packet.l4At], [17, 1480, 16]);
  }
});

test('a frame follows a tunnel header', () => {
  const inner = hexOf('arp(request, 02:00:00:00:00:0a, 10.0.0.1, 10.0.0.2)');
  for (const tunnel of ['udp(1, 4789) vxlan(5)', 'udp(1, 6081) geneve(5)', 'gre(key=5)']) {
    const outer = hexOf(`${ETH} ip(1.1.1.1, 2.2.2.2) ${tunnel} arp(request, 02:00:00:00:00:0a, 10.0.0.1, 10.0.0.2)`);
    assert.ok(outer.endsWith(inner), tunnel);
  }
});

test('cut and pad change the finished frame', () => {
  assert.equal(frameOf(`${ETH} ip(1.1.1.1, 2.2.2.2) cut(20)`).length, 20);
  assert.equal(frameOf(`${ETH} ip(1.1.1.1, 2.2.2.2) pad(60)`).length, 60);
  assert.equal(frameOf(`${ETH} ip(1.1.1.1, 2.2.2.2) bytes(50) pad(60)`).length, 84);
});

test('hex alone is a frame, whatever it holds', () => {
  assert.deepEqual(frameOf('hex(00112233)'), readHex('00112233'));
});

for (const [words, error] of [
  ['', 'no words: a frame begins with eth(source, destination)'],
  ['vlan(5)', 'vlan(5): a frame cannot begin with it; it may follow eth, vlan'],
  ['udp(1, 2)', 'udp(1, 2): a frame cannot begin with it; it may follow ip, ip6'],
  [`${ETH} udp(1, 2)`, 'udp(1, 2): it cannot follow eth; it may follow ip, ip6'],
  [`${ETH} ipx(1)`, 'ipx(1): there is no word "ipx"'],
  [`${ETH} constructor(1)`, 'constructor(1): there is no word "constructor"'],
  [`${ETH} ip(10.0.0.1)`, 'ip(10.0.0.1): destination IPv4 address is missing'],
  [`${ETH} ip(10.0.0.1, 10.0.0.x)`, 'ip(10.0.0.1, 10.0.0.x): "10.0.0.x" is no destination IPv4 address'],
  [`${ETH} ip(1.1.1.1, 2.2.2.2, tls=3)`, 'ip(1.1.1.1, 2.2.2.2, tls=3): "tls" is not understood'],
  [`${ETH} ip(1.1.1.1, 2.2.2.2, ttl=256)`, 'ip(1.1.1.1, 2.2.2.2, ttl=256): "256" is no number up to 255 for ttl'],
  [`${ETH} ip(1.1.1.1, 2.2.2.2, ttl=1, ttl=2)`, 'ip(1.1.1.1, 2.2.2.2, ttl=1, ttl=2): ttl is there twice'],
  [`${ETH} ip(1.1.1.1, 2.2.2.2, offset=9)`, 'ip(1.1.1.1, 2.2.2.2, offset=9): offset is in bytes and a multiple of 8'],
  [`${ETH} ip(1.1.1.1, 2.2.2.2) udp(1)`, 'udp(1): destination port (a number up to 65535) is missing'],
  [`${ETH} ip(1.1.1.1, 2.2.2.2) icmp(ping)`, 'icmp(ping): "ping" is no ICMP type'],
  [`${ETH} ip(1.1.1.1, 2.2.2.2) bytes(65530)`, 'ip(1.1.1.1, 2.2.2.2): 65530 bytes of payload are too many'],
  [`${ETH} cut(5) bytes(1)`, 'bytes(1): only cut and pad may follow cut or pad'],
  [`${ETH} ip(`, 'ip(: is no word(argument, …)'],
  ['dhcp(offer, 02:00:00:00:00:01)', 'dhcp(offer, 02:00:00:00:00:01): a frame cannot begin with it; it may follow udp'],
] as const) {
  test(`"${words}" is refused: ${error}`, () => {
    assert.deepEqual(parseWords(words), { error });
  });
}

function upperChecksum(packet: Packet): number {
  const length = packet.end - packet.l4At;
  const pseudo = pseudoSumOf(sourceIpOf(packet), destinationIpOf(packet), packet.protocol, length);
  return checksumOf(packet.bytes, packet.l4At, packet.end, pseudo);
}
