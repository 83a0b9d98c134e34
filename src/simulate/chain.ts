// Chains: the ordered rules at a hook. No match at the end of a chain is accept; a jump to a chain that was visited in
// this evaluation, or that does not exist, goes on with the next rule.

import { ETHER_TYPE, FRAGMENT, PROTOCOL } from '../flow/fields.ts';
import type { Mac } from '../packet/address.ts';
import type { MatchNode, PortNode, RuleNode } from '../topology/nodes.ts';
import type { Id } from '../topology/resource.ts';
import { QUESTION } from './question.ts';
import { named, type Walk } from './walk.ts';

/** Where the chain hangs: the device it is on and the ports known there. */
export interface Hook {
  readonly at: string;
  readonly inPort: PortNode | undefined;
  readonly outPort: PortNode | undefined;
}

export type ChainVerdict = { readonly kind: 'accept' } | { readonly kind: 'drop' | 'reject'; readonly why: string };

const ACCEPT: ChainVerdict = { kind: 'accept' };

/** The verdict of a hook; no chain is accept. */
export function runChain(walk: Walk, chainId: Id | undefined, hook: Hook): ChainVerdict {
  if (chainId === undefined) return ACCEPT;
  return tryChain(walk, chainId, hook, new Set()) ?? ACCEPT;
}

/** Undefined: the end of the chain was reached, or a rule said return. */
function tryChain(walk: Walk, chainId: Id, hook: Hook, visited: Set<Id>): ChainVerdict | undefined {
  const chain = walk.chain(chainId);
  if (chain === undefined || visited.has(chainId)) {
    walk.askedRules(chainId, Number.POSITIVE_INFINITY);
    walk.note(hook.at, () =>
      chain === undefined ? `chain ${chainId} does not exist` : `chain ${named(chain)} was visited before`,
    );
    return undefined;
  }
  visited.add(chainId);
  for (const rule of chain.rules) {
    if (!ruleMatches(walk, rule.match, hook)) continue;
    const name = `chain ${named(chain)} rule ${rule.position}`;
    walk.note(hook.at, () => `${name} matches: ${rule.action}`);
    if (rule.action === 'jump') {
      const inner = rule.jumpChainId === undefined ? undefined : tryChain(walk, rule.jumpChainId, hook, visited);
      if (inner === undefined) continue;
      walk.askedRules(chainId, rule.position);
      return inner;
    }
    walk.askedRules(chainId, rule.position);
    return verdictOf(rule, name);
  }
  walk.askedRules(chainId, Number.POSITIVE_INFINITY);
  return undefined;
}

function verdictOf(rule: RuleNode, name: string): ChainVerdict | undefined {
  switch (rule.action) {
    case 'accept':
      return ACCEPT;
    case 'drop':
      return { kind: 'drop', why: `${name} drops it` };
    case 'reject':
      return { kind: 'reject', why: `${name} rejects it` };
    case 'return':
    case 'jump':
      return undefined;
  }
}

