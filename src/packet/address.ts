// Addresses as values: MAC, IPv4, IPv6 and prefixes, with their text forms (RFC 5952 for IPv6).
// An IPv4 address is a number (uint32) and an IPv6 address is a bigint, so `typeof` tells the family,
// both compare with === and both are Map keys. Text lives only at the edges of the house.

/** 48 bits, as a number below 2^48. */
export type Mac = number & { readonly __mac: true };
/** 32 bits, as an unsigned number. */
export type Ip4 = number & { readonly __ip4: true };
/** 128 bits, as an unsigned bigint. */
export type Ip6 = bigint & { readonly __ip6: true };
export type Ip = Ip4 | Ip6;
export type Family = 4 | 6;
/** `ip` holds no bit beyond `bits` (a network address), 0 ≤ bits ≤ 32 or 128. */
export interface Prefix {
  readonly ip: Ip;
  readonly bits: number;
}
/** An address on a link together with the length of its network: `10.0.1.7/24`. */
export interface InterfaceAddress {
  readonly ip: Ip;
  readonly bits: number;
}

export const MAC_BROADCAST = 0xffffffffffff as Mac;

export const familyOf = (ip: Ip): Family => (typeof ip === 'number' ? 4 : 6);
export const isIp4 = (ip: Ip): ip is Ip4 => typeof ip === 'number';
export const isIp6 = (ip: Ip): ip is Ip6 => typeof ip === 'bigint';
/** The group bit of IEEE 802: broadcast or multicast. */
export const isGroupMac = (mac: Mac): boolean => (Math.floor(mac / 2 ** 40) & 1) === 1;
export const widthOf = (family: Family): number => (family === 4 ? 32 : 128);

const MAC_TEXT = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/i;
const OCTET = /^(?:0|[1-9][0-9]{0,2})$/;

export function parseMac(text: string): Mac | undefined {
  if (!MAC_TEXT.test(text)) return undefined;
  return Number.parseInt(text.replaceAll(':', ''), 16) as Mac;
}

export function formatMac(mac: Mac): string {
  return mac
    .toString(16)
    .padStart(12, '0')
    .replace(/..(?=.)/g, '$&:');
}

export function parseIp4(text: string): Ip4 | undefined {
  const octets = text.split('.');
  if (octets.length !== 4) return undefined;
  let value = 0;
  for (const octet of octets) {
    if (!OCTET.test(octet) || Number(octet) > 255) return undefined;
    value = value * 256 + Number(octet);
  }
  return value as Ip4;
}

export function formatIp4(ip: Ip4): string {
  return `${ip >>> 24}.${(ip >>> 16) & 255}.${(ip >>> 8) & 255}.${ip & 255}`;
}

export function parseIp6(text: string): Ip6 | undefined {
  let body = text;
  const dotted = body.lastIndexOf(':');
  if (body.includes('.')) {
    const tail = parseIp4(body.slice(dotted + 1));
    if (tail === undefined || dotted < 0) return undefined;
    body = `${body.slice(0, dotted + 1)}${(tail >>> 16).toString(16)}:${(tail & 0xffff).toString(16)}`;
  }
  const halves = body.split('::');
  if (halves.length > 2) return undefined;
  const groups = (part: string | undefined): string[] => (part === undefined || part === '' ? [] : part.split(':'));
  const head = groups(halves[0]);
  const tail = groups(halves[1]);
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  let value = 0n;
  for (const group of [...head, ...new Array<string>(missing).fill('0'), ...tail]) {
    if (!/^[0-9a-f]{1,4}$/i.test(group)) return undefined;
    value = (value << 16n) | BigInt(Number.parseInt(group, 16));
  }
  return value as Ip6;
}

export function formatIp6(ip: Ip6): string {
  const groups: number[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) groups.push(Number((ip >> shift) & 0xffffn));
  let best = { at: -1, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (at + length < 8 && groups[at + length] === 0) length++;
    if (length > best.length) best = { at, length };
  }
  const hex = groups.map((group) => group.toString(16));
  if (best.at < 0) return hex.join(':');
  return `${hex.slice(0, best.at).join(':')}::${hex.slice(best.at + best.length).join(':')}`;
}

export function parseIp(text: string): Ip | undefined {
  return text.includes(':') ? parseIp6(text) : parseIp4(text);
}

export function formatIp(ip: Ip): string {
  return typeof ip === 'number' ? formatIp4(ip) : formatIp6(ip);
}

