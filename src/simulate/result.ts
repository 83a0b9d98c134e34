// What a walk takes and gives: values only.

import type { Action } from '../flow/actions.ts';
import type { FlowKey, FlowMask } from '../flow/fields.ts';
import type { DropReason } from '../flow/reasons.ts';
import type { Tag } from '../flow/tags.ts';
import type { Ip, Mac } from '../packet/address.ts';
import type { Id } from '../topology/resource.ts';

/** A packet as it came in: the key says where and what, the frame is for what a key cannot hold. */
export interface Arrival {
  readonly key: FlowKey;
  /** Tags in line. */
  readonly frame: Uint8Array;
  /** L3 length that counts against an MTU: of a GSO super-packet that of its segments. */
  readonly lengthBytes: number;
}

/** What the hosts learned from packets. It changes; each change is told as a touch. */
export interface Learned {
  /** The port of a bridge behind which a MAC was seen. */
  macPort(bridgeId: Id, vlan: number, mac: Mac): Id | undefined;
  /** The MAC that answered for an address at a router port. `null`: asked in vain. */
  neighbour(portId: Id, ip: Ip): Mac | null | undefined;
}

export type Verdict = 'forward' | 'drop' | 'reject' | 'answer' | 'needs';

/** A frame born in the virtual network, to be handed to the data path with the sense "deliver". */
export interface Born {
  /** Port or flood number. */
  readonly to: number;
  readonly frame: Uint8Array;
}

export type Lesson =
  | { readonly kind: 'mac'; readonly bridgeId: Id; readonly vlan: number; readonly mac: Mac; readonly portId: Id }
  | { readonly kind: 'neighbour'; readonly portId: Id; readonly ip: Ip; readonly mac: Mac };

export type Need =
  /** Ask for it at this router port (see `solicit` in simulate.ts) and try again when `learned` knows. */
  | { readonly kind: 'neighbour'; readonly portId: Id; readonly ip: Ip }
  /** Subscribe to this device and try again when the topology has it, or is known not to. */
  | { readonly kind: 'device'; readonly deviceId: Id };

export interface Result {
  readonly verdict: Verdict;
  /** For people: short, names the objects. */
  readonly why: string;
  /** Valid for drop and reject. */
  readonly reason: DropReason;
  /** What to cache for the class. For an answer or reject that needs the agent each time: toAgent. */
  readonly actions: readonly Action[];
  readonly mask: FlowMask;
  readonly tags: readonly Tag[];
  /** False: this packet alone (TTL used up, too long): answer it and install nothing. */
  readonly cacheable: boolean;
  /** Packets to send now in answer to this one: replies, ICMP errors, resets, or (not cacheable) itself rewritten. */
  readonly born: readonly Born[];
  /** The router ports that were asked to advertise themselves: `born` is their answer, to be given in due time. */
  readonly solicited: readonly Id[];
  readonly learn: readonly Lesson[];
  readonly needs: readonly Need[];
}

/** Records the explanation of a walk, device by device and rule by rule. */
export interface Recorder {
  step(step: Step): void;
}
export interface Step {
  /** Nesting: an answer's own walk is one deeper. */
  readonly depth: number;
  readonly at: string;
  readonly text: string;
}
