// Tunnel headers: VXLAN (RFC 7348) and Geneve (RFC 8926) behind UDP, GRE (RFC 2784, 2890) behind IP.
//
//   VXLAN    0 flags (0x08: there is a VNI)   4 VNI (24 bits)   8
//   Geneve   0 version, option words   1 flags   2 protocol   4 VNI (24 bits)   8 options …
//   GRE      0 flags, version   2 protocol   4 [checksum, 0] [key] [sequence]

import { readU16, readU32, writeU16, writeU32 } from './address.ts';
import { checksumOf } from './checksum.ts';

export const VXLAN_BYTES = 8;
export const GENEVE_BYTES = 8;
/** The protocol of GRE and Geneve for Ethernet frames. */
export const TRANSPARENT_ETHERNET = 0x6558;

const VXLAN_HAS_VNI = 0x08;
const GENEVE_CONTROL = 0x80;
const GENEVE_CRITICAL = 0x40;
const GRE_CHECKSUM = 0x8000;
const GRE_KEY = 0x2000;
const GRE_SEQUENCE = 0x1000;

export interface VxlanHeader {
  readonly vni: number;
}
export interface GeneveHeader {
  readonly vni: number;
  readonly protocol: number;
  readonly control: boolean;
  /** Options are there that must be understood. */
  readonly critical: boolean;
  /** A multiple of 4 bytes, at most 252. */
  readonly options: Uint8Array;
}
export interface GreHeader {
  readonly protocol: number;
  readonly hasChecksum: boolean;
  readonly key?: number;
  readonly sequence?: number;
}
interface WithPayload {
  readonly payloadAt: number;
}

export function parseVxlan(bytes: Uint8Array, at: number, end: number): (VxlanHeader & WithPayload) | undefined {
  if (end - at < VXLAN_BYTES || (bytes[at]! & VXLAN_HAS_VNI) === 0) return undefined;
  return { vni: readU32(bytes, at + 4) >>> 8, payloadAt: at + VXLAN_BYTES };
}

export function parseGeneve(bytes: Uint8Array, at: number, end: number): (GeneveHeader & WithPayload) | undefined {
  if (end - at < GENEVE_BYTES || bytes[at]! >> 6 !== 0) return undefined;
  const payloadAt = at + GENEVE_BYTES + (bytes[at]! & 0x3f) * 4;
  if (payloadAt > end) return undefined;
  return {
    vni: readU32(bytes, at + 4) >>> 8,
    protocol: readU16(bytes, at + 2),
    control: (bytes[at + 1]! & GENEVE_CONTROL) !== 0,
    critical: (bytes[at + 1]! & GENEVE_CRITICAL) !== 0,
    options: bytes.subarray(at + GENEVE_BYTES, payloadAt),
    payloadAt,
  };
}

/** Version 0 without the source routes of RFC 1701. */
export function parseGre(bytes: Uint8Array, at: number, end: number): (GreHeader & WithPayload) | undefined {
  if (end - at < 4) return undefined;
  const flags = readU16(bytes, at);
  if ((flags & ~(GRE_CHECKSUM | GRE_KEY | GRE_SEQUENCE)) !== 0) return undefined;
  const keyAt = at + ((flags & GRE_CHECKSUM) !== 0 ? 8 : 4);
  const sequenceAt = keyAt + ((flags & GRE_KEY) !== 0 ? 4 : 0);
  const payloadAt = sequenceAt + ((flags & GRE_SEQUENCE) !== 0 ? 4 : 0);
  if (payloadAt > end) return undefined;
  return {
    protocol: readU16(bytes, at + 2),
    hasChecksum: (flags & GRE_CHECKSUM) !== 0,
    ...((flags & GRE_KEY) !== 0 ? { key: readU32(bytes, keyAt) } : {}),
    ...((flags & GRE_SEQUENCE) !== 0 ? { sequence: readU32(bytes, sequenceAt) } : {}),
    payloadAt,
  };
}

export function emitVxlan(header: VxlanHeader, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(VXLAN_BYTES + payload.length);
  bytes[0] = VXLAN_HAS_VNI;
  writeU32(bytes, 4, header.vni * 256);
  bytes.set(payload, VXLAN_BYTES);
  return bytes;
}

export function emitGeneve(header: GeneveHeader, payload: Uint8Array): Uint8Array {
  const headerBytes = GENEVE_BYTES + header.options.length;
  const bytes = new Uint8Array(headerBytes + payload.length);
  bytes[0] = header.options.length / 4;
  bytes[1] = (header.control ? GENEVE_CONTROL : 0) | (header.critical ? GENEVE_CRITICAL : 0);
  writeU16(bytes, 2, header.protocol);
  writeU32(bytes, 4, header.vni * 256);
  bytes.set(header.options, GENEVE_BYTES);
  bytes.set(payload, headerBytes);
  return bytes;
}

export function emitGre(header: GreHeader, payload: Uint8Array): Uint8Array {
  const keyAt = header.hasChecksum ? 8 : 4;
  const sequenceAt = keyAt + (header.key === undefined ? 0 : 4);
  const payloadAt = sequenceAt + (header.sequence === undefined ? 0 : 4);
  const bytes = new Uint8Array(payloadAt + payload.length);
  let flags = header.hasChecksum ? GRE_CHECKSUM : 0;
  if (header.key !== undefined) {
    flags |= GRE_KEY;
    writeU32(bytes, keyAt, header.key);
  }
  if (header.sequence !== undefined) {
    flags |= GRE_SEQUENCE;
    writeU32(bytes, sequenceAt, header.sequence);
  }
  writeU16(bytes, 0, flags);
  writeU16(bytes, 2, header.protocol);
  bytes.set(payload, payloadAt);
  if (header.hasChecksum) writeU16(bytes, 4, checksumOf(bytes, 0, bytes.length));
  return bytes;
}

export function formatVxlan(header: VxlanHeader): string {
  return `vxlan ${header.vni}`;
}

export function formatGeneve(header: GeneveHeader): string {
  const options = header.options.length === 0 ? '' : ` options ${header.options.length}`;
  return `geneve ${header.vni}${options}`;
}

export function formatGre(header: GreHeader): string {
  const key = header.key === undefined ? '' : ` key ${header.key}`;
  const sequence = header.sequence === undefined ? '' : ` seq ${header.sequence}`;
  return `gre 0x${header.protocol.toString(16).padStart(4, '0')}${key}${sequence}`;
}
