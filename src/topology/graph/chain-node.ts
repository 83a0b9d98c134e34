// Chains, rules and the sets that their conditions speak of.

import { lpmDifferences, lpmEdit, lpmOf } from '../../lib/lpm.ts';
import { eachOf, type Steps, sorted } from '../../lib/steps.ts';
import { type Mac, type Prefix, parseMac, parsePrefix } from '../../packet/address.ts';
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

export function* chainNode(state: State, chain: Chain, was: ChainNode | undefined): Steps<ChainNode> {
  const rules: RuleNode[] = [];
  yield* eachOf(usersOf(state, 'rule.chainId', chain.id), (id) => rules.push(state.rules.get(id)!));
  const ordered = yield* sorted(rules, (a, b) => a.position - b.position || (a.id < b.id ? -1 : 1));
  return kept(was, { id: chain.id, name: chain.name, rules: kept(was?.rules, ordered) });
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

export function* chainChanges(
  id: Id,
  was: ChainNode | undefined,
  now: ChainNode | undefined,
  changes: Change[],
): Steps<void> {
  const old = new Map<Id, RuleNode>();
  yield* eachOf(was?.rules ?? [], (rule) => old.set(rule.id, rule));
  const positions = new Set<number>();
  yield* eachOf(now?.rules ?? [], (rule) => {
    const before = old.get(rule.id);
    old.delete(rule.id);
    if (before === rule) return;
    positions.add(rule.position);
    if (before !== undefined) positions.add(before.position);
  });
  yield* eachOf(old.values(), (rule) => positions.add(rule.position));
  if (was?.name !== now?.name || (was === undefined) !== (now === undefined)) changes.push({ kind: 'chain', id });
  yield* eachOf(positions, (position) => changes.push({ kind: 'rule', chainId: id, position }));
}

/** `old`: the object that `was` is made of. Texts are canonical, so only those that came or went are looked at. */
export function* addressSetNode(
  set: AddressSet,
  old: AddressSet | undefined,
  was: AddressSetNode | undefined,
): Steps<AddressSetNode> {
  const before = new Set<string>();
  const after = new Set<string>();
  yield* eachOf(old?.addresses ?? [], (text) => before.add(text));
  yield* eachOf(set.addresses, (text) => after.add(text));
  const edit = lpmEdit(was?.prefixes ?? NO_ADDRESSES);
  let differs = was === undefined;
  const put = (text: string, value: true | undefined): void => {
    const prefix = parsePrefix(text);
    if (prefix === undefined) return;
    edit.set(prefix, value);
    differs = true;
  };
  yield* eachOf(before, (text) => {
    if (!after.has(text)) put(text, undefined);
  });
  yield* eachOf(after, (text) => {
    if (!before.has(text)) put(text, true);
  });
  const prefixes = differs ? edit.done() : was!.prefixes;
  return kept(was, { id: set.id, name: set.name, prefixes });
}

const NO_ADDRESSES: AddressSetNode['prefixes'] = lpmOf([]);

const EVERYTHING = [parsePrefix('0.0.0.0/0')!, parsePrefix('::/0')!];

/** A set that comes, goes or is renamed matters to everybody who asked: not to be there is not the same as empty. */
export function* addressSetChanges(
  id: Id,
  was: AddressSetNode | undefined,
  now: AddressSetNode | undefined,
  changes: Change[],
): Steps<void> {
  const whole = was === undefined || now === undefined || was.name !== now.name;
  const prefixes = whole ? EVERYTHING : (lpmDifferences(was.prefixes, now.prefixes) as Iterable<Prefix>);
  yield* eachOf(prefixes, (prefix) => changes.push({ kind: 'addressSet', id, prefix }));
}
