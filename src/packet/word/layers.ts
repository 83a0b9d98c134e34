// The words of ../words.ts one by one: where each may stand, which layers it brings, how it becomes bytes.

import { MAC_BROADCAST, type Mac, parseIp4, parseIp6, parseMac, writeU16 } from '../address.ts';
import { ARP, type ArpHeader, emitArp } from '../arp.ts';
import { crc32cOf } from '../checksum.ts';
import { ETHER_TYPE, emitEthernet, tciOf } from '../ethernet.ts';
import { emitIcmp, emitIcmp6, ICMP_WORDS, ICMP6_WORDS, type IcmpHeader } from '../icmp.ts';
import { emitIpv4, PROTOCOL } from '../ipv4.ts';
import { EXTENSION, emitIpv6, type Ipv6Extension } from '../ipv6.ts';
import { joinBytes } from '../option.ts';
import { emitMss, emitTcp, TCP, type TcpFlagName } from '../tcp.ts';
import { emitGeneve, emitGre, emitVxlan, TRANSPARENT_ETHERNET } from '../tunnel.ts';
import { emitUdp } from '../udp.ts';
import { type Arguments, numberUpTo, oneOf, readHex } from './arguments.ts';
import { type Addresses, type Below, ethWord, type Kind, NOTHING, type Rest, six, there } from './kind.ts';
import { MESSAGE_KINDS } from './messages.ts';

/** For experiments (IEEE 802, RFC 3692): what a layer says when nothing follows that has a number. */
const EXPERIMENTAL_ETHER_TYPE = 0x88b5;
const EXPERIMENTAL_PROTOCOL = 253;
const LATER_OFFSET_BYTES = 1480;
const PACKET_BYTES_MAX = 65_535;

const LINK = ['eth', 'vlan'];
const NETWORK = ['ip', 'ip6'];
export const PAYLOAD_WORDS: ReadonlySet<string> = new Set(['bytes', 'hex']);

export const KINDS: Readonly<Record<string, Kind>> = {
  eth: { after: ['', 'vxlan', 'geneve', 'gre'], emit: emitEth },
  vlan: { after: LINK, etherType: (args) => (args.flag('qinq') ? ETHER_TYPE.qinq : ETHER_TYPE.vlan), emit: emitVlan },
  arp: {
    after: LINK,
    etherType: () => ETHER_TYPE.arp,
    below: belowArp,
    emit: (args, rest) => joinBytes([emitArp(readArp(args)), rest.emit()]),
  },
  ip: { after: [...LINK, 'gre'], etherType: () => ETHER_TYPE.ip4, emit: emitIp },
  ip6: { after: [...LINK, 'gre'], etherType: () => ETHER_TYPE.ip6, emit: emitIp6 },
  tcp: { after: NETWORK, protocol: PROTOCOL.tcp, emit: emitTcpWord },
  udp: { after: NETWORK, protocol: PROTOCOL.udp, emit: emitUdpWord },
  sctp: { after: NETWORK, protocol: PROTOCOL.sctp, emit: emitSctp },
  gre: { after: NETWORK, protocol: PROTOCOL.gre, emit: emitGreWord },
  icmp: {
    after: ['ip'],
    protocol: PROTOCOL.icmp,
    emit: (args, rest) => emitIcmp(readIcmp(args, ICMP_NAMES), rest.emit()),
  },
  icmp6: {
    after: ['ip6'],
    protocol: PROTOCOL.icmp6,
    emit: (args, rest, below) => {
      const { source, destination } = six(below);
      return emitIcmp6(readIcmp(args, ICMP6_NAMES), rest.emit(), source, destination);
    },
  },
  ...MESSAGE_KINDS,
  vxlan: { after: ['udp'], emit: (args, rest) => emitVxlan({ vni: args.nextNumber('VNI', 0xffffff) }, rest.emit()) },
  geneve: { after: ['udp'], emit: emitGeneveWord },
  bytes: { after: LINK, emit: emitBytes },
  hex: { after: [''], emit: (args, rest) => joinBytes([args.optional('hex bytes', readHex) ?? NOTHING, rest.emit()]) },
};

// ---- link --------------------------------------------------------------------------------------------------

function emitEth(args: Arguments, rest: Rest): Uint8Array {
  const source = args.next('source MAC', parseMac);
  const destination = args.next('destination MAC', parseMac);
  const etherType = args.number('type', 0xffff) ?? rest.etherType ?? EXPERIMENTAL_ETHER_TYPE;
  return emitEthernet({ destination, source, tags: [], etherType }, rest.emit());
}

