// The kernel edge. One interface; `memory.ts` is the twin that tests and scenarios use, `ebpf/` the real one.
// It knows numbers, masked keys and frames, not routers. All calls are synchronous: they are map operations.
// Whoever implements it passes conformance.ts.

import type { Action } from '../flow/actions.ts';
import type { FlowKey, FlowMask } from '../flow/fields.ts';
import type { UpCause } from '../flow/reasons.ts';
import type { Ip } from '../packet/address.ts';

/** A cached verdict: what to do with every packet whose key equals `key` under `mask`. */
export interface FlowEntry {
  /** Already masked. */
  readonly key: FlowKey;
  readonly mask: FlowMask;
  readonly actions: readonly Action[];
}

export interface InstalledFlow extends FlowEntry {
  readonly packets: number;
  readonly bytes: number;
  /** Milliseconds since the last packet, at a resolution of about 250 ms. */
  readonly idleMs: number;
}

/** A packet that came up. `key` and `frame` are views, valid until the next `poll` or `wait`; tags are in line. */
export interface Miss {
  readonly cause: UpCause;
  /** The full key, not masked. */
  readonly key: FlowKey;
  readonly frame: Uint8Array;
  /** Length of the whole frame; more than `frame.length` never happens for what guests may send. */
  readonly frameBytes: number;
  /** Segment size when the frame is a GSO super-packet, else 0. */
  readonly gsoBytes: number;
  /** For `tooLong`: the MTU that it did not fit. */
  readonly detail: number;
  /** How long it waited in the ring. */
  readonly ageMs: number;
}

export type Sense =
  /** As if it had entered at this port. */
  | 'from'
  /** Hand it to this port without a look-up; or flood it: each member is looked up, here and on other hosts. */
  | 'deliver'
  /** Look it up as a flooded frame for this member. */
  | 'member';

export interface Injection {
  readonly sense: Sense;
  readonly number: number;
  readonly frame: Uint8Array;
  readonly gsoBytes?: number;
}

export type Delivery =
  | { readonly kind: 'local'; readonly interfaceName: string }
  /** On the host with this index in the host table. */
  | { readonly kind: 'remote'; readonly host: number };

export interface UnderlayHost {
  readonly local: Ip;
  readonly remote: Ip;
  /** Underlay interface towards it. */
  readonly interfaceName: string;
  readonly mtuBytes: number;
}

export interface FloodGroup {
  /** Port numbers that are here. */
  readonly members: readonly number[];
  /** Indices of hosts that have members. */
  readonly hosts: readonly number[];
}

/** `lost`: what found no room in the table, whatever its kind; id and port are 0. */
export type CounterKind = 'portRx' | 'portTx' | 'rule' | 'drop' | 'up' | 'tunnelRx' | 'tunnelTx' | 'lost';
export interface Counter {
  readonly kind: CounterKind;
  readonly id: number;
  /** For `drop` and `up`: the ingress port, 0 from the tunnel, PORT_GONE the sum over ports that were unplugged. */
  readonly port: number;
  readonly packets: number;
  readonly bytes: number;
}

export interface Budgets {
  readonly miss: { readonly perSecond: number; readonly burst: number };
  readonly service: { readonly perSecond: number; readonly burst: number };
  readonly exception: { readonly perSecond: number; readonly burst: number };
}

/**
 * What may come up from one port, and by what is flooded on one bridge. Under load a miss costs about 100 µs with all
 * that follows (a flow in the kernel, a lesson on disk), so a guest that floods its bridge takes less than half of the
 * thread, and others are answered within milliseconds; at 10,000 they waited for seconds.
 */
export const BUDGETS: Budgets = {
  miss: { perSecond: 2000, burst: 1000 },
  service: { perSecond: 100, burst: 50 },
  exception: { perSecond: 1000, burst: 200 },
};

/** Packets of one key that come up while no answer is there: all fragments of the largest datagram, not a stream. */
export const PENDING = { packets: 64, milliseconds: 200 } as const;

/** Thrown by `install` when there is no room: nothing of the call was installed. */
export class DatapathFull extends Error {
  override readonly name = 'DatapathFull';
}

export interface Datapath {
  /** Adds flows or replaces those of the same key and mask, all or none. More than 16 masks: DatapathFull. */
  install(flows: readonly FlowEntry[]): void;
  /** Those that are not there are passed over. */
  remove(flows: readonly Pick<FlowEntry, 'key' | 'mask'>[]): void;
  /** Everything that is installed, whoever installed it: a restarted agent finds its predecessor's. */
  flows(): InstalledFlow[];
  /**
   * The same, a few dozen at a time, each page read when it is asked for: for who must not hold the thread. What comes,
   * goes or changes meanwhile may be missed or seen.
   */
  flowPages(): Iterable<readonly InstalledFlow[]>;

  /** Plugs a port into an interface of this host: packets from it count as the port's. `tap`: plain redirect. */
  plug(port: number, interfaceName: string, options: { readonly tap: boolean }): void;
  /** The port's counters go with it; its drops and what came up from it stay in a sum. */
  unplug(port: number): void;
  /** Ports that are plugged, whoever plugged them. */
  plugged(): { readonly port: number; readonly interfaceName: string }[];

  /** Where a port is delivered; undefined: nowhere, a counted drop. */
  setDelivery(port: number, delivery: Delivery | undefined): void;
  setFlood(flood: number, group: FloodGroup | undefined): void;
  /** `index` is 1..65535, chosen by the caller. Also makes `remote` a peer whose tunnel packets are taken. */
  setHost(index: number, host: UnderlayHost | undefined): void;
  /**
   * What of these three is set, by number, whoever set it: a successor keeps what it wants too and takes back the rest.
   * What leads to an interface that is gone is forgotten, not listed.
   */
  places(): ReadonlyMap<number, Delivery>;
  floods(): ReadonlyMap<number, FloodGroup>;
  hosts(): ReadonlyMap<number, UnderlayHost>;

  /** Up to `limit` packets that came up, oldest first; `wait` tells when there are any. */
  poll(limit: number): Miss[];
  /** Resolves when `poll` would return something, or after `timeoutMs`. */
  wait(timeoutMs: number): Promise<void>;
  inject(packets: readonly Injection[]): void;

  setBudgets(budgets: Budgets): void;
  /** Those that are not 0. */
  counters(): Counter[];
  /** Lets go of file descriptors; what is in the kernel stays. */
  close(): void;
}
