// A packet as a walk sees it: every look at a field marks the bits that were looked at, so the mask of the verdict is
// a by-product. Missing bits would be bugs, surplus bits only cost flows. What the walk itself has rewritten is a
// constant of the class and marks nothing.

import type { Address, Lpm } from '../lib/lpm.ts';
import { type Ip, type Mac, networkOf, type Prefix, readMac, readU16 } from '../packet/address.ts';
import { ND } from '../packet/nd.ts';
import type { Action } from './actions.ts';
import {
  ARP_SENDER_MAC_AT,
  ARP_TARGET_MAC_AT,
  DROP_ELIGIBLE,
  ETHER_TYPE,
  etherTypeOf,
  FIELD,
  type FlowKey,
  type FlowMask,
  FRAGMENT,
  getIp,
  markField,
  markPrefix,
  ND_LINK_ADDRESS_AT,
  newKey,
  PROTOCOL,
  VLAN_BITS,
  VLAN_PRESENT,
} from './fields.ts';

/** A tag of the frame: one that it came with, or one that was pushed. */
type HeldTag = { readonly field: 'vlan' | 'innerVlan' } | { readonly tci: number };
/** A tag as it is on the wire. */
export interface WireTag {
  readonly tci: number;
  readonly tpid: number;
}

/** What a walk has made of the headers so far; forks keep and restore it. */
export interface Header {
  readonly ethernetDestination: Mac | undefined;
  readonly ethernetSource: Mac | undefined;
  /** Outer tag first. */
  readonly vlans: readonly HeldTag[];
  readonly ttlSteps: number;
  /** The smallest MTU of the routers passed; undefined: none. */
  readonly mtuBytes: number | undefined;
}

export type AddressField = 'source' | 'destination';

export class PacketView {
  readonly key: FlowKey;
  readonly mask: FlowMask = newKey();
  header: Header;

  constructor(key: FlowKey) {
    this.key = key;
    const vlans: HeldTag[] = [];
    if (readU16(key, FIELD.vlan.at) !== 0) vlans.push({ field: 'vlan' });
    if (vlans.length > 0 && readU16(key, FIELD.innerVlan.at) !== 0) vlans.push({ field: 'innerVlan' });
    this.header = {
      ethernetDestination: undefined,
      ethernetSource: undefined,
      vlans,
      ttlSteps: 0,
      mtuBytes: undefined,
    };
    markField(this.mask, FIELD.port);
    markField(this.mask, FIELD.flood);
  }

  etherType(): number {
    markField(this.mask, FIELD.etherType);
    return etherTypeOf(this.key);
  }

  family(): 4 | 6 | undefined {
    const type = this.etherType();
    return type === ETHER_TYPE.ip4 ? 4 : type === ETHER_TYPE.ip6 ? 6 : undefined;
  }

  ethernetDestination(): Mac {
    if (this.header.ethernetDestination !== undefined) return this.header.ethernetDestination;
    markField(this.mask, FIELD.ethernetDestination);
    return readMac(this.key, FIELD.ethernetDestination.at);
  }

  ethernetSource(): Mac {
    if (this.header.ethernetSource !== undefined) return this.header.ethernetSource;
    markField(this.mask, FIELD.ethernetSource);
    return readMac(this.key, FIELD.ethernetSource.at);
  }

  /** The TCI of the outer tag, undefined when there is none. */
  vlanTci(): number | undefined {
    const top = this.header.vlans[0];
    if (top !== undefined && 'tci' in top) return top.tci;
    // Which of the two fields is on top depends on how many original tags were popped.
    const popped = readU16(this.key, FIELD.vlan.at) !== 0 && (top === undefined || top.field === 'innerVlan');
    markField(this.mask, popped ? FIELD.innerVlan : FIELD.vlan);
    if (top === undefined) return undefined;
    return readU16(this.key, FIELD[top.field].at) & ~VLAN_PRESENT;
  }

