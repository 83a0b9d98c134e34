// The compiled topology, revision by revision. A change rebuilds the nodes that its objects take part in and shares
// all others. Objects may arrive in any order and name what is not there (an agent sees a part of the world): a node
// is made of what is known, and made anew when more is.
//
//   objects → port nodes → chains, who asks for the ingress → bridges, routers
//                 └─ a port is also seen by the device of its peer ─┘

import { bridgeChanges, bridgeNode, dhcpNodes } from './graph/bridge-node.ts';
import {
  addressSetChanges,
  addressSetNode,
  asksIngress,
  chainChanges,
  chainNode,
  ruleNode,
  withJumpers,
} from './graph/chain-node.ts';
import { type Edits, editedNumbers, editedObjects, editedUsers, editsOf } from './graph/edits.ts';
import { overlayMtuBytes } from './graph/overlay.ts';
import { portChanges, portNode } from './graph/port-node.ts';
import { isUsable, routerChanges, routerNode, type Sources } from './graph/router-node.ts';
import { emptyState, Snapshot, type State, stateOf, usersOf } from './graph/state.ts';
import type { Resource, ResourceRef } from './kinds.ts';
import type { Change, PortNode, Topology } from './nodes.ts';
import type { Id } from './resource.ts';

export interface TopologyChange {
  readonly revision: number;
  readonly put: readonly Resource[];
  readonly del: readonly ResourceRef[];
}

/** Nothing, at revision 0. */
export const emptyTopology = (): Topology => new Snapshot(emptyState());

/**
 * The topology with objects put and deleted, and what that altered in terms of the model: every difference between
 * nodes before and after is covered by a `Change`. Objects are as parseDocument leaves them (canonical text); they are
 * kept as they are given and must not be written later.
 * What is both put and deleted is put.
 */
export function applyChanges(
  topology: Topology,
  change: TopologyChange,
): { readonly topology: Topology; readonly changes: Change[] } {
  const before = stateOf(topology);
  const edits = editsOf(before.objects, change.put, change.del);
  const changes: Change[] = [];
  let state: State = {
    ...before,
    revision: change.revision,
    objects: editedObjects(before.objects, edits),
    users: editedUsers(before.users, edits),
    portNumbers: editedNumbers(before.portNumbers, edits.port, (port) => port.tunnelKey),
    floods: editedNumbers(before.floods, edits.bridge, (bridge) => bridge.floodKey),
  };
  if (edits.tunnelZone.size > 0)
    state = { ...state, overlayMtuBytes: overlayMtuBytes(state.objects.tunnelZone.values()) };
  const ports = changedPorts(before, state, edits);
  state = { ...state, ports: state.ports.with(ports.map(({ id, now }) => [id, now])) };
  for (const { id, was, now } of ports) changes.push(...portChanges(id, was, now));

  const askers: Askers = { bridges: new Set(), ports: new Set() };
  state = withChains(before, state, edits, changes, askers);
  state = withAddressSets(before, state, edits, changes);
  state = withBridges(before, state, edits, ports, askers, changes);
  state = withRouters(before, state, edits, ports, changes);
  return { topology: new Snapshot(state), changes };
}

interface PortStep {
  readonly id: Id;
  readonly was: PortNode | undefined;
  readonly now: PortNode | undefined;
}

/** Ports that changed, and those whose node says what their device is or the tunnels carry, and that changed. */
function changedPorts(before: State, state: State, edits: Edits): PortStep[] {
  const dirty = new Set(edits.port.keys());
  for (const device of [edits.bridge, edits.router]) {
    for (const [id, edit] of device) {
      if (edit.before !== undefined && edit.after !== undefined) continue;
      for (const port of usersOf(state, 'port.deviceId', id)) dirty.add(port);
    }
  }
  if (before.overlayMtuBytes !== state.overlayMtuBytes) {
    for (const [id, port] of before.ports) {
      if (port.deviceKind === 'router' && port.object.mtuBytes === undefined) dirty.add(id);
    }
  }
  return [...dirty].map((id) => {
    const object = state.objects.port.get(id);
    const was = before.ports.get(id);
    if (object === undefined) return { id, was, now: undefined };
    const now = portNode(object, deviceKindOf(state, object.deviceId), state.overlayMtuBytes);
    const isSame = was?.object === object && was.deviceKind === now.deviceKind && was.mtuBytes === now.mtuBytes;
    return { id, was, now: isSame ? was : now };
  });
}

function deviceKindOf({ objects }: State, id: Id): 'bridge' | 'router' | undefined {
  return objects.bridge.has(id) ? 'bridge' : objects.router.has(id) ? 'router' : undefined;
}

/** Bridges and ports whose outbound chain asks for the ingress now, or no longer does. */
interface Askers {
  readonly bridges: Set<Id>;
  readonly ports: Set<Id>;
}