/** A tag is the TCI and the type of what follows; its TPID is the type of what stands before it. */
function emitVlan(args: Arguments, rest: Rest): Uint8Array {
  args.flag('qinq');
  const dropEligible = args.flag('dei');
  const vlan = args.nextNumber('VLAN id', 4095);
  const bytes = new Uint8Array(4);
  writeU16(bytes, 0, tciOf({ tpid: 0, priority: args.number('priority', 7) ?? 0, dropEligible, vlan }));
  writeU16(bytes, 2, args.number('type', 0xffff) ?? rest.etherType ?? EXPERIMENTAL_ETHER_TYPE);
  return joinBytes([bytes, rest.emit()]);
}

function readArp(args: Arguments): ArpHeader {
  const withTarget = args.plainCount > 4;
  const operation = args.next('operation', (text) => oneOf(ARP)(text) ?? numberUpTo(0xffff)(text));
  return {
    operation,
    senderMac: args.next('sender MAC', parseMac),
    senderIp: args.next('sender IPv4 address', parseIp4),
    targetMac: withTarget ? args.next('target MAC', parseMac) : (0 as Mac),
    targetIp: args.next('target IPv4 address', parseIp4),
  };
}

function belowArp(args: Arguments): Below {
  const { operation, senderMac, targetMac } = readArp(args);
  return { eth: ethWord(senderMac, operation === ARP.request || targetMac === 0 ? MAC_BROADCAST : targetMac) };
}

// ---- network -----------------------------------------------------------------------------------------------

interface Fragment {
  readonly offset: number;
  readonly more: boolean;
  readonly id: number | undefined;
  /** `frag`, `offset` or `more` was written. */
  readonly written: boolean;
}

function readFragment(
  args: Arguments,
  words: Readonly<Record<string, Omit<Fragment, 'id' | 'written'>>>,
  idMax: number,
): Fragment {
  const word = args.keyed('frag', `fragment (${Object.keys(words).join(', ')})`, oneOf(words));
  const offset = args.number('offset', 65528);
  const more = args.flag('more');
  if (offset !== undefined && offset % 8 !== 0) args.fail('offset is in bytes and a multiple of 8');
  return {
    offset: offset ?? word?.offset ?? 0,
    more: more || (word?.more ?? false),
    id: args.number('id', idMax),
    written: word !== undefined || offset !== undefined || more,
  };
}

const FRAGMENT_WORDS = { first: { offset: 0, more: true }, later: { offset: LATER_OFFSET_BYTES, more: false } };

function emitIp(args: Arguments, rest: Rest): Uint8Array {
  const fragment = readFragment(args, FRAGMENT_WORDS, 0xffff);
  const dontFragment = args.flag('df');
  const source = args.next('source IPv4 address', parseIp4);
  const destination = args.next('destination IPv4 address', parseIp4);
  const header = {
    trafficClass: args.number('tos', 255) ?? 0,
    id: fragment.id ?? (fragment.written ? 1 : 0),
    dontFragment,
    moreFragments: fragment.more,
    fragmentOffset: fragment.offset,
    ttl: args.number('ttl', 255) ?? 64,
    protocol: args.number('protocol', 255) ?? rest.protocol ?? EXPERIMENTAL_PROTOCOL,
    source,
    destination,
    options: args.keyed('options', 'up to 40 bytes in hex', (text) => upTo(40, readHex(text))) ?? NOTHING,
  };
  const addresses = { source, destination };
  const payload = fragment.offset > 0 ? rest.emitData(addresses) : rest.emit(addresses);
  if (payload.length > PACKET_BYTES_MAX - 60) args.fail(`${payload.length} bytes of payload are too many`);
  return emitIpv4(header, payload);
}

const FRAGMENT6_WORDS = { ...FRAGMENT_WORDS, atomic: { offset: 0, more: false } };
const EXTENSION_NAMES = {
  'hop-by-hop': EXTENSION.hopByHop,
  routing: EXTENSION.routing,
  destination: EXTENSION.destination,
  authentication: EXTENSION.authentication,
} as const;

function emitIp6(args: Arguments, rest: Rest): Uint8Array {
  const fragment = readFragment(args, FRAGMENT6_WORDS, 0xffffffff);
  const source = args.next('source IPv6 address', parseIp6);
  const destination = args.next('destination IPv6 address', parseIp6);
  const extensions: Ipv6Extension[] = [...(args.keyed('ext', 'list of extension headers (a+b)', readExtensions) ?? [])];
  if (fragment.written) {
    const { offset, more } = fragment;
    extensions.push({ protocol: EXTENSION.fragment, offset, more, id: fragment.id ?? 1 });
  } else if (fragment.id !== undefined) {
    args.fail('id without frag, offset or more');
  }
  const header = {
    trafficClass: args.number('class', 255) ?? 0,
    flowLabel: args.number('flow', 0xfffff) ?? 0,
    hopLimit: args.number('hop', 255) ?? rest.hopLimit ?? 64,
    source,
    destination,
    extensions,
    protocol: args.number('protocol', 255) ?? rest.protocol ?? EXPERIMENTAL_PROTOCOL,
  };
  const addresses = { source, destination };
  const payload = fragment.offset > 0 ? rest.emitData(addresses) : rest.emit(addresses);
  if (payload.length > PACKET_BYTES_MAX - 300) args.fail(`${payload.length} bytes of payload are too many`);
  return emitIpv6(header, payload);
}

