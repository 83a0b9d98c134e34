// What came up from the data path, in the terms of simulate(): and back again.

import type { Injection, Miss } from '../../datapath/datapath.ts';
import { ETHER_TYPE, etherTypeOf, FIELD, type FlowKey, floodOf, getU16, PROTOCOL, portOf } from '../../flow/fields.ts';
import type { UpCause } from '../../flow/reasons.ts';
import type { Arrival } from '../../simulate/result.ts';

/** A packet that waits for its verdict. */
export interface Packet {
  readonly arrival: Arrival;
  readonly cause: UpCause;
  readonly gsoBytes: number;
}

const ETHERNET_BYTES = 14;
const TAG_BYTES = 4;
const IP6_BYTES = 40;
const UDP_BYTES = 8;
const TCP_OFFSET_AT = 12;

/** Views the frame in place: valid until the next poll, or for good after `keep`. */
export function packetOf(miss: Miss): Packet {
  const lengthBytes = lengthOf(miss.key, miss.frame, miss.frameBytes, miss.gsoBytes);
  return {
    arrival: { key: miss.key, frame: miss.frame, lengthBytes },
    cause: miss.cause,
    gsoBytes: miss.gsoBytes,
  };
}

/** A copy that outlives the ring. */
export function keep(packet: Packet): Packet {
  const { arrival } = packet;
  return { ...packet, arrival: { ...arrival, key: arrival.key.slice(), frame: arrival.frame.slice() } };
}

/** The packet once more, now that there is a flow for it. */
export function again(packet: Packet): Injection {
  const { key, frame } = packet.arrival;
  const sense = floodOf(key) === 0 ? 'from' : 'member';
  return { sense, number: portOf(key), frame, gsoBytes: packet.gsoBytes };
}

/** A class without a packet: its masked key is a packet of it. Without a frame nothing is born of it. */
export function arrivalOfKey(key: FlowKey): Arrival {
  return { key, frame: new Uint8Array(0), lengthBytes: 0 };
}

/** L3 bytes that count against an MTU: of a GSO super-packet those of each of its segments. */
function lengthOf(key: FlowKey, frame: Uint8Array, frameBytes: number, gsoBytes: number): number {
  const l3At = networkAt(key);
  return gsoBytes === 0 ? frameBytes - l3At : headerBytes(key, frame, l3At) + gsoBytes;
}

function networkAt(key: FlowKey): number {
  const tags = (getU16(key, FIELD.vlan.at) === 0 ? 0 : 1) + (getU16(key, FIELD.innerVlan.at) === 0 ? 0 : 1);
  return ETHERNET_BYTES + tags * TAG_BYTES;
}

/** IP and transport header of a super-packet: TCP or UDP. IPv6 extension headers are never in front of one. */
function headerBytes(key: FlowKey, frame: Uint8Array, l3At: number): number {
  const ipBytes = etherTypeOf(key) === ETHER_TYPE.ip6 ? IP6_BYTES : ((frame[l3At] ?? 0) & 0xf) * 4;
  if (key[FIELD.protocol.at] !== PROTOCOL.tcp) return ipBytes + UDP_BYTES;
  return ipBytes + ((frame[l3At + ipBytes + TCP_OFFSET_AT] ?? 0) >> 4) * 4;
}
