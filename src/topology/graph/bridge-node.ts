// Bridges: which ports take part in a flood and how, and where addresses are by configuration.

import { lpmOf } from '../../lib/lpm.ts';
import {
  type Ip,
  type Ip4,
  isIp4,
  linkLocalOf,
  type Mac,
  type Prefix,
  parseIp4,
  parseMac,
  parsePrefix,
} from '../../packet/address.ts';
import type { Bridge } from '../bridge.ts';
import type { DhcpHost, DhcpSubnet } from '../dhcp.ts';
import type { BridgeNode, Change, DhcpNode, PortNode } from '../nodes.ts';
import type { Id } from '../resource.ts';
import { Claims } from './claims.ts';
import { byNumber } from './port-node.ts';
import { kept, same } from './same.ts';
import { type State, usersOf } from './state.ts';

type Neighbour = { readonly mac: Mac; readonly portId: Id; readonly router: boolean };
type Macs = Claims<string, Id>;
type Neighbours = Claims<Ip, Neighbour>;

const NO_MACS: Macs = new Claims();
const NO_NEIGHBOURS: Neighbours = new Claims();

/**
 * `dirty`: ports that are, or were, on the bridge and that changed, or whose peer did; undefined: all. `dhcp`
 * undefined: that of `was` is still right. Parts that say the same keep their identity.
 */
export function bridgeNode(
  before: State,
  state: State,
  bridge: Bridge,
  dirty: ReadonlySet<Id> | undefined,
  dhcp: readonly DhcpNode[] | undefined,
): BridgeNode {
  const { id } = bridge;
  const was = before.bridges.get(id);
  const changed = was === undefined || dirty === undefined ? allPorts(before, state, id) : dirty;
  const here = [...changed].flatMap((portId) => portOn(state, id, portId) ?? []);
  const asks = (chainId: Id | undefined) => chainId !== undefined && state.asking.has(chainId);
  const asked = (port: PortNode) => asks(bridge.outboundChainId) || asks(port.outboundChainId);
  const list = (old: readonly Id[] | undefined, belongs: (port: PortNode) => boolean) =>
    kept(old, replaced(state, old ?? [], changed, here.filter(belongs)));
  const node: BridgeNode = {
    id,
    name: bridge.name,
    adminUp: bridge.adminUp,
    inboundChainId: bridge.inboundChainId,
    outboundChainId: bridge.outboundChainId,
    mtuBytes: bridge.mtuBytes ?? state.overlayMtuBytes,
    macExpirySeconds: bridge.macExpirySeconds,
    flood: bridge.floodKey,
    portIds: list(was?.portIds, () => true),
    members: list(was?.members, (port) => hasGuest(port) && !asked(port)),
    ingressDecided: list(was?.ingressDecided, (port) => hasGuest(port) && asked(port)),
    peered: list(was?.peered, (port) => port.peerId !== undefined),
    ...residents(before, state, was, id, changed),
    ...served(was, dhcp ?? was?.dhcp ?? []),
  };
  return kept(was, node);
}

const hasGuest = (port: PortNode): boolean => port.peerId === undefined && port.binding !== undefined;

const allPorts = (before: State, state: State, bridgeId: Id): ReadonlySet<Id> =>
  new Set([...usersOf(before, 'port.deviceId', bridgeId), ...usersOf(state, 'port.deviceId', bridgeId)]);

function portOn({ ports }: State, bridgeId: Id, portId: Id): PortNode | undefined {
  const port = ports.get(portId);
  return port?.deviceId === bridgeId ? port : undefined;
}

export const portsOf = (state: State, deviceId: Id): PortNode[] =>
  usersOf(state, 'port.deviceId', deviceId)
    .map((id) => state.ports.get(id)!)
    .sort(byNumber);

