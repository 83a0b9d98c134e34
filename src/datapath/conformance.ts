// What every data path must do, as tests: one suite, run by each implementation's own test file.
//
// A harness gives a fresh data path and its surroundings: guests behind interfaces, and the underlay. Everything else
// (plugging, places, hosts, flows) the tests set up themselves through the data path.

import { describe } from 'node:test';
import type { Ip } from '../packet/address.ts';
import { actionCases } from './conformance/actions.ts';
import { deliveryCases } from './conformance/delivery.ts';
import { flowCases } from './conformance/flows.ts';
import { listingCases } from './conformance/listing.ts';
import { upcallCases } from './conformance/upcalls.ts';
import type { Datapath, UnderlayHost } from './datapath.ts';

export interface Harness {
  /** Nothing is installed, plugged or known. */
  readonly datapath: Datapath;
  /**
   * Interfaces of this host with a guest at the other end, at least four. A guest sends and receives raw frames, tags
   * in line; it says nothing by itself. Of an interface of kind tap `taps` holds the name.
   */
  readonly guests: readonly string[];
  readonly taps: ReadonlySet<string>;
  /** Two hosts that can be peers, as this one reaches them. */
  readonly peers: readonly [UnderlayHost, UnderlayHost];
  /** An underlay address that is never made a peer. */
  readonly stranger: Ip;
  /** Returns when the data path has the frame, or soon after. */
  guestSends(interfaceName: string, frame: Uint8Array): void | Promise<void>;
  /** All that the guest received since the last call: as soon as it is `least` frames, or after two seconds. */
  guestReceived(interfaceName: string, least: number): Promise<Uint8Array[]>;
  /** A tunnel packet from this underlay address, a peer's or the stranger's. `key` has 24 bits. */
  tunnelSends(from: Ip, key: number, frame: Uint8Array): void | Promise<void>;
  /** All tunnel packets sent since the last call, to whichever host: as soon as it is `least`, or after two seconds. */
  tunnelSent(least: number): Promise<TunnelPacket[]>;
  cleanup(): Promise<void>;
}

export interface TunnelPacket {
  readonly remote: Ip;
  /** All 24 bits. */
  readonly key: number;
  readonly frame: Uint8Array;
}

/** Declares the tests. Each opens a harness of its own and cleans it up. */
export function datapathConformance(name: string, open: () => Promise<Harness>): void {
  describe(`${name} data path`, () => {
    flowCases(open);
    actionCases(open);
    deliveryCases(open);
    listingCases(open);
    upcallCases(open);
  });
}
