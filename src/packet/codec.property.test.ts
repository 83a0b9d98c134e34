// What holds for every codec: parse(emit(h)) = h, and any bytes parse without throwing.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Ip4, type Ip6, type Mac, networkOf } from './address.ts';
import { type ArpHeader, emitArp, parseArp } from './arp.ts';
import { type Dhcp4Message, dhcp4OptionCode, emitDhcp4, parseDhcp4 } from './dhcp4.ts';
import { type Dhcp6Message, dhcp6OptionCode, emitDhcp6, parseDhcp6 } from './dhcp6.ts';
import { type EthernetHeader, emitEthernet, isTagType, parseEthernet } from './ethernet.ts';
import { emitIcmp, emitIcmp6, type IcmpHeader, parseIcmp } from './icmp.ts';
import { emitIpv4, type Ipv4Header, parseIpv4 } from './ipv4.ts';
import { EXTENSION, emitIpv6, type Ipv6Extension, type Ipv6Header, parseIpv6 } from './ipv6.ts';
import { emitNd, type NdMessage, type NdOption, parseNd } from './nd.ts';
import { formatPacket, parsePacket } from './packet.ts';
import { emitTcp, parseTcp, type TcpHeader } from './tcp.ts';
import { emitGeneve, emitGre, emitVxlan, parseGeneve, parseGre, parseVxlan } from './tunnel.ts';
import { emitUdp, parseUdp } from './udp.ts';
import { frameOf } from './words.ts';

const u8 = fc.nat({ max: 0xff });
const u16 = fc.nat({ max: 0xffff });
const u24 = fc.nat({ max: 0xffffff });
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const mac = fc.integer({ min: 0, max: 2 ** 48 - 1 }).map((value) => value as Mac);
const ip4 = u32.map((value) => value as Ip4);
const ip6 = fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).map((value) => value as Ip6);
const payload = fc.uint8Array({ maxLength: 40 });
/** Bytes of a length among first, first + step, … */
const bytesBy = (first: number, step: number, times: number) =>
  fc
    .nat({ max: times })
    .chain((count) => fc.uint8Array({ minLength: first + count * step, maxLength: first + count * step }));
const plainText = fc.string({
  unit: fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz-0123456789 '),
  minLength: 1,
  maxLength: 20,
});
const label = fc.string({
  unit: fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz-0123456789'),
  minLength: 1,
  maxLength: 63,
});
const domains = fc.array(
  fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join('.')),
  { minLength: 1, maxLength: 3 },
);

/** `parse` with the end of the bytes, without what it adds to the header. */
function holds<H>(
  name: string,
  header: fc.Arbitrary<H>,
  emitted: (header: H, data: Uint8Array) => Uint8Array,
  parse: Parse,
): void {
  test(`${name}: parse(emit(h)) = h, with the payload where it says`, () => {
    fc.assert(
      fc.property(header, payload, (h, data) => {
        const bytes = emitted(h, data);
        const parsed = parse(bytes, 0, bytes.length);
        assert.ok(parsed);
        const { payloadAt, end, ...rest } = parsed as { payloadAt?: number; end?: number };
        // Generated records may have no prototype; a clone has the usual one.
        assert.deepEqual(rest, structuredClone(h));
        if (payloadAt !== undefined) assert.deepEqual(bytes.slice(payloadAt, end), data);
      }),
    );
  });
}
type Parse = (bytes: Uint8Array, at: number, end: number) => object | undefined;

const ethernet: fc.Arbitrary<EthernetHeader> = fc.record({
  destination: mac,
  source: mac,
  tags: fc.array(
    fc.record({
      tpid: fc.constantFrom(0x8100, 0x88a8),
      priority: fc.nat({ max: 7 }),
      dropEligible: fc.boolean(),
      vlan: fc.nat({ max: 4095 }),
    }),
    { maxLength: 2 },
  ),
  etherType: u16.filter((type) => !isTagType(type)),
});

const arp: fc.Arbitrary<ArpHeader> = fc.record({
  operation: u16,
  senderMac: mac,
  senderIp: ip4,
  targetMac: mac,
  targetIp: ip4,
});

const ipv4: fc.Arbitrary<Ipv4Header> = fc.record({
  trafficClass: u8,
  id: u16,
  dontFragment: fc.boolean(),
  moreFragments: fc.boolean(),
  fragmentOffset: fc.nat({ max: 8191 }).map((units) => units * 8),
  ttl: u8,
  protocol: u8,
  source: ip4,
  destination: ip4,
  options: bytesBy(0, 4, 10),
});

