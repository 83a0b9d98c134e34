// DHCP on a bridge, v4 and v6, answered by the host of the guest. Guests get the addresses of their ports, or of the
// dhcpHost with their MAC.
import Type, { type Static } from 'typebox';
import {
  type Family,
  familyOf,
  type Ip,
  isGroupMac,
  type Prefix,
  parseIp,
  parseMac,
  parsePrefix,
  prefixContains,
  prefixesOverlap,
} from '../packet/address.ts';
import { type Checking, conflict, type Finding, invalid } from './problem.ts';
import {
  flag,
  type Id,
  id,
  integer,
  integerOr,
  ip,
  listOf,
  mac,
  mtuBytes,
  prefix,
  resource,
  text,
} from './resource.ts';

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

/** What makes no sense in a subnet, and which others of the bridge or hosts of its own are in the way. */
export function checkDhcpSubnet(subnet: DhcpSubnet, checking: Checking): Finding[] {
  const prefix = parsePrefix(subnet.prefix)!;
  const family = familyOf(prefix.ip);
  return [
    ...(family === 4 ? checkSubnet4(subnet, prefix) : checkSubnet6(subnet)),
    ...checkServers(subnet, family),
    ...checkNeighbours(subnet, prefix, checking),
    ...checkHosts(subnet, prefix, checking),
  ];
}

function checkSubnet4(subnet: DhcpSubnet, prefix: Prefix): Finding[] {
  const found: Finding[] = [];
  const { gateway, serverAddress } = subnet;
  if (gateway !== undefined) found.push(...checkInside('/gateway', gateway, prefix));
  if (serverAddress !== undefined && familyOf(parseIp(serverAddress)!) !== 4) {
    found.push(invalid('/serverAddress', `${serverAddress} is no IPv4 address, and DHCPv4 serves this prefix`));
  }
  if (gateway === undefined && serverAddress === undefined) {
    found.push(
      invalid('/serverAddress', 'a DHCPv4 server needs an address to speak from: give serverAddress or gateway'),
    );
  }
  subnet.routes.forEach((route, index) => {
    if (familyOf(parsePrefix(route.destination)!.ip) !== 4) {
      found.push(invalid(`/routes/${index}/destination`, `${route.destination} is not IPv4: DHCPv6 knows no routes`));
    }
    if (familyOf(parseIp(route.gateway)!) !== 4) {
      found.push(invalid(`/routes/${index}/gateway`, `${route.gateway} is not IPv4 as its destination is`));
    }
  });
  return found;
}

function checkSubnet6(subnet: DhcpSubnet): Finding[] {
  const found: Finding[] = [];
  for (const name of ['gateway', 'serverAddress'] as const) {
    if (subnet[name] === undefined) continue;
    found.push(invalid(`/${name}`, `DHCPv6 tells no ${name}: leave it out; routers advertise themselves`));
  }
  if (subnet.routes.length > 0) found.push(invalid('/routes', 'DHCPv6 knows no routes: leave them out'));
  return found;
}

function checkServers(subnet: DhcpSubnet, family: Family): Finding[] {
  return (['dnsServers', 'ntpServers'] as const).flatMap((name) =>
    subnet[name].flatMap((address, index) =>
      familyOf(parseIp(address)!) === family
        ? []
        : [
            invalid(
              `/${name}/${index}`,
              `${address} is not IPv${family} as the prefix is: DHCPv${family} cannot tell it`,
            ),
          ],
    ),
  );
}

function checkNeighbours(subnet: DhcpSubnet, prefix: Prefix, { after, users, named }: Checking): Finding[] {
  const others = users('dhcpSubnet.bridgeId', subnet.bridgeId).filter((other) => {
    const theirs = other === subnet.id ? undefined : parsePrefix(after.object('dhcpSubnet', other)!.prefix);
    return theirs !== undefined && prefixesOverlap(theirs, prefix);
  });
  if (others[0] === undefined) return [];
  const overlap = `${subnet.prefix} overlaps ${named('dhcpSubnet', others[0])} of the same bridge`;
  const objects = others.map((other) => ({ kind: 'dhcpSubnet', id: other }) as const);
  return [conflict('/prefix', `${overlap}: choose another prefix, or change that one`, objects)];
}

/** Hosts that were there before their subnet changed. */
function checkHosts(subnet: DhcpSubnet, prefix: Prefix, { before, after, users, named }: Checking): Finding[] {
  if (before.object('dhcpSubnet', subnet.id)?.prefix === subnet.prefix) return [];
  const outside = users('dhcpHost.subnetId', subnet.id).filter((host) => {
    const ip = parseIp(after.object('dhcpHost', host)!.address);
    return ip !== undefined && !prefixContains(prefix, ip);
  });
  if (outside[0] === undefined) return [];
  const objects = outside.map((host) => ({ kind: 'dhcpHost', id: host }) as const);
  const left = `${named('dhcpHost', outside[0])} has an address outside of ${subnet.prefix}`;
  return [conflict('/prefix', `${left}: change or delete it first`, objects)];
}

/** A host address of the prefix: inside, and neither the network itself nor its broadcast address. */
function checkInside(path: string, address: string, prefix: Prefix): Finding[] {
  const ip = parseIp(address)!;
  if (!prefixContains(prefix, ip))
    return [invalid(path, `${address} is not in the prefix of the subnet: choose one inside`)];
  if (!isNetworkOrBroadcast(ip, prefix)) return [];
  return [invalid(path, `${address} is the network or broadcast address of the subnet: choose one between them`)];
}

/** RFC 1812 §4.2.3.1; a /31 and a /32 have neither (RFC 3021). */
function isNetworkOrBroadcast(ip: Ip, { ip: network, bits }: Prefix): boolean {
  if (typeof ip !== 'number' || bits > 30) return false;
  return ip === network || ip === Number(network) + 2 ** (32 - bits) - 1;
}

/** What makes no sense in a fixed address, and which others of its subnet have the same. */
export function checkDhcpHost(host: DhcpHost, { after, users, named, once }: Checking): Finding[] {
  const subnet = after.object('dhcpSubnet', host.subnetId);
  if (subnet === undefined) return [];
  const found = checkInside('/address', host.address, parsePrefix(subnet.prefix)!);
  for (const name of ['gateway', 'serverAddress'] as const) {
    if (subnet[name] !== host.address) continue;
    found.push(
      conflict('/address', `${host.address} is the ${name} of the subnet: choose another`, [
        { kind: 'dhcpSubnet', id: subnet.id },
      ]),
    );
  }
  if (isGroupMac(parseMac(host.mac)!)) found.push(invalid('/mac', `${host.mac} is a group address: no guest has it`));
  for (const name of ['mac', 'address'] as const) {
    const holders = once(`dhcp/${name}/${subnet.id}`, () =>
      Map.groupBy(users('dhcpHost.subnetId', subnet.id), (id) => after.object('dhcpHost', id)![name]),
    );
    const other = holders.get(host[name])?.find((holder: Id) => holder !== host.id);
    if (other === undefined) continue;
    const taken = `${host[name]} is that of ${named('dhcpHost', other)}`;
    found.push(conflict(`/${name}`, `${taken}: change or delete that one first`, [{ kind: 'dhcpHost', id: other }]));
  }
  return found;
}
