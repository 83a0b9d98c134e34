// A whole frame, layer by layer: where its headers are in the bytes, and one line for people. Nothing is copied.
//
//   0          l3At                l4At                          end        bytes.length
//   | Ethernet | ARP, IPv4, IPv6   | TCP, UDP, ICMP …, or the    | padding  |
//   |  + tags  | (+ extensions)    | data of a later fragment    |          |

import { type Ip, readIp4, readIp6, readU16 } from './address.ts';
import { formatArp, parseArp } from './arp.ts';
import { formatDhcp4, parseDhcp4 } from './dhcp4.ts';
import { formatDhcp6, parseDhcp6 } from './dhcp6.ts';
import {
  ETHER_TYPE,
  ETHERNET_BYTES,
  formatEthernet,
  isTagType,
  parseEthernet,
  TAG_BYTES,
  TAGS_MAX,
} from './ethernet.ts';
import { formatIcmp, formatIcmp6, parseIcmp } from './icmp.ts';
import { formatIpv4, PROTOCOL, parseIpv4 } from './ipv4.ts';
import { EXTENSION, formatIpv6, parseIpv6 } from './ipv6.ts';
import { formatNd, ND, parseNd } from './nd.ts';
import { formatTcp, parseTcp } from './tcp.ts';
import { formatGeneve, formatGre, formatVxlan, parseGeneve, parseGre, parseVxlan } from './tunnel.ts';
import { formatUdp, parseUdp, UDP_PORT, type Udp } from './udp.ts';

export interface Packet {
  readonly bytes: Uint8Array;
  /** How many VLAN tags stand before the type: 0, 1, 2. The outer TCI is at 14, the inner one at 18. */
  readonly tagCount: number;
  /** Behind the tags. */
  readonly etherType: number;
  readonly network: 'ip4' | 'ip6' | 'arp' | 'other';
  readonly l3At: number;
  /** Of an IP packet the length that counts against an MTU, extension headers included; else what the frame holds. */
  readonly l3Bytes: number;
  /** Where the packet ends; what follows is padding. */
  readonly end: number;
  /** Valid for ip4 and ip6, like all that follow: TTL or hop limit. */
  readonly ttl: number;
  /** Of IPv6 the upper layer behind the extension headers. */
  readonly protocol: number;
  /** Where the upper layer, or the data of a later fragment, begins. */
  readonly l4At: number;
  /** Undefined: whole. */
  readonly fragment?: FragmentPart;
}
export interface FragmentPart {
  readonly id: number;
  readonly offsetBytes: number;
  readonly more: boolean;
}

/** Valid for ip4 and ip6. */
export function sourceIpOf(packet: Packet): Ip {
  return packet.network === 'ip4' ? readIp4(packet.bytes, packet.l3At + 12) : readIp6(packet.bytes, packet.l3At + 8);
}
/** Valid for ip4 and ip6. */
export function destinationIpOf(packet: Packet): Ip {
  return packet.network === 'ip4' ? readIp4(packet.bytes, packet.l3At + 16) : readIp6(packet.bytes, packet.l3At + 24);
}

/** Undefined: malformed up to the network layer. The upper layer may still be too short for its header. */
export function parsePacket(bytes: Uint8Array): Packet | undefined {
  if (bytes.length < ETHERNET_BYTES) return undefined;
  let typeAt = 12;
  let tagCount = 0;
  let etherType = readU16(bytes, typeAt);
  while (isTagType(etherType) && tagCount < TAGS_MAX) {
    typeAt += TAG_BYTES;
    tagCount += 1;
    if (bytes.length < typeAt + 2) return undefined;
    etherType = readU16(bytes, typeAt);
  }
  const l3At = typeAt + 2;
  const frame = { bytes, tagCount, etherType, l3At };
  switch (etherType) {
    case ETHER_TYPE.ip4:
      return withIpv4(frame);
    case ETHER_TYPE.ip6:
      return withIpv6(frame);
    case ETHER_TYPE.arp:
      if (parseArp(bytes, l3At, bytes.length) === undefined) return undefined;
      return { ...frame, network: 'arp', ...restOf(frame) };
    default:
      return { ...frame, network: 'other', ...restOf(frame) };
  }
}

/** One line: `02:…:01 > 02:…:02 vlan 10 10.0.0.1 > 10.0.0.2 ttl 64 udp 53 > 53 (128 bytes)`. */
export function formatPacket(bytes: Uint8Array): string {
  return formatFrame(bytes, false);
}

function formatFrame(bytes: Uint8Array, inner: boolean): string {
  const length = `(${bytes.length} bytes)`;
  const ethernet = parseEthernet(bytes, 0, bytes.length);
  if (ethernet === undefined) return `malformed frame ${length}`;
  const words = [formatEthernet(ethernet)];
  const packet = parsePacket(bytes);
  if (packet === undefined) words.push(`malformed ${NETWORK_WORDS[ethernet.etherType] ?? 'packet'}`);
  else words.push(...formatNetwork(packet, inner));
  return `${words.join(' ')} ${length}`;
}

const NETWORK_WORDS: Readonly<Record<number, string>> = {
  [ETHER_TYPE.ip4]: 'ip',
  [ETHER_TYPE.ip6]: 'ip6',
  [ETHER_TYPE.arp]: 'arp',
};

type Frame = Pick<Packet, 'bytes' | 'tagCount' | 'etherType' | 'l3At'>;

function restOf(frame: Frame): Pick<Packet, 'l3Bytes' | 'end' | 'ttl' | 'protocol' | 'l4At'> {
  const end = frame.bytes.length;
  return { l3Bytes: end - frame.l3At, end, ttl: 0, protocol: 0, l4At: end };
}