const extensionProtocols: ReadonlySet<number> = new Set(Object.values(EXTENSION));
const wholeExtension: fc.Arbitrary<Ipv6Extension> = fc.oneof(
  fc.record({
    protocol: fc.constantFrom(EXTENSION.hopByHop, EXTENSION.routing, EXTENSION.destination),
    data: bytesBy(6, 8, 5),
  }),
  fc.record({ protocol: fc.constant(EXTENSION.authentication), data: bytesBy(6, 4, 5) }),
  fc.record({ protocol: fc.constant(EXTENSION.fragment), offset: fc.constant(0), more: fc.boolean(), id: u32 }),
);
const laterFragment: fc.Arbitrary<Ipv6Extension> = fc.record({
  protocol: fc.constant(EXTENSION.fragment),
  offset: fc.integer({ min: 1, max: 8191 }).map((units) => units * 8),
  more: fc.boolean(),
  id: u32,
});
const ipv6: fc.Arbitrary<Ipv6Header> = fc
  .record({
    trafficClass: u8,
    flowLabel: fc.nat({ max: 0xfffff }),
    hopLimit: u8,
    source: ip6,
    destination: ip6,
    extensions: fc.array(wholeExtension, { maxLength: 7 }),
    protocol: u8,
    later: fc.option(laterFragment, { nil: undefined }),
  })
  .map(({ later, ...header }) =>
    later === undefined ? header : { ...header, extensions: [...header.extensions, later] },
  )
  .filter(({ extensions, protocol }) => {
    const last = extensions.at(-1);
    return !extensionProtocols.has(protocol) || (last !== undefined && 'offset' in last && last.offset > 0);
  });

const icmp: fc.Arbitrary<IcmpHeader> = fc.record({ type: u8, code: u8, rest: u32 });

const tcp: fc.Arbitrary<TcpHeader> = fc.record({
  sourcePort: u16,
  destinationPort: u16,
  sequence: u32,
  acknowledgement: u32,
  flags: u8,
  window: u16,
  urgent: u16,
  options: bytesBy(0, 4, 10),
});

const ndOption: fc.Arbitrary<NdOption> = fc.oneof(
  fc.record({ kind: fc.constantFrom('sourceLinkAddress', 'targetLinkAddress'), mac }),
  fc.record({
    kind: fc.constant('prefix' as const),
    prefix: ip6,
    bits: u8,
    onLink: fc.boolean(),
    autonomous: fc.boolean(),
    validSeconds: u32,
    preferredSeconds: u32,
  }),
  fc.record({ kind: fc.constant('mtu' as const), mtuBytes: u32 }),
  fc.record({
    kind: fc.constant('dnsServers' as const),
    lifetimeSeconds: u32,
    servers: fc.array(ip6, { minLength: 1, maxLength: 3 }),
  }),
  fc.record({ kind: fc.constant('dnsSearch' as const), lifetimeSeconds: u32, domains }),
  fc.record({ kind: fc.constant('other' as const), type: fc.constantFrom(4, 14, 24, 253), data: bytesBy(6, 8, 4) }),
);
const options = fc.array(ndOption, { maxLength: 4 });
const nd: fc.Arbitrary<NdMessage> = fc.oneof(
  fc.record({ kind: fc.constant('routerSolicitation' as const), options }),
  fc.record({
    kind: fc.constant('routerAdvertisement' as const),
    hopLimit: u8,
    managed: fc.boolean(),
    other: fc.boolean(),
    lifetimeSeconds: u16,
    reachableMs: u32,
    retransmitMs: u32,
    options,
  }),
  fc.record({ kind: fc.constant('neighbourSolicitation' as const), target: ip6, options }),
  fc.record({
    kind: fc.constant('neighbourAdvertisement' as const),
    router: fc.boolean(),
    solicited: fc.boolean(),
    override: fc.boolean(),
    target: ip6,
    options,
  }),
  fc.record({ kind: fc.constant('redirect' as const), target: ip6, destination: ip6, options }),
);

