// Packets from the agent into the data path: a raw socket on one end of the injection pair, sendmmsg in batches, the
// mark of each packet saying where it goes (MARK_SENSE_SHIFT of the contract). In front of each frame stands the
// virtio-net header (Virtual I/O Device 1.2, §5.1.6): the L4 checksum of whole TCP and UDP packets is left to the
// receiver, so that it is right whether the frame came up with a complete one or with none.

import { ETHER_TYPE, PROTOCOL } from '../../flow/fields.ts';
import { readU16, writeU16 } from '../../packet/address.ts';
import { NUMBERS } from '../contract.ts';
import type { Injection } from '../datapath.ts';
import { Arena, closeFd, openPacketSocket, sendMessages } from './sys.ts';

const SENSE = { from: NUMBERS.SENSE_FROM, deliver: NUMBERS.SENSE_DELIVER, member: NUMBERS.SENSE_MEMBER } as const;

const VNET_BYTES = 10;
const VNET_NEEDS_CSUM = 1;
const VNET_GSO = { tcp4: 1, tcp6: 4, udp: 5 } as const;

const BATCH_MESSAGES = 64;
const BATCH_BYTES = 256 * 1024;
const MESSAGE_BYTES = 64; // struct mmsghdr
const VECTOR_BYTES = 16; // struct iovec
const CONTROL_BYTES = 24; // struct cmsghdr and a mark
const VECTORS_AT = BATCH_MESSAGES * MESSAGE_BYTES;
const CONTROLS_AT = VECTORS_AT + BATCH_MESSAGES * VECTOR_BYTES;
const DATA_AT = CONTROLS_AT + BATCH_MESSAGES * CONTROL_BYTES;
const SOL_SOCKET = 1;
const SO_MARK = 36;

export class Injector {
  readonly #fd: number;
  readonly #arena = new Arena(DATA_AT + BATCH_BYTES);
  /** Packets that the kernel refused. */
  refused = 0;

  /** `ifindex`: the agent's end of the pair. */
  constructor(ifindex: number) {
    this.#fd = openPacketSocket(ifindex);
    const { view } = this.#arena;
    for (let index = 0; index < BATCH_MESSAGES; index++) {
      const message = index * MESSAGE_BYTES;
      const control = CONTROLS_AT + index * CONTROL_BYTES;
      this.#arena.pointer(message + 16, VECTORS_AT + index * VECTOR_BYTES);
      view.setBigUint64(message + 24, 1n, true);
      this.#arena.pointer(message + 32, control);
      view.setBigUint64(message + 40, BigInt(CONTROL_BYTES), true);
      view.setBigUint64(control, 20n, true);
      view.setInt32(control + 8, SOL_SOCKET, true);
      view.setInt32(control + 12, SO_MARK, true);
    }
  }

  send(packets: readonly Injection[]): void {
    let count = 0;
    let at = DATA_AT;
    for (const packet of packets) {
      const length = VNET_BYTES + packet.frame.length;
      if (length > BATCH_BYTES) {
        this.refused++;
        continue;
      }
      if (count === BATCH_MESSAGES || at + length > DATA_AT + BATCH_BYTES) {
        this.#flush(count);
        count = 0;
        at = DATA_AT;
      }
      this.#put(count++, at, packet);
      at += (length + 7) & ~7;
    }
    this.#flush(count);
  }

  close(): void {
    closeFd(this.#fd);
    this.#arena.free();
  }

  #put(index: number, at: number, packet: Injection): void {
    const { bytes, view } = this.#arena;
    const vector = VECTORS_AT + index * VECTOR_BYTES;
    const frame = bytes.subarray(at + VNET_BYTES, at + VNET_BYTES + packet.frame.length);
    frame.set(packet.frame);
    writeVnetHeader(view, at, frame, packet.gsoBytes ?? 0);
    this.#arena.pointer(vector, at);
    view.setBigUint64(vector + 8, BigInt(VNET_BYTES + frame.length), true);
    const mark = ((SENSE[packet.sense] << NUMBERS.MARK_SENSE_SHIFT) | (packet.number & NUMBERS.NUMBER_MASK)) >>> 0;
    view.setUint32(CONTROLS_AT + index * CONTROL_BYTES + 16, mark, true);
  }

  /** A packet that is refused is passed over; those behind it are sent. */
  #flush(count: number): void {
    for (let first = 0; first < count; ) {
      const { sent, error } = sendMessages(
        this.#fd,
        this.#arena.address + BigInt(first * MESSAGE_BYTES),
        count - first,
      );
      first += sent;
      if (error !== undefined) {
        this.refused++;
        first++;
      }
    }
  }
}

