// The bytes of bpf/contract.h as TypeScript reads and writes them: structs of the maps and rings, and numbers.
// contract.test.ts compares every struct with the BTF of the object and every number with the header.
// Integers are in host order (little endian) unless they are bytes of a packet. Actions, reasons and the flow key have
// their twins in src/flow/.

import { type Action, STEP } from '../flow/actions.ts';
import { KEY_BYTES } from '../flow/fields.ts';
import { DROP_NAMES, type DropReason, type UpCause } from '../flow/reasons.ts';
import { type Mac, readMac, writeMac } from '../packet/address.ts';

export const CONTRACT_VERSION = 5;
const HASH_WORDS = KEY_BYTES / 4;

/** Numbers of the header that are spoken of here, under the header's names. */
export const NUMBERS = {
  CONTRACT_VERSION,
  NUMBER_BITS: 22,
  NUMBER_MASK: 0x3fffff,
  KEY_STATE_FRAME: 0x400000,
  KEY_FORWARDED: 0x800000,
  TUNNEL_UDP_PORT: 6677,
  MARK_SENSE_SHIFT: 30,
  SENSE_FROM: 1,
  SENSE_DELIVER: 2,
  SENSE_MEMBER: 3,
  MARK_FLOODED: 0x20000000,
  MARK_PEER: 0x41594131,
  MASKS_MAX: 16,
  MASK_LISTS: 4,
  HASH_WORDS,
  STEPS_MAX: 8,
  CHAIN_MAX: 8,
  PORT_NEEDS_CONNECTION: 1,
  PORT_TAP: 2,
  DELIVER_LOCAL: 1,
  DELIVER_REMOTE: 2,
  PLACES: 65536,
  PLACE_CHECK: 0x706c6163,
  PLACE_REMOTE: 0x80000000,
  PLACE_TAP: 0x40000000,
  PLACE_INDEX: 0x3fffffff,
  FLOOD_SLOTS: 64,
  HOST_IPV6: 1,
  HOST_BY_DEVICE: 2,
  BUCKET_MISS: 0,
  BUCKET_SERVICE: 1,
  BUCKET_EXCEPTION: 2,
  FRAGMENT_SLOTS: 64,
  FRAGMENT_FLOODED: 64,
  FRAGMENT_HASH: 0x9e3779b1,
  COUNTER_PORT_RX: 1,
  COUNTER_PORT_TX: 2,
  COUNTER_RULE: 3,
  COUNTER_DROP: 4,
  COUNTER_UP: 5,
  COUNTER_TUNNEL_RX: 6,
  COUNTER_TUNNEL_TX: 7,
  COUNTER_LOST: 8,
  PORT_GONE: 0xffffffff,
  TRAFFIC_SLOTS: 8192,
  RECORD_LOCAL: 1,
  RECORD_TUNNEL: 2,
  RECORD_MEMBER: 3,
  RECORD_BACK: 4,
  RECORD_DROP: 5,
  TEST_GUEST: 0,
  TEST_AGENT: 1,
  TEST_TUNNEL: 2,
} as const;

export interface Struct<Name extends string> {
  /** Size of the whole. */
  readonly bytes: number;
  /** Offset of each field. */
  readonly at: Readonly<Record<Name, number>>;
  /** Size of each field. */
  readonly size: Readonly<Record<Name, number>>;
}

/** Fields in order with their sizes; the header names its padding, so nothing lies between them. */
function struct<const F extends Record<string, number>>(size: F): Struct<keyof F & string> {
  const at: Record<string, number> = {};
  let bytes = 0;
  for (const [name, length] of Object.entries(size)) {
    at[name] = bytes;
    bytes += length;
  }
  return { bytes, at: at as Record<keyof F & string, number>, size };
}

const STEP_BYTES = 16;
export const STEP_STRUCT = struct({ kind: 1, small_flags: 1, small: 2, operand: 12 });
export const STRUCTS = {
  mask_list: struct({ count: 4, unused: 4, mask: NUMBERS.MASKS_MAX * KEY_BYTES }),
  action_set: struct({ generation: 4, next: 4, step: NUMBERS.STEPS_MAX * STEP_BYTES }),
  flow_name: struct({ hash: 8 }),
  flow_value: struct({ actions: 4, generation: 4, used_ns: 8, packets: 8, bytes: 8, key: KEY_BYTES }),
  port_entry: struct({ number: 4, flags: 4, traffic: 4 }),
  delivery_entry: struct({ kind: 4, flags: 4, ifindex: 4, host: 4, traffic: 4 }),
  flood_entry: struct({
    members: 4,
    hosts: 4,
    member: 4 * NUMBERS.FLOOD_SLOTS,
    host: 4 * NUMBERS.FLOOD_SLOTS,
    next: 4,
  }),
  host_entry: struct({ flags: 4, ifindex: 4, mtu: 4, traffic: 4, local: 16, remote: 16 }),
  place: struct({ number: 4, where: 4, traffic: 4, check: 4 }),
  peer_key: struct({ address: 16 }),
  peer_entry: struct({ host: 4, ifindex: 4 }),
  settings: struct({
    tunnel_ifindex: 4,
    inject_ifindex: 4,
    record_output: 4,
    masks_at: 4,
    clock_offset_ns: 8,
    miss_rate: 4,
    miss_burst: 4,
    service_rate: 4,
    service_burst: 4,
    exception_rate: 4,
    exception_burst: 4,
    pending_packets: 4,
    pending_ms: 4,
    tunnel_udp_port: 4,
    unused: 4,
    hash_seed: 4 * HASH_WORDS,
  }),
  budget: struct({ filled_ns: 24, tokens: 12, unused: 4 }),
  fragment_key: struct({ port: 4, slot: 4 }),
  fragment_value: struct({
    id: 4,
    source: 16,
    destination: 16,
    vlan: 2,
    inner_vlan: 2,
    protocol: 1,
    family: 1,
    vlan_bits: 1,
    unused: 1,
    source_port: 2,
    destination_port: 2,
  }),
  pending_value: struct({ since_ns: 8, packets: 4, unused: 4 }),
  counter_key: struct({ kind: 4, id: 4, port: 4 }),
  counter_value: struct({ packets: 8, bytes: 8 }),
  traffic_value: struct({ received: 16, sent: 16 }),
  miss_record: struct({
    time_ns: 8,
    cause: 4,
    port: 4,
    frame_bytes: 4,
    captured: 4,
    gso_bytes: 4,
    detail: 4,
    key: KEY_BYTES,
  }),
  output_record: struct({ kind: 4, number: 4, host: 4, captured: 4 }),
} as const;

