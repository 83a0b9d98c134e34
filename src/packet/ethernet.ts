// Ethernet II (IEEE 802.3) with 802.1Q and 802.1ad tags, at most two; a third one counts as payload.
//
//   0         6         12     14
//   +---------+---------+------+---------+
//   | dest.   | source  | type | payload |      a tag stands before the type: TPID, TCI (priority 3, drop
//   +---------+---------+------+---------+      eligible 1, VLAN id 12 bits)

import { formatMac, type Mac, readMac, readU16, writeMac, writeU16 } from './address.ts';

export const ETHERNET_BYTES = 14;
export const TAG_BYTES = 4;
export const TAGS_MAX = 2;
const SOURCE_AT = 6;
const TYPE_AT = 12;

export const ETHER_TYPE = { ip4: 0x0800, arp: 0x0806, vlan: 0x8100, ip6: 0x86dd, qinq: 0x88a8 } as const;

export interface VlanTag {
  /** 0x8100 or 0x88a8. */
  readonly tpid: number;
  readonly priority: number;
  readonly dropEligible: boolean;
  /** 0: a priority tag, no VLAN. */
  readonly vlan: number;
}

export interface EthernetHeader {
  readonly destination: Mac;
  readonly source: Mac;
  /** Outer tag first. */
  readonly tags: readonly VlanTag[];
  /** Behind the tags; below 0x600 it is the length of an 802.3 frame. */
  readonly etherType: number;
}
export interface Ethernet extends EthernetHeader {
  readonly payloadAt: number;
}

export const isTagType = (etherType: number): boolean => etherType === ETHER_TYPE.vlan || etherType === ETHER_TYPE.qinq;

/** Where the network header of a frame starts, behind its tags; the caller has parsed the frame. */
export function networkOffset(frame: Uint8Array): number {
  let at = TYPE_AT;
  for (let tags = 0; tags < TAGS_MAX && isTagType(readU16(frame, at)); tags++) at += TAG_BYTES;
  return at + 2;
}

export function tciOf(tag: VlanTag): number {
  return (tag.priority << 13) | (tag.dropEligible ? 0x1000 : 0) | tag.vlan;
}

export function parseEthernet(bytes: Uint8Array, at: number, end: number): Ethernet | undefined {
  if (end - at < ETHERNET_BYTES) return undefined;
  const tags: VlanTag[] = [];
  let typeAt = at + TYPE_AT;
  let etherType = readU16(bytes, typeAt);
  while (isTagType(etherType) && tags.length < TAGS_MAX) {
    if (end - typeAt < TAG_BYTES + 2) return undefined;
    const tci = readU16(bytes, typeAt + 2);
    tags.push({ tpid: etherType, priority: tci >>> 13, dropEligible: (tci & 0x1000) !== 0, vlan: tci & 0xfff });
    typeAt += TAG_BYTES;
    etherType = readU16(bytes, typeAt);
  }
  return {
    destination: readMac(bytes, at),
    source: readMac(bytes, at + SOURCE_AT),
    tags,
    etherType,
    payloadAt: typeAt + 2,
  };
}

/** Not padded to the least length of a frame on a wire: that is for the device to do. */
export function emitEthernet(header: EthernetHeader, payload: Uint8Array): Uint8Array {
  const headerBytes = ETHERNET_BYTES + header.tags.length * TAG_BYTES;
  const bytes = new Uint8Array(headerBytes + payload.length);
  writeMac(bytes, 0, header.destination);
  writeMac(bytes, SOURCE_AT, header.source);
  let at = TYPE_AT;
  for (const tag of header.tags) {
    writeU16(bytes, at, tag.tpid);
    writeU16(bytes, at + 2, tciOf(tag));
    at += TAG_BYTES;
  }
  writeU16(bytes, at, header.etherType);
  bytes.set(payload, headerBytes);
  return bytes;
}

/** `02:00:00:00:00:01 > 02:00:00:00:00:02 vlan 10`; the type is told by what follows. */
export function formatEthernet(header: EthernetHeader): string {
  const tags = header.tags.map((tag) => {
    const priority = tag.priority === 0 ? '' : ` priority ${tag.priority}`;
    const dei = tag.dropEligible ? ' dei' : '';
    return `${tag.tpid === ETHER_TYPE.qinq ? ' svlan' : ' vlan'} ${tag.vlan}${priority}${dei}`;
  });
  return `${formatMac(header.source)} > ${formatMac(header.destination)}${tags.join('')}`;
}
