// Cutting an IPv4 packet into fragments (RFC 791 §3.2). IPv6 packets are only cut by their sender.

import { readU16, writeU16 } from './address.ts';
import { checksumOf } from './checksum.ts';

const MORE_FRAGMENTS = 0x2000;
const OFFSET_MASK = 0x1fff;
const OPTION_COPIED = 0x80;
const OPTION_END = 0;
const OPTION_NOP = 1;

/**
 * The frames that carry the packet in pieces of at most `mtuBytes` (≥ 68) each. The packet, whose header is at `at`,
 * may be a fragment itself. One that fits is returned as it is.
 */
export function fragmentIpv4(frame: Uint8Array, at: number, mtuBytes: number): Uint8Array[] {
  const headerBytes = (frame[at]! & 0xf) * 4;
  const end = at + readU16(frame, at + 2);
  if (end - at <= mtuBytes) return [frame];
  const flagsAndOffset = readU16(frame, at + 6);
  const later = laterHeader(frame.subarray(at, at + headerBytes));
  const pieces: Uint8Array[] = [];
  for (let from = at + headerBytes; from < end; ) {
    const header = from === at + headerBytes ? frame.subarray(at, at + headerBytes) : later;
    const room = Math.floor((mtuBytes - header.length) / 8) * 8;
    const to = Math.min(from + room, end);
    const piece = new Uint8Array(at + header.length + (to - from));
    piece.set(frame.subarray(0, at));
    piece.set(header, at);
    piece.set(frame.subarray(from, to), at + header.length);
    const offset = (flagsAndOffset & OFFSET_MASK) + (from - at - headerBytes) / 8;
    const more = to < end ? MORE_FRAGMENTS : flagsAndOffset & MORE_FRAGMENTS;
    writeU16(piece, at + 2, header.length + (to - from));
    writeU16(piece, at + 6, more | offset);
    writeU16(piece, at + 10, 0);
    writeU16(piece, at + 10, checksumOf(piece, at, at + header.length));
    pieces.push(piece);
    from = to;
  }
  return pieces;
}

/** The header of all fragments but the first: only options that say so are copied. */
function laterHeader(header: Uint8Array): Uint8Array {
  const kept: number[] = [];
  for (let at = 20; at < header.length; ) {
    const option = header[at]!;
    if (option === OPTION_END) break;
    const length = option === OPTION_NOP ? 1 : (header[at + 1] ?? 0);
    if (length === 0 || at + length > header.length) break;
    if ((option & OPTION_COPIED) !== 0) kept.push(...header.subarray(at, at + length));
    at += length;
  }
  const padded = Math.ceil(kept.length / 4) * 4;
  const result = new Uint8Array(20 + padded);
  result.set(header.subarray(0, 20));
  result.set(kept, 20);
  result[0] = 0x40 | (result.length / 4);
  return result;
}
