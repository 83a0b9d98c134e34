// What a flow does with the packets of its class, in terms of numbers: nothing here knows a router.
// Steps run in order. A list checks before it changes: checkLength and decrementTtl stand before all others, so
// a packet that goes up because one of them cannot be carried out goes up as it came in.
// Twin of `struct step` in bpf/contract.h.

import type { Mac } from '../packet/address.ts';
import type { DropReason, UpCause } from './reasons.ts';

export type Action =
  | { readonly kind: 'setEthernet'; readonly destination: Mac; readonly source: Mac }
  | { readonly kind: 'checkLength'; readonly mtuBytes: number }
  | { readonly kind: 'decrementTtl'; readonly by: number }
  /** `tci` as it is on the wire; the pushed tag becomes the outer one. */
  | { readonly kind: 'pushVlan'; readonly tci: number; readonly tpid: number }
  | { readonly kind: 'popVlan' }
  /** To a bound port, wherever it is: the data path knows the place of every port. */
  | { readonly kind: 'output'; readonly port: number }
  /** To every member of the flood group but the ingress port, once per host. */
  | { readonly kind: 'flood'; readonly flood: number }
  /** Turn an ARP request or neighbour solicitation into its answer and send it back. */
  | { readonly kind: 'answerNeighbour'; readonly mac: Mac; readonly router: boolean }
  | { readonly kind: 'toAgent'; readonly cause: UpCause }
  | { readonly kind: 'drop'; readonly reason: DropReason }
  | { readonly kind: 'count'; readonly counter: number };

export const STEP = {
  end: 0,
  setEthernet: 1,
  decrementTtl: 2,
  pushVlan: 3,
  popVlan: 4,
  checkLength: 5,
  output: 6,
  flood: 7,
  answerNeighbour: 8,
  toAgent: 9,
  drop: 10,
  count: 11,
} as const;
