// What the virtual network tells a sender: ICMP and ICMPv6 errors, echo replies, TCP resets. All are frames made from
// the packet at hand; undefined where nothing may be said (RFC 1122 §3.2.2, RFC 4443 §2.4 e).

import { ETHER_TYPE, FRAGMENT, PROTOCOL } from '../flow/fields.ts';
import { type Ip, type Ip6, isGroupMac, isMulticastIp, readMac, readU16, readU32 } from '../packet/address.ts';
import { emitEthernet, networkOffset, type VlanTag } from '../packet/ethernet.ts';
import {
  emitIcmp,
  emitIcmp6,
  ICMP,
  ICMP_UNREACHABLE,
  ICMP6,
  ICMP6_UNREACHABLE,
  type IcmpHeader,
  isIcmpError,
} from '../packet/icmp.ts';
import { parseIpv4 } from '../packet/ipv4.ts';
import { parseIpv6 } from '../packet/ipv6.ts';
import { emitTcp, parseTcp, TCP } from '../packet/tcp.ts';
import { emitIp } from './frame.ts';
import type { Walk } from './walk.ts';

/** One meaning, in the words of both families. */
export interface IcmpError {
  readonly v4: { readonly type: number; readonly code: number };
  readonly v6: { readonly type: number; readonly code: number };
  readonly mtuBytes?: number;
}

export const ICMP_ERROR = {
  noRoute: {
    v4: { type: ICMP.unreachable, code: ICMP_UNREACHABLE.network },
    v6: { type: ICMP6.unreachable, code: ICMP6_UNREACHABLE.noRoute },
  },
  hostUnreachable: {
    v4: { type: ICMP.unreachable, code: ICMP_UNREACHABLE.host },
    v6: { type: ICMP6.unreachable, code: ICMP6_UNREACHABLE.address },
  },
  protocolUnreachable: {
    v4: { type: ICMP.unreachable, code: ICMP_UNREACHABLE.protocol },
    v6: { type: ICMP6.parameterProblem, code: 1 },
  },
  portUnreachable: {
    v4: { type: ICMP.unreachable, code: ICMP_UNREACHABLE.port },
    v6: { type: ICMP6.unreachable, code: ICMP6_UNREACHABLE.port },
  },
  prohibited: {
    v4: { type: ICMP.unreachable, code: ICMP_UNREACHABLE.prohibited },
    v6: { type: ICMP6.unreachable, code: ICMP6_UNREACHABLE.prohibited },
  },
  fragmentationNeeded: {
    v4: { type: ICMP.unreachable, code: ICMP_UNREACHABLE.fragmentationNeeded },
    v6: { type: ICMP6.tooBig, code: 0 },
  },
  timeExceeded: {
    v4: { type: ICMP.timeExceeded, code: 0 },
    v6: { type: ICMP6.timeExceeded, code: 0 },
  },
} as const satisfies Record<string, IcmpError>;

const TTL = 64;
/** The whole error fits the least MTU: 576 bytes in IPv4 (RFC 1812 §4.3.2.3), 1280 in IPv6 (RFC 4443 §2.4 c). */
const QUOTE_BYTES = { 4: 576 - 28, 6: 1280 - 48 } as const;

/** An ICMP error about the packet. `source`: the address it comes from; undefined: the packet's own destination. */
export function icmpError(walk: Walk, error: IcmpError, source: Ip | undefined): Uint8Array | undefined {
  const packet = answerable(walk);
  if (packet === undefined) return undefined;
  const quote = walk.frame.subarray(packet.at, Math.min(packet.end, packet.at + QUOTE_BYTES[packet.family]));
  const from = source ?? packet.destination;
  const mtu = error.mtuBytes ?? 0;
  if (packet.family === 4) {
    return reply(walk, from, packet.source, PROTOCOL.icmp, emitIcmp({ ...error.v4, rest: mtu }, padded(quote)));
  }
  const pointer = error.v6.type === ICMP6.parameterProblem ? 6 : 0;
  const header: IcmpHeader = { ...error.v6, rest: mtu || pointer };
  return reply(walk, from, packet.source, PROTOCOL.icmp6, emitIcmp6(header, quote, from as Ip6, packet.source as Ip6));
}

