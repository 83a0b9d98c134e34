// Keys, masks, actions and tags as text, for traces, audits, logs and scenarios. The order of fields and words is
// stable. Only what is marked is told, and of what is marked only what a packet of that kind has.
//
//   port=3 eth=ip4 eth-src=02:00:00:00:00:01 proto=udp src=10.0.1.0/24 dst=10.0.2.7 dport=53
//   ttl-1 eth(02:00:00:00:00:01>02:00:00:00:00:02) output 7

import {
  formatIp4,
  formatIp6,
  formatMac,
  formatPrefix,
  readIp4,
  readIp6,
  readMac,
  readU16,
} from '../packet/address.ts';
import { ARP } from '../packet/arp.ts';
import { ETHER_TYPE } from '../packet/ethernet.ts';
import { PROTOCOL } from '../packet/ipv4.ts';
import { formatTcpFlags } from '../packet/tcp.ts';
import type { Action } from './actions.ts';
import {
  ARP_SENDER_MAC_AT,
  ARP_TARGET_MAC_AT,
  DROP_ELIGIBLE,
  etherTypeOf,
  FIELD,
  type FieldName,
  type FlowKey,
  type FlowMask,
  FRAGMENT,
  floodOf,
  maskedKey,
  ND_LINK_ADDRESS_AT,
  portOf,
  VLAN_BITS,
  VLAN_PRESENT,
} from './fields.ts';
import { dropWords, UP, type UpCause, type UpName } from './reasons.ts';
import type { Tag } from './tags.ts';

const ETHER_TYPE_WORDS: Readonly<Record<number, string>> = {
  [ETHER_TYPE.ip4]: 'ip4',
  [ETHER_TYPE.ip6]: 'ip6',
  [ETHER_TYPE.arp]: 'arp',
  [ETHER_TYPE.vlan]: 'vlan',
  [ETHER_TYPE.qinq]: 'qinq',
};
const PROTOCOL_WORDS: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(PROTOCOL).map(([name, number]) => [number, name]),
);
const ARP_WORDS: Readonly<Record<number, string>> = { [ARP.request]: 'request', [ARP.reply]: 'reply' };
const FRAGMENT_WORDS: Readonly<Record<number, string>> = {
  [FRAGMENT.none]: 'none',
  [FRAGMENT.first]: 'first',
  [FRAGMENT.later]: 'later',
};
const UP_WORDS: Readonly<Record<UpName, string>> = {
  miss: 'miss',
  memberMiss: 'member-miss',
  service: 'service',
  packet: 'packet',
  ttl: 'ttl',
  tooLong: 'too-long',
};
/** Fields that no packet has yet: told when a mask marks them and the key is not 0. */
const RESERVED: readonly FieldName[] = [
  'direction',
  'translatedSourcePort',
  'translatedDestinationPort',
  'sourceTranslation',
  'destinationTranslation',
];

