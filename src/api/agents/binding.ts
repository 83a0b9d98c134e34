// Who delivers a port. At most one host holds it; the store's `claim/<port>` says which, so two servers cannot say two.
//
//   wanted (port.hostId) ──agent: claimed, down──> claim free? taken, and the agent told ──agent: up──> others send
//                                                  held by another? refused, and claimed for it when that one lets go
//
// What the server makes of a host's word goes back to that host: only then it plugs the port. A port that was bound
// elsewhere stays with the host that holds it until that host lets go, which it does by saying nothing of the port any
// more, or is given up for dead: for a while nobody delivers rather than two.

import type { Port } from '../../topology/port.ts';
import type { Id } from '../../topology/resource.ts';
import type { PortStatus } from '../../topology/status.ts';
import type { Claim } from '../state/live-status.ts';

export interface Decision {
  readonly status: PortStatus;
  readonly takesClaim: boolean;
}

/** What becomes of a host's word about a port. `nameOf` names a host for people. */
export function decide(
  said: PortStatus,
  hostId: Id,
  port: Port | undefined,
  holder: Claim | undefined,
  nameOf: (hostId: Id) => string,
): Decision {
  if (holder?.hostId === hostId) return { status: said, takesClaim: false };
  if (port === undefined) return refused(said, 'there is no such port');
  if (port.hostId !== hostId) return refused(said, 'it is not bound to this host');
  if (holder !== undefined) return refused(said, `host ${nameOf(holder.hostId)} still holds it`);
  return { status: said, takesClaim: true };
}

const refused = ({ kind, id }: PortStatus, why: string): Decision => ({
  status: { kind, id, state: 'refused', why },
  takesClaim: false,
});