/** What a refused sender is told: a TCP reset (RFC 9293 §3.10.7.1), else "administratively prohibited". */
export function refusal(walk: Walk, source: Ip | undefined): Uint8Array | undefined {
  const packet = answerable(walk);
  if (packet === undefined) return undefined;
  if (packet.protocol !== PROTOCOL.tcp) return icmpError(walk, ICMP_ERROR.prohibited, source);
  const segment = parseTcp(walk.frame, packet.payloadAt, packet.end);
  if (segment === undefined || (segment.flags & TCP.rst) !== 0) return undefined;
  const acked = (segment.flags & TCP.ack) !== 0;
  const length =
    packet.end -
    segment.payloadAt +
    ((segment.flags & TCP.syn) !== 0 ? 1 : 0) +
    ((segment.flags & TCP.fin) !== 0 ? 1 : 0);
  const reset = emitTcp(
    {
      sourcePort: segment.destinationPort,
      destinationPort: segment.sourcePort,
      sequence: acked ? segment.acknowledgement : 0,
      acknowledgement: acked ? 0 : (segment.sequence + length) >>> 0,
      flags: acked ? TCP.rst : TCP.rst | TCP.ack,
      window: 0,
      urgent: 0,
      options: new Uint8Array(0),
    },
    new Uint8Array(0),
    packet.destination,
    packet.source,
  );
  return reply(walk, packet.destination, packet.source, PROTOCOL.tcp, reset);
}

/** The answer to an echo request for an address of a router. */
export function echoReply(walk: Walk): Uint8Array | undefined {
  const packet = answerable(walk);
  if (packet === undefined) return undefined;
  const rest = readU32(walk.frame, packet.payloadAt + 4);
  const data = walk.frame.subarray(packet.payloadAt + 8, packet.end);
  const [from, to] = [packet.destination, packet.source];
  if (packet.family === 4)
    return reply(walk, from, to, PROTOCOL.icmp, emitIcmp({ type: ICMP.echoReply, code: 0, rest }, data));
  const message = emitIcmp6({ type: ICMP6.echoReply, code: 0, rest }, data, from as Ip6, to as Ip6);
  return reply(walk, from, to, PROTOCOL.icmp6, message);
}

interface Answerable {
  readonly family: 4 | 6;
  readonly source: Ip;
  readonly destination: Ip;
  readonly protocol: number;
  /** Network header, upper layer, end of the packet: offsets in the frame. */
  readonly at: number;
  readonly payloadAt: number;
  readonly end: number;
}

/** Undefined when no answer may be sent to the packet, or there is none at hand. */
function answerable(walk: Walk): Answerable | undefined {
  const { frame } = walk;
  if (frame.length === 0 || isGroupMac(readMac(frame, 0))) return undefined;
  const at = networkOffset(frame);
  const packet = readU16(frame, at - 2) === ETHER_TYPE.ip4 ? readIpv4(frame, at) : readIpv6(frame, at);
  if (packet === undefined || !isUnicastSource(packet.source) || isMulticastIp(packet.destination)) return undefined;
  if (walk.view.fragment() === FRAGMENT.later) return undefined;
  const isIcmp = packet.protocol === (packet.family === 4 ? PROTOCOL.icmp : PROTOCOL.icmp6);
  return isIcmp && isIcmpError(frame[packet.payloadAt]!, packet.family) ? undefined : packet;
}

function readIpv4(frame: Uint8Array, at: number): Answerable | undefined {
  const header = parseIpv4(frame, at, frame.length);
  return header === undefined ? undefined : { ...header, family: 4, at };
}

function readIpv6(frame: Uint8Array, at: number): Answerable | undefined {
  const header = parseIpv6(frame, at, frame.length);
  return header === undefined ? undefined : { ...header, family: 6, at };
}

function isUnicastSource(ip: Ip): boolean {
  if (typeof ip === 'bigint') return ip !== 0n && ip !== 1n && !isMulticastIp(ip);
  return ip >>> 24 !== 0 && ip >>> 24 !== 127 && ip < 0xe0000000;
}

/** A frame with the MACs and tags that the packet has where it is now, turned round. */
function reply(walk: Walk, from: Ip, to: Ip, protocol: number, message: Uint8Array): Uint8Array {
  const packet = emitIp(from, to, protocol, TTL, message);
  const etherType = typeof from === 'number' ? ETHER_TYPE.ip4 : ETHER_TYPE.ip6;
  const { view } = walk;
  return emitEthernet(
    { destination: view.ethernetSource(), source: view.ethernetDestination(), tags: tagsOf(walk), etherType },
    packet,
  );
}

function tagsOf(walk: Walk): VlanTag[] {
  return walk.view
    .vlanTags()
    .map(({ tci, tpid }) => ({ tpid, priority: tci >>> 13, dropEligible: false, vlan: tci & 0xfff }));
}

/** RFC 4884 wants quotes in ICMP to be whole words. */
function padded(quote: Uint8Array): Uint8Array {
  if (quote.length % 4 === 0) return quote;
  const bytes = new Uint8Array(Math.ceil(quote.length / 4) * 4);
  bytes.set(quote);
  return bytes;
}
