// The compiled topology, revision by revision. A change rebuilds the nodes that its objects take part in and shares
// all others. Objects may arrive in any order and name what is not there (an agent sees a part of the world): a node
// is made of what is known, and made anew when more is.
//
//   objects → port nodes → chains, who asks for the ingress → bridges, routers
//                 └─ a port is also seen by the device of its peer ─┘

import { atOnce, eachLight, eachOf, type Steps } from '../lib/steps.ts';
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
import { isUsable, routerChanges, routerNode } from './graph/router-node.ts';
import { SharedMap, type SharedMapEdit } from './graph/shared-map.ts';
import { emptyState, Snapshot, type State, stateOf, usersOf } from './graph/state.ts';
import { KIND_NAMES, type Kind, type Resource, type ResourceRef } from './kinds.ts';
import type { Change, PortNode, Topology } from './nodes.ts';
import type { Id } from './resource.ts';

export interface TopologyChange {
  readonly revision: number;
  readonly put: readonly Resource[];
  readonly del: readonly ResourceRef[];
}

/** Nothing, at revision 0. */
export const emptyTopology = (): Topology => new Snapshot(emptyState());

export interface Applied {
  readonly topology: Topology;
  readonly changes: Change[];
}

/**
 * The topology with objects put and deleted, and what that altered in terms of the model: every difference between
 * nodes before and after is covered by a `Change`. Objects are as parseDocument leaves them (canonical text); they are
 * kept as they are given and must not be written later.
 * What is both put and deleted is put.
 */
export const applyChanges = (topology: Topology, change: TopologyChange): Applied => atOnce(applying(topology, change));

/** The same in pieces; nobody sees anything of it before its end. */
export function* applying(topology: Topology, { revision, put, del }: TopologyChange): Steps<Applied> {
  const before = stateOf(topology);
  return yield* compiling(before, revision, yield* editsOf(before.objects, put, del));
}

/**
 * The topology that holds exactly these objects, in pieces. Of an object that is there at the same revision the known
 * one is kept. `put` and `del` are what differs.
 */
export function* replacing(
  topology: Topology,
  revision: number,
  objects: Iterable<Resource>,
): Steps<Applied & { readonly put: readonly Resource[]; readonly del: readonly ResourceRef[] }> {
  const before = stateOf(topology);
  const wanted = {} as Record<Kind, SharedMapEdit<Id, Resource>>;
  for (const kind of KIND_NAMES) wanted[kind] = SharedMap.empty<Id, Resource>().edit();
  yield* eachOf(objects, (object) => wanted[object.kind].set(object.value.id, object));
  const put: Resource[] = [];
  const del: ResourceRef[] = [];
  for (const kind of KIND_NAMES) {
    const known = before.objects[kind];
    yield* eachOf(known.keys(), (id) => {
      if (wanted[kind].get(id) === undefined) del.push({ kind, id });
    });
    yield* eachOf(wanted[kind].done().values(), (object) => {
      if (known.get(object.value.id)?.revision !== object.value.revision) put.push(object);
    });
  }
  const applied = yield* compiling(before, revision, yield* editsOf(before.objects, put, del));
  return { ...applied, put, del };
}

function* compiling(before: State, revision: number, edits: Edits): Steps<Applied> {
  const changes: Change[] = [];
  let state: State = {
    ...before,
    revision,
    objects: yield* editedObjects(before.objects, edits),
    users: yield* editedUsers(before.users, edits),
    portNumbers: yield* editedNumbers(before.portNumbers, edits.port, (port) => port.tunnelKey),
    floods: yield* editedNumbers(before.floods, edits.bridge, (bridge) => bridge.floodKey),
  };
  if (edits.tunnelZone.size > 0)
    state = { ...state, overlayMtuBytes: overlayMtuBytes(state.objects.tunnelZone.values()) };
  const ports = yield* changedPorts(before, state, edits);
  const nodes = state.ports.edit();
  yield* eachOf(ports, ({ id, was, now }) => {
    nodes.set(id, now);
    portChanges(id, was, now, changes);
  });
  state = { ...state, ports: nodes.done() };

  const askers: Askers = { bridges: new Set(), ports: new Set() };
  state = yield* withChains(before, state, edits, changes, askers);
  state = yield* withAddressSets(before, state, edits, changes);
  state = yield* withBridges(before, state, edits, ports, askers, changes);
  state = yield* withRouters(before, state, edits, ports, changes);
  return { topology: new Snapshot(state), changes };
}

