// A port of a bridge or router: bound to an interface on a host, or peered with another port, or dangling.
import Type, { type Static } from 'typebox';
import {
  familyOf,
  formatIp,
  type InterfaceAddress,
  isGroupMac,
  isIp4,
  isMulticastIp,
  networkOf,
  parseMac,
} from '../packet/address.ts';
import { checkResident } from './bridge.ts';
import type { PortNode } from './nodes.ts';
import { type Checking, conflict, type Finding, invalid } from './problem.ts';
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
import { wrongGateway } from './route.ts';
import { checkNetworks } from './router.ts';

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
    mtuBytes: Type.Optional(
      mtuBytes(
        'on a router: longer packets are refused towards their sender; none: what the tunnel zones leave, else 1500',
      ),
    ),
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
          intervalSeconds: integerOr(600, 4, 1800, 'the longest time between unsolicited ones'),
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

/** What makes no sense in a port, and what around it is in the way. */
export function checkPort(port: Port, checking: Checking): Finding[] {
  const node = checking.after.port(port.id);
  const known = checking.after.object('bridge', port.deviceId) ?? checking.after.object('router', port.deviceId);
  if (node === undefined || known === undefined) return [];
  return [
    ...checkMac(port),
    ...node.addresses.flatMap((address, index) => checkAddress(address, `/addresses/${index}`)),
    ...(node.deviceKind === 'bridge' ? checkOnBridge(port) : checkOnRouter(port, node, checking)),
    ...checkBinding(port, checking),
    ...checkPeer(port, node, checking),
    ...checkResident(node, checking),
    ...checkGroups(port, checking),
  ];
}

function checkMac({ mac: own }: Port): Finding[] {
  const value = own === undefined ? undefined : parseMac(own);
  if (value === undefined || (value !== 0 && !isGroupMac(value))) return [];
  return [invalid('/mac', `${own} is no address of one interface: choose one whose first byte is even, not all zero`)];
}

function checkAddress({ ip: own, bits }: InterfaceAddress, path: string): Finding[] {
  const address = formatIp(own);
  if (own === 0 || own === 0n || isMulticastIp(own)) {
    return [invalid(path, `${address} is no address of one interface: choose a unicast address`)];
  }
  // RFC 1812 §4.2.3.1; a /31 and a /32 have neither (RFC 3021).
  if (!isIp4(own) || bits > 30) return [];
  const network = networkOf(own, bits);
  if (own !== network && own !== network + 2 ** (32 - bits) - 1) return [];
  return [invalid(path, `${address} is the network or broadcast address of its /${bits}: choose one between them`)];
}

function checkOnBridge(port: Port): Finding[] {
  const found: Finding[] = [];
  if (port.routerAdvertisement !== undefined) {
    found.push(
      invalid('/routerAdvertisement', 'only router ports advertise: set it on the router port behind this one'),
    );
  }
  if (port.antiSpoofing && port.mac === undefined) {
    found.push(invalid('/mac', 'antiSpoofing compares packets with the mac of the port: give it one'));
  }
  return found;
}

const IPV6_MTU_BYTES = 1280; // the least that every link must carry: RFC 8200 §5

function checkOnRouter(port: Port, node: PortNode, checking: Checking): Finding[] {
  const found = [...checkNetworks(node, checking), ...checkRoutes(node, checking)];
  if (port.vlan !== undefined) {
    found.push(invalid('/vlan', 'a router port has no VLAN: set it on the bridge port at its other end'));
  }
  if (port.antiSpoofing) {
    found.push(invalid('/antiSpoofing', 'routers check no guests: set it on the ports of the bridge'));
  }
  if (node.mtuBytes < IPV6_MTU_BYTES && node.addresses.some((address) => familyOf(address.ip) === 6)) {
    found.push(invalid('/mtuBytes', `IPv6 needs at least ${IPV6_MTU_BYTES} bytes: raise it, or use IPv4 alone`));
  }
  return found;
}