/** `a.b.c.d/len` with any host bits; a bare address counts as /32 or /128. */
export function parseInterfaceAddress(text: string): InterfaceAddress | undefined {
  const [address, length, ...rest] = text.split('/');
  if (address === undefined || rest.length > 0) return undefined;
  const ip = parseIp(address);
  if (ip === undefined) return undefined;
  const width = widthOf(familyOf(ip));
  if (length === undefined) return { ip, bits: width };
  if (!OCTET.test(length) || Number(length) > width) return undefined;
  return { ip, bits: Number(length) };
}

/** Like `parseInterfaceAddress`, but host bits beyond the length are refused. */
export function parsePrefix(text: string): Prefix | undefined {
  const address = parseInterfaceAddress(text);
  if (address === undefined || networkOf(address.ip, address.bits) !== address.ip) return undefined;
  return address;
}

export function formatPrefix(prefix: Prefix): string {
  return `${formatIp(prefix.ip)}/${prefix.bits}`;
}

/** The address with all bits beyond `bits` cleared. */
export function networkOf<T extends Ip>(ip: T, bits: number): T {
  if (typeof ip === 'number') return (bits === 0 ? 0 : (ip & (0xffffffff << (32 - bits))) >>> 0) as T;
  const drop = BigInt(128 - bits);
  return (((ip as bigint) >> drop) << drop) as T;
}

export function prefixContains(prefix: Prefix, ip: Ip): boolean {
  return typeof prefix.ip === typeof ip && networkOf(ip, prefix.bits) === prefix.ip;
}

export function prefixesOverlap(a: Prefix, b: Prefix): boolean {
  return a.bits <= b.bits ? prefixContains(a, b.ip) : prefixContains(b, a.ip);
}

export function isMulticastIp(ip: Ip): boolean {
  return typeof ip === 'number' ? ip >>> 28 === 0xe : (ip as bigint) >> 120n === 0xffn;
}

export function isLinkLocalIp(ip: Ip): boolean {
  return typeof ip === 'number' ? ip >>> 16 === 0xa9fe : (ip as bigint) >> 118n === 0x3fan;
}

/** fe80::/64 with the modified EUI-64 of the MAC (RFC 4291, appendix A). */
export function linkLocalOf(mac: Mac): Ip6 {
  const value = BigInt(mac) ^ 0x020000000000n;
  return ((0xfe80n << 112n) | ((value >> 24n) << 40n) | (0xfffen << 24n) | (value & 0xffffffn)) as Ip6;
}

/** The solicited-node multicast group of an address (RFC 4291 §2.7.1). */
export function solicitedNodeOf(ip: Ip6): Ip6 {
  return (0xff0200000000000000000001ff000000n | (ip & 0xffffffn)) as Ip6;
}

/** The Ethernet group address of an IP multicast group (RFC 1112 §6.4, RFC 2464 §7). */
export function groupMacOf(ip: Ip): Mac {
  if (typeof ip === 'number') return (0x01005e000000 + (ip & 0x7fffff)) as Mac;
  return (0x333300000000 + Number((ip as bigint) & 0xffffffffn)) as Mac;
}

export function readMac(bytes: Uint8Array, at: number): Mac {
  return (readU16(bytes, at) * 2 ** 32 + readU32(bytes, at + 2)) as Mac;
}

export function writeMac(bytes: Uint8Array, at: number, mac: Mac): void {
  writeU16(bytes, at, Math.floor(mac / 2 ** 32));
  writeU32(bytes, at + 2, mac % 2 ** 32);
}

export function readIp4(bytes: Uint8Array, at: number): Ip4 {
  return readU32(bytes, at) as Ip4;
}

export function readIp6(bytes: Uint8Array, at: number): Ip6 {
  const high = (BigInt(readU32(bytes, at)) << 32n) | BigInt(readU32(bytes, at + 4));
  const low = (BigInt(readU32(bytes, at + 8)) << 32n) | BigInt(readU32(bytes, at + 12));
  return ((high << 64n) | low) as Ip6;
}

/** Writes 4 or 16 bytes, by family. */
export function writeIp(bytes: Uint8Array, at: number, ip: Ip): void {
  if (typeof ip === 'number') {
    writeU32(bytes, at, ip);
    return;
  }
  for (let word = 0; word < 4; word++) {
    writeU32(bytes, at + word * 4, Number(((ip as bigint) >> BigInt(96 - word * 32)) & 0xffffffffn));
  }
}

/** Network byte order. The caller has checked the bounds. */
export function readU16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

export function readU32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

export function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