/** A list by number, without the ids that are out and with the ports that are in. */
function replaced(state: State, list: readonly Id[], out: ReadonlySet<Id>, into: readonly PortNode[]): readonly Id[] {
  const rest = list.filter((id) => !out.has(id));
  if (into.length > FEW) {
    const ports = [...rest.map((id) => state.ports.get(id)!), ...into].sort(byNumber);
    return ports.map((port) => port.id);
  }
  for (const port of into) {
    let [from, to] = [0, rest.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (byNumber(state.ports.get(rest[middle]!)!, port) < 0) from = middle + 1;
      else to = middle;
    }
    rest.splice(from, 0, port.id);
  }
  return rest;
}

/** Up to so many ports, putting each in its place costs less than sorting the list anew. */
const FEW = 16;

/** Who lives at a port of the bridge by configuration: a guest that is bound there, or the router behind it. */
function residentAt(state: State, port: PortNode): { owner: PortNode; router: boolean } | undefined {
  if (port.peerId === undefined) return port.binding === undefined ? undefined : { owner: port, router: false };
  const peer = state.ports.get(port.peerId);
  return peer?.deviceKind === 'router' ? { owner: peer, router: true } : undefined;
}

function residents(
  before: State,
  state: State,
  was: BridgeNode | undefined,
  bridgeId: Id,
  changed: ReadonlySet<Id>,
): Pick<BridgeNode, 'macs' | 'neighbours'> {
  const old = { macs: (was?.macs as Macs) ?? NO_MACS, neighbours: (was?.neighbours as Neighbours) ?? NO_NEIGHBOURS };
  const macs = new Map<string, Id[]>();
  const neighbours = new Map<Ip, Neighbour[]>();
  // The lists of every key that a changed port claimed or claims, without these ports, then with what they claim now.
  for (const [at, comes] of [
    [before, false],
    [state, true],
  ] as const) {
    for (const portId of changed) {
      const port = portOn(at, bridgeId, portId);
      const resident = port && residentAt(at, port);
      const mac = resident?.owner.mac;
      if (port === undefined || resident === undefined || mac === undefined) continue;
      const key = `${port.vlan ?? 0}/${mac}`;
      const ids = listOf(macs, key, () => (old.macs.lists.get(key) ?? []).filter((id) => !changed.has(id)));
      if (comes) ids.push(portId);
      for (const ip of addressesOf(resident.owner, mac)) {
        const list = listOf(neighbours, ip, () =>
          (old.neighbours.lists.get(ip) ?? []).filter((neighbour) => !changed.has(neighbour.portId)),
        );
        if (comes) list.push({ mac, portId, router: resident.router });
      }
    }
  }
  const order = (a: Id, b: Id) => byNumber(state.ports.get(a)!, state.ports.get(b)!);
  for (const ids of macs.values()) ids.sort(order);
  for (const list of neighbours.values()) list.sort((a, b) => order(a.portId, b.portId));
  return {
    macs: old.macs.with(sharing(macs, old.macs)),
    neighbours: old.neighbours.with(sharing(neighbours, old.neighbours)),
  };
}

const addressesOf = (port: PortNode, mac: Mac): ReadonlySet<Ip> =>
  new Set<Ip>([...port.addresses.map(({ ip }) => ip), linkLocalOf(mac)]);

function listOf<K, V>(map: Map<K, V[]>, key: K, start: () => V[]): V[] {
  const list = map.get(key) ?? start();
  map.set(key, list);
  return list;
}

function* sharing<K extends string | number | bigint, V>(
  lists: ReadonlyMap<K, V[]>,
  old: Claims<K, V>,
): Iterable<readonly [K, readonly V[]]> {
  for (const [key, list] of lists) yield [key, kept<readonly V[]>(old.lists.get(key), list)];
}

