// IPv4 (RFC 791, RFC 2474 for the TOS byte). Options are kept as bytes. Checksums are not verified by parsing:
// `checksumOf(bytes, at, payloadAt)` is 0 when the header's is right.
//
//   0     1     2       4    6        8     9       10       12       16       20
//   | 4|5 | TOS | total | id | f|offs | TTL | proto | chksum | source | dest.  | options

import { formatIp4, type Ip4, readIp4, readU16, writeIp, writeU16 } from './address.ts';
import { checksumOf } from './checksum.ts';

export const IPV4_BYTES = 20;
export const PROTOCOL = { icmp: 1, tcp: 6, udp: 17, gre: 47, icmp6: 58, none: 59, sctp: 132 } as const;

const TOS_AT = 1;
const TOTAL_AT = 2;
const ID_AT = 4;
const FRAGMENT_AT = 6;
const TTL_AT = 8;
const PROTOCOL_AT = 9;
const CHECKSUM_AT = 10;
const SOURCE_AT = 12;
const DESTINATION_AT = 16;

const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;

export interface Ipv4Header {
  /** All eight bits of the TOS byte. */
  readonly trafficClass: number;
  readonly id: number;
  readonly dontFragment: boolean;
  readonly moreFragments: boolean;
  /** In bytes, a multiple of 8. */
  readonly fragmentOffset: number;
  readonly ttl: number;
  readonly protocol: number;
  readonly source: Ip4;
  readonly destination: Ip4;
  /** A multiple of 4 bytes, at most 40; shorter ones are padded with zeros when emitted. */
  readonly options: Uint8Array;
}
export interface Ipv4 extends Ipv4Header {
  readonly payloadAt: number;
  /** Where the packet ends: what the frame holds behind it is padding. */
  readonly end: number;
}

export function parseIpv4(bytes: Uint8Array, at: number, end: number): Ipv4 | undefined {
  if (end - at < IPV4_BYTES || bytes[at]! >> 4 !== 4) return undefined;
  const headerBytes = (bytes[at]! & 0xf) * 4;
  const totalBytes = readU16(bytes, at + TOTAL_AT);
  if (headerBytes < IPV4_BYTES || totalBytes < headerBytes || totalBytes > end - at) return undefined;
  const fragment = readU16(bytes, at + FRAGMENT_AT);
  return {
    trafficClass: bytes[at + TOS_AT]!,
    id: readU16(bytes, at + ID_AT),
    dontFragment: (fragment & DONT_FRAGMENT) !== 0,
    moreFragments: (fragment & MORE_FRAGMENTS) !== 0,
    fragmentOffset: (fragment & 0x1fff) * 8,
    ttl: bytes[at + TTL_AT]!,
    protocol: bytes[at + PROTOCOL_AT]!,
    source: readIp4(bytes, at + SOURCE_AT),
    destination: readIp4(bytes, at + DESTINATION_AT),
    options: bytes.subarray(at + IPV4_BYTES, at + headerBytes),
    payloadAt: at + headerBytes,
    end: at + totalBytes,
  };
}

export function emitIpv4(header: Ipv4Header, payload: Uint8Array): Uint8Array {
  const headerBytes = IPV4_BYTES + Math.ceil(header.options.length / 4) * 4;
  const bytes = new Uint8Array(headerBytes + payload.length);
  const flags = (header.dontFragment ? DONT_FRAGMENT : 0) | (header.moreFragments ? MORE_FRAGMENTS : 0);
  bytes[0] = 0x40 | (headerBytes / 4);
  bytes[TOS_AT] = header.trafficClass;
  writeU16(bytes, TOTAL_AT, bytes.length);
  writeU16(bytes, ID_AT, header.id);
  writeU16(bytes, FRAGMENT_AT, flags | (header.fragmentOffset / 8));
  bytes[TTL_AT] = header.ttl;
  bytes[PROTOCOL_AT] = header.protocol;
  writeIp(bytes, SOURCE_AT, header.source);
  writeIp(bytes, DESTINATION_AT, header.destination);
  bytes.set(header.options, IPV4_BYTES);
  writeU16(bytes, CHECKSUM_AT, checksumOf(bytes, 0, headerBytes));
  bytes.set(payload, headerBytes);
  return bytes;
}

/** `10.0.0.1 > 10.0.0.2 ttl 64`, then what is unusual. */
export function formatIpv4(header: Ipv4Header): string {
  const words = [`${formatIp4(header.source)} > ${formatIp4(header.destination)} ttl ${header.ttl}`];
  if (header.trafficClass !== 0) words.push(`tos 0x${header.trafficClass.toString(16)}`);
  if (header.options.length > 0) words.push(`options ${header.options.length}`);
  if (header.moreFragments || header.fragmentOffset > 0) {
    words.push(`fragment ${header.fragmentOffset}${header.moreFragments ? '+' : ''} id ${header.id}`);
  }
  return words.join(' ');
}
