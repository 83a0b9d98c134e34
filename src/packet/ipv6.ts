// IPv6 (RFC 8200) with its extension headers: hop-by-hop, routing, destination options, authentication (RFC 4302)
// and fragment. At most 8 of them are read; packets with more are not parsed. Jumbograms are not parsed.
//
//   0              4         6      7     8         24        40
//   | 6|class|flow | payload | next | hop | source  | dest.   | extension headers …

import { formatIp6, type Ip6, readIp6, readU16, readU32, writeIp, writeU16, writeU32 } from './address.ts';

export const IPV6_BYTES = 40;
export const IPV6_EXTENSIONS_MAX = 8;
export const EXTENSION = { hopByHop: 0, routing: 43, fragment: 44, authentication: 51, destination: 60 } as const;

const PAYLOAD_AT = 4;
const NEXT_AT = 6;
const HOP_LIMIT_AT = 7;
const SOURCE_AT = 8;
const DESTINATION_AT = 24;

export type Ipv6Extension =
  | {
      readonly protocol: typeof EXTENSION.fragment;
      readonly offset: number;
      readonly more: boolean;
      readonly id: number;
    }
  | {
      readonly protocol: Exclude<(typeof EXTENSION)[keyof typeof EXTENSION], typeof EXTENSION.fragment>;
      /** What follows the next-header and length bytes: 8 n + 6 bytes, in an authentication header 4 n + 6. */
      readonly data: Uint8Array;
    };

export interface Ipv6Header {
  readonly trafficClass: number;
  readonly flowLabel: number;
  readonly hopLimit: number;
  readonly source: Ip6;
  readonly destination: Ip6;
  /** In order. None follows the fragment header of a later fragment: what is there is data. */
  readonly extensions: readonly Ipv6Extension[];
  /** Of what follows the extension headers. */
  readonly protocol: number;
}
export interface Ipv6 extends Ipv6Header {
  readonly payloadAt: number;
  readonly end: number;
}

export function parseIpv6(bytes: Uint8Array, at: number, end: number): Ipv6 | undefined {
  if (end - at < IPV6_BYTES || bytes[at]! >> 4 !== 6) return undefined;
  const packetEnd = at + IPV6_BYTES + readU16(bytes, at + PAYLOAD_AT);
  if (packetEnd > end) return undefined;
  const extensions: Ipv6Extension[] = [];
  let protocol = bytes[at + NEXT_AT]!;
  let payloadAt = at + IPV6_BYTES;
  let later = false;
  while (isExtension(protocol) && !later) {
    if (extensions.length === IPV6_EXTENSIONS_MAX || packetEnd - payloadAt < 8) return undefined;
    const headerEnd = payloadAt + extensionBytes(protocol, bytes[payloadAt + 1]!);
    if (headerEnd > packetEnd) return undefined;
    if (protocol === EXTENSION.fragment) {
      const word = readU16(bytes, payloadAt + 2);
      const id = readU32(bytes, payloadAt + 4);
      extensions.push({ protocol, offset: word & 0xfff8, more: (word & 1) !== 0, id });
      later = (word & 0xfff8) !== 0;
    } else {
      extensions.push({ protocol, data: bytes.subarray(payloadAt + 2, headerEnd) });
    }
    protocol = bytes[payloadAt]!;
    payloadAt = headerEnd;
  }
  const word = readU32(bytes, at);
  return {
    trafficClass: (word >>> 20) & 0xff,
    flowLabel: word & 0xfffff,
    hopLimit: bytes[at + HOP_LIMIT_AT]!,
    source: readIp6(bytes, at + SOURCE_AT),
    destination: readIp6(bytes, at + DESTINATION_AT),
    extensions,
    protocol,
    payloadAt,
    end: packetEnd,
  };
}

export function emitIpv6(header: Ipv6Header, payload: Uint8Array): Uint8Array {
  let headerBytes = IPV6_BYTES;
  for (const extension of header.extensions) headerBytes += 'data' in extension ? extension.data.length + 2 : 8;
  const bytes = new Uint8Array(headerBytes + payload.length);
  writeU32(bytes, 0, ((6 << 28) | (header.trafficClass << 20) | header.flowLabel) >>> 0);
  writeU16(bytes, PAYLOAD_AT, bytes.length - IPV6_BYTES);
  bytes[HOP_LIMIT_AT] = header.hopLimit;
  writeIp(bytes, SOURCE_AT, header.source);
  writeIp(bytes, DESTINATION_AT, header.destination);
  let nextAt = NEXT_AT;
  let at = IPV6_BYTES;
  for (const extension of header.extensions) {
    bytes[nextAt] = extension.protocol;
    nextAt = at;
    at += emitExtension(extension, bytes, at);
  }
  bytes[nextAt] = header.protocol;
  bytes.set(payload, at);
  return bytes;
}

/** `fd00::1 > fd00::2 hop 64`, then what is unusual. */
export function formatIpv6(header: Ipv6Header): string {
  const words = [`${formatIp6(header.source)} > ${formatIp6(header.destination)} hop ${header.hopLimit}`];
  if (header.trafficClass !== 0) words.push(`class 0x${header.trafficClass.toString(16)}`);
  for (const extension of header.extensions) {
    words.push(
      'data' in extension
        ? EXTENSION_WORDS[extension.protocol]
        : `fragment ${extension.offset}${extension.more ? '+' : ''} id ${extension.id}`,
    );
  }
  return words.join(' ');
}

const EXTENSION_WORDS = {
  [EXTENSION.hopByHop]: 'hop-by-hop',
  [EXTENSION.routing]: 'routing',
  [EXTENSION.authentication]: 'authentication',
  [EXTENSION.destination]: 'destination-options',
} as const;

function isExtension(protocol: number): protocol is Ipv6Extension['protocol'] {
  return protocol === EXTENSION.fragment || protocol in EXTENSION_WORDS;
}

function extensionBytes(protocol: Ipv6Extension['protocol'], length: number): number {
  if (protocol === EXTENSION.fragment) return 8;
  return protocol === EXTENSION.authentication ? (length + 2) * 4 : (length + 1) * 8;
}

/** Writes all but the next-header byte, which belongs to what follows. Returns the length. */
function emitExtension(extension: Ipv6Extension, bytes: Uint8Array, at: number): number {
  if (!('data' in extension)) {
    writeU16(bytes, at + 2, extension.offset | (extension.more ? 1 : 0));
    writeU32(bytes, at + 4, extension.id);
    return 8;
  }
  const length = extension.data.length + 2;
  bytes[at + 1] = extension.protocol === EXTENSION.authentication ? length / 4 - 2 : length / 8 - 1;
  bytes.set(extension.data, at + 2);
  return length;
}
