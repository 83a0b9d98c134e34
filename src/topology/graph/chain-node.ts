// Chains, rules and the sets that their conditions speak of.

import { lpmDifferences, lpmOf, lpmWith } from '../../lib/lpm.ts';
import { type Mac, parseMac, parsePrefix } from '../../packet/address.ts';
import type { Chain, Match, Rule } from '../chain.ts';
import type { AddressSet } from '../group.ts';
import type { AddressSetNode, ChainNode, Change, MatchNode, RuleNode } from '../nodes.ts';
import type { Id } from '../resource.ts';
import { kept } from './same.ts';
import { type State, usersOf } from './state.ts';

const ALL_BITS = 0xffffffffffff as Mac;

function maskedMac(given: Match['etherSource']): MatchNode['etherSource'] {
  const mac = given === undefined ? undefined : parseMac(given.mac);
  if (given === undefined || mac === undefined) return undefined;
  return { mac, mask: given.mask === undefined ? ALL_BITS : (parseMac(given.mask) ?? ALL_BITS) };
}

function matchNode(match: Match): MatchNode {
  return {
    fragments: match.fragments ?? 'any',
    inPortIds: match.inPortIds && new Set(match.inPortIds),
    outPortIds: match.outPortIds && new Set(match.outPortIds),
    ingressPortGroupId: match.ingressPortGroupId,
    inPortGroupId: match.inPortGroupId,
    outPortGroupId: match.outPortGroupId,
    sourceSetId: match.sourceSetId,
    destinationSetId: match.destinationSetId,
    etherType: match.etherType,
    etherSource: maskedMac(match.etherSource),
    etherDestination: maskedMac(match.etherDestination),
    untagged: match.untagged ?? false,
    vlan: match.vlan,
    trafficClass: match.trafficClass,
    protocol: match.protocol,
    source: match.source === undefined ? undefined : parsePrefix(match.source),
    destination: match.destination === undefined ? undefined : parsePrefix(match.destination),
    sourcePorts: match.sourcePorts,
    destinationPorts: match.destinationPorts,
    icmpType: match.icmpType,
    icmpCode: match.icmpCode,
    tcpFlags: match.tcpFlags,
    traversedDeviceId: match.traversedDeviceId,
    not: new Set(match.not),
    invert: match.invert,
  };
}

export function ruleNode(rule: Rule, was: RuleNode | undefined): RuleNode {
  return kept(was, {
    id: rule.id,
    name: rule.name,
    number: rule.number,
    position: rule.position,
    match: matchNode(rule.match),
    action: rule.action,
    jumpChainId: rule.jumpChainId,
  });
}

export function chainNode(state: State, chain: Chain, was: ChainNode | undefined): ChainNode {
  const rules = usersOf(state, 'rule.chainId', chain.id).map((id) => state.rules.get(id)!);
  rules.sort((a, b) => a.position - b.position || (a.id < b.id ? -1 : 1));
  return kept(was, { id: chain.id, name: chain.name, rules: kept(was?.rules, rules) });
}

const asksItself = ({ match }: RuleNode): boolean =>
  match.ingressPortGroupId !== undefined ||
  match.inPortIds !== undefined ||
  match.inPortGroupId !== undefined ||
  match.traversedDeviceId !== undefined;

/** Whether a rule of the chain, or of one that it jumps to, asks where a packet came in. Loops end, depth is no matter. */
export function asksIngress(state: State, chainId: Id): boolean {
  const found = new Set([chainId]);
  // A set is iterated in order of insertion, what is added meanwhile included.
  for (const id of found) {
    for (const rule of state.chains.get(id)?.rules ?? []) {
      if (asksItself(rule)) return true;
      if (rule.action === 'jump' && rule.jumpChainId !== undefined) found.add(rule.jumpChainId);
    }
  }
  return false;
}

/** The chains and all that jump to them, directly or through others. */
export function withJumpers(state: State, chainIds: Iterable<Id>): Set<Id> {
  const found = new Set<Id>(chainIds);
  // A set is iterated in order of insertion, what is added meanwhile included.
  for (const id of found) {
    for (const ruleId of usersOf(state, 'rule.jumpChainId', id)) {
      const rule = state.objects.rule.get(ruleId);
      if (rule !== undefined) found.add(rule.chainId);
    }
  }
  return found;
}

export function chainChanges(id: Id, was: ChainNode | undefined, now: ChainNode | undefined): Change[] {
  const old = new Map(was?.rules.map((rule) => [rule.id, rule]));
  const positions = new Set<number>();
  for (const rule of now?.rules ?? []) {
    const before = old.get(rule.id);
    old.delete(rule.id);
    if (before === rule) continue;
    positions.add(rule.position);
    if (before !== undefined) positions.add(before.position);
  }
  for (const rule of old.values()) positions.add(rule.position);
  const changes = [...positions].map((position): Change => ({ kind: 'rule', chainId: id, position }));
  return was?.name === now?.name && (was === undefined) === (now === undefined)
    ? changes
    : [{ kind: 'chain', id }, ...changes];
}

/** `old`: the object that `was` is made of. Texts are canonical, so only those that came or went are looked at. */
export function addressSetNode(
  set: AddressSet,
  old: AddressSet | undefined,
  was: AddressSetNode | undefined,
): AddressSetNode {
  const [before, after] = [new Set(old?.addresses), new Set(set.addresses)];
  const changes = (texts: readonly string[], value: true | undefined) =>
    texts.flatMap((text) => {
      const prefix = parsePrefix(text);
      return prefix === undefined ? [] : [[prefix, value] as const];
    });
  const gone = (old?.addresses ?? []).filter((text) => !after.has(text));
  const come = set.addresses.filter((text) => !before.has(text));
  const changed = [...changes(gone, undefined), ...changes(come, true)];
  const prefixes = was?.prefixes ?? NO_ADDRESSES;
  return kept(was, {
    id: set.id,
    name: set.name,
    prefixes: changed.length === 0 ? prefixes : lpmWith(prefixes, changed),
  });
}

const NO_ADDRESSES: AddressSetNode['prefixes'] = lpmOf([]);

const EVERYTHING = [parsePrefix('0.0.0.0/0')!, parsePrefix('::/0')!];

/** A set that comes, goes or is renamed matters to everybody who asked: not to be there is not the same as empty. */
export function addressSetChanges(id: Id, was: AddressSetNode | undefined, now: AddressSetNode | undefined): Change[] {
  const whole = was === undefined || now === undefined || was.name !== now.name;
  const prefixes = whole ? EVERYTHING : lpmDifferences(was.prefixes, now.prefixes);
  return prefixes.map((prefix) => ({ kind: 'addressSet', id, prefix: prefix as (typeof EVERYTHING)[number] }));
}
