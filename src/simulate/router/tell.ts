// What a router tells a sender, by an ICMP error or a reset: from where it comes, and for whom.

import { DROP, type DropReason } from '../../flow/reasons.ts';
import type { Ip } from '../../packet/address.ts';
import type { PortNode, RouterNode } from '../../topology/nodes.ts';
import { ICMP_ERROR, type IcmpError, icmpError, refusal } from '../icmp.ts';
import { type Birth, drop, type Stop, type Walk } from '../walk.ts';

type Reject = (why: string) => Stop;

/** What a rule's reject does at this router. */
export function rejectAtRouter(walk: Walk, router: RouterNode, port: PortNode | undefined): Reject {
  return (why) => ({
    kind: 'reject',
    reason: DROP.rejected,
    why,
    births: () => fromRouter(router, port, refusal(walk, sourceAddress(walk, port))),
  });
}

/** Tells the sender by an ICMP error: for the whole class, or (exception) for this packet alone. */
export function tell(
  kind: 'reject' | 'exception',
  walk: Walk,
  router: RouterNode,
  port: PortNode | undefined,
  error: IcmpError,
  reason: DropReason,
  why: string,
): Stop {
  const births = () => fromRouter(router, port, icmpError(walk, error, sourceAddress(walk, port)));
  return { kind, reason, why, births };
}

/**
 * At a router port that is administratively down: the sender is told so, out of that very port, since the routes of a
 * port that is down are no longer there to answer by.
 */
export function refuseAtPort(walk: Walk, port: PortNode, why: string): Stop {
  const { view } = walk;
  const isIp = view.vlanId() === 0 && view.family() !== undefined && view.ndType() === undefined;
  if (!isIp || view.ethernetDestination() !== port.mac) return drop(DROP.adminDown, why);
  const births = (): readonly Birth[] => {
    const frame = icmpError(walk, ICMP_ERROR.prohibited, sourceAddress(walk, port));
    return frame === undefined ? [] : [{ from: { kind: 'leave', port, evenDown: true }, frame }];
  };
  return { kind: 'reject', reason: DROP.adminDown, why, births };
}

/** A packet of the router itself; `link`: the port for what is link-local. */
export const fromRouter = (
  router: RouterNode,
  link: PortNode | undefined,
  frame: Uint8Array | undefined,
): readonly Birth[] => (frame === undefined ? [] : [{ from: { kind: 'router', router, link }, frame }]);

/** ICMP errors come from the port where the packet came in (RFC 1812 §4.3.2.4). */
function sourceAddress(walk: Walk, port: PortNode | undefined): Ip | undefined {
  const family = walk.view.family();
  return port?.addresses.find((address) => (typeof address.ip === 'number') === (family === 4))?.ip;
}
