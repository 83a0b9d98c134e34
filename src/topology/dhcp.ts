// DHCP on a bridge, v4 and v6, answered by the host of the guest. Guests get the addresses of their ports, or of the
// dhcpHost with their MAC.
import Type, { type Static } from 'typebox';
import { flag, id, integer, integerOr, ip, listOf, mac, mtuBytes, prefix, resource, text } from './resource.ts';

const options = Type.Array(
  Type.Object(
    {
      code: integer(1, 65535, 'option code'),
      hex: Type.String({ pattern: '^([0-9a-f]{2})*$', maxLength: 510, description: 'value' }),
    },
    { additionalProperties: false },
  ),
  { description: 'raw options; they win over those made from the fields', default: [] },
);

export const dhcpSubnetSchema = resource(
  {
    bridgeId: id('bridge', 'never changes'),
    prefix: prefix('the network; its family says DHCPv4 or DHCPv6'),
    enabled: flag(true, 'false: no answers'),
    gateway: Type.Optional(ip('default router (IPv4)')),
    serverAddress: Type.Optional(ip('DHCPv4 server identifier; none: the gateway')),
    dnsServers: listOf(ip('a server'), 'name servers'),
    domainName: Type.Optional(text('of the guests')),
    domainSearch: Type.Array(Type.String({ maxLength: 255 }), { description: 'search list', default: [] }),
    ntpServers: listOf(ip('a server'), 'time servers'),
    mtuBytes: Type.Optional(mtuBytes('none: that of the bridge')),
    routes: Type.Array(
      Type.Object({ destination: prefix('network'), gateway: ip('router') }, { additionalProperties: false }),
      { description: 'classless static routes (IPv4)', default: [] },
    ),
    leaseSeconds: integerOr(86400, 60, 0xffffffff, 'how long an address is lent'),
    options,
  },
  'DHCP for one network of a bridge',
);
export type DhcpSubnet = Static<typeof dhcpSubnetSchema>;

export const dhcpHostSchema = resource(
  {
    subnetId: id('dhcpSubnet', 'never changes'),
    mac: mac('of the guest'),
    address: ip('in the prefix of the subnet'),
    hostname: Type.Optional(text('told to the guest')),
    options,
  },
  'a fixed address',
);
export type DhcpHost = Static<typeof dhcpHostSchema>;
