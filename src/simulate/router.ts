// A virtual router: ARP and neighbour discovery at its ports, filters, routes, next hops, ICMP.
// The order is the numbered list "Routers" of docs/concepts/processing.md.

import { ETHER_TYPE, FRAGMENT, PROTOCOL } from '../flow/fields.ts';
import { DROP, type DropReason, UP } from '../flow/reasons.ts';
import {
  formatIp,
  formatPrefix,
  type Ip,
  isLinkLocalIp,
  linkLocalOf,
  type Mac,
  networkOf,
  type Prefix,
  parsePrefix,
  prefixContains,
} from '../packet/address.ts';
import { ARP } from '../packet/arp.ts';
import { ICMP, ICMP6 } from '../packet/icmp.ts';
import { ND } from '../packet/nd.ts';
import type { PortNode, RouteNode, RouterNode } from '../topology/nodes.ts';
import { runChain } from './chain.ts';
import { echoReply, ICMP_ERROR, type IcmpError, icmpError, refusal } from './icmp.ts';
import { routerAdvertisement } from './nd.ts';
import { QUESTION } from './question.ts';
import { type Birth, drop, type Next, named, needsDevice, portName, type Stop, type Walk } from './walk.ts';

const ECHO_REQUEST = { 4: ICMP.echoRequest, 6: ICMP6.echoRequest } as const;

type Reject = (why: string) => Stop;