/** Conditions are tried in this order and the first that fails ends it, so that little is looked at. */
const CONDITIONS: readonly { readonly name: keyof MatchNode; readonly holds: Condition }[] = [
  { name: 'etherType', holds: (walk, match) => walk.view.etherType() === match.etherType },
  { name: 'inPortIds', holds: (_, match, hook) => hook.inPort !== undefined && match.inPortIds!.has(hook.inPort.id) },
  {
    name: 'outPortIds',
    holds: (_, match, hook) => hook.outPort !== undefined && match.outPortIds!.has(hook.outPort.id),
  },
  { name: 'inPortGroupId', holds: (walk, match, hook) => walk.inGroup(match.inPortGroupId!, hook.inPort) },
  { name: 'outPortGroupId', holds: (walk, match, hook) => walk.inGroup(match.outPortGroupId!, hook.outPort) },
  { name: 'ingressPortGroupId', holds: (walk, match) => walk.inGroup(match.ingressPortGroupId!, walk.ingress) },
  { name: 'traversedDeviceId', holds: (walk, match) => walk.traversed.includes(match.traversedDeviceId!) },
  { name: 'vlan', holds: (walk, match) => walk.view.vlanTci() !== undefined && walk.view.vlanId() === match.vlan },
  { name: 'protocol', holds: (walk, match) => hasNetworkHeader(walk) && walk.view.protocol() === match.protocol },
  { name: 'trafficClass', holds: (walk, match) => isIp(walk) && walk.view.trafficClass() === match.trafficClass },
  { name: 'source', holds: (walk, match) => hasNetworkHeader(walk) && walk.view.inPrefix('source', match.source!) },
  {
    name: 'destination',
    holds: (walk, match) => hasNetworkHeader(walk) && walk.view.inPrefix('destination', match.destination!),
  },
  { name: 'sourceSetId', holds: (walk, match) => inSet(walk, 'source', match.sourceSetId!) },
  { name: 'destinationSetId', holds: (walk, match) => inSet(walk, 'destination', match.destinationSetId!) },
  { name: 'sourcePorts', holds: (walk, match) => hasPorts(walk) && within(walk.view.sourcePort(), match.sourcePorts!) },
  {
    name: 'destinationPorts',
    holds: (walk, match) => hasPorts(walk) && within(walk.view.destinationPort(), match.destinationPorts!),
  },
  { name: 'icmpType', holds: (walk, match) => isIcmp(walk) && walk.view.icmpType() === match.icmpType },
  { name: 'icmpCode', holds: (walk, match) => isIcmp(walk) && walk.view.icmpCode() === match.icmpCode },
  {
    name: 'tcpFlags',
    holds: (walk, match) =>
      isIp(walk) &&
      walk.view.protocol() === PROTOCOL.tcp &&
      walk.hasTransportHeader() &&
      walk.view.tcpFlags(match.tcpFlags!.of) === match.tcpFlags!.set,
  },
  { name: 'etherSource', holds: (walk, match) => maskedEqual(walk.view.ethernetSource(), match.etherSource!) },
  {
    name: 'etherDestination',
    holds: (walk, match) => maskedEqual(walk.view.ethernetDestination(), match.etherDestination!),
  },
];
type Condition = (walk: Walk, match: MatchNode, hook: Hook) => boolean;

function ruleMatches(walk: Walk, match: MatchNode, hook: Hook): boolean {
  if (!fragmentFits(walk, match)) return false;
  return conditionsHold(walk, match, hook) !== match.invert;
}

function conditionsHold(walk: Walk, match: MatchNode, hook: Hook): boolean {
  if (match.untagged && walk.view.vlanTci() !== undefined) return false;
  for (const { name, holds } of CONDITIONS) {
    if (match[name] === undefined) continue;
    if (holds(walk, match, hook) === match.not.has(name)) return false;
  }
  return true;
}

function fragmentFits(walk: Walk, match: MatchNode): boolean {
  if (match.fragments === 'any') return true;
  // What is no IP has no fragments: whole.
  const fragment = isIp(walk) ? walk.view.fragment() : FRAGMENT.none;
  if (match.fragments === 'unfragmented') return fragment === FRAGMENT.none;
  return (match.fragments === 'nonheader') === (fragment === FRAGMENT.later);
}

const isIp = (walk: Walk): boolean => walk.view.family() !== undefined;
const hasNetworkHeader = (walk: Walk): boolean => isIp(walk) || walk.view.etherType() === ETHER_TYPE.arp;

function hasPorts(walk: Walk): boolean {
  if (!isIp(walk)) return false;
  const protocol = walk.view.protocol();
  return protocol === PROTOCOL.tcp || protocol === PROTOCOL.udp || protocol === PROTOCOL.sctp;
}

function isIcmp(walk: Walk): boolean {
  const family = walk.view.family();
  if (family === undefined) return false;
  return walk.view.protocol() === (family === 4 ? PROTOCOL.icmp : PROTOCOL.icmp6);
}

function inSet(walk: Walk, field: 'source' | 'destination', setId: Id): boolean {
  if (!hasNetworkHeader(walk)) return false;
  const set = walk.world.topology.addressSet(setId);
  if (set === undefined) {
    walk.ask(QUESTION.addressSet(setId));
    return false;
  }
  const { values, asked } = walk.view.matches(field, set.prefixes);
  walk.ask(QUESTION.addressSet(setId), asked);
  return values.length > 0;
}

const within = (value: number, range: { readonly from: number; readonly to: number }): boolean =>
  value >= range.from && value <= range.to;

// A MAC has 48 bits: more than a bitwise operator of JavaScript takes.
function maskedEqual(mac: Mac, wanted: { readonly mac: Mac; readonly mask: Mac }): boolean {
  return (BigInt(mac) & BigInt(wanted.mask)) === (BigInt(wanted.mac) & BigInt(wanted.mask));
}
