// Bridges: which ports take part in a flood and how, and where addresses are by configuration.

import { lpmOf } from '../../lib/lpm.ts';
import { eachLight, eachOf, LIGHT_PIECE_ITEMS, merged, type Steps, sorted } from '../../lib/steps.ts';
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
import { SharedMap, type SharedMapEdit } from './shared-map.ts';
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
export function* bridgeNode(
  before: State,
  state: State,
  bridge: Bridge,
  dirty: ReadonlySet<Id> | undefined,
  dhcp: readonly DhcpNode[] | undefined,
): Steps<BridgeNode> {
  const { id } = bridge;
  const was = before.bridges.get(id);
  const changed = was === undefined || dirty === undefined ? allPorts(id) : somePorts(dirty);
  const here: PortNode[] = [];
  yield* eachLight(changed.idsIn(state), (portId) => {
    const port = portOn(state, id, portId);
    if (port !== undefined) here.push(port);
  });
  const ports = yield* sorted(here, byNumber);
  const asks = (chainId: Id | undefined) => chainId !== undefined && state.asking.has(chainId);
  const asked = (port: PortNode) => asks(bridge.outboundChainId) || asks(port.outboundChainId);
  const list = (old: readonly Id[] | undefined, belongs: (port: PortNode) => boolean) =>
    replaced(state, old ?? [], changed, ports, belongs);
  const node: BridgeNode = {
    id,
    name: bridge.name,
    adminUp: bridge.adminUp,
    inboundChainId: bridge.inboundChainId,
    outboundChainId: bridge.outboundChainId,
    mtuBytes: bridge.mtuBytes ?? state.overlayMtuBytes,
    macExpirySeconds: bridge.macExpirySeconds,
    flood: bridge.floodKey,
    portIds: yield* list(was?.portIds, () => true),
    members: yield* list(was?.members, (port) => hasGuest(port) && !asked(port)),
    ingressDecided: yield* list(was?.ingressDecided, (port) => hasGuest(port) && asked(port)),
    peered: yield* list(was?.peered, (port) => port.peerId !== undefined),
    ...(yield* residents(before, state, was, id, changed)),
    ...served(was, dhcp ?? was?.dhcp ?? []),
  };
  return kept(was, node);
}

const hasGuest = (port: PortNode): boolean => port.peerId === undefined && port.binding !== undefined;

/** Ports that are, or were, on a bridge and are looked at anew. */
interface Changed {
  has(portId: Id): boolean;
  /** Those that are on the bridge in this state are among them. */
  idsIn(state: State): Iterable<Id>;
}
const somePorts = (ids: ReadonlySet<Id>): Changed => ({ has: (id) => ids.has(id), idsIn: () => ids });
const allPorts = (bridgeId: Id): Changed => ({
  has: () => true,
  idsIn: (state) => usersOf(state, 'port.deviceId', bridgeId),
});

function portOn({ ports }: State, bridgeId: Id, portId: Id): PortNode | undefined {
  const port = ports.get(portId);
  return port?.deviceId === bridgeId ? port : undefined;
}

/** By number. */
export function* portsOf(state: State, deviceId: Id): Steps<PortNode[]> {
  const ports: PortNode[] = [];
  yield* eachLight(usersOf(state, 'port.deviceId', deviceId), (id) => ports.push(state.ports.get(id)!));
  return yield* sorted(ports, byNumber);
}

/** A list by number: without the ids that are out, with those of `ports` (by number) that belong. */
function* replaced(
  state: State,
  list: readonly Id[],
  out: Changed,
  ports: readonly PortNode[],
  belongs: (port: PortNode) => boolean,
): Steps<readonly Id[]> {
  const now: Id[] = [];
  yield* eachLight(list, (id) => {
    if (!out.has(id)) now.push(id);
  });
  const into: PortNode[] = [];
  yield* eachLight(ports, (port) => {
    if (belongs(port)) into.push(port);
  });
  if (into.length > FEW) {
    const rest: PortNode[] = [];
    yield* eachLight(now.splice(0), (id) => rest.push(state.ports.get(id)!));
    yield* eachLight(yield* merged(rest, into, byNumber), (port) => now.push(port.id));
  } else {
    for (const port of into) now.splice(placeOf(state, now, port), 0, port.id);
  }
  return (yield* sameIds(list, now)) ? list : now;
}

