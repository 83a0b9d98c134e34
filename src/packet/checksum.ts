// Internet checksums (RFC 1071), pseudo-headers (RFC 768, 9293 §3.1, 8200 §8.1) and incremental updates (RFC 1624);
// CRC32c for SCTP (RFC 9260, appendix A). Sums are unfolded numbers, so that parts may be added in any order, as long
// as each but the last has an even length.

import type { Ip } from './address.ts';

/** The one's complement sum of bytes [at, end), not folded, added to `sum`. An odd last byte counts as the high one. */
export function sumOf(bytes: Uint8Array, at: number, end: number, sum = 0): number {
  let total = sum;
  let i = at;
  for (; i + 1 < end; i += 2) total += (bytes[i]! << 8) | bytes[i + 1]!;
  return i < end ? total + (bytes[i]! << 8) : total;
}

/** The checksum field for bytes [at, end) in which that field is 0. Over bytes with a right checksum it yields 0. */
export function checksumOf(bytes: Uint8Array, at: number, end: number, sum = 0): number {
  return ~fold(sumOf(bytes, at, end, sum)) & 0xffff;
}

/** The sum of the pseudo-header; `lengthBytes` is that of the upper layer. */
export function pseudoSumOf(source: Ip, destination: Ip, protocol: number, lengthBytes: number): number {
  return addressSum(source) + addressSum(destination) + protocol + (lengthBytes >>> 16) + (lengthBytes & 0xffff);
}

/** A checksum after one 16-bit word below it changed (RFC 1624, equation 3). */
export function updateChecksum(checksum: number, oldWord: number, newWord: number): number {
  return ~fold((~checksum & 0xffff) + (~oldWord & 0xffff) + newWord) & 0xffff;
}

/** CRC32c of bytes [at, end); on the wire its bytes stand in little-endian order. */
export function crc32cOf(bytes: Uint8Array, at: number, end: number): number {
  let crc = 0xffffffff;
  for (let i = at; i < end; i++) {
    crc ^= bytes[i]!;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = Math.floor(folded / 0x10000) + (folded & 0xffff);
  return folded;
}

function addressSum(ip: Ip): number {
  if (typeof ip === 'number') return (ip >>> 16) + (ip & 0xffff);
  let sum = 0;
  for (let rest: bigint = ip; rest > 0n; rest >>= 16n) sum += Number(rest & 0xffffn);
  return sum;
}
