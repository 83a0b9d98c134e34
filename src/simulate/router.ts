// A virtual router: what it takes in, in the order of the list "Routers" of docs/concepts/processing.md. Its ARP and
// neighbour discovery are in router/neighbours.ts, routes and next hops in router/route.ts, packets for itself in
// router/local.ts, what it tells senders in router/tell.ts.

import { ETHER_TYPE, FRAGMENT } from '../flow/fields.ts';
import { DROP } from '../flow/reasons.ts';
import type { PortNode, RouterNode } from '../topology/nodes.ts';
import { runChain } from './chain.ts';
import { ICMP_ERROR } from './icmp.ts';
import { enterArp, enterDiscovery } from './router/neighbours.ts';
import { routePacket } from './router/route.ts';
import { rejectAtRouter, tell } from './router/tell.ts';
import { drop, type Next, named, type Walk } from './walk.ts';

export function enterRouter(walk: Walk, router: RouterNode, port: PortNode): Next {
  const at = `router ${named(router)}`;
  walk.traversed.push(router.id);
  if (walk.view.vlanId() !== 0) return drop(DROP.vlan, `${at} takes no tagged frames`);
  if (walk.view.vlanTci() !== undefined) walk.view.popVlan();
  const type = walk.view.etherType();
  if (type !== ETHER_TYPE.arp && walk.view.family() === undefined)
    return drop(DROP.notForRouter, `${at} takes ARP, IPv4 and IPv6 only`);
  if (!router.adminUp) {
    if (type === ETHER_TYPE.arp) return drop(DROP.adminDown, `${at} is administratively down`);
    return tell('reject', walk, router, port, ICMP_ERROR.prohibited, DROP.adminDown, `${at} is administratively down`);
  }
  if (type === ETHER_TYPE.arp) return enterArp(walk, router, port);
  const discovery = walk.view.ndType();
  if (discovery !== undefined) return enterDiscovery(walk, router, port, discovery);
  if (walk.view.ethernetDestination() !== port.mac) return drop(DROP.notForRouter, `${at}: not for its MAC`);
  const verdict = runChain(walk, router.inboundChainId, { at: `${at} in`, inPort: port, outPort: undefined });
  if (verdict.kind === 'drop') {
    if (walk.view.family() === 4 && walk.view.fragment() === FRAGMENT.first) {
      return tell(
        'reject',
        walk,
        router,
        port,
        { ...ICMP_ERROR.fragmentationNeeded, mtuBytes: port.mtuBytes },
        DROP.fragmentRejected,
        `${at} in: ${verdict.why}`,
      );
    }
    return drop(DROP.policy, `${at} in: ${verdict.why}`);
  }
  if (verdict.kind === 'reject') return rejectAtRouter(walk, router, port)(`${at} in: ${verdict.why}`);
  return routePacket(walk, router, port);
}
