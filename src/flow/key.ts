// From a frame to its flow key: the twin of the parser in bpf/. Both obey the same list, to the letter; a class decided
// here must be the class that the kernel finds. "Left" is what remains up to the end of the packet; nothing behind that
// end is read. Every field that a rule does not name is 0. No rule reads a checksum.
//
//  1. A frame of less than 14 bytes is malformed. Destination and source MAC are copied as they are.
//  2. Tags: TPID 0x8100 or 0x88a8, at most two; each needs 4 bytes (TCI, next type) or is malformed. `vlan` is the outer
//     TCI | 0x1000, `inner_vlan` the second one | 0x1000; `vlan_bits` says which of them have TPID 0x88a8, and which the
//     bit 0x1000 in their TCI. A tag that the kernel keeps beside the packet is the outer one. `ether_type` is the 16
//     bits after the tags: of a third tag its TPID, of an 802.3 frame its length; only 0x0806, 0x0800 and 0x86dd are
//     read further. "L3" is the byte after it.
//  3. ARP: 28 bytes from L3 and hardware type 1, protocol type 0x0800, lengths 6 and 4, opcode ≤ 255, else malformed.
//     protocol = opcode; the four addresses as bpf/contract.h says.
//  4. IPv4: malformed unless 20 bytes are there, version is 4, IHL ≥ 5, IHL * 4 ≤ total length ≤ bytes from L3 to the
//     end of the frame. The end of the packet is L3 + total length (what follows is padding). traffic_class = TOS,
//     protocol, source and destination (last word) as in the header. Options are passed over.
//  5. IPv4 fragments: with f = flags and offset: f & 0x3fff is 0: none; f & 0x1fff is 0: first; else later.
//  6. IPv6: malformed unless 40 bytes are there, version is 6 and 40 + payload length ≤ bytes from L3 to the end of the
//     frame. The end of the packet is L3 + 40 + payload length (so a jumbogram is malformed by rule 7).
//     traffic_class, source and destination as in the header.
//  7. IPv6 extension headers 0, 43, 60 (of (n + 1) * 8 bytes), 51 (of (n + 2) * 4), 44 (of 8), in any order: each must
//     have 8 bytes left and be whole before the end, else malformed. A ninth one: unparsedExtension. protocol is the
//     first next-header value that is none of these (59, 50 and unknown ones too).
//  8. The IPv6 fragment header: a second one is malformed. With w = its bytes 2 and 3: w & 0xfff9 is 0: an ordinary
//     packet (atomic, RFC 6946), fragment stays none; w & 0xfff8 is 0: first; else later. Behind a first one reading
//     goes on. A later one ends it: protocol = its next header, and if that is one of rule 7: unparsedExtension.
//  9. A later fragment of TCP with an offset of 8 or 16 bytes, in both families, overlaps the header: malformed
//     (RFC 1858, 3128). Otherwise a later fragment is done: ports, flags and ND fields are 0 here.
//     The caller's fragment table then fills source_port and destination_port: keyed by port, id, addresses, family
//     and `protocol` of the key. Every first fragment writes its two words, ICMP's type and code and the 0, 0 of other
//     protocols too; every later one takes them, or is dropped as laterFragmentFirst.
// 10. Upper layer of whole packets and first fragments; when fewer bytes are left, malformed:
//       TCP    20, data offset ≥ 5, and data offset * 4; ports, tcp_flags = byte 13 (all eight bits)
//       UDP    8; ports. The length field is not looked at
//       SCTP   12; ports
//       ICMP   8, under IPv4 only;  ICMPv6  8, under IPv6 only: source_port = type, destination_port = code
//     Any other protocol has no ports and no least length.
// 11. ND is ICMPv6 of type 133..137. It is malformed (receivers must not accept it, RFC 4861 §6.1, 7.1, 8.1; RFC 6980)
//     in a first fragment, with a hop limit other than 255, a code other than 0, or with fewer bytes left, from the ICMP
//     header on, than: 133: 8, 134: 16, 135 and 136: 24, 137: 40.
//     135, 136, 137: translated_destination = the 16 bytes at ICMP + 8.
// 12. ND options follow those bytes, to the end of the packet. In order, until the first of the wanted type (1 in 133,
//     134, 135; 2 in 136, 137): less than 8 bytes left, a length of 0, or one beyond the end: malformed. The wanted one
//     must have length 1 (8 bytes), else malformed; its 6 bytes go to translated_source; nothing behind it is read.
//     A seventeenth option while none was wanted: unparsedExtension. No option of that type: the field stays 0.

import { readU16 } from '../packet/address.ts';
import {
  DROP_ELIGIBLE,
  ETHER_TYPE,
  FIELD,
  type FlowKey,
  FRAGMENT,
  newKey,
  PROTOCOL,
  setU32,
  VLAN_BITS,
  VLAN_PRESENT,
} from './fields.ts';
import { DROP, type DropReason } from './reasons.ts';

export type KeyResult =
  | { readonly key: FlowKey; readonly drop?: undefined }
  | { readonly drop: DropReason; readonly key?: undefined };

