// The live masks. The kernel tries each of them for a packet (30 to 50 ns each), so there are at most 16 and few in
// practice: a mask that a walk marked is never installed as it is, but as one of a small family of shapes that holds
// every bit of it. More bits are never wrong, they only make a class narrower: more flows, more misses.
//
//   shape = base + address bytes + any of {source port, destination port, TCP flags, traffic class, connection}
//
//   base            port, flood, all of L2, protocol, fragment: always. Bridged, routed, ARP and DHCP classes share it.
//   address bytes   0 4 6 8 12 13 14 15 16, the same for source and destination: IPv6 /32 /48 /64 /96 /128 and, since
//                   IPv4 rides in the last word, IPv4 /8 /16 /24 /32. An exact IPv4 address and an exact IPv6 one have
//                   one mask, and so have the addresses of ARP. 16 takes the fields of neighbour discovery along,
//                   which are 0 in every other packet.
//   the others      whole fields, each only if looked at. Where the second port costs next to nothing (type and code of
//                   ICMP, frames to a group MAC) a look at one takes both; where both are looked at a class is one
//                   connection anyway, so it takes the exact addresses along. That leaves few shapes with ports.
//
// The price of the bits that are added, in flows: base: one flow for each protocol and pair of MACs (a guest has few).
// A rung of addresses: one flow for each network of the next rung that is talked to. A port: up to one flow for each
// connection, the dearest, hence only if looked at. TCP flags: about six. `priceOf` ranks them in bits.
//
// A live mask that covers the wanted one is taken instead of a new one when the price is small; the more masks are
// live, the larger "small" is. Three of the 16 are reserved: address-exact, address-exact with ports, and all fields.
// When the 13 others are used up, classes merge into the first of these that covers them, and are counted.

import { isGroupMac } from '../packet/address.ts';
import {
  ETHER_TYPE,
  etherTypeOf,
  FIELD,
  type FieldName,
  type FlowKey,
  type FlowMask,
  getMac,
  KEY_BYTES,
  markField,
  newKey,
  PROTOCOL,
} from './fields.ts';

export const MASKS_MAX = 16;
const RESERVED_MASKS = 3;
const ORDINARY_MASKS = MASKS_MAX - RESERVED_MASKS;

const BASE: readonly FieldName[] = [
  'port',
  'flood',
  'ethernetDestination',
  'ethernetSource',
  'vlan',
  'innerVlan',
  'vlanBits',
  'etherType',
  'protocol',
  'fragment',
];
/** A shape is the index of its address bytes here (4 bits), and one bit for each of the fields that are optional. */
const ADDRESS_BYTES = [0, 4, 6, 8, 12, 13, 14, 15, 16] as const;
const ADDRESS_EXACT = ADDRESS_BYTES.length - 1;
const ADDRESS_BITS = 0xf;
const SOURCE_PORT = 0x10;
const DESTINATION_PORT = 0x20;
const BOTH_PORTS = SOURCE_PORT | DESTINATION_PORT;
const TCP_FLAGS = 0x40;
const TRAFFIC_CLASS = 0x80;
const CONNECTION = 0x100;
const OPTIONAL: readonly { readonly bit: number; readonly fields: readonly FieldName[] }[] = [
  { bit: SOURCE_PORT, fields: ['sourcePort'] },
  { bit: DESTINATION_PORT, fields: ['destinationPort'] },
  { bit: TCP_FLAGS, fields: ['tcpFlags'] },
  { bit: TRAFFIC_CLASS, fields: ['trafficClass'] },
  {
    bit: CONNECTION,
    fields: [
      'direction',
      'translatedSourcePort',
      'translatedDestinationPort',
      'sourceTranslation',
      'destinationTranslation',
    ],
  },
];
const ALL_FIELDS = ADDRESS_EXACT | OPTIONAL.reduce((bits, { bit }) => bits | bit, 0);
/** In the order in which classes merge into them. */
const RESERVED: readonly number[] = [ADDRESS_EXACT, ADDRESS_EXACT | BOTH_PORTS, ALL_FIELDS];

/** Ladders as indices of ADDRESS_BYTES: the first is "not looked at". */
const LADDER_IP4: readonly number[] = [0, 5, 6, 7, 8];
const LADDER_IP6: readonly number[] = [0, 1, 2, 3, 4, 8];
const LADDER_OTHER: readonly number[] = [0, 8];