/** Up to so many ports, putting each in its place costs less than merging the lists. */
const FEW = 16;

/** Where the port belongs in a list by number. */
function placeOf(state: State, list: readonly Id[], port: PortNode): number {
  let [from, to] = [0, list.length];
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (byNumber(state.ports.get(list[middle]!)!, port) < 0) from = middle + 1;
    else to = middle;
  }
  return from;
}

function* sameIds(a: readonly Id[], b: readonly Id[]): Steps<boolean> {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) {
    if (a[at] !== b[at]) return false;
    if (at % LIGHT_PIECE_ITEMS === LIGHT_PIECE_ITEMS - 1) yield;
  }
  return true;
}

/** Who lives at a port of the bridge by configuration: a guest that is bound there, or the router behind it. */
function residentAt(state: State, port: PortNode): { owner: PortNode; router: boolean } | undefined {
  if (port.peerId === undefined) return port.binding === undefined ? undefined : { owner: port, router: false };
  const peer = state.ports.get(port.peerId);
  return peer?.deviceKind === 'router' ? { owner: peer, router: true } : undefined;
}

function* residents(
  before: State,
  state: State,
  was: BridgeNode | undefined,
  bridgeId: Id,
  changed: Changed,
): Steps<Pick<BridgeNode, 'macs' | 'neighbours'>> {
  const old = { macs: (was?.macs as Macs) ?? NO_MACS, neighbours: (was?.neighbours as Neighbours) ?? NO_NEIGHBOURS };
  const macs = SharedMap.empty<string, Id[]>().edit();
  const neighbours = SharedMap.empty<Ip, Neighbour[]>().edit();
  // The lists of every key that a changed port claimed or claims, without these ports, then with what they claim now.
  const note = (at: State, portId: Id): void => {
    const port = portOn(at, bridgeId, portId);
    const resident = port && residentAt(at, port);
    const mac = resident?.owner.mac;
    if (port === undefined || resident === undefined || mac === undefined) return;
    const key = `${port.vlan ?? 0}/${mac}`;
    const ids = listOf(macs, key, () => (old.macs.lists.get(key) ?? []).filter((id) => !changed.has(id)));
    if (at === state) ids.push(portId);
    for (const ip of addressesOf(resident.owner, mac)) {
      const list = listOf(neighbours, ip, () =>
        (old.neighbours.lists.get(ip) ?? []).filter((neighbour) => !changed.has(neighbour.portId)),
      );
      if (at === state) list.push({ mac, portId, router: resident.router });
    }
  };
  for (const at of [before, state]) yield* eachOf(changed.idsIn(at), (portId) => note(at, portId));
  const order = (a: Id, b: Id) => byNumber(state.ports.get(a)!, state.ports.get(b)!);
  const [macLists, neighbourLists] = [old.macs.lists.edit(), old.neighbours.lists.edit()];
  yield* eachOf(macs.done(), ([key, ids]) => setList(macLists, key, ids.sort(order)));
  yield* eachOf(neighbours.done(), ([ip, list]) =>
    setList(
      neighbourLists,
      ip,
      list.sort((a, b) => order(a.portId, b.portId)),
    ),
  );
  return { macs: old.macs.with(macLists.done()), neighbours: old.neighbours.with(neighbourLists.done()) };
}

const addressesOf = (port: PortNode, mac: Mac): ReadonlySet<Ip> =>
  new Set<Ip>([...port.addresses.map(({ ip }) => ip), linkLocalOf(mac)]);

function listOf<K extends string | number | bigint, V>(lists: SharedMapEdit<K, V[]>, key: K, start: () => V[]): V[] {
  const known = lists.get(key);
  if (known !== undefined) return known;
  const list = start();
  lists.set(key, list);
  return list;
}

/** A list that says the same keeps its identity; an empty one is none. */
function setList<K extends string | number | bigint, V>(
  lists: SharedMapEdit<K, readonly V[]>,
  key: K,
  list: V[],
): void {
  lists.set(key, list.length === 0 ? undefined : kept<readonly V[]>(lists.get(key), list));
}

