// A virtual switch: filters, learning, ARP and neighbour suppression, and where a frame goes.
// The order is the numbered list "Bridges" of docs/concepts/processing.md.

import { ETHER_TYPE } from '../flow/fields.ts';
import { DROP } from '../flow/reasons.ts';
import { formatIp, formatMac, type Ip, isGroupMac, MAC_BROADCAST } from '../packet/address.ts';
import { ARP } from '../packet/arp.ts';
import { ND } from '../packet/nd.ts';
import type { BridgeNode, PortNode } from '../topology/nodes.ts';
import { runChain } from './chain.ts';
import { QUESTION } from './question.ts';
import { drop, type Next, named, needsDevice, portName, type Stop, type Walk } from './walk.ts';

type Reject = (why: string) => Stop;

export function enterBridge(walk: Walk, bridge: BridgeNode, port: PortNode, reject: Reject): Next {
  const at = `bridge ${named(bridge)}`;
  walk.traversed.push(bridge.id);
  if (!bridge.adminUp) return drop(DROP.adminDown, `${at} is administratively down`);
  if (isGroupMac(walk.view.ethernetSource())) return drop(DROP.groupSource, `${at}: source MAC is a group address`);
  if (port.vlan !== undefined) walk.view.pushVlan(port.vlan);
  const stop = runBridgeChain(walk, bridge, 'in', port, reject);
  learnSource(walk, bridge, port);
  return stop ?? switchFrame(walk, bridge, port, reject);
}

/** Where the frame goes from here; `port`: where it came in, undefined when the bridge itself sends it. */
export function switchFrame(walk: Walk, bridge: BridgeNode, port: PortNode | undefined, reject: Reject): Next {
  const at = `bridge ${named(bridge)}`;
  const destination = walk.view.ethernetDestination();
  if (isGroupMac(destination)) {
    const answered = port === undefined ? undefined : suppress(walk, bridge, port, reject);
    if (answered !== undefined) return answered;
    walk.note(at, () => `${destination === MAC_BROADCAST ? 'broadcast' : 'multicast'}: flood`);
    return flood(walk, bridge, port, reject);
  }
  const egressId = walk.portOfMac(bridge, walk.view.vlanId(), destination);
  if (egressId === undefined) {
    walk.note(at, () => `${formatMac(destination)} is not known: flood`);
    return flood(walk, bridge, port, reject);
  }
  if (egressId === port?.id)
    return drop(DROP.samePort, `${at}: ${formatMac(destination)} is behind the port it came from`);
  const egress = walk.port(egressId);
  if (egress === undefined) return needsDevice(bridge.id);
  walk.note(at, () => `${formatMac(destination)} is at port ${portName(egress)}`);
  return runBridgeChain(walk, bridge, 'out', egress, reject) ?? { kind: 'leave', port: egress };
}

/** Takes the frame from the form it has on the bridge to that of the port: its access VLAN is taken off. */
export function fitVlan(walk: Walk, port: PortNode): Stop | undefined {
  if (port.vlan === undefined) return undefined;
  if (walk.view.vlanId() !== port.vlan) {
    return drop(DROP.vlan, `port ${portName(port)} carries VLAN ${port.vlan}, the frame is in ${walk.view.vlanId()}`);
  }
  walk.view.popVlan();
  return undefined;
}

function learnSource(walk: Walk, bridge: BridgeNode, port: PortNode): void {
  const peer = port.peerId === undefined ? undefined : walk.port(port.peerId);
  if (peer?.deviceKind === 'router') return;
  walk.teachMac(bridge, walk.view.vlanId(), walk.view.ethernetSource(), port);
}

function runBridgeChain(
  walk: Walk,
  bridge: BridgeNode,
  way: 'in' | 'out',
  port: PortNode | undefined,
  reject: Reject,
): Stop | undefined {
  const at = `bridge ${named(bridge)} ${way}`;
  const hook = { at, inPort: walk.entered, outPort: way === 'out' ? port : undefined };
  const verdict = runChain(walk, way === 'in' ? bridge.inboundChainId : bridge.outboundChainId, hook);
  if (verdict.kind === 'drop') return drop(DROP.policy, `${at}: ${verdict.why}`);
  if (verdict.kind === 'reject') return reject(`${at}: ${verdict.why}`);
  return undefined;
}

/** Requests for an address whose owner is known go to nobody else. */
function suppress(walk: Walk, bridge: BridgeNode, port: PortNode, reject: Reject): Next | undefined {
  if (walk.view.cameTagged()) return undefined;
  if (walk.view.ndType() === ND.routerSolicitation) return solicitRouters(walk, bridge, port, reject);
  const target = requested(walk);
  if (target === undefined) return undefined;
  const owner = walk.configuredNeighbour(bridge, target);
  if (owner === undefined || owner.portId === port.id) return undefined;
  const ownerPort = walk.port(owner.portId);
  if (ownerPort === undefined || (ownerPort.vlan ?? 0) !== walk.view.vlanId()) return undefined;
  const stop = runBridgeChain(walk, bridge, 'out', ownerPort, reject);
  if (stop !== undefined) return stop;
  const at = `bridge ${named(bridge)}`;
  if (owner.router) {
    walk.note(at, () => `${formatIp(target)} is the router at port ${portName(ownerPort)}`);
    return { kind: 'leave', port: ownerPort };
  }
  return {
    kind: 'answerNeighbour',
    mac: owner.mac,
    router: false,
    why: `${at} knows that ${formatIp(target)} is at ${formatMac(owner.mac)}`,
    through: ownerPort,
    from: { kind: 'enter', port: ownerPort },
  };
}

/** The address that a broadcast ARP request or a multicast solicitation asks for, unless it asks for its own. */
function requested(walk: Walk): Ip | undefined {
  const { view } = walk;
  if (view.etherType() === ETHER_TYPE.arp) {
    if (view.protocol() !== ARP.request) return undefined;
    const target = view.address('destination');
    return view.address('source') === target ? undefined : target;
  }
  return view.ndType() === ND.neighbourSolicitation ? view.ndTarget() : undefined;
}

/** Router solicitations go to the routers that advertise, and to everybody when there is none. */
function solicitRouters(walk: Walk, bridge: BridgeNode, port: PortNode, reject: Reject): Next | undefined {
  walk.ask(QUESTION.members(bridge.id));
  const routers: PortNode[] = [];
  for (const id of bridge.peered) {
    const peered = id === port.id ? undefined : walk.port(id);
    const peer = peered?.peerId === undefined ? undefined : walk.port(peered.peerId);
    if (peered !== undefined && peer?.object.routerAdvertisement !== undefined) routers.push(peered);
  }
  if (routers.length === 0) return undefined;
  walk.note(`bridge ${named(bridge)}`, () => 'router solicitation: to the routers that advertise');
  return (
    runBridgeChain(walk, bridge, 'out', undefined, reject) ?? { kind: 'flood', bridge, members: false, ports: routers }
  );
}

function flood(walk: Walk, bridge: BridgeNode, port: PortNode | undefined, reject: Reject): Next {
  walk.ask(QUESTION.members(bridge.id));
  const stop = runBridgeChain(walk, bridge, 'out', undefined, reject);
  if (stop !== undefined) return stop;
  const ports: PortNode[] = [];
  for (const id of [...bridge.ingressDecided, ...bridge.peered]) {
    const egress = id === port?.id ? undefined : walk.port(id);
    if (egress !== undefined) ports.push(egress);
  }
  const members = bridge.members.some((id) => id !== port?.id);
  return { kind: 'flood', bridge, members, ports };
}