/** The shortest of each: 8 bytes, of padding; authentication has 16 (no integrity value, padded). */
function readExtensions(text: string): Ipv6Extension[] | undefined {
  const extensions: Ipv6Extension[] = [];
  for (const name of text.split('+')) {
    const protocol = oneOf(EXTENSION_NAMES)(name);
    if (protocol === undefined || extensions.length > 15) return undefined;
    const data = new Uint8Array(protocol === EXTENSION.authentication ? 14 : 6);
    // One PadN option (RFC 8200 §4.2) fills an options header.
    if (protocol === EXTENSION.hopByHop || protocol === EXTENSION.destination) data.set([1, 4]);
    extensions.push({ protocol, data });
  }
  return extensions;
}

// ---- upper layers ------------------------------------------------------------------------------------------

function emitTcpWord(args: Arguments, rest: Rest, below: Addresses | undefined): Uint8Array {
  const { source, destination } = there(below);
  let flags = args.number('flags', 255) ?? 0;
  for (const name of Object.keys(TCP) as TcpFlagName[]) if (args.flag(name)) flags |= TCP[name];
  const mss = args.number('mss', 0xffff);
  const header = {
    sourcePort: args.nextNumber('source port', 0xffff),
    destinationPort: args.nextNumber('destination port', 0xffff),
    sequence: args.number('seq', 0xffffffff) ?? 0,
    acknowledgement: args.number('ack', 0xffffffff) ?? 0,
    flags: flags === 0 ? TCP.ack : flags,
    window: args.number('window', 0xffff) ?? 65_535,
    urgent: 0,
    options: mss === undefined ? NOTHING : emitMss(mss),
  };
  return emitTcp(header, rest.emit(), source, destination);
}

function emitUdpWord(args: Arguments, rest: Rest, below: Addresses | undefined): Uint8Array {
  const { source, destination } = there(below);
  const sourcePort = args.nextNumber('source port', 0xffff);
  const destinationPort = args.nextNumber('destination port', 0xffff);
  return emitUdp({ sourcePort, destinationPort }, rest.emit(), source, destination);
}

/** The common header of RFC 9260 §3.1, verification tag 0; chunks are the payload. */
function emitSctp(args: Arguments, rest: Rest): Uint8Array {
  const header = new Uint8Array(12);
  writeU16(header, 0, args.nextNumber('source port', 0xffff));
  writeU16(header, 2, args.nextNumber('destination port', 0xffff));
  const bytes = joinBytes([header, rest.emit()]);
  const crc = crc32cOf(bytes, 0, bytes.length);
  for (let i = 0; i < 4; i++) bytes[8 + i] = crc >>> (8 * i);
  return bytes;
}

function emitGreWord(args: Arguments, rest: Rest): Uint8Array {
  const key = args.number('key', 0xffffffff);
  const protocol = rest.etherType ?? TRANSPARENT_ETHERNET;
  return emitGre({ protocol, hasChecksum: false, ...(key === undefined ? {} : { key }) }, rest.emit());
}

function emitGeneveWord(args: Arguments, rest: Rest): Uint8Array {
  const vni = args.nextNumber('VNI', 0xffffff);
  const header = { vni, protocol: TRANSPARENT_ETHERNET, control: false, critical: false, options: NOTHING };
  return emitGeneve(header, rest.emit());
}

const ICMP_NAMES = byName(ICMP_WORDS);
const ICMP6_NAMES = byName(ICMP6_WORDS);

function readIcmp(args: Arguments, names: Readonly<Record<string, number>>): IcmpHeader {
  const type = args.number('type', 255) ?? args.next('ICMP type', oneOf(names));
  const id = args.number('id', 0xffff) ?? 0;
  const sequence = args.number('seq', 0xffff) ?? 0;
  const mtu = args.number('mtu', 0xffffffff);
  return { type, code: args.number('code', 255) ?? 0, rest: mtu ?? id * 65_536 + sequence };
}

// ---- payload and small things ------------------------------------------------------------------------------

function emitBytes(args: Arguments, rest: Rest): Uint8Array {
  const length = args.nextNumber('length', PACKET_BYTES_MAX);
  return joinBytes([Uint8Array.from({ length }, (_, index) => index), rest.emit()]);
}

function byName(words: Readonly<Record<number, string>>): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(words).map(([type, word]) => [word, Number(type)]));
}

function upTo(max: number, bytes: Uint8Array | undefined): Uint8Array | undefined {
  return bytes !== undefined && bytes.length <= max ? bytes : undefined;
}