/** The class of all packets whose key equals `key` under `mask`; without a mask the whole key. */
export function formatMatch(key: FlowKey, mask: FlowMask = ALL): string {
  const words: string[] = [];
  const masked = maskedKey(key, mask);
  /** Adds `name=value` when the field is marked; a mask that is not whole is told behind a slash. */
  const add = (name: string, at: number, bytes: number, format: (key: FlowKey, at: number) => string): void => {
    const marked = mask.subarray(at, at + bytes);
    if (marked.every((byte) => byte === 0)) return;
    const whole = marked.every((byte) => byte === 0xff);
    words.push(`${name}=${format(masked, at)}${whole ? '' : `/0x${hex(marked)}`}`);
  };
  const field = (name: string, of: FieldName, format: (key: FlowKey, at: number) => string): void =>
    add(name, FIELD[of].at, FIELD[of].bytes, format);
  const address = (name: string, of: FieldName): void => {
    const text = formatAddress(key, mask, of);
    if (text !== undefined) words.push(`${name}=${text}`);
  };

  field('port', 'port', () => String(portOf(key)));
  if (floodOf(key) !== 0) field('flood', 'flood', () => String(floodOf(key)));
  field('eth', 'etherType', (of, at) => numberWord(ETHER_TYPE_WORDS, readU16(of, at), 16));
  field('eth-src', 'ethernetSource', macAt);
  field('eth-dst', 'ethernetDestination', macAt);
  field('vlan', 'vlan', vlanAt);
  if (readU16(key, FIELD.vlan.at) !== 0) field('inner-vlan', 'innerVlan', vlanAt);
  const etherType = etherTypeOf(key);
  if (etherType === ETHER_TYPE.arp) {
    field('op', 'protocol', (of, at) => numberWord(ARP_WORDS, of[at]!, 10));
    add('sender', FIELD.source.at + 12, 4, ip4At);
    add('sender-mac', ARP_SENDER_MAC_AT, 6, macAt);
    add('target', FIELD.destination.at + 12, 4, ip4At);
    add('target-mac', ARP_TARGET_MAC_AT, 6, macAt);
  } else if (etherType === ETHER_TYPE.ip4 || etherType === ETHER_TYPE.ip6) {
    const protocol = key[FIELD.protocol.at]!;
    field('proto', 'protocol', () => numberWord(PROTOCOL_WORDS, protocol, 10));
    address('src', 'source');
    address('dst', 'destination');
    field('tos', 'trafficClass', (of, at) => `0x${of[at]!.toString(16).padStart(2, '0')}`);
    field('fragment', 'fragment', (of, at) => numberWord(FRAGMENT_WORDS, of[at]!, 10));
    if (isIcmp(protocol, etherType)) {
      field('type', 'sourcePort', u16At);
      field('code', 'destinationPort', u16At);
    } else if (protocol === PROTOCOL.tcp || protocol === PROTOCOL.udp || protocol === PROTOCOL.sctp) {
      field('sport', 'sourcePort', u16At);
      field('dport', 'destinationPort', u16At);
    }
    if (protocol === PROTOCOL.tcp) field('flags', 'tcpFlags', (of, at) => formatTcpFlags(of[at]!));
    if (protocol === PROTOCOL.icmp6 && etherType === ETHER_TYPE.ip6) {
      const type = readU16(key, FIELD.sourcePort.at);
      if (type >= 135 && type <= 137) address('nd-target', 'translatedDestination');
      if (type >= 133 && type <= 137) add('nd-mac', ND_LINK_ADDRESS_AT, 6, macAt);
    }
  }
  for (const name of RESERVED) {
    const { at, bytes } = FIELD[name];
    if (key.subarray(at, at + bytes).some((byte) => byte !== 0))
      field(name, name, () => `0x${hex(key.subarray(at, at + bytes))}`);
  }
  return words.length === 0 ? 'any' : words.join(' ');
}

/** The steps in order; nothing at all is a drop. */
export function formatActions(actions: readonly Action[]): string {
  return actions.length === 0 ? 'none' : actions.map(formatAction).join(' ');
}

export function formatAction(action: Action): string {
  switch (action.kind) {
    case 'setEthernet':
      return `eth(${formatMac(action.source)}>${formatMac(action.destination)})`;
    case 'checkLength':
      return `mtu ${action.mtuBytes}`;
    case 'decrementTtl':
      return `ttl-${action.by}`;
    case 'pushVlan': {
      const tpid = action.tpid === ETHER_TYPE.vlan ? '' : ` tpid 0x${action.tpid.toString(16)}`;
      return `push-vlan ${tciText(action.tci)}${tpid}`;
    }
    case 'popVlan':
      return 'pop-vlan';
    case 'output':
      return `output ${action.port}`;
    case 'flood':
      return `flood ${action.flood}`;
    case 'answerNeighbour':
      return `answer-neighbour ${formatMac(action.mac)}${action.router ? ' router' : ''}`;
    case 'toAgent':
      return `to-agent ${formatCause(action.cause)}`;
    case 'drop':
      return `drop (${dropWords(action.reason)})`;
    case 'count':
      return `count ${action.counter}`;
  }
}

