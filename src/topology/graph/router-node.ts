// Routers: the routing table, kept destination by destination.
//
// A source is a port (its implied routes) or a route object. When sources change, only the destinations that they
// named before or name now are touched: their lists lose what came from these sources and get what comes now.

import { type Lpm, lpmDifferences, lpmOf, lpmWith } from '../../lib/lpm.ts';
import {
  familyOf,
  type Ip,
  isIp6,
  isLinkLocalIp,
  linkLocalOf,
  networkOf,
  type Prefix,
  parseIp,
  parsePrefix,
  widthOf,
} from '../../packet/address.ts';
import type { Change, PortNode, RouteNode, RouterNode } from '../nodes.ts';
import type { Id } from '../resource.ts';
import type { Route } from '../route.ts';
import type { Router } from '../router.ts';
import { portsOf } from './bridge-node.ts';
import { isPluggable } from './port-node.ts';
import { kept, same } from './same.ts';
import { type State, usersOf } from './state.ts';

const NO_ROUTES: Lpm<readonly RouteNode[]> = lpmOf([]);

/** What a router's table may have to be made anew for. */
export interface Sources {
  readonly routes: Set<Id>;
  readonly ports: Set<Id>;
}

export const isUsable = (port: PortNode | undefined, routerId: Id): port is PortNode =>
  port !== undefined && port.deviceId === routerId && isPluggable(port);

/** Local addresses and connected networks of a port. IPv6 link-local networks are on every link: nothing routes there. */
function impliedRoutes(port: PortNode): RouteNode[] {
  const route = (nextHop: 'local' | 'port', ip: Ip, bits: number): RouteNode => ({
    id: undefined,
    destination: { ip: networkOf(ip, bits), bits },
    source: undefined,
    nextHop,
    portId: port.id,
    gateway: undefined,
    weight: 0,
  });
  const local = (ip: Ip) => route('local', ip, widthOf(familyOf(ip)));
  const routes = port.addresses.flatMap(({ ip, bits }) =>
    isIp6(ip) && isLinkLocalIp(ip) ? [local(ip)] : [local(ip), route('port', ip, bits)],
  );
  if (port.mac !== undefined) routes.push(local(linkLocalOf(port.mac)));
  return routes;
}

function explicitRoute(route: Route): RouteNode | undefined {
  const destination = parsePrefix(route.destination);
  if (destination === undefined) return undefined;
  return {
    id: route.id,
    destination,
    source: route.source === undefined ? undefined : parsePrefix(route.source),
    nextHop: route.nextHop,
    portId: route.portId,
    gateway: route.gateway === undefined ? undefined : parseIp(route.gateway),
    weight: route.weight,
  };
}

/** What the sources contribute to the router in this state. */
function contributions(state: State, routerId: Id, sources: Sources): RouteNode[] {
  const routes: RouteNode[] = [];
  for (const id of sources.ports) {
    const port = state.ports.get(id);
    if (isUsable(port, routerId)) routes.push(...impliedRoutes(port));
  }
  for (const id of sources.routes) {
    const object = state.objects.route.get(id);
    if (object === undefined || object.routerId !== routerId) continue;
    const viaPort = object.nextHop === 'port';
    if (viaPort && (object.portId === undefined || !isUsable(state.ports.get(object.portId), routerId))) continue;
    const route = explicitRoute(object);
    if (route !== undefined) routes.push(route);
  }
  return routes;
}

// Rising weight, then id; implied ones have none and stand first, an own address before the network of the same length.
function byPreference(a: RouteNode, b: RouteNode): number {
  if (a.weight !== b.weight) return a.weight - b.weight;
  const rank = (route: RouteNode) => route.id ?? `${route.nextHop === 'local' ? ' ' : '!'}${route.portId}`;
  return rank(a) < rank(b) ? -1 : rank(a) > rank(b) ? 1 : 0;
}

const keyOf = ({ ip, bits }: Prefix): string => `${typeof ip} ${ip}/${bits}`;

function retabled(
  was: Lpm<readonly RouteNode[]>,
  sources: Sources,
  gone: readonly RouteNode[],
  come: readonly RouteNode[],
): Lpm<readonly RouteNode[]> {
  const comeAt = Map.groupBy(come, (route) => keyOf(route.destination));
  const destinations = new Map([...gone, ...come].map(({ destination }) => [keyOf(destination), destination]));
  const changes: [Prefix, readonly RouteNode[] | undefined][] = [];
  for (const [key, destination] of destinations) {
    const old = was.get(destination) ?? [];
    const rest = old.filter((route) =>
      route.id === undefined ? !sources.ports.has(route.portId!) : !sources.routes.has(route.id),
    );
    const list = distinct([...rest, ...(comeAt.get(key) ?? [])].sort(byPreference));
    if (!same(old, list)) changes.push([destination, list.length === 0 ? undefined : list]);
  }
  return changes.length === 0 ? was : lpmWith(was, changes);
}

/** Two addresses of a port in one network imply its route once. */
const distinct = (sorted: readonly RouteNode[]): RouteNode[] =>
  sorted.filter((route, at) => at === 0 || !same(route, sorted[at - 1]));

/** `sources` changed between the states; for a router that was not there they are taken as all of them. */
export function routerNode(before: State, state: State, router: Router, sources: Sources): RouterNode {
  const { id } = router;
  const was = before.routers.get(id);
  const ports = portsOf(state, id);
  const changed =
    was === undefined
      ? { ports: new Set(ports.map((port) => port.id)), routes: new Set(usersOf(state, 'route.routerId', id)) }
      : sources;
  const gone = was === undefined ? [] : contributions(before, id, changed);
  const node: RouterNode = {
    id,
    name: router.name,
    adminUp: router.adminUp,
    inboundChainId: router.inboundChainId,
    outboundChainId: router.outboundChainId,
    portIds: kept(
      was?.portIds,
      ports.map((port) => port.id),
    ),
    routes: retabled(was?.routes ?? NO_ROUTES, changed, gone, contributions(state, id, changed)),
  };
  return kept(was, node);
}

const ownFields = ({ portIds, routes, ...own }: RouterNode) => own;

export function routerChanges(id: Id, was: RouterNode | undefined, now: RouterNode | undefined): Change[] {
  const changes: Change[] = [];
  if (was === undefined || now === undefined || !same(ownFields(was), ownFields(now))) {
    changes.push({ kind: 'router', id });
  }
  const destinations = lpmDifferences(was?.routes ?? NO_ROUTES, now?.routes ?? NO_ROUTES) as Prefix[];
  return [...changes, ...destinations.map((destination): Change => ({ kind: 'routes', routerId: id, destination }))];
}
