// A router and its neighbours: ARP and neighbour discovery at its ports, and the MAC of a next hop.

import { DROP, UP } from '../../flow/reasons.ts';
import {
  formatIp,
  type Ip,
  isLinkLocalIp,
  linkLocalOf,
  type Mac,
  networkOf,
  prefixContains,
} from '../../packet/address.ts';
import { ARP } from '../../packet/arp.ts';
import { ND } from '../../packet/nd.ts';
import type { PortNode, RouterNode } from '../../topology/nodes.ts';
import { routerAdvertisement } from '../nd.ts';
import { drop, type Next, named, needsDevice, portName, type Stop, type Walk } from '../walk.ts';

export function enterArp(walk: Walk, router: RouterNode, port: PortNode): Next {
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

export function enterDiscovery(walk: Walk, router: RouterNode, port: PortNode, type: number): Next {
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
        solicited: port.id,
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

/** The MAC of a next hop: by configuration, else as learned; undefined: ask for it; null: it does not answer. */
export function resolve(walk: Walk, egress: PortNode, nextHop: Ip): Mac | null | undefined | Stop {
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

const owns = (port: PortNode, ip: Ip): boolean =>
  port.addresses.some((address) => address.ip === ip) || (port.mac !== undefined && ip === linkLocalOf(port.mac));

const onLink = (port: PortNode, ip: Ip): boolean =>
  (typeof ip === 'bigint' && isLinkLocalIp(ip)) ||
  port.addresses.some((address) => prefixContains({ ip: networkOf(address.ip, address.bits), bits: address.bits }, ip));