/** A struct's bytes with a view on them. */
export interface Bytes {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

export function bytesOf(length: number): Bytes {
  const bytes = new Uint8Array(length);
  return { bytes, view: new DataView(bytes.buffer) };
}

/** Steps that one list may hold, sets chained. */
export const ACTIONS_MAX = NUMBERS.STEPS_MAX * NUMBERS.CHAIN_MAX;

/** A list of actions as steps of 16 bytes each, without an end. */
export function encodeActions(actions: readonly Action[]): Uint8Array {
  const { bytes, view } = bytesOf(actions.length * STEP_BYTES);
  actions.forEach((action, index) => {
    const at = index * STEP_BYTES;
    const operand = at + STEP_STRUCT.at.operand;
    view.setUint8(at, STEP[action.kind]);
    switch (action.kind) {
      case 'setEthernet':
        writeMac(bytes, operand, action.destination);
        writeMac(bytes, operand + 6, action.source);
        break;
      case 'checkLength':
        view.setUint32(operand, action.mtuBytes, true);
        break;
      case 'decrementTtl':
        view.setUint32(operand, action.by, true);
        break;
      case 'pushVlan':
        view.setUint32(operand, action.tci, true);
        view.setUint16(at + STEP_STRUCT.at.small, action.tpid, true);
        break;
      case 'popVlan':
        break;
      case 'output':
        view.setUint32(operand, action.port, true);
        break;
      case 'flood':
        view.setUint32(operand, action.flood, true);
        break;
      case 'answerNeighbour':
        writeMac(bytes, operand, action.mac);
        view.setUint16(at + STEP_STRUCT.at.small, action.router ? 1 : 0, true);
        break;
      case 'toAgent':
        view.setUint32(operand, action.cause, true);
        break;
      case 'drop':
        view.setUint32(operand, action.reason, true);
        break;
      case 'count':
        view.setUint32(operand, action.counter, true);
        break;
      default:
        action satisfies never;
    }
  });
  return bytes;
}

/** Up to the first end step. A step of a kind that is not known gives undefined: the list is of another version. */
export function decodeActions(bytes: Uint8Array): Action[] | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const actions: Action[] = [];
  for (let at = 0; at + STEP_BYTES <= bytes.length; at += STEP_BYTES) {
    const operand = at + STEP_STRUCT.at.operand;
    const number = view.getUint32(operand, true);
    const small = view.getUint16(at + STEP_STRUCT.at.small, true);
    const mac = (offset: number): Mac => readMac(bytes, operand + offset);
    switch (view.getUint8(at)) {
      case STEP.end:
        return actions;
      case STEP.setEthernet:
        actions.push({ kind: 'setEthernet', destination: mac(0), source: mac(6) });
        break;
      case STEP.checkLength:
        actions.push({ kind: 'checkLength', mtuBytes: number });
        break;
      case STEP.decrementTtl:
        actions.push({ kind: 'decrementTtl', by: number });
        break;
      case STEP.pushVlan:
        actions.push({ kind: 'pushVlan', tci: number, tpid: small });
        break;
      case STEP.popVlan:
        actions.push({ kind: 'popVlan' });
        break;
      case STEP.output:
        actions.push({ kind: 'output', port: number });
        break;
      case STEP.flood:
        actions.push({ kind: 'flood', flood: number });
        break;
      case STEP.answerNeighbour:
        actions.push({ kind: 'answerNeighbour', mac: mac(0), router: (small & 1) === 1 });
        break;
      case STEP.toAgent:
        actions.push({ kind: 'toAgent', cause: number as UpCause });
        break;
      case STEP.drop:
        if (number >= DROP_NAMES.length) return undefined;
        actions.push({ kind: 'drop', reason: number as DropReason });
        break;
      case STEP.count:
        actions.push({ kind: 'count', counter: number });
        break;
      default:
        return undefined;
    }
  }
  return actions;
}