interface PortStep {
  readonly id: Id;
  readonly was: PortNode | undefined;
  readonly now: PortNode | undefined;
}

/** Ports that changed, and those whose node says what their device is or the tunnels carry, and that changed. */
function* changedPorts(before: State, state: State, edits: Edits): Steps<PortStep[]> {
  const steps: PortStep[] = [];
  const look = (id: Id): void => {
    const object = state.objects.port.get(id);
    const was = before.ports.get(id);
    let now = object && portNode(object, deviceKindOf(state, object.deviceId), state.overlayMtuBytes);
    if (was?.object === object && was?.deviceKind === now?.deviceKind && was?.mtuBytes === now?.mtuBytes) now = was;
    steps.push({ id, was, now });
  };
  yield* eachOf(edits.port.keys(), look);
  const others = new Set<Id>();
  const note = (id: Id): void => {
    if (!edits.port.has(id)) others.add(id);
  };
  for (const device of [edits.bridge, edits.router]) {
    for (const [id, edit] of device) {
      if (edit.before !== undefined && edit.after !== undefined) continue;
      yield* eachLight(usersOf(state, 'port.deviceId', id), note);
      yield;
    }
  }
  if (before.overlayMtuBytes !== state.overlayMtuBytes) {
    yield* eachLight(before.ports, ([id, port]) => {
      if (port.deviceKind === 'router' && port.object.mtuBytes === undefined) note(id);
    });
  }
  yield* eachOf(others, look);
  return steps;
}

function deviceKindOf({ objects }: State, id: Id): 'bridge' | 'router' | undefined {
  return objects.bridge.has(id) ? 'bridge' : objects.router.has(id) ? 'router' : undefined;
}

/** Bridges and ports whose outbound chain asks for the ingress now, or no longer does. */
interface Askers {
  readonly bridges: Set<Id>;
  readonly ports: Set<Id>;
}

function* withChains(before: State, now: State, edits: Edits, changes: Change[], askers: Askers): Steps<State> {
  const dirty = new Set(edits.chain.keys());
  const rules = now.rules.edit();
  yield* eachOf(edits.rule, ([id, edit]) => {
    for (const rule of [edit.before, edit.after]) if (rule !== undefined) dirty.add(rule.chainId);
    rules.set(id, edit.after && ruleNode(edit.after, now.rules.get(id)));
  });
  if (dirty.size === 0) return now;
  let state: State = { ...now, rules: rules.done() };
  const chains = state.chains.edit();
  for (const id of dirty) {
    const object = state.objects.chain.get(id);
    const was = before.chains.get(id);
    const node = object && (yield* chainNode(state, object, was));
    chains.set(id, node);
    yield* chainChanges(id, was, node, changes);
    yield;
  }
  state = { ...state, chains: chains.done() };

  const asking = state.asking.edit();
  yield* eachOf(withJumpers(state, dirty), (id) => {
    const asks = asksIngress(state, id) || undefined;
    asking.set(id, asks);
    if (before.asking.get(id) === asks) return;
    for (const bridge of usersOf(state, 'bridge.outboundChainId', id)) askers.bridges.add(bridge);
    for (const port of usersOf(state, 'port.outboundChainId', id)) askers.ports.add(port);
  });
  return { ...state, asking: asking.done() };
}

function* withAddressSets(before: State, state: State, edits: Edits, changes: Change[]): Steps<State> {
  const sets = state.addressSets.edit();
  for (const [id, edit] of edits.addressSet) {
    const was = before.addressSets.get(id);
    const now = edit.after && (yield* addressSetNode(edit.after, edit.before, was));
    sets.set(id, now);
    yield* addressSetChanges(id, was, now, changes);
    yield;
  }
  return { ...state, addressSets: sets.done() };
}