export function formatCause(cause: UpCause): string {
  const name = (Object.keys(UP) as UpName[]).find((known) => UP[known] === cause);
  return name === undefined ? `cause ${cause}` : UP_WORDS[name];
}

/** `routes/r1 10.0.0.0/24`, `chain/c1 up to 4`, `chain/c1 to the end`. */
export function formatTag(tag: Tag): string {
  const prefix = tag.prefix === undefined ? '' : ` ${formatPrefix(tag.prefix)}`;
  if (tag.upTo === undefined) return `${tag.question}${prefix}`;
  return `${tag.question}${prefix} ${Number.isFinite(tag.upTo) ? `up to ${tag.upTo}` : 'to the end'}`;
}

/** Sorted, without repetitions. */
export function formatTags(tags: readonly Tag[]): string[] {
  return [...new Set(tags.map(formatTag))].sort();
}

const ALL: FlowMask = new Uint8Array(FIELD.destinationTranslation.at + 4).fill(0xff);

const isIcmp = (protocol: number, etherType: number): boolean =>
  protocol === (etherType === ETHER_TYPE.ip4 ? PROTOCOL.icmp : PROTOCOL.icmp6);

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
const macAt = (key: FlowKey, at: number): string => formatMac(readMac(key, at));
const ip4At = (key: FlowKey, at: number): string => formatIp4(readIp4(key, at));
const u16At = (key: FlowKey, at: number): string => String(readU16(key, at));

function vlanAt(key: FlowKey, at: number): string {
  const word = readU16(key, at);
  if (word === 0) return 'none';
  const { service, dropEligible } = VLAN_BITS[at === FIELD.vlan.at ? 'vlan' : 'innerVlan'];
  const bits = key[FIELD.vlanBits.at]!;
  const tci = (bits & dropEligible) === 0 ? word & ~VLAN_PRESENT : word | DROP_ELIGIBLE;
  return `${(bits & service) === 0 ? '' : 's'}${tciText(tci)}`;
}

/** `7`, with its priority `7.p3`, with its drop eligibility `7.dei`. */
function tciText(tci: number): string {
  const priority = tci >>> 13;
  return `${tci & 0xfff}${priority === 0 ? '' : `.p${priority}`}${(tci & DROP_ELIGIBLE) === 0 ? '' : '.dei'}`;
}

function numberWord(words: Readonly<Record<number, string>>, number: number, radix: 10 | 16): string {
  return words[number] ?? (radix === 16 ? `0x${number.toString(16).padStart(4, '0')}` : String(number));
}

/** `10.0.1.7`, `10.0.1.0/24`, or value and mask when the marked bits are no prefix; undefined when nothing is marked. */
function formatAddress(key: FlowKey, mask: FlowMask, name: FieldName): string | undefined {
  const ip6 = etherTypeOf(key) === ETHER_TYPE.ip6;
  const at = ip6 ? FIELD[name].at : FIELD[name].at + 12;
  const length = ip6 ? 16 : 4;
  const marked = mask.subarray(at, at + length);
  const value = key.subarray(at, at + length).map((byte, i) => byte & marked[i]!);
  const format = (bytes: Uint8Array) => (ip6 ? formatIp6(readIp6(bytes, 0)) : formatIp4(readIp4(bytes, 0)));
  let bits = 0;
  while (bits < length * 8 && (marked[bits >> 3]! & (0x80 >> (bits & 7))) !== 0) bits++;
  const rest = marked.some((byte, i) => (byte & (0xff >> Math.min(8, Math.max(0, bits - i * 8)))) !== 0);
  if (rest) return `${format(value)}/${format(marked)}`;
  if (bits === 0) return undefined;
  return bits === length * 8 ? format(value) : `${format(value)}/${bits}`;
}