  /** Whether the frame came in with a tag, whatever happened to it since. */
  cameTagged(): boolean {
    markField(this.mask, FIELD.vlan);
    return readU16(this.key, FIELD.vlan.at) !== 0;
  }

  /** The VLAN id of the outer tag; 0 when there is no tag or only a priority tag. */
  vlanId(): number {
    return (this.vlanTci() ?? 0) & 0xfff;
  }

  /** All tags that the frame has now, outer first. */
  vlanTags(): WireTag[] {
    markField(this.mask, FIELD.vlan);
    markField(this.mask, FIELD.innerVlan);
    return this.header.vlans.map((tag) => this.#wireTag(tag));
  }

  /** The outer tag of a header that has one. */
  outerTag(header: Header): WireTag {
    return this.#wireTag(header.vlans[0]!);
  }

  protocol(): number {
    markField(this.mask, FIELD.etherType);
    markField(this.mask, FIELD.protocol);
    return this.key[FIELD.protocol.at]!;
  }

  trafficClass(): number {
    markField(this.mask, FIELD.etherType);
    markField(this.mask, FIELD.trafficClass);
    return this.key[FIELD.trafficClass.at]!;
  }

  fragment(): number {
    markField(this.mask, FIELD.etherType);
    markField(this.mask, FIELD.fragment);
    return this.key[FIELD.fragment.at]!;
  }

  tcpFlags(of: number): number {
    this.mask[FIELD.tcpFlags.at] = this.mask[FIELD.tcpFlags.at]! | of;
    return this.key[FIELD.tcpFlags.at]! & of;
  }

  sourcePort(): number {
    markField(this.mask, FIELD.sourcePort);
    return readU16(this.key, FIELD.sourcePort.at);
  }

  destinationPort(): number {
    markField(this.mask, FIELD.destinationPort);
    return readU16(this.key, FIELD.destinationPort.at);
  }

  /** Valid for ICMP and ICMPv6: the caller has looked at the protocol. */
  icmpType(): number {
    return this.sourcePort();
  }

  icmpCode(): number {
    return this.destinationPort();
  }

  /** The whole address (for ARP the sender's or target's). Valid for IPv4, IPv6 and ARP. */
  address(field: AddressField): Ip {
    this.#markAddress(field, 128);
    return getIp(this.key, FIELD[field].at);
  }

  inPrefix(field: AddressField, prefix: Prefix): boolean {
    markField(this.mask, FIELD.etherType);
    const ip = getIp(this.key, FIELD[field].at);
    if (typeof ip !== typeof prefix.ip) return false;
    this.#markAddress(field, prefix.bits);
    return networkOf(ip, prefix.bits) === prefix.ip;
  }

  /** Looks the address up; the prefix is what was looked at, so what the answer holds for. */
  matches<T>(field: AddressField, lpm: Lpm<T>): { readonly values: readonly T[]; readonly asked: Prefix } {
    const ip = getIp(this.key, FIELD[field].at);
    const { values, bits } = lpm.matches(ip as Address);
    this.#markAddress(field, bits);
    return { values, asked: { ip: networkOf(ip, bits), bits } };
  }

  arpSenderMac(): Mac {
    this.mask.fill(0xff, ARP_SENDER_MAC_AT, ARP_SENDER_MAC_AT + 6);
    return readMac(this.key, ARP_SENDER_MAC_AT);
  }

  arpTargetMac(): Mac {
    this.mask.fill(0xff, ARP_TARGET_MAC_AT, ARP_TARGET_MAC_AT + 6);
    return readMac(this.key, ARP_TARGET_MAC_AT);
  }

  /** The type of neighbour discovery message (RFC 4861), undefined when it is none. */
  ndType(): number | undefined {
    if (this.etherType() !== ETHER_TYPE.ip6 || this.protocol() !== PROTOCOL.icmp6) return undefined;
    if (this.fragment() !== FRAGMENT.none) return undefined;
    const type = this.icmpType();
    return type >= ND.routerSolicitation && type <= ND.redirect ? type : undefined;
  }

  /** Valid for types 135, 136 and 137. */
  ndTarget(): Ip {
    markField(this.mask, FIELD.translatedDestination);
    return getIp(this.key, FIELD.translatedDestination.at);
  }

  /** The link-layer address option, 0 when there is none. */
  ndLinkAddress(): Mac {
    this.mask.fill(0xff, ND_LINK_ADDRESS_AT, ND_LINK_ADDRESS_AT + 6);
    return readMac(this.key, ND_LINK_ADDRESS_AT);
  }

  setEthernet(destination: Mac, source: Mac): void {
    this.header = { ...this.header, ethernetDestination: destination, ethernetSource: source };
  }

  pushVlan(tci: number): void {
    this.header = { ...this.header, vlans: [{ tci }, ...this.header.vlans] };
  }

  /** The caller has looked at the tag. */
  popVlan(): void {
    this.header = { ...this.header, vlans: this.header.vlans.slice(1) };
  }

  decrementTtl(): void {
    this.header = { ...this.header, ttlSteps: this.header.ttlSteps + 1 };
  }

  limitLength(mtuBytes: number): void {
    this.header = { ...this.header, mtuBytes: Math.min(mtuBytes, this.header.mtuBytes ?? mtuBytes) };
  }

  #wireTag(tag: HeldTag): WireTag {
    if ('tci' in tag) return { tci: tag.tci, tpid: ETHER_TYPE.vlan };
    markField(this.mask, FIELD[tag.field]);
    markField(this.mask, FIELD.vlanBits);
    const { service, dropEligible } = VLAN_BITS[tag.field];
    const bits = this.key[FIELD.vlanBits.at]!;
    const word = readU16(this.key, FIELD[tag.field].at) & ~VLAN_PRESENT;
    return {
      tci: (bits & dropEligible) === 0 ? word : word | DROP_ELIGIBLE,
      tpid: (bits & service) === 0 ? ETHER_TYPE.vlan : ETHER_TYPE.qinq,
    };
  }

