// What happens at a port before and after its device: administrative state, anti-spoofing, the port's own chains.

import { ETHER_TYPE } from '../flow/fields.ts';
import { DROP } from '../flow/reasons.ts';
import { formatIp, formatMac, type Ip, linkLocalOf, type Mac } from '../packet/address.ts';
import { ND } from '../packet/nd.ts';
import type { PortNode } from '../topology/nodes.ts';
import { runChain } from './chain.ts';
import { isDhcp } from './dhcp-request.ts';
import { drop, portName, type Stop, type Walk } from './walk.ts';

/**
 * Undefined: it may enter the device. `reject` makes the refusal of a rule into what the device tells the sender, `down`
 * that of a port that is administratively down.
 */
export function enterPort(
  walk: Walk,
  port: PortNode,
  reject: (why: string) => Stop,
  down: (why: string) => Stop = (why) => drop(DROP.adminDown, why),
): Stop | undefined {
  const at = `port ${portName(port)}`;
  walk.traversed.push(port.id);
  if (!port.adminUp) return down(`${at} is administratively down`);
  if (port.antiSpoofing) {
    const why = spoofed(walk, port);
    if (why !== undefined) return drop(DROP.spoofed, `${at}: ${why}`);
  }
  return runPortChain(walk, port, 'in', reject);
}

/** Undefined: it may go to the guest or the peer. `evenDown`: the port itself says that it is. */
export function leavePort(
  walk: Walk,
  port: PortNode,
  reject: (why: string) => Stop,
  evenDown = false,
): Stop | undefined {
  const at = `port ${portName(port)}`;
  walk.traversed.push(port.id);
  if (!port.adminUp && !evenDown) return drop(DROP.adminDown, `${at} is administratively down`);
  return runPortChain(walk, port, 'out', reject);
}

function runPortChain(walk: Walk, port: PortNode, way: 'in' | 'out', reject: (why: string) => Stop): Stop | undefined {
  const hook = {
    at: `port ${portName(port)} ${way}`,
    inPort: walk.entered,
    outPort: way === 'out' ? port : undefined,
  };
  const verdict = runChain(walk, way === 'in' ? port.inboundChainId : port.outboundChainId, hook);
  if (verdict.kind === 'drop') return drop(DROP.policy, `${hook.at}: ${verdict.why}`);
  if (verdict.kind === 'reject') return reject(`${hook.at}: ${verdict.why}`);
  return undefined;
}

/** Why the packet cannot come from this port's guest: its MAC and addresses, in ARP and neighbour discovery too. */
function spoofed(walk: Walk, port: PortNode): string | undefined {
  const { view } = walk;
  const mac = port.mac;
  if (mac !== undefined && view.ethernetSource() !== mac) return 'source MAC is not the port’s';
  switch (view.etherType()) {
    case ETHER_TYPE.arp: {
      if (mac !== undefined && view.arpSenderMac() !== mac) return 'ARP sender MAC is not the port’s';
      const sender = view.address('source');
      return sender === 0 || isOwn(port, sender) ? undefined : `ARP sender ${formatIp(sender)} is not the port’s`;
    }
    case ETHER_TYPE.ip4: {
      const source = view.address('source');
      if (isOwn(port, source)) return undefined;
      if (source === 0 && isDhcp(walk, 4)) return undefined;
      return `source ${formatIp(source)} is not the port’s`;
    }
    case ETHER_TYPE.ip6: {
      const source = view.address('source');
      const type = view.ndType();
      const unspecified = source === 0n;
      if (!isOwn(port, source) && !(unspecified && type !== undefined))
        return `source ${formatIp(source)} is not the port’s`;
      return type === undefined ? undefined : spoofedDiscovery(walk, port, type, mac);
    }
    default:
      return undefined;
  }
}

function spoofedDiscovery(walk: Walk, port: PortNode, type: number, mac: Mac | undefined): string | undefined {
  if (type === ND.routerAdvertisement) return 'a guest does not advertise routers';
  const linkAddress = walk.view.ndLinkAddress();
  if (mac !== undefined && linkAddress !== 0 && linkAddress !== mac) {
    return `neighbour discovery names ${formatMac(linkAddress)}, not the port’s MAC`;
  }
  if (type === ND.neighbourAdvertisement) {
    const target = walk.view.ndTarget();
    if (!isOwn(port, target)) return `advertises ${formatIp(target)}, which is not the port’s`;
  }
  return undefined;
}

function isOwn(port: PortNode, ip: Ip): boolean {
  if (port.addresses.some((address) => address.ip === ip)) return true;
  return port.mac !== undefined && linkLocalOf(port.mac) === ip;
}
