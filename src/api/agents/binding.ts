// Who delivers a port. At most one host holds it; the store's `claim/<port>` says which, so two servers cannot say two.
//
//   wanted (port.hostId) ──agent: claimed──> claim free? take it ──agent: up──> others send
//                                            held by another? refused, and claimed for it when that one lets go
//
// A port that was bound elsewhere stays with the host that holds it until that host lets go or is given up for dead:
// for a while nobody delivers rather than two.

import type { Port } from '../../topology/port.ts';
import type { Id } from '../../topology/resource.ts';
import type { PortStatus } from '../../topology/status.ts';
import type { Claim } from '../state/live-status.ts';

export interface Decision {
  readonly status: PortStatus;
  readonly claim: 'take' | 'release' | 'leave';
}

/** What becomes of a host's word about a port. `nameOf` names a host for people. */
export function decide(
  said: PortStatus,
  hostId: Id,
  port: Port | undefined,
  holder: Claim | undefined,
  nameOf: (hostId: Id) => string,
): Decision {
  const mine = holder?.hostId === hostId;
  if (said.state === 'down' || said.state === 'refused') return { status: said, claim: mine ? 'release' : 'leave' };
  if (mine) return { status: said, claim: 'leave' };
  if (port === undefined) return { status: refused(said, 'there is no such port'), claim: 'leave' };
  if (port.hostId !== hostId) return { status: refused(said, 'it is not bound to this host'), claim: 'leave' };
  if (holder !== undefined) {
    return { status: refused(said, `host ${nameOf(holder.hostId)} still holds it`), claim: 'leave' };
  }
  return { status: said, claim: 'take' };
}

const refused = ({ kind, id }: PortStatus, why: string): PortStatus => ({ kind, id, state: 'refused', why });
