// Why packets are dropped and why they go up to the agent. The numbers are those of bpf/contract.h and stable:
// they are counter ids. The words reach logs, traces, counters and the page unchanged.

export const DROP = {
  none: 0,
  policy: 1,
  rejected: 2,
  unknownInterface: 3,
  malformed: 4,
  adminDown: 5,
  noRoute: 6,
  blackhole: 7,
  ttl: 8,
  tooLong: 9,
  neighbourUnresolved: 10,
  hopLimit: 11,
  spoofed: 12,
  groupSource: 13,
  vlan: 14,
  samePort: 15,
  notForRouter: 16,
  unplugged: 17,
  noDelivery: 18,
  noPeer: 19,
  missBudget: 20,
  serviceBudget: 21,
  exceptionBudget: 22,
  pending: 23,
  ringFull: 24,
  laterFragmentFirst: 25,
  injectedMiss: 26,
  noUnderlay: 27,
  underlayTooSmall: 28,
  chainTooLong: 29,
  stateFrame: 30,
  localOnly: 31,
  unparsedExtension: 32,
  agent: 33,
  tableFull: 34,
  fragmentRejected: 35,
} as const;
export type DropName = keyof typeof DROP;
export type DropReason = (typeof DROP)[DropName];

const DROP_WORDS: Record<DropName, string> = {
  none: 'not dropped',
  policy: 'a rule drops it',
  rejected: 'a rule or route rejects it',
  unknownInterface: 'no port is bound to the interface',
  malformed: 'malformed headers',
  adminDown: 'administratively down',
  noRoute: 'no route',
  blackhole: 'blackhole route',
  ttl: 'TTL or hop limit used up',
  tooLong: 'longer than the MTU',
  neighbourUnresolved: 'next hop does not answer',
  hopLimit: 'passes too many devices, the topology loops',
  spoofed: 'source address is not one of the port',
  groupSource: 'source MAC is a group address',
  vlan: 'VLAN tag does not fit the port',
  samePort: 'destination is behind the ingress port',
  notForRouter: 'nothing that this router takes',
  unplugged: 'port has neither peer nor binding',
  noDelivery: 'port is not up',
  noPeer: 'tunnel packet from no member of the zone',
  missBudget: 'too many new flows from this port',
  serviceBudget: 'too many service requests from this port',
  exceptionBudget: 'too many exceptions from this port',
  pending: 'waiting for a verdict on the same flow',
  ringFull: 'agent is not keeping up',
  laterFragmentFirst: 'later fragment without its first',
  injectedMiss: 'injected packet found no flow',
  noUnderlay: 'no underlay address for the host',
  underlayTooSmall: 'longer than the underlay carries',
  chainTooLong: 'action list too long',
  stateFrame: 'tunnel key bits that are not spoken',
  localOnly: 'never forwarded',
  unparsedExtension: 'IPv6 extension headers too long to read',
  agent: 'the agent had no answer in time',
  tableFull: 'table full',
  fragmentRejected: 'a filter rejects fragments',
};

export const DROP_NAMES = Object.keys(DROP) as DropName[];

export function dropWords(reason: number): string {
  const name = DROP_NAMES[reason];
  return name === undefined ? `reason ${reason}` : DROP_WORDS[name];
}

/** Why a packet goes up to the agent (UP_* of the contract). */
export const UP = {
  /** No flow. */
  miss: 1,
  /** No flow for {flood, member, frame}. */
  memberMiss: 2,
  /** A flow said so: DHCP, router solicitation. */
  service: 3,
  /** A flow said so: the agent decides each packet (answers, rejects). */
  packet: 4,
  /** Exception: TTL or hop limit is used up. */
  ttl: 5,
  /** Exception: longer than the MTU that the class checks. */
  tooLong: 6,
} as const;
export type UpName = keyof typeof UP;
export type UpCause = (typeof UP)[UpName];