export interface LiveMask {
  /** Names the mask among those that a book ever made; equal shapes have equal ids. */
  readonly id: number;
  readonly mask: FlowMask;
  /** The same bytes as 32-bit words, for look-ups. */
  readonly words: Uint32Array;
  /** References taken and not given back. */
  readonly flows: number;
}
type Owned = { -readonly [K in keyof LiveMask]: LiveMask[K] };

/** Which masks are live, and which of them a class gets. */
export class MaskBook {
  readonly #live: Owned[] = [];
  #merged = 0;

  /**
   * The mask for the class of `key` that `wanted` marks, which holds every bit of it; counts one reference. `prefer` is
   * the mask that the class has already: it is kept as long as it covers what is wanted and is one of this book's.
   */
  take(key: FlowKey, wanted: FlowMask, prefer?: FlowMask): LiveMask {
    const shape = this.#choose(key, shapeOf(key, wanted), prefer);
    let live = this.#live.find(({ id }) => id === shape);
    if (live === undefined) {
      live = { id: shape, ...emit(shape), flows: 0 };
      this.#live.push(live);
    }
    live.flows++;
    return live;
  }

  /** Gives one reference back; the mask of the last one is not live any more. */
  release(mask: LiveMask): void {
    const live = this.#live.find(({ id }) => id === mask.id);
    if (live === undefined || live.flows === 0) throw new Error(`mask ${mask.id} is released but not live`);
    if (--live.flows === 0) this.#live.splice(this.#live.indexOf(live), 1);
  }

  /** Oldest first, at most MASKS_MAX. */
  get live(): readonly LiveMask[] {
    return this.#live;
  }

  /** How often a class got a reserved mask because no other was free. */
  get merged(): number {
    return this.#merged;
  }

  /** Flows under the all-fields mask: each is one exact packet header. */
  get allFieldsFlows(): number {
    return this.#live.find(({ id }) => id === ALL_FIELDS)?.flows ?? 0;
  }