const ip4s = fc.array(ip4, { minLength: 1, maxLength: 4 });
const value = fc.uint8Array({ maxLength: 600 });
const dhcp4: fc.Arbitrary<Dhcp4Message> = fc.record({
  op: fc.constantFrom(1, 2),
  transactionId: u32,
  seconds: u16,
  broadcast: fc.boolean(),
  clientAddress: ip4,
  yourAddress: ip4,
  nextServer: ip4,
  relayAgent: ip4,
  clientMac: mac,
  options: fc.record(
    {
      messageType: u8,
      serverId: ip4,
      leaseSeconds: u32,
      renewSeconds: u32,
      rebindSeconds: u32,
      requestedAddress: ip4,
      subnetMask: ip4,
      classlessRoutes: fc.array(
        fc
          .record({ destination: ip4, bits: fc.nat({ max: 32 }), gateway: ip4 })
          .map((route) => ({ ...route, destination: networkOf(route.destination, route.bits) })),
        { minLength: 1, maxLength: 4 },
      ),
      routers: ip4s,
      dnsServers: ip4s,
      hostname: plainText,
      domainName: plainText,
      domainSearch: domains,
      mtuBytes: u16,
      broadcastAddress: ip4,
      ntpServers: ip4s,
      parameterRequestList: value,
      message: plainText,
      maxMessageBytes: u16,
      vendorClass: value,
      clientId: value,
      bootServerName: plainText,
      bootFileName: plainText,
      rapidCommit: fc.constant(true as const),
      relayAgentInformation: value,
    },
    { requiredKeys: [] },
  ),
  rawOptions: fc.uniqueArray(fc.record({ code: fc.integer({ min: 128, max: 254 }), data: value }), {
    selector: (option) => option.code,
    maxLength: 3,
  }),
});

const status = fc.record({ code: u16, message: fc.oneof(plainText, fc.constant('')) });
const dhcp6: fc.Arbitrary<Dhcp6Message> = fc.record({
  messageType: fc.integer({ min: 1, max: 11 }),
  transactionId: u24,
  options: fc.record(
    {
      clientId: value,
      serverId: value,
      preference: u8,
      optionRequest: fc.array(u16, { maxLength: 5 }),
      elapsedTime: u16,
      status,
      rapidCommit: fc.constant(true as const),
      dnsServers: fc.array(ip6, { minLength: 1, maxLength: 3 }),
      domainSearch: domains,
      sntpServers: fc.array(ip6, { minLength: 1, maxLength: 3 }),
      refreshSeconds: u32,
      associations: fc.array(
        fc.record(
          {
            iaid: u32,
            renewSeconds: u32,
            rebindSeconds: u32,
            addresses: fc.array(
              fc.record(
                { address: ip6, preferredSeconds: u32, validSeconds: u32, status },
                { requiredKeys: ['address', 'preferredSeconds', 'validSeconds'] },
              ),
              { maxLength: 2 },
            ),
            status,
          },
          { requiredKeys: ['iaid', 'renewSeconds', 'rebindSeconds', 'addresses'] },
        ),
        { minLength: 1, maxLength: 3 },
      ),
    },
    { requiredKeys: [] },
  ),
  rawOptions: fc.array(fc.record({ code: fc.integer({ min: 100, max: 0xffff }), data: value }), { maxLength: 3 }),
});

const from = 1n as Ip6;
const to = 2n as Ip6;

holds('Ethernet', ethernet, emitEthernet, parseEthernet);
holds('ARP', arp, emitArp, parseArp);
holds('IPv4', ipv4, emitIpv4, parseIpv4);
holds('IPv6', ipv6, emitIpv6, parseIpv6);
holds('ICMP', icmp, emitIcmp, parseIcmp);
holds('ICMPv6', icmp, (header, data) => emitIcmp6(header, data, from, to), parseIcmp);
holds('neighbour discovery', nd, (message) => emitNd(message, from, to), parseNd);
holds('TCP', tcp, (header, data) => emitTcp(header, data, from, to), parseTcp);
holds(
  'UDP',
  fc.record({ sourcePort: u16, destinationPort: u16 }),
  (header, data) => emitUdp(header, data, from, to),
  parseUdp,
);
holds('DHCPv4', dhcp4, emitDhcp4, parseDhcp4);
holds('DHCPv6', dhcp6, emitDhcp6, parseDhcp6);
holds('VXLAN', fc.record({ vni: u24 }), emitVxlan, parseVxlan);
holds(
  'Geneve',
  fc.record({ vni: u24, protocol: u16, control: fc.boolean(), critical: fc.boolean(), options: bytesBy(0, 4, 63) }),
  emitGeneve,
  parseGeneve,
);
holds(
  'GRE',
  fc.record(
    { protocol: u16, hasChecksum: fc.boolean(), key: u32, sequence: u32 },
    { requiredKeys: ['protocol', 'hasChecksum'] },
  ),
  emitGre,
  parseGre,
);

