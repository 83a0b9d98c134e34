// A route of a router. The longest destination wins, then the routes whose source prefix fits, then the lowest weight.
import Type, { type Static } from 'typebox';
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