  #choose(key: FlowKey, wanted: number, prefer: FlowMask | undefined): number {
    const kept = prefer && (this.#live.find(({ mask }) => mask === prefer)?.id ?? exactShapeOf(prefer));
    if (kept !== undefined && shapeCovers(kept, wanted) && this.#hasRoomFor(kept)) return kept;
    let cheapest: { readonly shape: number; readonly price: number } | undefined;
    for (const { id } of this.#live) {
      if (!shapeCovers(id, wanted)) continue;
      const price = priceOf(key, wanted, id);
      if (cheapest === undefined || price < cheapest.price) cheapest = { shape: id, price };
    }
    if (cheapest !== undefined && cheapest.price <= smallPrice(this.#live.length)) return cheapest.shape;
    if (this.#hasRoomFor(wanted)) return wanted;
    const reserved = RESERVED.find((shape) => shapeCovers(shape, wanted)) ?? ALL_FIELDS;
    if (cheapest !== undefined && cheapest.price <= priceOf(key, wanted, reserved)) return cheapest.shape;
    this.#merged++;
    return reserved;
  }

  #hasRoomFor(shape: number): boolean {
    if (RESERVED.includes(shape) || this.#live.some(({ id }) => id === shape)) return true;
    return this.#live.filter(({ id }) => !RESERVED.includes(id)).length < ORDINARY_MASKS;
  }
}

/**
 * The price up to which a live mask is taken instead of a new one. Up to four masks cost next to nothing, so classes
 * stay wide; from there on a narrower class is cheaper than another mask for every packet of the host.
 */
function smallPrice(masks: number): number {
  return masks < 4 ? 4 : masks < 8 ? 12 : 20;
}

const RUNG_PRICE = 4;
/** TCP, UDP and SCTP have a port for each connection; ICMP has a few types and codes; the rest has always 0 there. */
const PORT_PRICE = 12;
const ICMP_PRICE = 1;
const TCP_FLAGS_PRICE = 3;
const TRAFFIC_CLASS_PRICE = 2;

/** About how many bits of difference between packets of one class the added fields make: 0 where they are always 0. */
function priceOf(key: FlowKey, wanted: number, given: number): number {
  const added = given & ~wanted;
  const protocol = protocolOf(key);
  const ladder = ladderOf(key);
  let price = (rungOf(ladder, given & ADDRESS_BITS) - rungOf(ladder, wanted & ADDRESS_BITS)) * RUNG_PRICE;
  for (const bit of [SOURCE_PORT, DESTINATION_PORT]) if ((added & bit) !== 0) price += portPrice(protocol);
  if ((added & TCP_FLAGS) !== 0 && protocol === PROTOCOL.tcp) price += TCP_FLAGS_PRICE;
  if ((added & TRAFFIC_CLASS) !== 0 && ladder !== LADDER_OTHER) price += TRAFFIC_CLASS_PRICE;
  return price;
}

function portPrice(protocol: number | undefined): number {
  if (protocol === PROTOCOL.tcp || protocol === PROTOCOL.udp || protocol === PROTOCOL.sctp) return PORT_PRICE;
  return isIcmp(protocol) ? ICMP_PRICE : 0;
}

const isIcmp = (protocol: number | undefined): boolean => protocol === PROTOCOL.icmp || protocol === PROTOCOL.icmp6;

/** IP protocol, or undefined: the field is something else in ARP. */
function protocolOf(key: FlowKey): number | undefined {
  return ladderOf(key) === LADDER_OTHER ? undefined : key[FIELD.protocol.at]!;
}

function ladderOf(key: FlowKey): readonly number[] {
  const etherType = etherTypeOf(key);
  return etherType === ETHER_TYPE.ip4 ? LADDER_IP4 : etherType === ETHER_TYPE.ip6 ? LADDER_IP6 : LADDER_OTHER;
}

/** The first rung of the ladder that reaches as far as ADDRESS_BYTES[index]. */
const rungOf = (ladder: readonly number[], index: number): number => ladder.findIndex((rung) => rung >= index);

/** The widest shape of the family that holds every bit of `wanted`. */
function shapeOf(key: FlowKey, wanted: FlowMask): number {
  let bytes = 0;
  for (const { at } of [FIELD.source, FIELD.destination]) {
    for (let byte = 15; byte >= bytes; byte--) if (wanted[at + byte] !== 0) bytes = byte + 1;
  }
  if (looksAt(wanted, 'translatedSource') || looksAt(wanted, 'translatedDestination')) bytes = 16;
  const ladder = ladderOf(key);
  const rung = ladder.find((index) => ADDRESS_BYTES[index]! >= bytes) ?? ADDRESS_EXACT;
  let optional = 0;
  for (const { bit, fields } of OPTIONAL) if (fields.some((name) => looksAt(wanted, name))) optional |= bit;
  const toGroup = isGroupMac(getMac(key, FIELD.ethernetDestination.at));
  if ((optional & BOTH_PORTS) !== 0 && (toGroup || isIcmp(protocolOf(key)))) optional |= BOTH_PORTS;
  return (optional & BOTH_PORTS) === BOTH_PORTS ? ADDRESS_EXACT | optional : rung | optional;
}

/** The shape whose bits are exactly these, if there is one. */
function exactShapeOf(mask: FlowMask): number | undefined {
  let bytes = 0;
  while (bytes < 16 && mask[FIELD.source.at + bytes] === 0xff) bytes++;
  let shape = (ADDRESS_BYTES as readonly number[]).indexOf(bytes);
  if (shape < 0) return undefined;
  for (const { bit, fields } of OPTIONAL) if (fields.every((name) => looksAt(mask, name))) shape |= bit;
  return emit(shape).mask.every((byte, at) => byte === mask[at]) ? shape : undefined;
}

function looksAt(mask: FlowMask, name: FieldName): boolean {
  const { at, bytes } = FIELD[name];
  for (let byte = at; byte < at + bytes; byte++) if (mask[byte] !== 0) return true;
  return false;
}

function shapeCovers(outer: number, inner: number): boolean {
  return (outer & ADDRESS_BITS) >= (inner & ADDRESS_BITS) && (inner & ~outer & ~ADDRESS_BITS) === 0;
}

function emit(shape: number): { readonly mask: FlowMask; readonly words: Uint32Array } {
  const mask: FlowMask = newKey();
  for (const name of BASE) markField(mask, FIELD[name]);
  const bytes = ADDRESS_BYTES[shape & ADDRESS_BITS]!;
  markField(mask, { at: FIELD.source.at, bytes });
  markField(mask, { at: FIELD.destination.at, bytes });
  if (bytes === 16) {
    markField(mask, FIELD.translatedSource);
    markField(mask, FIELD.translatedDestination);
  }
  for (const { bit, fields } of OPTIONAL) {
    if ((shape & bit) !== 0) for (const name of fields) markField(mask, FIELD[name]);
  }
  return { mask, words: new Uint32Array(mask.buffer, mask.byteOffset, KEY_BYTES / 4) };
}