function withIpv4(frame: Frame): Packet | undefined {
  const ip = parseIpv4(frame.bytes, frame.l3At, frame.bytes.length);
  if (ip === undefined) return undefined;
  const fragmented = ip.moreFragments || ip.fragmentOffset > 0;
  return {
    ...frame,
    network: 'ip4',
    l3Bytes: ip.end - frame.l3At,
    end: ip.end,
    ttl: ip.ttl,
    protocol: ip.protocol,
    l4At: ip.payloadAt,
    ...(fragmented ? { fragment: { id: ip.id, offsetBytes: ip.fragmentOffset, more: ip.moreFragments } } : {}),
  };
}

function withIpv6(frame: Frame): Packet | undefined {
  const ip = parseIpv6(frame.bytes, frame.l3At, frame.bytes.length);
  if (ip === undefined) return undefined;
  let fragment: FragmentPart | undefined;
  for (const each of ip.extensions) {
    if (each.protocol !== EXTENSION.fragment || (each.offset === 0 && !each.more)) continue;
    fragment = { id: each.id, offsetBytes: each.offset, more: each.more };
  }
  return {
    ...frame,
    network: 'ip6',
    l3Bytes: ip.end - frame.l3At,
    end: ip.end,
    ttl: ip.hopLimit,
    protocol: ip.protocol,
    l4At: ip.payloadAt,
    ...(fragment === undefined ? {} : { fragment }),
  };
}

function formatNetwork(packet: Packet, inner: boolean): string[] {
  const { bytes, l3At, end } = packet;
  switch (packet.network) {
    case 'arp':
      return [formatArp(parseArp(bytes, l3At, end)!)];
    case 'ip4':
      return [formatIpv4(parseIpv4(bytes, l3At, bytes.length)!), ...formatUpper(packet, inner)];
    case 'ip6':
      return [formatIpv6(parseIpv6(bytes, l3At, bytes.length)!), ...formatUpper(packet, inner)];
    case 'other':
      return [`type 0x${packet.etherType.toString(16).padStart(4, '0')}`];
  }
}

function formatUpper(packet: Packet, inner: boolean): string[] {
  const { bytes, l4At, end, protocol } = packet;
  const name = PROTOCOL_WORDS[protocol] ?? `protocol ${protocol}`;
  if (packet.fragment !== undefined && packet.fragment.offsetBytes > 0) return [name];
  switch (protocol) {
    case PROTOCOL.tcp: {
      const tcp = parseTcp(bytes, l4At, end);
      return tcp === undefined ? [`malformed ${name}`] : [formatTcp(tcp)];
    }
    case PROTOCOL.udp: {
      const udp = parseUdp(bytes, l4At, end);
      return udp === undefined ? [`malformed ${name}`] : [formatUdp(udp), ...formatUdpPayload(bytes, udp, inner)];
    }
    case PROTOCOL.icmp: {
      const icmp = packet.network === 'ip4' ? parseIcmp(bytes, l4At, end) : undefined;
      return icmp === undefined ? [`malformed ${name}`] : [formatIcmp(icmp)];
    }
    case PROTOCOL.icmp6: {
      const icmp = packet.network === 'ip6' ? parseIcmp(bytes, l4At, end) : undefined;
      if (icmp === undefined) return [`malformed ${name}`];
      if (icmp.type < ND.routerSolicitation || icmp.type > ND.redirect) return [formatIcmp6(icmp)];
      const message = parseNd(bytes, l4At, end);
      return [message === undefined ? `malformed ${formatIcmp6(icmp)}` : formatNd(message)];
    }
    case PROTOCOL.sctp:
      if (end - l4At < SCTP_BYTES) return [`malformed ${name}`];
      return [`${name} ${readU16(bytes, l4At)} > ${readU16(bytes, l4At + 2)}`];
    case PROTOCOL.gre: {
      const gre = parseGre(bytes, l4At, end);
      return [gre === undefined ? name : formatGre(gre)];
    }
    default:
      return [name];
  }
}

/** The common header: ports, verification tag, CRC32c (RFC 9260 §3.1). */
const SCTP_BYTES = 12;

const PROTOCOL_WORDS: Readonly<Record<number, string>> = {
  [PROTOCOL.icmp]: 'icmp',
  [PROTOCOL.tcp]: 'tcp',
  [PROTOCOL.udp]: 'udp',
  [PROTOCOL.gre]: 'gre',
  [PROTOCOL.icmp6]: 'icmp6',
  [PROTOCOL.none]: 'no-next-header',
  [PROTOCOL.sctp]: 'sctp',
};

/** What well-known ports say it is; nothing when it does not parse as that. A frame in a frame is told, a third is not. */
function formatUdpPayload(bytes: Uint8Array, udp: Udp, inner: boolean): string[] {
  const { payloadAt, end } = udp;
  switch (udp.destinationPort) {
    case UDP_PORT.dhcp4Server:
    case UDP_PORT.dhcp4Client: {
      const message = parseDhcp4(bytes, payloadAt, end);
      return message === undefined ? [] : [formatDhcp4(message)];
    }
    case UDP_PORT.dhcp6Server:
    case UDP_PORT.dhcp6Client: {
      const message = parseDhcp6(bytes, payloadAt, end);
      return message === undefined ? [] : [formatDhcp6(message)];
    }
    case UDP_PORT.vxlan: {
      const vxlan = parseVxlan(bytes, payloadAt, end);
      if (vxlan === undefined) return [];
      return inner
        ? [formatVxlan(vxlan)]
        : [formatVxlan(vxlan), formatFrame(bytes.subarray(vxlan.payloadAt, end), true)];
    }
    case UDP_PORT.geneve: {
      const geneve = parseGeneve(bytes, payloadAt, end);
      return geneve === undefined ? [] : [formatGeneve(geneve)];
    }
    default:
      return [];
  }
}