const MALFORMED: KeyResult = { drop: DROP.malformed };
const UNPARSED: KeyResult = { drop: DROP.unparsedExtension };

const EXTENSION_HEADERS_MAX = 8;
const ND_OPTIONS_MAX = 16;
const ND_HOP_LIMIT = 255;

/**
 * The flow key of a frame (tags in line) that came in at `port`; `flood` when it is looked up for a member of a flood.
 * Any bytes are taken: what is not a packet is a drop.
 */
export function keyOfFrame(frame: Uint8Array, port: number, flood = 0): KeyResult {
  if (frame.length < 14) return MALFORMED;
  const key = newKey();
  setU32(key, FIELD.port.at, port);
  if (flood !== 0) setU32(key, FIELD.flood.at, flood);
  copy(frame, 0, key, FIELD.ethernetDestination.at, 12);
  let typeAt = 12;
  let type = readU16(frame, typeAt);
  for (const field of TAG_FIELDS) {
    if (type !== ETHER_TYPE.vlan && type !== ETHER_TYPE.qinq) break;
    if (frame.length < typeAt + 6) return MALFORMED;
    const tci = readU16(frame, typeAt + 2);
    put16(key, FIELD[field].at, tci | VLAN_PRESENT);
    if (type === ETHER_TYPE.qinq) key[FIELD.vlanBits.at]! |= VLAN_BITS[field].service;
    if ((tci & DROP_ELIGIBLE) !== 0) key[FIELD.vlanBits.at]! |= VLAN_BITS[field].dropEligible;
    typeAt += 4;
    type = readU16(frame, typeAt);
  }
  put16(key, FIELD.etherType.at, type);
  let drop: DropReason = DROP.none;
  if (type === ETHER_TYPE.ip4) drop = readIp4Into(key, frame, typeAt + 2);
  else if (type === ETHER_TYPE.ip6) drop = readIp6Into(key, frame, typeAt + 2);
  else if (type === ETHER_TYPE.arp) drop = readArpInto(key, frame, typeAt + 2);
  if (drop === DROP.none) return { key };
  return drop === DROP.malformed ? MALFORMED : UNPARSED;
}

const TAG_FIELDS = ['vlan', 'innerVlan'] as const;

function readArpInto(key: FlowKey, frame: Uint8Array, at: number): DropReason {
  if (frame.length < at + 28) return DROP.malformed;
  if (readU16(frame, at) !== 1 || readU16(frame, at + 2) !== ETHER_TYPE.ip4) return DROP.malformed;
  if (frame[at + 4] !== 6 || frame[at + 5] !== 4 || frame[at + 6] !== 0) return DROP.malformed;
  key[FIELD.protocol.at] = frame[at + 7]!;
  copy(frame, at + 8, key, FIELD.source.at, 6);
  copy(frame, at + 14, key, FIELD.source.at + 12, 4);
  copy(frame, at + 18, key, FIELD.destination.at, 6);
  copy(frame, at + 24, key, FIELD.destination.at + 12, 4);
  return DROP.none;
}

function readIp4Into(key: FlowKey, frame: Uint8Array, at: number): DropReason {
  if (frame.length < at + 20) return DROP.malformed;
  const headerBytes = (frame[at]! & 0xf) * 4;
  const totalBytes = readU16(frame, at + 2);
  if (frame[at]! >> 4 !== 4 || headerBytes < 20) return DROP.malformed;
  if (totalBytes < headerBytes || totalBytes > frame.length - at) return DROP.malformed;
  const protocol = frame[at + 9]!;
  key[FIELD.protocol.at] = protocol;
  key[FIELD.trafficClass.at] = frame[at + 1]!;
  copy(frame, at + 12, key, FIELD.source.at + 12, 4);
  copy(frame, at + 16, key, FIELD.destination.at + 12, 4);
  const flagsAndOffset = readU16(frame, at + 6);
  if ((flagsAndOffset & 0x3fff) === 0) {
    return readUpperInto(key, frame, at + headerBytes, at + totalBytes, protocol, 4, 0);
  }
  if ((flagsAndOffset & 0x1fff) !== 0) return readLaterInto(key, protocol, (flagsAndOffset & 0x1fff) * 8);
  key[FIELD.fragment.at] = FRAGMENT.first;
  return readUpperInto(key, frame, at + headerBytes, at + totalBytes, protocol, 4, 0);
}