export function dhcpNodes(state: State, bridgeId: Id, was: readonly DhcpNode[] | undefined): readonly DhcpNode[] {
  const nodes = usersOf(state, 'dhcpSubnet.bridgeId', bridgeId).flatMap((id): DhcpNode[] => {
    const subnet = state.objects.dhcpSubnet.get(id)!;
    const prefix = parsePrefix(subnet.prefix);
    if (prefix === undefined) return [];
    const hosts = usersOf(state, 'dhcpHost.subnetId', id).map((host) => state.objects.dhcpHost.get(host)!);
    const byMac = new Map<Mac, (typeof hosts)[number]>();
    for (const host of hosts) {
      const mac = parseMac(host.mac);
      if (mac !== undefined && !byMac.has(mac)) byMac.set(mac, host);
    }
    const old = was?.find((node) => node.subnet.id === id);
    return [kept(old, { subnet, prefix, serverId: serverIdOf(subnet, prefix), hosts: byMac })];
  });
  return kept(was, nodes);
}

const serverIdOf = (subnet: DhcpSubnet, { ip }: Prefix): Ip4 | undefined =>
  isIp4(ip) ? (parseIp4(subnet.serverAddress ?? '') ?? parseIp4(subnet.gateway ?? '') ?? ((ip + 1) as Ip4)) : undefined;

function served(was: BridgeNode | undefined, dhcp: readonly DhcpNode[]): Pick<BridgeNode, 'dhcp' | 'dhcpServers'> {
  if (dhcp === was?.dhcp) return { dhcp, dhcpServers: was.dhcpServers };
  const ids = new Set(
    dhcp.flatMap(({ subnet, serverId }) => (subnet.enabled && serverId !== undefined ? [serverId] : [])),
  );
  return { dhcp, dhcpServers: lpmOf([...ids].map((ip) => [{ ip, bits: 32 }, true])) };
}

const ownFields = ({
  portIds,
  members,
  ingressDecided,
  peered,
  macs,
  neighbours,
  dhcp,
  dhcpServers,
  ...own
}: BridgeNode) => own;
const memberFields = (node: BridgeNode | undefined) =>
  [node?.members ?? [], node?.ingressDecided ?? [], node?.peered ?? []] as const;

export function bridgeChanges(id: Id, was: BridgeNode | undefined, now: BridgeNode | undefined): Change[] {
  const changes: Change[] = [];
  if (was === undefined || now === undefined || !same(ownFields(was), ownFields(now))) {
    changes.push({ kind: 'bridge', id });
  }
  if (!same(memberFields(was), memberFields(now))) changes.push({ kind: 'members', bridgeId: id });
  for (const key of differing(was?.macs, now?.macs)) {
    const [vlan, mac] = key.split('/').map(Number) as [number, Mac];
    changes.push({ kind: 'configuredMac', bridgeId: id, vlan, mac });
  }
  for (const ip of differing(was?.neighbours, now?.neighbours)) {
    changes.push({ kind: 'configuredNeighbour', bridgeId: id, ip });
  }
  if (!same(was?.dhcp.map(bareDhcp) ?? [], now?.dhcp.map(bareDhcp) ?? [])) changes.push({ kind: 'dhcp', bridgeId: id });
  return changes;
}

const bareDhcp = ({ subnet, prefix, hosts }: DhcpNode) => ({
  prefix,
  subnet: bareObject(subnet),
  hosts: new Map([...hosts].map(([mac, host]) => [mac, bareObject(host)])),
});

// Without what no answer depends on.
function bareObject(object: DhcpSubnet | DhcpHost): object {
  const { revision, createdAt, updatedAt, tags, projectId, ...rest } = object;
  return rest;
}

/** Keys whose first claims differ. */
function* differing<K extends string | number | bigint, V>(
  was: ReadonlyMap<K, V> | undefined,
  now: ReadonlyMap<K, V> | undefined,
): Iterable<K> {
  const [old, young] = [(was as Claims<K, V>) ?? new Claims<K, V>(), (now as Claims<K, V>) ?? new Claims<K, V>()];
  for (const key of old.lists.differences(young.lists)) if (!same(old.get(key), young.get(key))) yield key;
}