test('raw options of the properties above are none that the tables know', () => {
  const names = ['messageType', 'domainSearch', 'classlessRoutes', 'relayAgentInformation'] as const;
  assert.ok(names.every((name) => dhcp4OptionCode(name) < 128));
  assert.ok(dhcp6OptionCode('refreshSeconds') < 100);
});

const PARSERS: Readonly<Record<string, Parse>> = {
  parseEthernet,
  parseArp,
  parseIpv4,
  parseIpv6,
  parseIcmp,
  parseNd,
  parseTcp,
  parseUdp,
  parseDhcp4,
  parseDhcp6,
  parseVxlan,
  parseGeneve,
  parseGre,
};

/** Frames of every kind, to be spoilt. */
const ETH = 'eth(02:00:00:00:00:01, 02:00:00:00:00:02)';
const FRAMES = [
  'arp(request, 02:00:00:00:00:01, 10.0.0.1, 10.0.0.2)',
  `${ETH} vlan(1) vlan(2) ip(10.0.0.1, 10.0.0.2, options=94040000) tcp(1, 2, mss=1400)`,
  `${ETH} ip(10.0.0.1, 10.0.0.2, frag=first) udp(1, 2) bytes(8)`,
  `${ETH} ip(10.0.0.1, 10.0.0.2) udp(1, 4789) vxlan(1) arp(request, 02:00:00:00:00:01, 10.0.0.1, 10.0.0.2)`,
  `${ETH} ip(10.0.0.1, 10.0.0.2) gre(key=1)`,
  `${ETH} ip6(fd00::1, fd00::2, ext=hop-by-hop+authentication+destination, frag=atomic) tcp(1, 2)`,
  'ra(02:00:00:00:00:01, prefix=fd00::/64, mtu=1400)',
  'na(fd00::1, 02:00:00:00:00:01)',
  'dhcp(request, 02:00:00:00:00:01, 10.0.0.5, hostname=vm)',
  'dhcp6(request, 02:00:00:00:00:01, fd00::5)',
].map(frameOf);
const spoiltFrame = fc
  .record({
    frame: fc.constantFrom(...FRAMES),
    changes: fc.array(fc.record({ at: fc.nat({ max: 400 }), value: u8 }), { maxLength: 4 }),
    length: fc.nat({ max: 400 }),
    cut: fc.boolean(),
  })
  .map(({ frame, changes, length, cut }) => {
    const bytes = frame.slice(0, cut ? length : undefined);
    for (const change of changes) bytes[change.at % (bytes.length || 1)] = change.value;
    return bytes;
  });

test('no bytes make a parser throw or read beyond the end that it was given', () => {
  const bounds = fc.record({
    bytes: fc.oneof(fc.uint8Array({ maxLength: 300 }), spoiltFrame),
    at: fc.nat({ max: 80 }),
    cut: u8,
  });
  fc.assert(
    fc.property(bounds, ({ bytes, at, cut }) => {
      const start = Math.min(at, bytes.length);
      const end = Math.max(start, bytes.length - cut);
      for (const [name, parse] of Object.entries(PARSERS)) {
        const parsed = parse(bytes, start, end);
        assert.deepEqual(parsed, parse(bytes.slice(0, end), start, end), name);
        const { payloadAt = start } = (parsed ?? {}) as { payloadAt?: number };
        assert.ok(payloadAt <= end, name);
      }
    }),
    { numRuns: 500 },
  );
});

test('no bytes make the parser or the printer of whole packets throw', () => {
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), spoiltFrame), (bytes) => {
      const packet = parsePacket(bytes);
      assert.ok(packet === undefined || (packet.l3At <= packet.end && packet.end <= bytes.length));
      assert.match(formatPacket(bytes), new RegExp(`\\(${bytes.length} bytes\\)$`));
    }),
    { numRuns: 2000 },
  );
});

test('a frame that is nothing but tunnel headers is told without running out of stack', () => {
  const layer = frameOf(`${ETH} ip(10.0.0.1, 10.0.0.2) udp(1, 4789) vxlan(1)`);
  const frame = new Uint8Array(layer.length * 1200);
  for (let at = 0; at < frame.length; at += layer.length) frame.set(layer, at);
  assert.ok(formatPacket(frame).length < 400);
});
