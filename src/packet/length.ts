// The length that counts against an MTU: what follows the Ethernet header and its tags, and of a super-packet that the
// kernel has not cut yet (GSO) that of each of its segments. The kernel's twin is l3_bytes in bpf/parse.h.

import { readU16 } from './address.ts';
import { ETHER_TYPE, networkOffset } from './ethernet.ts';
import { PROTOCOL } from './ipv4.ts';

const IP4_PROTOCOL_AT = 9;
const IP6_NEXT_HEADER_AT = 6;
const IP6_BYTES = 40;
const UDP_BYTES = 8;
const TCP_OFFSET_AT = 12;

/** In bytes. The frame has been parsed; it may be cut off behind its headers: `frameBytes` is its whole length. */
export function lengthAtMtu(frame: Uint8Array, frameBytes: number = frame.length, gsoBytes = 0): number {
  const l3At = networkOffset(frame);
  return gsoBytes === 0 ? frameBytes - l3At : segmentHeaderBytes(frame, l3At) + gsoBytes;
}

/** IP and transport header of a super-packet: TCP or UDP. IPv6 extension headers are never in front of one. */
function segmentHeaderBytes(frame: Uint8Array, l3At: number): number {
  const isIp6 = readU16(frame, l3At - 2) === ETHER_TYPE.ip6;
  const ipBytes = isIp6 ? IP6_BYTES : ((frame[l3At] ?? 0) & 0xf) * 4;
  if (frame[l3At + (isIp6 ? IP6_NEXT_HEADER_AT : IP4_PROTOCOL_AT)] !== PROTOCOL.tcp) return ipBytes + UDP_BYTES;
  return ipBytes + ((frame[l3At + ipBytes + TCP_OFFSET_AT] ?? 0) >> 4) * 4;
}
