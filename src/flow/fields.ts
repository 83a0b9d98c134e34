// The flow key: one layout of 120 bytes for both families, byte for byte `struct flow_key` of bpf/contract.h.
// A mask has the same layout; its bits say which bits of the key matter. Integers that the packet carries are in
// network order, `port` and `flood` in host order (little endian).

import {
  type Ip,
  type Mac,
  readIp4,
  readIp6,
  readMac,
  readU16,
  writeIp,
  writeMac,
  writeU16,
} from '../packet/address.ts';
import { ETHER_TYPE } from '../packet/ethernet.ts';
import { PROTOCOL } from '../packet/ipv4.ts';

export type FlowKey = Uint8Array & { readonly __flowKey?: true };
export type FlowMask = Uint8Array & { readonly __flowMask?: true };

export const KEY_BYTES = 120;

/** Offset in bytes of every field, and its length. */
export const FIELD = {
  mask: { at: 0, bytes: 4 },
  port: { at: 4, bytes: 4 },
  flood: { at: 8, bytes: 4 },
  ethernetDestination: { at: 12, bytes: 6 },
  ethernetSource: { at: 18, bytes: 6 },
  vlan: { at: 24, bytes: 2 },
  innerVlan: { at: 26, bytes: 2 },
  etherType: { at: 28, bytes: 2 },
  protocol: { at: 30, bytes: 1 },
  trafficClass: { at: 31, bytes: 1 },
  fragment: { at: 32, bytes: 1 },
  tcpFlags: { at: 33, bytes: 1 },
  direction: { at: 34, bytes: 1 },
  vlanBits: { at: 35, bytes: 1 },
  source: { at: 36, bytes: 16 },
  destination: { at: 52, bytes: 16 },
  sourcePort: { at: 68, bytes: 2 },
  destinationPort: { at: 70, bytes: 2 },
  translatedSource: { at: 72, bytes: 16 },
  translatedDestination: { at: 88, bytes: 16 },
  translatedSourcePort: { at: 104, bytes: 2 },
  translatedDestinationPort: { at: 106, bytes: 2 },
  sourceTranslation: { at: 108, bytes: 4 },
  destinationTranslation: { at: 112, bytes: 4 },
} as const satisfies Record<string, { at: number; bytes: number }>;
export type FieldName = keyof typeof FIELD;

/** Where fields of ARP and neighbour discovery ride. */
export const ARP_SENDER_MAC_AT = FIELD.source.at;
export const ARP_TARGET_MAC_AT = FIELD.destination.at;
export const ND_LINK_ADDRESS_AT = FIELD.translatedSource.at;

/** A VLAN word: the TCI, with bit 12 standing for "there is a tag". */
export const VLAN_PRESENT = 0x1000;
/** Bits of `vlanBits`: what a VLAN word has no room for. */
export const VLAN_BITS = {
  /** Its TPID is 0x88a8. */
  vlan: { service: 1, dropEligible: 4 },
  innerVlan: { service: 2, dropEligible: 8 },
} as const;
/** Bit 12 of a TCI as it is on the wire. */
export const DROP_ELIGIBLE = 0x1000;

export const FRAGMENT = { none: 0, first: 1, later: 2 } as const;

export { ETHER_TYPE, PROTOCOL };

export const newKey = (): FlowKey => new Uint8Array(KEY_BYTES);

function getU32(key: Uint8Array, at: number): number {
  return (key[at]! | (key[at + 1]! << 8) | (key[at + 2]! << 16) | (key[at + 3]! << 24)) >>> 0;
}

/** Host order, as the kernel's own integers in the key are. */
export function setU32(key: Uint8Array, at: number, value: number): void {
  key[at] = value;
  key[at + 1] = value >>> 8;
  key[at + 2] = value >>> 16;
  key[at + 3] = value >>> 24;
}

export const portOf = (key: FlowKey): number => getU32(key, FIELD.port.at);
export const floodOf = (key: FlowKey): number => getU32(key, FIELD.flood.at);
export const etherTypeOf = (key: FlowKey): number => readU16(key, FIELD.etherType.at);

/** The address at a 16-byte field: IPv6 when the packet is, else the last word. */
export function getIp(key: FlowKey, at: number): Ip {
  return etherTypeOf(key) === ETHER_TYPE.ip6 ? readIp6(key, at) : readIp4(key, at + 12);
}

export function setIp(key: FlowKey, at: number, ip: Ip): void {
  writeIp(key, typeof ip === 'number' ? at + 12 : at, ip);
}

export const getMac = (key: FlowKey, at: number): Mac => readMac(key, at);
export const setMac = (key: FlowKey, at: number, mac: Mac): void => writeMac(key, at, mac);
export const getU16 = (key: FlowKey, at: number): number => readU16(key, at);
export const setU16 = (key: FlowKey, at: number, value: number): void => writeU16(key, at, value);

/** Sets all bits of a field in a mask. */
export function markField(mask: FlowMask, field: { at: number; bytes: number }): void {
  mask.fill(0xff, field.at, field.at + field.bytes);
}

/** Sets the first `bits` bits of an address field: counted from the last word for IPv4. */
export function markPrefix(mask: FlowMask, at: number, bits: number, family: 4 | 6): void {
  let from = family === 4 ? at + 12 : at;
  let left = bits;
  for (; left >= 8; left -= 8) mask[from++] = 0xff;
  if (left > 0) mask[from] = mask[from]! | (0xff00 >> left);
}

export function maskedKey(key: FlowKey, mask: FlowMask): FlowKey {
  const masked = new Uint8Array(KEY_BYTES);
  for (let at = 0; at < KEY_BYTES; at++) masked[at] = key[at]! & mask[at]!;
  return masked;
}

/** Whether every bit of `inner` is also in `outer`. */
export function maskCovers(outer: FlowMask, inner: FlowMask): boolean {
  for (let at = 0; at < KEY_BYTES; at++) if ((inner[at]! & ~outer[at]!) !== 0) return false;
  return true;
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return a.length === b.length;
}
