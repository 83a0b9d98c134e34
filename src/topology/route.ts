// A route of a router. The longest destination wins, then the routes whose source prefix fits, then the lowest weight.
import Type, { type Static } from 'typebox';
import {
  familyOf,
  type Ip,
  isLinkLocalIp,
  networkOf,
  parseIp,
  parsePrefix,
  prefixContains,
} from '../packet/address.ts';
import type { PortNode } from './nodes.ts';
import { type Checking, type Finding, invalid } from './problem.ts';
import { flag, id, integerOr, ip, prefix, resource } from './resource.ts';

export const routeSchema = resource(
  {
    routerId: id('router', 'never changes'),
    destination: prefix('where the packet goes'),
    source: Type.Optional(prefix('only for packets from there')),
    nextHop: Type.Union(
      [Type.Literal('port'), Type.Literal('blackhole'), Type.Literal('reject'), Type.Literal('local')],
      {
        description: 'out of a port, silently dropped, refused with ICMP, or an address of the router itself',
      },
    ),
    portId: Type.Optional(id('port', 'with nextHop port: a port of the router')),
    gateway: Type.Optional(ip('with nextHop port: the next router; none: the destination is on the link')),
    weight: integerOr(100, 0, 65535, 'lower is preferred'),
    learned: flag(false, 'came from a routing protocol'),
  },
  'a route of a router; the networks and addresses of its ports need none',
);
export type Route = Static<typeof routeSchema>;

/** What makes no sense in a route. */
export function checkRoute(route: Route, checking: Checking): Finding[] {
  const { nextHop, portId, gateway } = route;
  const found = checkFamilies(route);
  if (nextHop !== 'port') {
    const extra = portId !== undefined ? 'portId' : gateway !== undefined ? 'gateway' : undefined;
    if (extra === undefined) return found;
    return [...found, invalid(`/${extra}`, `${nextHop} leaves by no port: leave ${extra} out, or make nextHop port`)];
  }
  if (portId === undefined) return [...found, invalid('/portId', 'a route out of a port needs portId: that port')];
  const port = checking.after.port(portId);
  if (port === undefined) return found;
  if (port.deviceId !== route.routerId) {
    const there = `${checking.named('port', portId)} is not on ${checking.named('router', route.routerId)}`;
    return [...found, invalid('/portId', `${there}: name a port of the router`)];
  }
  const wrong = wrongGateway(route, port);
  return wrong === undefined ? found : [...found, invalid('/gateway', `${wrong}: name a neighbour of the port`)];
}

function checkFamilies({ destination, source, gateway }: Route): Finding[] {
  const family = familyOf(parsePrefix(destination)!.ip);
  const others = { source: source && parsePrefix(source)?.ip, gateway: gateway && parseIp(gateway) };
  return Object.entries(others)
    .filter(([, ip]) => ip !== undefined && ip !== '' && familyOf(ip) !== family)
    .map(([name]) => invalid(`/${name}`, `${name} is not IPv${family} as the destination is: make them one family`));
}

/** Why the gateway of the route cannot be reached out of the port; undefined: it can. */
export function wrongGateway({ gateway }: Route, port: PortNode): string | undefined {
  const ip: Ip | undefined = gateway === undefined ? undefined : parseIp(gateway);
  if (ip === undefined) return undefined;
  if (port.addresses.some((address) => address.ip === ip)) return `gateway ${gateway} is the port's own address`;
  if (familyOf(ip) === 6 && isLinkLocalIp(ip)) return undefined;
  return port.addresses.some((address) =>
    prefixContains({ ip: networkOf(address.ip, address.bits), bits: address.bits }, ip),
  )
    ? undefined
    : `gateway ${gateway} is in no network of port ${port.name === '' ? port.id : JSON.stringify(port.name)}`;
}
