// Packets for an address of a router itself: echo requests are answered, all else is told that nobody listens.

import { FRAGMENT, PROTOCOL } from '../../flow/fields.ts';
import { DROP, UP } from '../../flow/reasons.ts';
import { ICMP, ICMP6 } from '../../packet/icmp.ts';
import type { PortNode, RouterNode } from '../../topology/nodes.ts';
import { echoReply, ICMP_ERROR, icmpError, refusal } from '../icmp.ts';
import { drop, type Next, named, type Walk } from '../walk.ts';
import { fromRouter, tell } from './tell.ts';

const ECHO_REQUEST = { 4: ICMP.echoRequest, 6: ICMP6.echoRequest } as const;

export function deliverLocally(walk: Walk, router: RouterNode, port: PortNode | undefined): Next {
  const at = `router ${named(router)}`;
  const { view } = walk;
  const family = view.family()!;
  const protocol = view.protocol();
  if (view.fragment() !== FRAGMENT.none) return drop(DROP.localOnly, `${at} does not reassemble fragments for itself`);
  if (protocol === (family === 4 ? PROTOCOL.icmp : PROTOCOL.icmp6)) {
    if (view.icmpType() !== ECHO_REQUEST[family]) return drop(DROP.localOnly, `${at} takes it`);
    return {
      kind: 'answer',
      cause: UP.packet,
      why: `${at} answers the echo request`,
      births: () => fromRouter(router, port, echoReply(walk)),
    };
  }
  if (protocol === PROTOCOL.tcp || protocol === PROTOCOL.udp) {
    const error = protocol === PROTOCOL.udp ? ICMP_ERROR.portUnreachable : undefined;
    return {
      kind: 'reject',
      reason: DROP.localOnly,
      why: `${at} has no service there`,
      births: () =>
        fromRouter(
          router,
          port,
          error === undefined
            ? refusal(walk, view.address('destination'))
            : icmpError(walk, error, view.address('destination')),
        ),
    };
  }
  return tell(
    'reject',
    walk,
    router,
    port,
    ICMP_ERROR.protocolUnreachable,
    DROP.localOnly,
    `${at} does not speak protocol ${protocol}`,
  );
}
