// UDP (RFC 768).
//
//   0        2        4        6          8
//   | source | dest.  | length | checksum | payload |

import { type Ip, readU16, writeU16 } from './address.ts';
import { checksumOf, pseudoSumOf } from './checksum.ts';
import { PROTOCOL } from './ipv4.ts';

export const UDP_BYTES = 8;
export const UDP_PORT = {
  dhcp4Server: 67,
  dhcp4Client: 68,
  dhcp6Client: 546,
  dhcp6Server: 547,
  vxlan: 4789,
  geneve: 6081,
} as const;
const DESTINATION_AT = 2;
const LENGTH_AT = 4;
const CHECKSUM_AT = 6;

export interface UdpHeader {
  readonly sourcePort: number;
  readonly destinationPort: number;
}
export interface Udp extends UdpHeader {
  readonly payloadAt: number;
  /** End of the payload that is here: of a first fragment less than the length field says. */
  readonly end: number;
}

export function parseUdp(bytes: Uint8Array, at: number, end: number): Udp | undefined {
  if (end - at < UDP_BYTES) return undefined;
  const length = readU16(bytes, at + LENGTH_AT);
  if (length < UDP_BYTES) return undefined;
  return {
    sourcePort: readU16(bytes, at),
    destinationPort: readU16(bytes, at + DESTINATION_AT),
    payloadAt: at + UDP_BYTES,
    end: Math.min(at + length, end),
  };
}

/** The checksum covers the addresses that the packet will carry. */
export function emitUdp(header: UdpHeader, payload: Uint8Array, source: Ip, destination: Ip): Uint8Array {
  const bytes = new Uint8Array(UDP_BYTES + payload.length);
  writeU16(bytes, 0, header.sourcePort);
  writeU16(bytes, DESTINATION_AT, header.destinationPort);
  writeU16(bytes, LENGTH_AT, bytes.length);
  bytes.set(payload, UDP_BYTES);
  const sum = pseudoSumOf(source, destination, PROTOCOL.udp, bytes.length);
  // 0 on the wire means: no checksum.
  writeU16(bytes, CHECKSUM_AT, checksumOf(bytes, 0, bytes.length, sum) || 0xffff);
  return bytes;
}

export function formatUdp(header: UdpHeader): string {
  return `udp ${header.sourcePort} > ${header.destinationPort}`;
}
