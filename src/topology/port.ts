// A port of a bridge or router: bound to an interface on a host, or peered with another port, or dangling.
import Type, { type Static } from 'typebox';
import {
  adminUp,
  flag,
  id,
  ids,
  inboundChainId,
  integer,
  integerOr,
  interfaceAddress,
  ip,
  listOf,
  mac,
  mtuBytes,
  outboundChainId,
  prefix,
  resource,
} from './resource.ts';

export const portSchema = resource(
  {
    deviceId: Type.String({
      format: 'id',
      references: 'bridge|router',
      description: 'the bridge or router that it is on; never changes',
    }),
    adminUp,
    mac: Type.Optional(mac('of the guest (on a bridge) or of the router; a router port without one is given one')),
    addresses: listOf(
      interfaceAddress('on a router with its network (10.0.1.1/24), on a bridge those of the guest'),
      'IPv4 and IPv6 addresses; a guest gets them by DHCP, its neighbours learn them without asking it',
    ),
    vlan: Type.Optional(
      integer(1, 4094, 'on a bridge: frames leave untagged and enter into this VLAN; without it the port is a trunk'),
    ),
    mtuBytes: Type.Optional(mtuBytes('on a router: longer packets are refused towards their sender; default 1500')),
    inboundChainId,
    outboundChainId,
    antiSpoofing: flag(
      false,
      'take only packets from its mac and addresses, ARP and neighbour discovery fields included',
    ),
    portGroupIds: ids('portGroup', 'groups that rules speak of'),
    peerId: Type.Optional(id('port', 'the port at the other end of a virtual wire; kept the same on both')),
    hostId: Type.Optional(id('host', 'bound: the host')),
    interfaceName: Type.Optional(Type.String({ format: 'interfaceName', description: 'bound: the interface there' })),
    routerAdvertisement: Type.Optional(
      Type.Object(
        {
          managed: flag(false, 'addresses come from DHCPv6'),
          otherConfiguration: flag(false, 'other settings come from DHCPv6'),
          lifetimeSeconds: integerOr(1800, 0, 9000, 'as default router; 0: not one'),
          intervalSeconds: integerOr(600, 4, 1800, 'between unsolicited ones'),
          autonomous: flag(true, 'guests make their own addresses in the /64 prefixes of the port'),
          dnsServers: listOf(ip('a server'), 'RFC 8106'),
          prefixes: listOf(prefix('beside those of the port'), 'more prefixes on the link'),
        },
        { additionalProperties: false, description: 'on a router: advertise it on the bridge that it is peered with' },
      ),
    ),
    deviceKind: Type.Optional(
      Type.Union([Type.Literal('bridge'), Type.Literal('router')], {
        readOnly: true,
        description: 'what the device is: a host that sees the port need not see its device',
      }),
    ),
    tunnelKey: Type.Integer({ readOnly: true, description: 'number of the port, 22 bits: names it in the tunnel' }),
  },
  'a port of a bridge or router',
);
export type Port = Static<typeof portSchema>;
