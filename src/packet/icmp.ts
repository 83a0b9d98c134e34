// ICMP (RFC 792, 1191, 1812) and ICMPv6 (RFC 4443): one header for both. Neighbour discovery (types 133..137) goes on in nd.ts.
//
//   0      1      2          4                                8
//   | type | code | checksum | rest: id and sequence, MTU … | body |

import { type Ip6, readU32, writeU16, writeU32 } from './address.ts';
import { checksumOf, pseudoSumOf } from './checksum.ts';
import { PROTOCOL } from './ipv4.ts';

export const ICMP_BYTES = 8;
const CHECKSUM_AT = 2;
const REST_AT = 4;

export const ICMP = {
  echoReply: 0,
  unreachable: 3,
  redirect: 5,
  echoRequest: 8,
  timeExceeded: 11,
  parameterProblem: 12,
} as const;
/** Codes of ICMP.unreachable. */
export const ICMP_UNREACHABLE = {
  network: 0,
  host: 1,
  protocol: 2,
  port: 3,
  fragmentationNeeded: 4,
  prohibited: 13,
} as const;
export const ICMP6 = {
  unreachable: 1,
  tooBig: 2,
  timeExceeded: 3,
  parameterProblem: 4,
  echoRequest: 128,
  echoReply: 129,
} as const;
/** Codes of ICMP6.unreachable. */
export const ICMP6_UNREACHABLE = { noRoute: 0, prohibited: 1, address: 3, port: 4, policy: 5, reject: 6 } as const;

export interface IcmpHeader {
  readonly type: number;
  readonly code: number;
  /** Echo: id * 65536 + sequence. Fragmentation needed, packet too big: the MTU. */
  readonly rest: number;
}
export interface Icmp extends IcmpHeader {
  readonly payloadAt: number;
}

/** ICMP or ICMPv6. */
export function parseIcmp(bytes: Uint8Array, at: number, end: number): Icmp | undefined {
  if (end - at < ICMP_BYTES) return undefined;
  return {
    type: bytes[at]!,
    code: bytes[at + 1]!,
    rest: readU32(bytes, at + REST_AT),
    payloadAt: at + ICMP_BYTES,
  };
}

export function emitIcmp(header: IcmpHeader, payload: Uint8Array): Uint8Array {
  return emit(header, payload, 0);
}

/** The checksum of ICMPv6 covers the addresses that the packet will carry. */
export function emitIcmp6(header: IcmpHeader, payload: Uint8Array, source: Ip6, destination: Ip6): Uint8Array {
  return emit(header, payload, pseudoSumOf(source, destination, PROTOCOL.icmp6, ICMP_BYTES + payload.length));
}

/** `icmp echo-request id 1 seq 1`, `icmp unreachable fragmentation-needed mtu 1400`. */
export function formatIcmp(header: IcmpHeader): string {
  if (header.type === ICMP.unreachable && header.code === ICMP_UNREACHABLE.fragmentationNeeded) {
    return `icmp unreachable fragmentation-needed mtu ${header.rest & 0xffff}`;
  }
  return format('icmp', header, ICMP_WORDS[header.type], header.type === ICMP.unreachable ? ICMP_CODES : undefined);
}

export function formatIcmp6(header: IcmpHeader): string {
  if (header.type === ICMP6.tooBig) return `icmp6 too-big mtu ${header.rest}`;
  return format('icmp6', header, ICMP6_WORDS[header.type], header.type === ICMP6.unreachable ? ICMP6_CODES : undefined);
}

/** Whether it is an error (about which no error may be sent), not a query or answer. */
export function isIcmpError(type: number, family: 4 | 6): boolean {
  if (family === 6) return type < 128;
  return type === ICMP.unreachable || type === ICMP.redirect || (type >= 11 && type <= 12) || type === 4;
}

export const ICMP_WORDS: Readonly<Record<number, string>> = {
  0: 'echo-reply',
  3: 'unreachable',
  4: 'source-quench',
  5: 'redirect',
  8: 'echo-request',
  11: 'time-exceeded',
  12: 'parameter-problem',
};
export const ICMP6_WORDS: Readonly<Record<number, string>> = {
  1: 'unreachable',
  2: 'too-big',
  3: 'time-exceeded',
  4: 'parameter-problem',
  128: 'echo-request',
  129: 'echo-reply',
  130: 'listener-query',
  131: 'listener-report',
  132: 'listener-done',
  133: 'router-solicitation',
  134: 'router-advertisement',
  135: 'neighbour-solicitation',
  136: 'neighbour-advertisement',
  137: 'redirect',
  143: 'listener-report-2',
};
const ICMP_CODES: Readonly<Record<number, string>> = {
  0: 'network',
  1: 'host',
  2: 'protocol',
  3: 'port',
  9: 'network-prohibited',
  10: 'host-prohibited',
  13: 'prohibited',
};
const ICMP6_CODES: Readonly<Record<number, string>> = {
  0: 'no-route',
  1: 'prohibited',
  2: 'beyond-scope',
  3: 'address',
  4: 'port',
  5: 'policy',
  6: 'reject-route',
};

function emit(header: IcmpHeader, payload: Uint8Array, sum: number): Uint8Array {
  const bytes = new Uint8Array(ICMP_BYTES + payload.length);
  bytes[0] = header.type;
  bytes[1] = header.code;
  writeU32(bytes, REST_AT, header.rest);
  bytes.set(payload, ICMP_BYTES);
  writeU16(bytes, CHECKSUM_AT, checksumOf(bytes, 0, bytes.length, sum));
  return bytes;
}

function format(
  name: string,
  header: IcmpHeader,
  word: string | undefined,
  codes: Readonly<Record<number, string>> | undefined,
): string {
  if (word === undefined) return `${name} type ${header.type} code ${header.code}`;
  if (word.startsWith('echo-')) return `${name} ${word} id ${header.rest >>> 16} seq ${header.rest & 0xffff}`;
  const code = codes?.[header.code];
  if (code !== undefined) return `${name} ${word} ${code}`;
  return header.code === 0 ? `${name} ${word}` : `${name} ${word} code ${header.code}`;
}
