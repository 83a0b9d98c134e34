// Where a router sends a packet: the route, what must not be forwarded, TTL, length, the outbound chain, the next hop.

import { DROP } from '../../flow/reasons.ts';
import {
  formatIp,
  formatPrefix,
  type Ip,
  isLinkLocalIp,
  networkOf,
  type Prefix,
  parsePrefix,
} from '../../packet/address.ts';
import type { PortNode, RouteNode, RouterNode } from '../../topology/nodes.ts';
import { runChain } from '../chain.ts';
import { ICMP_ERROR, type IcmpError } from '../icmp.ts';
import { QUESTION } from '../question.ts';
import { drop, type Next, named, portName, type Stop, type Walk } from '../walk.ts';
import { deliverLocally } from './local.ts';
import { resolve } from './neighbours.ts';
import { rejectAtRouter, tell } from './tell.ts';

/** From the routing decision on; `port`: where it came in, undefined when the router itself sends it. */
export function routePacket(walk: Walk, router: RouterNode, port: PortNode | undefined): Next {
  const at = `router ${named(router)}`;
  const route = chooseRoute(walk, router);
  if (route === undefined) {
    return tell(
      'reject',
      walk,
      router,
      port,
      ICMP_ERROR.noRoute,
      DROP.noRoute,
      `${at} has no route to ${destinationText(walk)}`,
    );
  }
  walk.note(at, () => `route ${formatPrefix(route.destination)}: ${routeText(walk, route)}`);
  switch (route.nextHop) {
    case 'local':
      return deliverLocally(walk, router, port);
    case 'blackhole':
      return drop(DROP.blackhole, `${at}: blackhole route ${formatPrefix(route.destination)}`);
    case 'reject':
      return tell(
        'reject',
        walk,
        router,
        port,
        ICMP_ERROR.prohibited,
        DROP.rejected,
        `${at}: reject route ${formatPrefix(route.destination)}`,
      );
    case 'port':
      return forward(walk, router, port, route);
  }
}

/** A packet of the router itself, which leaves by `link` when its destination is link-local. */
export function sendFromRouter(walk: Walk, router: RouterNode, link: PortNode | undefined): Next {
  const destination = walk.view.address('destination');
  if (link === undefined || typeof destination === 'number' || !isLinkLocalIp(destination))
    return routePacket(walk, router, undefined);
  return forward(walk, router, undefined, onLinkRoute(link, destination));
}

const onLinkRoute = (link: PortNode, ip: Ip): RouteNode => ({
  id: undefined,
  destination: { ip, bits: 128 },
  source: undefined,
  nextHop: 'port',
  portId: link.id,
  gateway: undefined,
  weight: 0,
});

function chooseRoute(walk: Walk, router: RouterNode): RouteNode | undefined {
  const { values, asked } = walk.view.matches('destination', router.routes);
  walk.ask(QUESTION.routes(router.id), asked);
  for (const routes of values) {
    const route = routes.find(
      (candidate) => candidate.source === undefined || walk.view.inPrefix('source', candidate.source),
    );
    if (route !== undefined) return route;
  }
  return undefined;
}

function forward(walk: Walk, router: RouterNode, port: PortNode | undefined, route: RouteNode): Next {
  const at = `router ${named(router)}`;
  const { view } = walk;
  const egress = route.portId === undefined ? undefined : walk.port(route.portId);
  if (egress?.mac === undefined)
    return drop(DROP.unplugged, `${at}: the port of route ${formatPrefix(route.destination)} is gone or has no MAC`);
  const nextHop = route.gateway ?? view.address('destination');
  if (port !== undefined) {
    if (mustStayOnLink(walk)) return drop(DROP.localOnly, `${at} does not forward link-local or multicast packets`);
    if (route.gateway === undefined && isDirectedBroadcast(egress, nextHop)) {
      return drop(DROP.localOnly, `${at} does not forward broadcasts into a network`);
    }
    const exceeded = checkTtl(walk, router, port);
    if (exceeded !== undefined) return exceeded;
    view.decrementTtl();
  }
  const tooLong = checkLength(walk, router, port, egress);
  if (tooLong !== undefined) return tooLong;
  view.limitLength(egress.mtuBytes);
  const verdict = runChain(walk, router.outboundChainId, { at: `${at} out`, inPort: port, outPort: egress });
  if (verdict.kind === 'drop') return drop(DROP.policy, `${at} out: ${verdict.why}`);
  if (verdict.kind === 'reject') return rejectAtRouter(walk, router, port)(`${at} out: ${verdict.why}`);
  const mac = resolve(walk, egress, nextHop);
  if (mac === undefined) return { kind: 'needs', need: { kind: 'neighbour', portId: egress.id, ip: nextHop } };
  if (typeof mac === 'object') {
    if (mac !== null) return mac;
    return tell(
      'reject',
      walk,
      router,
      port,
      ICMP_ERROR.hostUnreachable,
      DROP.neighbourUnresolved,
      `${at}: ${formatIp(nextHop)} does not answer at port ${portName(egress)}`,
    );
  }
  walk.note(at, () => `next hop ${formatIp(nextHop)} out of port ${portName(egress)}`);
  view.setEthernet(mac, egress.mac);
  return { kind: 'leave', port: egress };
}