  #markAddress(field: AddressField, bits: number): void {
    markField(this.mask, FIELD.etherType);
    const family = etherTypeOf(this.key) === ETHER_TYPE.ip6 ? 6 : 4;
    markPrefix(this.mask, FIELD[field].at, Math.min(bits, family === 4 ? 32 : 128), family);
  }
}

/**
 * The steps that turn a frame with headers `from` into one with headers `to`: MACs and tags. TTL and length belong to
 * the head of the whole list (see actions.ts) and are not among them. `view` gives MACs that were never rewritten;
 * reading them back marks them, which only happens after a fork that rewrote them.
 */
export function headerSteps(from: Header, to: Header, view: PacketView): Action[] {
  const steps: Action[] = [];
  if (from.ethernetDestination !== to.ethernetDestination || from.ethernetSource !== to.ethernetSource) {
    const saved = view.header;
    view.header = to;
    steps.push({ kind: 'setEthernet', destination: view.ethernetDestination(), source: view.ethernetSource() });
    view.header = saved;
  }
  let shared = 0;
  const [before, after] = [from.vlans, to.vlans];
  while (shared < before.length && shared < after.length && sameTag(before.at(-1 - shared)!, after.at(-1 - shared)!))
    shared++;
  for (let pops = before.length - shared; pops > 0; pops--) steps.push({ kind: 'popVlan' });
  for (let at = after.length - shared - 1; at >= 0; at--) {
    steps.push({ kind: 'pushVlan', ...view.outerTag({ ...to, vlans: after.slice(at) }) });
  }
  return steps;
}

function sameTag(a: HeldTag, b: HeldTag): boolean {
  if ('field' in a) return 'field' in b && a.field === b.field;
  return 'tci' in b && a.tci === b.tci;
}