function readIp6Into(key: FlowKey, frame: Uint8Array, at: number): DropReason {
  if (frame.length < at + 40 || frame[at]! >> 4 !== 6) return DROP.malformed;
  const end = at + 40 + readU16(frame, at + 4);
  if (end > frame.length) return DROP.malformed;
  key[FIELD.trafficClass.at] = (frame[at]! << 4) | (frame[at + 1]! >> 4);
  copy(frame, at + 8, key, FIELD.source.at, 32);
  let protocol = frame[at + 6]!;
  let headerAt = at + 40;
  let fragmentHeaders = 0;
  for (let count = 0; isExtension(protocol); count++) {
    if (count === EXTENSION_HEADERS_MAX) return DROP.unparsedExtension;
    if (end - headerAt < 8) return DROP.malformed;
    const kind = protocol;
    protocol = frame[headerAt]!;
    if (kind !== 44) {
      headerAt += kind === 51 ? (frame[headerAt + 1]! + 2) * 4 : (frame[headerAt + 1]! + 1) * 8;
      if (headerAt > end) return DROP.malformed;
      continue;
    }
    if (fragmentHeaders++ > 0) return DROP.malformed;
    const word = readU16(frame, headerAt + 2);
    headerAt += 8;
    if ((word & 0xfff8) !== 0) {
      if (isExtension(protocol)) return DROP.unparsedExtension;
      key[FIELD.protocol.at] = protocol;
      return readLaterInto(key, protocol, word & 0xfff8);
    }
    if ((word & 1) !== 0) key[FIELD.fragment.at] = FRAGMENT.first;
  }
  key[FIELD.protocol.at] = protocol;
  return readUpperInto(key, frame, headerAt, end, protocol, 6, frame[at + 7]!);
}

/** Hop-by-hop options, routing, fragment, authentication, destination options. */
function isExtension(nextHeader: number): boolean {
  return nextHeader === 0 || nextHeader === 43 || nextHeader === 44 || nextHeader === 51 || nextHeader === 60;
}

function readLaterInto(key: FlowKey, protocol: number, offsetBytes: number): DropReason {
  if (protocol === PROTOCOL.tcp && offsetBytes < 20) return DROP.malformed;
  key[FIELD.fragment.at] = FRAGMENT.later;
  return DROP.none;
}

function readUpperInto(
  key: FlowKey,
  frame: Uint8Array,
  at: number,
  end: number,
  protocol: number,
  family: 4 | 6,
  hopLimit: number,
): DropReason {
  const left = end - at;
  switch (protocol) {
    case PROTOCOL.tcp: {
      if (left < 20) return DROP.malformed;
      const headerBytes = (frame[at + 12]! >> 4) * 4;
      if (headerBytes < 20 || headerBytes > left) return DROP.malformed;
      key[FIELD.tcpFlags.at] = frame[at + 13]!;
      break;
    }
    case PROTOCOL.udp:
      if (left < 8) return DROP.malformed;
      break;
    case PROTOCOL.sctp:
      if (left < 12) return DROP.malformed;
      break;
    case PROTOCOL.icmp:
      return family === 4 ? readIcmpInto(key, frame, at, end) : DROP.none;
    case PROTOCOL.icmp6: {
      if (family === 4) return DROP.none;
      const drop = readIcmpInto(key, frame, at, end);
      if (drop !== DROP.none) return drop;
      const type = frame[at]!;
      return type >= 133 && type <= 137 ? readNdInto(key, frame, at, end, hopLimit) : DROP.none;
    }
    default:
      return DROP.none;
  }
  copy(frame, at, key, FIELD.sourcePort.at, 4);
  return DROP.none;
}

function readIcmpInto(key: FlowKey, frame: Uint8Array, at: number, end: number): DropReason {
  if (end - at < 8) return DROP.malformed;
  key[FIELD.sourcePort.at + 1] = frame[at]!;
  key[FIELD.destinationPort.at + 1] = frame[at + 1]!;
  return DROP.none;
}

function readNdInto(key: FlowKey, frame: Uint8Array, at: number, end: number, hopLimit: number): DropReason {
  const type = frame[at]!;
  const bodyBytes = type === 133 ? 8 : type === 134 ? 16 : type === 137 ? 40 : 24;
  if (key[FIELD.fragment.at] !== FRAGMENT.none || hopLimit !== ND_HOP_LIMIT) return DROP.malformed;
  if (frame[at + 1] !== 0 || end - at < bodyBytes) return DROP.malformed;
  if (type >= 135) copy(frame, at + 8, key, FIELD.translatedDestination.at, 16);
  const wanted = type >= 136 ? 2 : 1;
  let optionAt = at + bodyBytes;
  for (let count = 0; optionAt < end; count++) {
    if (count === ND_OPTIONS_MAX) return DROP.unparsedExtension;
    if (end - optionAt < 8) return DROP.malformed;
    const optionBytes = frame[optionAt + 1]! * 8;
    if (optionBytes === 0 || optionBytes > end - optionAt) return DROP.malformed;
    if (frame[optionAt] === wanted) {
      if (optionBytes !== 8) return DROP.malformed;
      copy(frame, optionAt + 2, key, FIELD.translatedSource.at, 6);
      return DROP.none;
    }
    optionAt += optionBytes;
  }
  return DROP.none;
}

function put16(key: FlowKey, at: number, value: number): void {
  key[at] = value >>> 8;
  key[at + 1] = value;
}

/** A loop: for a few bytes faster than `set` with a subarray, and nothing is allocated. */
function copy(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number, length: number): void {
  for (let i = 0; i < length; i++) to[toAt + i] = from[fromAt + i]!;
}