function* withBridges(
  before: State,
  state: State,
  edits: Edits,
  ports: readonly PortStep[],
  askers: Askers,
  changes: Change[],
): Steps<State> {
  const dhcp = new Set(edits.bridge.keys());
  yield* eachOf(edits.dhcpSubnet.values(), (edit) => {
    for (const subnet of [edit.before, edit.after]) if (subnet !== undefined) dhcp.add(subnet.bridgeId);
  });
  yield* eachOf(edits.dhcpHost.values(), (edit) => {
    for (const host of [edit.before, edit.after]) {
      const subnet = host && state.objects.dhcpSubnet.get(host.subnetId);
      if (subnet !== undefined) dhcp.add(subnet.bridgeId);
    }
  });
  // Bridges, and which of their ports; undefined: all.
  const dirty = new Map<Id, Set<Id> | undefined>();
  yield* eachLight(dhcp, (id) => dirty.set(id, before.bridges.has(id) ? new Set() : undefined));
  const note = (deviceId: Id | undefined, port: Id): void => {
    if (deviceId === undefined || (dirty.has(deviceId) && dirty.get(deviceId) === undefined)) return;
    dirty.set(deviceId, (dirty.get(deviceId) ?? new Set<Id>()).add(port));
  };
  for (const id of askers.bridges) dirty.set(id, undefined);
  yield* eachLight(edits.bridge, ([id, edit]) => {
    if (edit.before?.outboundChainId !== edit.after?.outboundChainId) dirty.set(id, undefined);
  });
  if (before.overlayMtuBytes !== state.overlayMtuBytes) {
    yield* eachLight(state.objects.bridge, ([id, bridge]) => {
      if (bridge.mtuBytes === undefined && !dirty.has(id)) dirty.set(id, new Set());
    });
  }
  yield* eachOf(askers.ports, (id) => note(state.ports.get(id)?.deviceId, id));
  yield* eachOf(ports, ({ id, was, now }) => {
    note(was?.deviceId, id);
    if (now?.deviceId !== was?.deviceId) note(now?.deviceId, id);
    for (const peer of usersOf(state, 'port.peerId', id)) note(state.ports.get(peer)?.deviceId, peer);
  });
  const nodes = state.bridges.edit();
  for (const [id, changed] of dirty) {
    const object = state.objects.bridge.get(id);
    const was = before.bridges.get(id);
    const served = object && dhcp.has(id) ? yield* dhcpNodes(state, id, was?.dhcp) : undefined;
    const now = object && (yield* bridgeNode(before, state, object, changed, served));
    nodes.set(id, now);
    if (was !== now) yield* bridgeChanges(id, was, now, changes);
    yield;
  }
  return { ...state, bridges: nodes.done() };
}

function* withRouters(
  before: State,
  state: State,
  edits: Edits,
  ports: readonly PortStep[],
  changes: Change[],
): Steps<State> {
  const dirty = new Map<Id, { readonly ports: Set<Id>; readonly routes: Set<Id> }>();
  const sourcesOf = (id: Id) => {
    const known = dirty.get(id);
    if (known !== undefined) return known;
    const sources = { ports: new Set<Id>(), routes: new Set<Id>() };
    dirty.set(id, sources);
    return sources;
  };
  for (const id of edits.router.keys()) sourcesOf(id);
  yield* eachOf(edits.route, ([id, edit]) => {
    for (const route of [edit.before, edit.after]) if (route !== undefined) sourcesOf(route.routerId).routes.add(id);
  });
  yield* eachOf(ports, ({ id, was, now }) => {
    for (const routerId of new Set([was?.deviceId, now?.deviceId])) {
      if (routerId === undefined || !(before.routers.has(routerId) || state.objects.router.has(routerId))) continue;
      sourcesOf(routerId).ports.add(id);
      if (isUsable(was, routerId) === isUsable(now, routerId)) continue;
      for (const route of usersOf(state, 'route.portId', id)) sourcesOf(routerId).routes.add(route);
    }
  });
  const nodes = state.routers.edit();
  for (const [id, sources] of dirty) {
    const object = state.objects.router.get(id);
    const was = before.routers.get(id);
    const now = object && (yield* routerNode(before, state, object, sources));
    nodes.set(id, now);
    if (was !== now) yield* routerChanges(id, was, now, changes);
    yield;
  }
  return { ...state, routers: nodes.done() };
}