export function enterRouter(walk: Walk, router: RouterNode, port: PortNode): Next {
  const at = `router ${named(router)}`;
  walk.traversed.push(router.id);
  if (walk.view.vlanId() !== 0) return drop(DROP.vlan, `${at} takes no tagged frames`);
  if (walk.view.vlanTci() !== undefined) walk.view.popVlan();
  const type = walk.view.etherType();
  if (type !== ETHER_TYPE.arp && walk.view.family() === undefined)
    return drop(DROP.notForRouter, `${at} takes ARP, IPv4 and IPv6 only`);
  if (!router.adminUp) {
    if (type === ETHER_TYPE.arp) return drop(DROP.adminDown, `${at} is administratively down`);
    return tell('reject', walk, router, port, ICMP_ERROR.prohibited, DROP.adminDown, `${at} is administratively down`);
  }
  if (type === ETHER_TYPE.arp) return enterArp(walk, router, port);
  const discovery = walk.view.ndType();
  if (discovery !== undefined) return enterDiscovery(walk, router, port, discovery);
  if (walk.view.ethernetDestination() !== port.mac) return drop(DROP.notForRouter, `${at}: not for its MAC`);
  const verdict = runChain(walk, router.inboundChainId, { at: `${at} in`, inPort: port, outPort: undefined });
  if (verdict.kind === 'drop') {
    if (walk.view.family() === 4 && walk.view.fragment() === FRAGMENT.first) {
      return tell(
        'reject',
        walk,
        router,
        port,
        { ...ICMP_ERROR.fragmentationNeeded, mtuBytes: port.mtuBytes },
        DROP.fragmentRejected,
        `${at} in: ${verdict.why}`,
      );
    }
    return drop(DROP.policy, `${at} in: ${verdict.why}`);
  }
  if (verdict.kind === 'reject') return rejectAtRouter(walk, router, port)(`${at} in: ${verdict.why}`);
  return routePacket(walk, router, port);
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

/** From the routing decision on; `port`: where it came in, undefined when the router itself sends it. */
function routePacket(walk: Walk, router: RouterNode, port: PortNode | undefined): Next {
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

/** What a rule's reject does at this router. */
export function rejectAtRouter(walk: Walk, router: RouterNode, port: PortNode | undefined): Reject {
  return (why) => ({
    kind: 'reject',
    reason: DROP.rejected,
    why,
    births: () => fromRouter(router, port, refusal(walk, sourceAddress(walk, port))),
  });
}

function enterArp(walk: Walk, router: RouterNode, port: PortNode): Next {
  const at = `router ${named(router)}`;
  const operation = walk.view.protocol();
  const sender = walk.view.address('source');
  const senderMac = walk.view.arpSenderMac();
  const target = walk.view.address('destination');
  const tells = operation === ARP.reply || sender === target;
  if (sender !== 0 && onLink(port, sender) && !owns(port, sender)) learnNeighbour(walk, port, sender, senderMac, tells);
  if (tells) return { kind: 'consumed', why: `${at} takes note of ${formatIp(sender)}` };
  if (operation !== ARP.request || port.mac === undefined)
    return drop(DROP.notForRouter, `${at} does not take ARP operation ${operation}`);
  if (!owns(port, target))
    return drop(DROP.notForRouter, `${at} does not have ${formatIp(target)} at port ${portName(port)}`);
  if (sender !== 0 && !onLink(port, sender))
    return drop(DROP.notForRouter, `${at}: ${formatIp(sender)} is not on the network of port ${portName(port)}`);
  return answerForPort(at, port, port.mac, target);
}

function enterDiscovery(walk: Walk, router: RouterNode, port: PortNode, type: number): Next {
  const at = `router ${named(router)}`;
  if (port.mac === undefined) return drop(DROP.notForRouter, `port ${portName(port)} has no MAC`);
  const source = walk.view.address('source');
  const linkAddress = walk.view.ndLinkAddress();
  const neighbour = type === ND.neighbourAdvertisement ? walk.view.ndTarget() : source;
  if (linkAddress !== 0 && neighbour !== 0n && onLink(port, neighbour) && !owns(port, neighbour)) {
    learnNeighbour(walk, port, neighbour, linkAddress, type === ND.neighbourAdvertisement);
  }
  switch (type) {
    case ND.neighbourAdvertisement:
      return { kind: 'consumed', why: `${at} takes note of ${formatIp(neighbour)}` };
    case ND.neighbourSolicitation: {
      const target = walk.view.ndTarget();
      if (!owns(port, target))
        return drop(DROP.notForRouter, `${at} does not have ${formatIp(target)} at port ${portName(port)}`);
      return answerForPort(at, port, port.mac, target);
    }
    case ND.routerSolicitation: {
      if (port.object.routerAdvertisement === undefined)
        return drop(DROP.notForRouter, `port ${portName(port)} does not advertise its router`);
      const to = source === 0n ? undefined : source;
      return {
        kind: 'answer',
        cause: UP.service,
        why: `${at} advertises itself`,
        births: () =>
          routerAdvertisement(
            walk.world.topology,
            port,
            to === undefined ? undefined : { ip: to, mac: walk.view.ethernetSource() },
          ),
      };
    }
    default:
      return drop(DROP.notForRouter, `${at} does not take neighbour discovery type ${type}`);
  }
}

const answerForPort = (at: string, port: PortNode, mac: Mac, target: Ip): Stop => ({
  kind: 'answerNeighbour',
  mac,
  router: true,
  why: `${at} has ${formatIp(target)} at port ${portName(port)}`,
  through: undefined,
  from: { kind: 'leave', port },
});

/** What the bridge at the other end knows by configuration is not learned. `renew`: also when nothing is new. */
function learnNeighbour(walk: Walk, port: PortNode, ip: Ip, mac: Mac, renew: boolean): void {
  const peer = port.peerId === undefined ? undefined : walk.port(port.peerId);
  const bridge = peer?.deviceKind === 'bridge' ? walk.world.topology.bridge(peer.deviceId) : undefined;
  if (bridge !== undefined && walk.configuredNeighbour(bridge, ip) !== undefined) return;
  walk.teachNeighbour(port, ip, mac, renew);
}

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

function deliverLocally(walk: Walk, router: RouterNode, port: PortNode | undefined): Next {
  const at = `router ${named(router)}`;
  const { view } = walk;
  const family = view.family()!;
  const protocol = view.protocol();
  if (view.fragment() !== FRAGMENT.none) return drop(DROP.localOnly, `${at} does not reassemble fragments for itself`);
  if (protocol === (family === 4 ? PROTOCOL.icmp : PROTOCOL.icmp6)) {
    if (view.icmpType() !== ECHO_REQUEST[family]) return drop(DROP.localOnly, `${at} takes it`);
    return {
      kind: 'answer',
      cause: UP.packet,
      why: `${at} answers the echo request`,
      births: () => fromRouter(router, port, echoReply(walk)),
    };
  }
  if (protocol === PROTOCOL.tcp || protocol === PROTOCOL.udp) {
    const error = protocol === PROTOCOL.udp ? ICMP_ERROR.portUnreachable : undefined;
    return {
      kind: 'reject',
      reason: DROP.localOnly,
      why: `${at} has no service there`,
      births: () =>
        fromRouter(
          router,
          port,
          error === undefined
            ? refusal(walk, view.address('destination'))
            : icmpError(walk, error, view.address('destination')),
        ),
    };
  }
  return tell(
    'reject',
    walk,
    router,
    port,
    ICMP_ERROR.protocolUnreachable,
    DROP.localOnly,
    `${at} does not speak protocol ${protocol}`,
  );
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

/** The MAC of a next hop: by configuration, else as learned; undefined: ask for it; null: it does not answer. */
function resolve(walk: Walk, egress: PortNode, nextHop: Ip): Mac | null | undefined | Stop {
  const peer = egress.peerId === undefined ? undefined : walk.port(egress.peerId);
  if (peer?.deviceKind === 'router') return owns(peer, nextHop) ? (peer.mac ?? null) : null;
  if (peer?.deviceKind === 'bridge') {
    const bridge = walk.bridge(peer.deviceId);
    if (bridge === undefined) return needsDevice(peer.deviceId);
    const configured = walk.configuredNeighbour(bridge, nextHop);
    if (configured !== undefined) return configured.mac;
  }
  return walk.learnedNeighbour(egress, nextHop);
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

/** Tells the sender by an ICMP error: for the whole class, or (exception) for this packet alone. */
function tell(
  kind: 'reject' | 'exception',
  walk: Walk,
  router: RouterNode,
  port: PortNode | undefined,
  error: IcmpError,
  reason: DropReason,
  why: string,
): Stop {
  const births = () => fromRouter(router, port, icmpError(walk, error, sourceAddress(walk, port)));
  return { kind, reason, why, births };
}

const fromRouter = (router: RouterNode, link: PortNode | undefined, frame: Uint8Array | undefined): readonly Birth[] =>
  frame === undefined ? [] : [{ from: { kind: 'router', router, link }, frame }];

/** ICMP errors come from the port where the packet came in (RFC 1812 §4.3.2.4). */
function sourceAddress(walk: Walk, port: PortNode | undefined): Ip | undefined {
  const family = walk.view.family();
  return port?.addresses.find((address) => (typeof address.ip === 'number') === (family === 4))?.ip;
}

const owns = (port: PortNode, ip: Ip): boolean =>
  port.addresses.some((address) => address.ip === ip) || (port.mac !== undefined && ip === linkLocalOf(port.mac));

const onLink = (port: PortNode, ip: Ip): boolean =>
  (typeof ip === 'bigint' && isLinkLocalIp(ip)) ||
  port.addresses.some((address) => prefixContains({ ip: networkOf(address.ip, address.bits), bits: address.bits }, ip));

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