const STAY_ON_LINK: readonly { readonly field: 'source' | 'destination'; readonly prefix: Prefix }[] = [
  { field: 'destination', prefix: parsePrefix('224.0.0.0/4')! },
  { field: 'destination', prefix: parsePrefix('240.0.0.0/4')! },
  { field: 'destination', prefix: parsePrefix('169.254.0.0/16')! },
  { field: 'source', prefix: parsePrefix('169.254.0.0/16')! },
  { field: 'destination', prefix: parsePrefix('ff00::/8')! },
  { field: 'destination', prefix: parsePrefix('fe80::/10')! },
  { field: 'source', prefix: parsePrefix('fe80::/10')! },
];

/** Multicast, broadcast and link-local packets (RFC 1812 §5.3, RFC 3927 §2.7, RFC 4291 §2.5.6). */
const mustStayOnLink = (walk: Walk): boolean =>
  STAY_ON_LINK.some(({ field, prefix }) => walk.view.inPrefix(field, prefix));

/** The broadcast address of a network of the port, or its old form with zeros (RFC 2644). */
function isDirectedBroadcast(egress: PortNode, ip: Ip): boolean {
  if (typeof ip !== 'number') return false;
  return egress.addresses.some((address) => {
    if (typeof address.ip !== 'number' || address.bits > 30) return false;
    const network = networkOf(address.ip, address.bits);
    return ip === network || ip === network + 2 ** (32 - address.bits) - 1;
  });
}

function checkTtl(walk: Walk, router: RouterNode, port: PortNode): Stop | undefined {
  const ttl = walk.ttl();
  if (ttl === undefined || ttl - walk.view.header.ttlSteps > 1) return undefined;
  const at = `router ${named(router)}`;
  return tell('exception', walk, router, port, ICMP_ERROR.timeExceeded, DROP.ttl, `${at}: TTL or hop limit used up`);
}

function checkLength(walk: Walk, router: RouterNode, port: PortNode | undefined, egress: PortNode): Stop | undefined {
  const length = walk.fragmentTo ?? walk.lengthBytes;
  if (length <= egress.mtuBytes) return undefined;
  if (walk.mayFragment()) {
    walk.fragmentTo = egress.mtuBytes;
    walk.note(`router ${named(router)}`, () => `cuts it into fragments of ${egress.mtuBytes} bytes`);
    return undefined;
  }
  const error: IcmpError = { ...ICMP_ERROR.fragmentationNeeded, mtuBytes: egress.mtuBytes };
  const why = `router ${named(router)}: ${length} bytes do not fit the ${egress.mtuBytes} of port ${portName(egress)}`;
  return tell('exception', walk, router, port, error, DROP.tooLong, why);
}

function destinationText(walk: Walk): string {
  return walk.world.recorder === undefined && walk.frame.length === 0
    ? 'the destination'
    : formatIp(walk.peekDestination());
}

function routeText(walk: Walk, route: RouteNode): string {
  if (route.nextHop !== 'port') return route.nextHop;
  const port = route.portId === undefined ? undefined : walk.world.topology.port(route.portId);
  const via = route.gateway === undefined ? 'on the link' : `via ${formatIp(route.gateway)}`;
  return `${via} out of port ${port === undefined ? '?' : portName(port)}`;
}