/** Routes that were there before the addresses of their port changed. */
function checkRoutes(node: PortNode, { before, after, users, named }: Checking): Finding[] {
  const old = before.object('port', node.id);
  if (old === undefined || String(old.addresses) === String(node.object.addresses)) return [];
  for (const route of users('route.portId', node.id)) {
    const object = after.object('route', route)!;
    const wrong = object.nextHop === 'port' ? wrongGateway(object, node) : undefined;
    if (wrong === undefined) continue;
    const left = `${named('route', route)} to ${object.destination} would be left without a way: ${wrong}`;
    return [conflict('/addresses', `${left}; change or delete it first`, [{ kind: 'route', id: route }])];
  }
  return [];
}

function checkBinding({ id: own, hostId, interfaceName, peerId }: Port, { after, users, named }: Checking): Finding[] {
  if (hostId === undefined && interfaceName === undefined) return [];
  if (hostId === undefined) return [invalid('/hostId', 'interfaceName alone binds nothing: name the host too')];
  if (interfaceName === undefined) {
    return [invalid('/interfaceName', 'hostId alone binds nothing: name the interface of the host too')];
  }
  if (peerId !== undefined) {
    return [invalid('/peerId', 'a port is bound or peered, not both: leave out peerId, or hostId and interfaceName')];
  }
  const other = users('port.hostId', hostId).find(
    (port) => port !== own && after.object('port', port)?.interfaceName === interfaceName,
  );
  if (other === undefined) return [];
  const taken = `interface ${interfaceName} of ${named('host', hostId)} is bound to ${named('port', other)}`;
  return [conflict('/interfaceName', `${taken}: unbind that one first`, [{ kind: 'port', id: other }])];
}

function checkPeer(port: Port, node: PortNode, { after, named }: Checking): Finding[] {
  if (port.peerId === undefined) return [];
  if (port.peerId === port.id) return [invalid('/peerId', 'a port cannot be peered with itself: name another port')];
  const peer = after.port(port.peerId);
  if (peer === undefined) return [];
  const other = named('port', peer.id);
  if (peer.peerId !== port.id) {
    const says = peer.peerId === undefined ? 'does not name this one' : `is peered with ${named('port', peer.peerId)}`;
    return [conflict('/peerId', `${other} ${says}: both ends name each other`, [{ kind: 'port', id: peer.id }])];
  }
  const found: Finding[] = [];
  if (peer.deviceId === port.deviceId) {
    found.push(invalid('/peerId', `${other} is on the same device: peer with a port of another one`));
  }
  const theirs = peer.object.projectId;
  if (theirs !== undefined && port.projectId !== undefined && theirs !== port.projectId) {
    const projects = `${named('project', port.projectId)} and ${named('project', theirs)}`;
    found.push(
      invalid('/peerId', `${projects} do not share wires: peer with a port of the same project or the operator`),
    );
  }
  if (node.vlan !== undefined && peer.vlan !== undefined) {
    found.push(invalid('/vlan', `${other} has a VLAN as well: one end of a wire between bridges may, leave one out`));
  }
  return found;
}

/** Members of a stateful group are on one device, and a port is in at most one such group. */
function checkGroups(port: Port, { after, users, named }: Checking): Finding[] {
  const stateful = port.portGroupIds.filter((group) => after.object('portGroup', group)?.stateful);
  const [first, second] = stateful;
  if (first !== undefined && second !== undefined) {
    const both = `${named('portGroup', first)} and ${named('portGroup', second)} are both stateful`;
    return [invalid('/portGroupIds', `${both}: a port is in at most one such group, leave one out`)];
  }
  if (first === undefined) return [];
  const stranger = users('port.portGroupIds', first).find((other) => after.port(other)?.deviceId !== port.deviceId);
  if (stranger === undefined) return [];
  const apart = `${named('port', stranger)} of stateful ${named('portGroup', first)} is on another device`;
  return [conflict('/portGroupIds', `${apart}: its members are on one`, [{ kind: 'port', id: stranger }])];
}
