// DHCP at the edge: which requests of a guest are answered here. What the answers hold is in dhcp4.ts and dhcp6.ts.
// A request that nobody here has an answer for is an ordinary packet: a guest may run a server of its own.

import { UP } from '../flow/reasons.ts';
import { isGroupMac, type Mac, parseIp, prefixContains } from '../packet/address.ts';
import type { BridgeNode, PortNode } from '../topology/nodes.ts';
import { isDhcp } from './dhcp-request.ts';
import { answerDhcp4 } from './dhcp4.ts';
import { answerDhcp6 } from './dhcp6.ts';
import type { Lease } from './lease.ts';
import { QUESTION } from './question.ts';
import { portName, type Stop, type Walk } from './walk.ts';

export function dhcp(walk: Walk, port: PortNode): Stop | undefined {
  if (port.deviceKind !== 'bridge' || !port.adminUp) return undefined;
  const bridge = walk.bridge(port.deviceId);
  walk.ask(QUESTION.port(port.id));
  walk.ask(QUESTION.dhcp(port.deviceId));
  if (bridge === undefined || !bridge.adminUp || bridge.dhcp.length === 0) return undefined;
  const family = walk.view.family();
  if (family === undefined || !mayBeForServer(walk, bridge) || !isDhcp(walk, family) || walk.view.cameTagged())
    return undefined;
  const mac = walk.view.ethernetSource();
  if (port.mac !== undefined && port.mac !== mac) return undefined;
  const lease = leaseFor(bridge, port, mac, family);
  if (lease === undefined || (family === 4 && lease.address === undefined)) return undefined;
  return {
    kind: 'answer',
    cause: UP.service,
    why: `DHCPv${family} of bridge ${bridge.name} answers at port ${portName(port)}`,
    births: () => {
      const frame = family === 4 ? answerDhcp4(walk, lease) : answerDhcp6(walk, lease);
      return frame === undefined ? [] : [{ from: { kind: 'deliver', port }, frame }];
    },
  };
}

/** L4 ports are only looked at where a request may be: else each port would make a class of its own. */
function mayBeForServer(walk: Walk, bridge: BridgeNode): boolean {
  if (isGroupMac(walk.view.ethernetDestination())) return true;
  return walk.view.family() === 4 && walk.view.matches('destination', bridge.dhcpServers).values.length > 0;
}

/** A subnet with a fixed address for the MAC wins over one with an address of the port, that over one with neither. */
function leaseFor(bridge: BridgeNode, port: PortNode, mac: Mac, family: 4 | 6): Lease | undefined {
  let fallback: Lease | undefined;
  for (const network of bridge.dhcp) {
    if (!network.subnet.enabled || (typeof network.prefix.ip === 'number') !== (family === 4)) continue;
    const fixed = network.hosts.get(mac);
    const address =
      fixed === undefined
        ? port.addresses.find(({ ip }) => prefixContains(network.prefix, ip))?.ip
        : parseIp(fixed.address);
    const lease = { bridge, network, address, mac };
    if (fixed !== undefined) return lease;
    if (fallback?.address === undefined) fallback = address === undefined ? (fallback ?? lease) : lease;
  }
  return fallback;
}
