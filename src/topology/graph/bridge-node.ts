// Bridges: which ports take part in a flood and how, and where addresses are by configuration.

import { type Ip, linkLocalOf, type Mac, parseMac, parsePrefix } from '../../packet/address.ts';
import type { Bridge } from '../bridge.ts';
import type { DhcpHost, DhcpSubnet } from '../dhcp.ts';
import type { BridgeNode, Change, DhcpNode, PortNode } from '../nodes.ts';
import type { Id } from '../resource.ts';
import { byNumber } from './port-node.ts';
import { kept, same } from './same.ts';
import { type State, usersOf } from './state.ts';

type Neighbour = { readonly mac: Mac; readonly portId: Id; readonly router: boolean };

/** `dhcp` undefined: that of `was` is still right. Parts that say the same keep their identity. */
export function bridgeNode(
  state: State,
  bridge: Bridge,
  was: BridgeNode | undefined,
  dhcp: readonly DhcpNode[] | undefined,
): BridgeNode {
  const ports = portsOf(state, bridge.id);
  const asks = (chainId: Id | undefined) => chainId !== undefined && state.asking.has(chainId);
  const members: Id[] = [];
  const ingressDecided: Id[] = [];
  const peered: Id[] = [];
  const macs = new Map<string, Id>();
  const neighbours = new Map<Ip, Neighbour>();
  for (const port of ports) {
    if (port.peerId !== undefined) {
      peered.push(port.id);
      const peer = state.ports.get(port.peerId);
      if (peer?.deviceKind === 'router') place(peer, port, true, macs, neighbours);
    } else if (port.binding !== undefined) {
      (asks(bridge.outboundChainId) || asks(port.outboundChainId) ? ingressDecided : members).push(port.id);
      place(port, port, false, macs, neighbours);
    }
  }
  const node: BridgeNode = {
    id: bridge.id,
    name: bridge.name,
    adminUp: bridge.adminUp,
    inboundChainId: bridge.inboundChainId,
    outboundChainId: bridge.outboundChainId,
    mtuBytes: bridge.mtuBytes,
    macExpirySeconds: bridge.macExpirySeconds,
    flood: bridge.floodKey,
    portIds: kept(
      was?.portIds,
      ports.map((port) => port.id),
    ),
    members: kept(was?.members, members),
    ingressDecided: kept(was?.ingressDecided, ingressDecided),
    peered: kept(was?.peered, peered),
    macs: kept<BridgeNode['macs']>(was?.macs, macs),
    neighbours: kept<BridgeNode['neighbours']>(was?.neighbours, neighbours),
    dhcp: dhcp ?? was?.dhcp ?? [],
  };
  return kept(was, node);
}

export const portsOf = (state: State, deviceId: Id): PortNode[] =>
  usersOf(state, 'port.deviceId', deviceId)
    .map((id) => state.ports.get(id)!)
    .sort(byNumber);

/** The addresses of `owner`, a guest at `port` or a router behind it. Who was there first stays. */
function place(
  owner: PortNode,
  port: PortNode,
  router: boolean,
  macs: Map<string, Id>,
  neighbours: Map<Ip, Neighbour>,
): void {
  const { mac } = owner;
  if (mac === undefined) return;
  const key = `${port.vlan ?? 0}/${mac}`;
  if (!macs.has(key)) macs.set(key, port.id);
  for (const ip of [...owner.addresses.map((address) => address.ip), linkLocalOf(mac)]) {
    if (!neighbours.has(ip)) neighbours.set(ip, { mac, portId: port.id, router });
  }
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
    return [kept(old, { subnet, prefix, hosts: byMac })];
  });
  return kept(was, nodes);
}

const ownFields = ({ portIds, members, ingressDecided, peered, macs, neighbours, dhcp, ...own }: BridgeNode) => own;
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

/** Keys whose values differ, those of only one map included. */
function differing<K, V>(was: ReadonlyMap<K, V> = new Map(), now: ReadonlyMap<K, V> = new Map()): K[] {
  if (was === now) return [];
  const keys = [...was.keys()].filter((key) => !same(was.get(key), now.get(key)));
  return [...keys, ...[...now.keys()].filter((key) => !was.has(key))];
}
