// Routers: the routing table, kept destination by destination.
//
// A source is a port (its implied routes) or a route object. When sources change, only the destinations that they
// named before or name now are touched: their lists lose what came from these sources and get what comes now.

import { type Lpm, lpmDifferences, lpmEdit, lpmOf } from '../../lib/lpm.ts';
import { eachOf, type Steps } from '../../lib/steps.ts';
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
import { SharedMap } from './shared-map.ts';
import { type State, usersOf } from './state.ts';

const NO_ROUTES: Lpm<readonly RouteNode[]> = lpmOf([]);

/** What a router's table may have to be made anew for. */
export interface Sources {
  readonly routes: ReadonlySet<Id>;
  readonly ports: ReadonlySet<Id>;
}

/** The sources that are looked at anew: some, or all that the router has in a state. */
interface Changed {
  has(route: RouteNode): boolean;
  routesIn(state: State): Iterable<Id>;
  portsIn(state: State): Iterable<Id>;
}
const someSources = ({ routes, ports }: Sources): Changed => ({
  has: (route) => (route.id === undefined ? ports.has(route.portId!) : routes.has(route.id)),
  routesIn: () => routes,
  portsIn: () => ports,
});
const allSources = (routerId: Id): Changed => ({
  has: () => true,
  routesIn: (state) => usersOf(state, 'route.routerId', routerId),
  portsIn: (state) => usersOf(state, 'port.deviceId', routerId),
});

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

/** Tells every route that the sources contribute to the router in this state. */
function* contributions(state: State, routerId: Id, sources: Changed, take: (route: RouteNode) => void): Steps<void> {
  yield* eachOf(sources.portsIn(state), (id) => {
    const port = state.ports.get(id);
    if (isUsable(port, routerId)) for (const route of impliedRoutes(port)) take(route);
  });
  yield* eachOf(sources.routesIn(state), (id) => {
    const object = state.objects.route.get(id);
    if (object === undefined || object.routerId !== routerId) return;
    const viaPort = object.nextHop === 'port';
    if (viaPort && (object.portId === undefined || !isUsable(state.ports.get(object.portId), routerId))) return;
    const route = explicitRoute(object);
    if (route !== undefined) take(route);
  });
}

// Rising weight, then id; implied ones have none and stand first, an own address before the network of the same length.
function byPreference(a: RouteNode, b: RouteNode): number {
  if (a.weight !== b.weight) return a.weight - b.weight;
  const rank = (route: RouteNode) => route.id ?? `${route.nextHop === 'local' ? ' ' : '!'}${route.portId}`;
  return rank(a) < rank(b) ? -1 : rank(a) > rank(b) ? 1 : 0;
}

// The address last: maps spread by the end of a key, and lengths are all alike.
const keyOf = ({ ip, bits }: Prefix): string => `${familyOf(ip)} ${bits} ${ip}`;

/** A destination whose list is made anew, and what comes to it. */
interface Destination {
  readonly prefix: Prefix;
  readonly come: RouteNode[];
}

function* retabled(
  was: Lpm<readonly RouteNode[]>,
  before: State,
  state: State,
  routerId: Id,
  sources: Changed,
): Steps<Lpm<readonly RouteNode[]>> {
  const destinations = SharedMap.empty<string, Destination>().edit();
  const destinationOf = (prefix: Prefix): Destination => {
    const key = keyOf(prefix);
    const known = destinations.get(key);
    if (known !== undefined) return known;
    const destination: Destination = { prefix, come: [] };
    destinations.set(key, destination);
    return destination;
  };
  yield* contributions(before, routerId, sources, (route) => void destinationOf(route.destination));
  yield* contributions(state, routerId, sources, (route) => destinationOf(route.destination).come.push(route));
  const edit = lpmEdit(was);
  let differs = false;
  yield* eachOf(destinations.done(), ([, { prefix, come }]) => {
    const old = was.get(prefix) ?? [];
    const rest = old.filter((route) => !sources.has(route));
    const list = distinct([...rest, ...come].sort(byPreference));
    if (same(old, list)) return;
    differs = true;
    edit.set(prefix, list.length === 0 ? undefined : list);
  });
  return differs ? edit.done() : was;
}

/** Two addresses of a port in one network imply its route once. */
const distinct = (sorted: readonly RouteNode[]): RouteNode[] =>
  sorted.filter((route, at) => at === 0 || !same(route, sorted[at - 1]));

/** `sources` changed between the states; for a router that was not there they are taken as all of them. */
export function* routerNode(before: State, state: State, router: Router, sources: Sources): Steps<RouterNode> {
  const { id } = router;
  const was = before.routers.get(id);
  const changed = was === undefined ? allSources(id) : someSources(sources);
  const node: RouterNode = {
    id,
    name: router.name,
    adminUp: router.adminUp,
    inboundChainId: router.inboundChainId,
    outboundChainId: router.outboundChainId,
    portIds: kept(
      was?.portIds,
      (yield* portsOf(state, id)).map((port) => port.id),
    ),
    routes: yield* retabled(was?.routes ?? NO_ROUTES, before, state, id, changed),
  };
  return kept(was, node);
}

const ownFields = ({ portIds, routes, ...own }: RouterNode) => own;

export function* routerChanges(
  id: Id,
  was: RouterNode | undefined,
  now: RouterNode | undefined,
  changes: Change[],
): Steps<void> {
  if (was === undefined || now === undefined || !same(ownFields(was), ownFields(now))) {
    changes.push({ kind: 'router', id });
  }
  const destinations = lpmDifferences(was?.routes ?? NO_ROUTES, now?.routes ?? NO_ROUTES) as Iterable<Prefix>;
  yield* eachOf(destinations, (destination) => changes.push({ kind: 'routes', routerId: id, destination }));
}