/**
 * Fills in the header at `at` and, for whole TCP and UDP packets, the pseudo-header sum (folded, not inverted) in the
 * checksum field of `frame`. Fragments, UDP over IPv4 without a checksum, and all else: a header of zeros.
 */
function writeVnetHeader(view: DataView, at: number, frame: Uint8Array, gsoBytes: number): void {
  for (let byte = 0; byte < VNET_BYTES; byte++) view.setUint8(at + byte, 0);
  const l4 = findL4(frame);
  if (l4 === undefined) return;
  const tcp = l4.protocol === PROTOCOL.tcp;
  const checksumAt = l4.at + (tcp ? 16 : 6);
  if (!tcp && l4.family === 4 && gsoBytes === 0 && readU16(frame, checksumAt) === 0) return;
  writeU16(frame, checksumAt, pseudoHeaderSum(frame, l4));
  view.setUint8(at, VNET_NEEDS_CSUM);
  view.setUint16(at + 6, l4.at, true);
  view.setUint16(at + 8, tcp ? 16 : 6, true);
  if (gsoBytes === 0) return;
  view.setUint8(at + 1, tcp ? (l4.family === 4 ? VNET_GSO.tcp4 : VNET_GSO.tcp6) : VNET_GSO.udp);
  view.setUint16(at + 2, l4.at + (tcp ? (frame[l4.at + 12]! >> 4) * 4 : 8), true);
  view.setUint16(at + 4, gsoBytes, true);
}

interface L4 {
  readonly family: 4 | 6;
  readonly protocol: number;
  readonly at: number;
  readonly bytes: number;
  /** Where the two addresses begin. */
  readonly addressesAt: number;
}

/** The TCP or UDP header of a packet that is whole. */
function findL4(frame: Uint8Array): L4 | undefined {
  let l3 = 14;
  let type = frame.length < 14 ? 0 : readU16(frame, 12);
  while ((type === ETHER_TYPE.vlan || type === ETHER_TYPE.qinq) && l3 + 4 <= frame.length) {
    type = readU16(frame, l3 + 2);
    l3 += 4;
  }
  if (type === ETHER_TYPE.ip4) return findL4InIp4(frame, l3);
  return type === ETHER_TYPE.ip6 ? findL4InIp6(frame, l3) : undefined;
}

function findL4InIp4(frame: Uint8Array, l3: number): L4 | undefined {
  if (frame.length < l3 + 20 || (readU16(frame, l3 + 6) & 0x3fff) !== 0) return undefined;
  const headerBytes = (frame[l3]! & 0xf) * 4;
  return whole(frame, {
    family: 4,
    protocol: frame[l3 + 9]!,
    at: l3 + headerBytes,
    bytes: readU16(frame, l3 + 2) - headerBytes,
    addressesAt: l3 + 12,
  });
}

const EXTENSION_HEADERS_MAX = 8;

function findL4InIp6(frame: Uint8Array, l3: number): L4 | undefined {
  if (frame.length < l3 + 40) return undefined;
  const end = l3 + 40 + readU16(frame, l3 + 4);
  let protocol = frame[l3 + 6]!;
  let at = l3 + 40;
  for (let count = 0; count < EXTENSION_HEADERS_MAX && at + 8 <= frame.length; count++) {
    if (protocol === 44) return undefined;
    if (protocol !== 0 && protocol !== 43 && protocol !== 51 && protocol !== 60) break;
    const bytes = protocol === 51 ? (frame[at + 1]! + 2) * 4 : (frame[at + 1]! + 1) * 8;
    protocol = frame[at]!;
    at += bytes;
  }
  return whole(frame, { family: 6, protocol, at, bytes: end - at, addressesAt: l3 + 8 });
}

function whole(frame: Uint8Array, l4: L4): L4 | undefined {
  if (l4.protocol !== PROTOCOL.tcp && l4.protocol !== PROTOCOL.udp) return undefined;
  const least = l4.protocol === PROTOCOL.tcp ? 20 : 8;
  return l4.bytes >= least && l4.at + l4.bytes <= frame.length ? l4 : undefined;
}

function pseudoHeaderSum(frame: Uint8Array, l4: L4): number {
  let sum = l4.protocol + l4.bytes;
  const end = l4.addressesAt + (l4.family === 4 ? 8 : 32);
  for (let at = l4.addressesAt; at < end; at += 2) sum += readU16(frame, at);
  sum = (sum & 0xffff) + (sum >>> 16);
  return (sum & 0xffff) + (sum >>> 16);
}
