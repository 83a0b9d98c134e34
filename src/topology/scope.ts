// Which objects a host needs to walk packets through a device, and which devices a change concerns. Hosts and tunnel
// zones are in everybody's scope and not told here; projects are in nobody's.
//
//   device ─ routes, DHCP
//      ├──── chains ─ rules ─ jumps ─ chains …        a rule names address sets and port groups
//      └──── ports ── chains, groups
//              └───── peer ports ── chains, groups    (the devices beyond are scopes of their own)

import { withJumpers } from './graph/chain-node.ts';
import { type State, stateOf, usersOf } from './graph/state.ts';
import type { Kind, Objects, ResourceRef } from './kinds.ts';
import type { Topology } from './nodes.ts';
import type { Id } from './resource.ts';

/** Everything that exists of what a walk through the device may meet; nothing when the device does not exist. */
export function scopeOf(topology: Topology, deviceId: Id): ResourceRef[] {
  const state = stateOf(topology);
  const scope = new Scope(state);
  const { bridge: bridges, router: routers } = state.objects;
  const bridge = bridges.get(deviceId);
  const router = routers.get(deviceId);
  if (bridge !== undefined) {
    scope.add('bridge', deviceId);
    scope.chains(bridge);
    for (const subnet of usersOf(state, 'dhcpSubnet.bridgeId', deviceId)) {
      scope.add('dhcpSubnet', subnet);
      for (const host of usersOf(state, 'dhcpHost.subnetId', subnet)) scope.add('dhcpHost', host);
    }
  } else if (router !== undefined) {
    scope.add('router', deviceId);
    scope.chains(router);
    for (const route of usersOf(state, 'route.routerId', deviceId)) scope.add('route', route);
  } else {
    return [];
  }
  for (const id of usersOf(state, 'port.deviceId', deviceId)) {
    scope.port(id);
    const { peerId } = state.objects.port.get(id)!;
    if (peerId !== undefined) scope.port(peerId);
  }
  return scope.refs;
}

class Scope {
  readonly refs: ResourceRef[] = [];
  readonly #seen = new Set<Id>();
  readonly #state: State;

  constructor(state: State) {
    this.#state = state;
  }

  /** The object, when it exists and is new here. */
  add<K extends Kind>(kind: K, id: Id): Objects[K] | undefined {
    if (this.#seen.has(id)) return undefined;
    const object = this.#state.objects[kind].get(id);
    if (object === undefined) return undefined;
    this.#seen.add(id);
    this.refs.push({ kind, id });
    return object;
  }

  port(id: Id): void {
    const port = this.add('port', id);
    if (port === undefined) return;
    for (const group of port.portGroupIds) this.add('portGroup', group);
    this.chains(port);
  }

  chains(holder: { readonly inboundChainId?: Id; readonly outboundChainId?: Id }): void {
    // Grows while it is walked: what jumps lead to comes after.
    const open = [holder.inboundChainId, holder.outboundChainId];
    for (const id of open) {
      if (id === undefined || this.add('chain', id) === undefined) continue;
      for (const ruleId of usersOf(this.#state, 'rule.chainId', id)) {
        this.add('rule', ruleId);
        const { match, jumpChainId } = this.#state.objects.rule.get(ruleId)!;
        open.push(jumpChainId);
        for (const set of [match.sourceSetId, match.destinationSetId])
          if (set !== undefined) this.add('addressSet', set);
        for (const group of [match.ingressPortGroupId, match.inPortGroupId, match.outPortGroupId]) {
          if (group !== undefined) this.add('portGroup', group);
        }
      }
    }
  }
}

/** The devices of the ports that are bound to the host, and those one wire away from them. */
export function devicesOf(topology: Topology, hostId: Id): Set<Id> {
  const state = stateOf(topology);
  const devices = new Set<Id>();
  const own = new Set(usersOf(state, 'port.hostId', hostId).map((id) => state.objects.port.get(id)!.deviceId));
  for (const deviceId of own) {
    devices.add(deviceId);
    for (const id of usersOf(state, 'port.deviceId', deviceId)) {
      const peer = state.objects.port.get(state.objects.port.get(id)!.peerId ?? '');
      if (peer !== undefined) devices.add(peer.deviceId);
    }
  }
  return devices;
}

/** Devices whose scope may differ, in its list or in an object of it, when these objects changed. */
export function devicesTouched(before: Topology, after: Topology, changed: Iterable<ResourceRef>): Set<Id> {
  const refs = [...changed];
  const devices = new Set<Id>();
  for (const topology of [before, after]) touchedIn(stateOf(topology), refs, devices);
  return devices;
}

function touchedIn(state: State, refs: readonly ResourceRef[], devices: Set<Id>): void {
  const { objects } = state;
  const chains = new Set<Id>();
  const ports = new Set<Id>();
  for (const { kind, id } of refs) {
    switch (kind) {
      case 'bridge':
      case 'router':
        devices.add(id);
        break;
      case 'port':
        ports.add(id);
        break;
      case 'route':
        addDefined(devices, objects.route.get(id)?.routerId);
        break;
      case 'dhcpSubnet':
        addDefined(devices, objects.dhcpSubnet.get(id)?.bridgeId);
        break;
      case 'dhcpHost':
        addDefined(devices, objects.dhcpSubnet.get(objects.dhcpHost.get(id)?.subnetId ?? '')?.bridgeId);
        break;
      case 'chain':
        chains.add(id);
        break;
      case 'rule':
        addDefined(chains, objects.rule.get(id)?.chainId);
        break;
      case 'addressSet':
      case 'portGroup':
        for (const relation of NAMED_BY[kind]) {
          for (const rule of usersOf(state, relation, id)) addDefined(chains, objects.rule.get(rule)?.chainId);
        }
        if (kind === 'portGroup') for (const port of usersOf(state, 'port.portGroupIds', id)) ports.add(port);
        break;
      case 'project':
      case 'host':
      case 'tunnelZone':
        break;
    }
  }
  for (const id of withJumpers(state, chains)) {
    for (const hook of ['inboundChainId', 'outboundChainId']) {
      for (const bridge of usersOf(state, `bridge.${hook}`, id)) devices.add(bridge);
      for (const router of usersOf(state, `router.${hook}`, id)) devices.add(router);
      for (const port of usersOf(state, `port.${hook}`, id)) ports.add(port);
    }
  }
  for (const id of ports) {
    addDefined(devices, objects.port.get(id)?.deviceId);
    for (const end of usersOf(state, 'port.peerId', id)) addDefined(devices, objects.port.get(end)?.deviceId);
  }
}

const NAMED_BY = {
  addressSet: ['rule.match.sourceSetId', 'rule.match.destinationSetId'],
  portGroup: ['rule.match.ingressPortGroupId', 'rule.match.inPortGroupId', 'rule.match.outPortGroupId'],
} as const;

function addDefined(set: Set<Id>, id: Id | undefined): void {
  if (id !== undefined) set.add(id);
}
