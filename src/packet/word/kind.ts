// What a word of ../words.ts is to the assembly of a frame, and what the words share.

import { formatIp6, formatMac, type Ip, type Ip6, type Mac } from '../address.ts';
import type { Arguments } from './arguments.ts';

/** Those of the IP layer: the checksums of the upper layers cover them. */
export interface Addresses {
  readonly source: Ip;
  readonly destination: Ip;
}

/** What follows a word; undefined: nothing follows that says it. */
export interface Rest {
  readonly etherType: number | undefined;
  readonly protocol: number | undefined;
  readonly hopLimit: number | undefined;
  emit(below?: Addresses): Uint8Array;
  /** The payload behind the upper layer's header alone. */
  emitData(below: Addresses): Uint8Array;
}

export interface Kind {
  /** The words that it may follow; '' is the beginning. A payload may follow any. */
  readonly after: readonly string[];
  readonly etherType?: (args: Arguments) => number;
  readonly protocol?: number;
  /** That IPv6 has when nothing is written. */
  readonly hopLimit?: number;
  /** The words of the layers that it brings when they are not there; undefined: it brings none. */
  readonly below?: (args: Arguments) => Below | undefined;
  /** `below` is there behind ip and ip6. */
  readonly emit: (args: Arguments, rest: Rest, below: Addresses | undefined) => Uint8Array;
}
export interface Below {
  readonly eth: string;
  readonly network?: string;
  readonly udp?: string;
}

export const NOTHING = new Uint8Array(0);

export const ethWord = (source: Mac, destination: Mac): string =>
  `eth(${formatMac(source)}, ${formatMac(destination)})`;
export const ip6Word = (source: Ip6, destination: Ip6): string =>
  `ip6(${formatIp6(source)}, ${formatIp6(destination)})`;

export function there(below: Addresses | undefined): Addresses {
  if (below === undefined) throw new Error('an upper layer without addresses: `after` lets it follow ip and ip6 only');
  return below;
}

export function six(below: Addresses | undefined): { readonly source: Ip6; readonly destination: Ip6 } {
  const { source, destination } = there(below);
  return { source: source as Ip6, destination: destination as Ip6 };
}
