// TCP headers (RFC 9293). Options are kept as bytes; `mssOf` reads the one that matters to a network.
//
//   0        2       4     8     12   13      14       16         18       20
//   | source | dest. | seq | ack | off| flags | window | checksum | urgent | options

import { type Ip, readU16, readU32, writeU16, writeU32 } from './address.ts';
import { checksumOf, pseudoSumOf } from './checksum.ts';
import { PROTOCOL } from './ipv4.ts';

export const TCP_BYTES = 20;
export const TCP = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32, ece: 64, cwr: 128 } as const;
export type TcpFlagName = keyof typeof TCP;

const DESTINATION_AT = 2;
const SEQUENCE_AT = 4;
const ACKNOWLEDGEMENT_AT = 8;
const OFFSET_AT = 12;
const FLAGS_AT = 13;
const WINDOW_AT = 14;
const CHECKSUM_AT = 16;
const URGENT_AT = 18;

const OPTION_END = 0;
const OPTION_NOTHING = 1;
const OPTION_MSS = 2;

export interface TcpHeader {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence: number;
  readonly acknowledgement: number;
  /** Bits of TCP, all eight. */
  readonly flags: number;
  readonly window: number;
  readonly urgent: number;
  /** A multiple of 4 bytes, at most 40; shorter ones are padded with zeros (end of options) when emitted. */
  readonly options: Uint8Array;
}
export interface Tcp extends TcpHeader {
  readonly payloadAt: number;
}

export function parseTcp(bytes: Uint8Array, at: number, end: number): Tcp | undefined {
  if (end - at < TCP_BYTES) return undefined;
  const headerBytes = (bytes[at + OFFSET_AT]! >> 4) * 4;
  if (headerBytes < TCP_BYTES || headerBytes > end - at) return undefined;
  return {
    sourcePort: readU16(bytes, at),
    destinationPort: readU16(bytes, at + DESTINATION_AT),
    sequence: readU32(bytes, at + SEQUENCE_AT),
    acknowledgement: readU32(bytes, at + ACKNOWLEDGEMENT_AT),
    flags: bytes[at + FLAGS_AT]!,
    window: readU16(bytes, at + WINDOW_AT),
    urgent: readU16(bytes, at + URGENT_AT),
    options: bytes.subarray(at + TCP_BYTES, at + headerBytes),
    payloadAt: at + headerBytes,
  };
}

/** The checksum covers the addresses that the packet will carry. */
export function emitTcp(header: TcpHeader, payload: Uint8Array, source: Ip, destination: Ip): Uint8Array {
  const headerBytes = TCP_BYTES + Math.ceil(header.options.length / 4) * 4;
  const bytes = new Uint8Array(headerBytes + payload.length);
  writeU16(bytes, 0, header.sourcePort);
  writeU16(bytes, DESTINATION_AT, header.destinationPort);
  writeU32(bytes, SEQUENCE_AT, header.sequence);
  writeU32(bytes, ACKNOWLEDGEMENT_AT, header.acknowledgement);
  bytes[OFFSET_AT] = (headerBytes / 4) << 4;
  bytes[FLAGS_AT] = header.flags;
  writeU16(bytes, WINDOW_AT, header.window);
  writeU16(bytes, URGENT_AT, header.urgent);
  bytes.set(header.options, TCP_BYTES);
  bytes.set(payload, headerBytes);
  const sum = pseudoSumOf(source, destination, PROTOCOL.tcp, bytes.length);
  writeU16(bytes, CHECKSUM_AT, checksumOf(bytes, 0, bytes.length, sum));
  return bytes;
}

/** `tcp 1000 > 80 syn,ack seq 5 ack 7 mss 1460`. */
export function formatTcp(header: TcpHeader): string {
  const words = [`tcp ${header.sourcePort} > ${header.destinationPort}`, formatTcpFlags(header.flags)];
  words.push(`seq ${header.sequence}`);
  if ((header.flags & TCP.ack) !== 0) words.push(`ack ${header.acknowledgement}`);
  const mss = mssOf(header.options);
  if (mss !== undefined) words.push(`mss ${mss}`);
  return words.join(' ');
}

export function formatTcpFlags(flags: number): string {
  const names = (Object.keys(TCP) as TcpFlagName[]).filter((name) => (flags & TCP[name]) !== 0);
  return names.length === 0 ? 'no-flags' : names.join(',');
}

/** The maximum segment size among TCP options (RFC 9293 §3.7.1). */
export function mssOf(options: Uint8Array): number | undefined {
  for (let at = 0; at < options.length; ) {
    const kind = options[at]!;
    if (kind === OPTION_END) return undefined;
    if (kind === OPTION_NOTHING) {
      at += 1;
      continue;
    }
    const length = options[at + 1] ?? 0;
    if (length < 2 || at + length > options.length) return undefined;
    if (kind === OPTION_MSS && length === 4) return readU16(options, at + 2);
    at += length;
  }
  return undefined;
}

export function emitMss(mssBytes: number): Uint8Array {
  return Uint8Array.of(OPTION_MSS, 4, mssBytes >>> 8, mssBytes);
}