function withChains(before: State, now: State, edits: Edits, changes: Change[], askers: Askers): State {
  const dirty = new Set(edits.chain.keys());
  for (const edit of edits.rule.values()) {
    for (const rule of [edit.before, edit.after]) if (rule !== undefined) dirty.add(rule.chainId);
  }
  if (dirty.size === 0) return now;
  const rules = [...edits.rule].map(([id, { after }]) => [id, after && ruleNode(after, now.rules.get(id))] as const);
  let state: State = { ...now, rules: now.rules.with(rules) };
  const chains = [...dirty].map((id) => {
    const object = state.objects.chain.get(id);
    return [id, object && chainNode(state, object, before.chains.get(id))] as const;
  });
  state = { ...state, chains: state.chains.with(chains) };
  for (const [id, node] of chains) changes.push(...chainChanges(id, before.chains.get(id), node));

  const asking = [...withJumpers(state, dirty)].map((id) => [id, asksIngress(state, id) || undefined] as const);
  for (const [id, asks] of asking) {
    if (before.asking.get(id) === asks) continue;
    for (const bridge of usersOf(state, 'bridge.outboundChainId', id)) askers.bridges.add(bridge);
    for (const port of usersOf(state, 'port.outboundChainId', id)) askers.ports.add(port);
  }
  return { ...state, asking: state.asking.with(asking) };
}

function withAddressSets(before: State, state: State, edits: Edits, changes: Change[]): State {
  const sets = [...edits.addressSet].map(([id, edit]) => {
    const was = before.addressSets.get(id);
    const now = edit.after && addressSetNode(edit.after, edit.before, was);
    changes.push(...addressSetChanges(id, was, now));
    return [id, now] as const;
  });
  return { ...state, addressSets: state.addressSets.with(sets) };
}

function withBridges(
  before: State,
  state: State,
  edits: Edits,
  ports: readonly PortStep[],
  askers: Askers,
  changes: Change[],
): State {
  const dhcp = new Set(edits.bridge.keys());
  for (const edit of edits.dhcpSubnet.values()) {
    for (const subnet of [edit.before, edit.after]) if (subnet !== undefined) dhcp.add(subnet.bridgeId);
  }
  for (const edit of edits.dhcpHost.values()) {
    for (const host of [edit.before, edit.after]) {
      const subnet = host && state.objects.dhcpSubnet.get(host.subnetId);
      if (subnet !== undefined) dhcp.add(subnet.bridgeId);
    }
  }
  // Bridges, and which of their ports; undefined: all.
  const dirty = new Map<Id, Set<Id> | undefined>([...dhcp].map((id) => [id, new Set()]));
  const note = (deviceId: Id | undefined, port: Id) => {
    if (deviceId === undefined || (dirty.has(deviceId) && dirty.get(deviceId) === undefined)) return;
    dirty.set(deviceId, (dirty.get(deviceId) ?? new Set<Id>()).add(port));
  };
  for (const id of askers.bridges) dirty.set(id, undefined);
  for (const [id, edit] of edits.bridge) {
    if (edit.before?.outboundChainId !== edit.after?.outboundChainId) dirty.set(id, undefined);
  }
  if (before.overlayMtuBytes !== state.overlayMtuBytes) {
    for (const [id, bridge] of state.objects.bridge)
      if (bridge.mtuBytes === undefined && !dirty.has(id)) dirty.set(id, new Set());
  }
  for (const id of askers.ports) note(state.ports.get(id)?.deviceId, id);
  for (const { id, was, now } of ports) {
    note(was?.deviceId, id);
    note(now?.deviceId, id);
    for (const peer of usersOf(state, 'port.peerId', id)) note(state.ports.get(peer)?.deviceId, peer);
  }
  const nodes = [...dirty].map(([id, changed]) => {
    const object = state.objects.bridge.get(id);
    const was = before.bridges.get(id);
    const now =
      object && bridgeNode(before, state, object, changed, dhcp.has(id) ? dhcpNodes(state, id, was?.dhcp) : undefined);
    if (was !== now) changes.push(...bridgeChanges(id, was, now));
    return [id, now] as const;
  });
  return { ...state, bridges: state.bridges.with(nodes) };
}

function withRouters(before: State, state: State, edits: Edits, ports: readonly PortStep[], changes: Change[]): State {
  const dirty = new Map<Id, Sources>();
  const sourcesOf = (id: Id): Sources => {
    const sources = dirty.get(id) ?? { ports: new Set(), routes: new Set() };
    dirty.set(id, sources);
    return sources;
  };
  for (const id of edits.router.keys()) sourcesOf(id);
  for (const [id, edit] of edits.route) {
    for (const route of [edit.before, edit.after]) if (route !== undefined) sourcesOf(route.routerId).routes.add(id);
  }
  for (const { id, was, now } of ports) {
    for (const routerId of new Set([was?.deviceId, now?.deviceId])) {
      if (routerId === undefined) continue;
      sourcesOf(routerId).ports.add(id);
      if (isUsable(was, routerId) === isUsable(now, routerId)) continue;
      for (const route of usersOf(state, 'route.portId', id)) sourcesOf(routerId).routes.add(route);
    }
  }
  const nodes = [...dirty].map(([id, sources]) => {
    const object = state.objects.router.get(id);
    const was = before.routers.get(id);
    const now = object && routerNode(before, state, object, sources);
    if (was !== now) changes.push(...routerChanges(id, was, now));
    return [id, now] as const;
  });
  return { ...state, routers: state.routers.with(nodes) };
}