export function* dhcpNodes(
  state: State,
  bridgeId: Id,
  was: readonly DhcpNode[] | undefined,
): Steps<readonly DhcpNode[]> {
  const nodes: DhcpNode[] = [];
  for (const id of usersOf(state, 'dhcpSubnet.bridgeId', bridgeId)) {
    const subnet = state.objects.dhcpSubnet.get(id)!;
    const prefix = parsePrefix(subnet.prefix);
    if (prefix === undefined) continue;
    const hosts = new Map<Mac, DhcpHost>();
    yield* eachOf(usersOf(state, 'dhcpHost.subnetId', id), (hostId) => {
      const host = state.objects.dhcpHost.get(hostId)!;
      const mac = parseMac(host.mac);
      if (mac !== undefined && !hosts.has(mac)) hosts.set(mac, host);
    });
    const old = was?.find((node) => node.subnet.id === id);
    nodes.push(kept(old, { subnet, prefix, serverId: serverIdOf(subnet, prefix), hosts }));
  }
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
const MEMBER_FIELDS = ['members', 'ingressDecided', 'peered'] as const;

/** Lists that say the same are the same list. */
function sameMembers(was: BridgeNode | undefined, now: BridgeNode | undefined): boolean {
  return MEMBER_FIELDS.every((field) => {
    const [old, young] = [was?.[field], now?.[field]];
    return old === young || ((old?.length ?? 0) === 0 && (young?.length ?? 0) === 0);
  });
}

export function* bridgeChanges(
  id: Id,
  was: BridgeNode | undefined,
  now: BridgeNode | undefined,
  changes: Change[],
): Steps<void> {
  if (was === undefined || now === undefined || !same(ownFields(was), ownFields(now))) {
    changes.push({ kind: 'bridge', id });
  }
  if (!sameMembers(was, now)) changes.push({ kind: 'members', bridgeId: id });
  yield* eachOf(differing(was?.macs, now?.macs), (key) => {
    const [vlan, mac] = key.split('/').map(Number) as [number, Mac];
    changes.push({ kind: 'configuredMac', bridgeId: id, vlan, mac });
  });
  yield* eachOf(differing(was?.neighbours, now?.neighbours), (ip) =>
    changes.push({ kind: 'configuredNeighbour', bridgeId: id, ip }),
  );
  if (!(yield* sameDhcp(was?.dhcp ?? [], now?.dhcp ?? []))) changes.push({ kind: 'dhcp', bridgeId: id });
}

/** Whether guests are answered the same. */
function* sameDhcp(was: readonly DhcpNode[], now: readonly DhcpNode[]): Steps<boolean> {
  if (was === now) return true;
  if (was.length !== now.length) return false;
  for (const [at, old] of was.entries()) {
    const young = now[at]!;
    if (old === young) continue;
    if (old.hosts.size !== young.hosts.size || !same(bareDhcp(old), bareDhcp(young))) return false;
    let differs = false;
    yield* eachOf(old.hosts, ([mac, host]) => {
      const other = young.hosts.get(mac);
      differs ||= other === undefined || (host !== other && !same(bareObject(host), bareObject(other)));
    });
    if (differs) return false;
  }
  return true;
}

const bareDhcp = ({ subnet, prefix }: DhcpNode) => ({ prefix, subnet: bareObject(subnet) });

// Without what no answer depends on.
function bareObject(object: DhcpSubnet | DhcpHost): object {
  const { revision, createdAt, updatedAt, tags, projectId, ...rest } = object;
  return rest;
}

const NOBODY: SharedMap<never, readonly never[]> = SharedMap.empty();

/** Keys whose first claims differ. */
function* differing<K extends string | number | bigint, V>(
  was: ReadonlyMap<K, V> | undefined,
  now: ReadonlyMap<K, V> | undefined,
): Iterable<K> {
  const listsOf = (claims: ReadonlyMap<K, V> | undefined): SharedMap<K, readonly V[]> =>
    (claims as Claims<K, V> | undefined)?.lists ?? NOBODY;
  const [old, young] = [listsOf(was), listsOf(now)];
  for (const key of old.differences(young)) if (!same(old.get(key)?.[0], young.get(key)?.[0])) yield key;
}
