// From the tables of older contract versions straight to those of this one. Whoever raises the version says here what
// becomes of the last one's, and looks at the others again. Flows go with their masks, actions and settings, or not at all.

import { randomFillSync } from 'node:crypto';
import { bytesOf, STRUCTS } from '../contract.ts';
import { FlowHash, seedIn } from './tables/flow-hash.ts';

/** Tables without which traffic would stop, or counts be lost; all others begin empty. */
export const CARRIED = [
  'ports',
  'delivery',
  'members',
  'floods',
  'hosts',
  'peers',
  'settings',
  'masks',
  'actions',
  'flows',
  'counters',
] as const;
type CarriedTable = (typeof CARRIED)[number];

/** An entry of the older table as an entry of this version's; undefined: it is left behind. */
export type Convert = (key: Uint8Array, value: Uint8Array) => readonly [Uint8Array, Uint8Array] | undefined;

/** `same`: neither bytes nor their meaning have changed. What is not named is left behind. */
export type Conversion = Readonly<Partial<Record<CarriedTable, 'same' | Convert>>>;

/** Nothing has changed but what begins empty anyway. */
export const ALL_SAME: Conversion = Object.fromEntries(CARRIED.map((table) => [table, 'same']));

const joined = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
/** What has become longer ends with zeros. */
const lengthened =
  (bytes: number): Convert =>
  (key, value) => [key, joined(value, new Uint8Array(bytes - value.length))];

/** Before version 5 flows stood under their keys, and no entry named a slot of `traffic`. */
function unhashed(): Conversion {
  const seed = randomFillSync(new Uint8Array(STRUCTS.settings.size.hash_seed));
  const settings = bytesOf(STRUCTS.settings.bytes).bytes;
  settings.set(seed, STRUCTS.settings.at.hash_seed);
  const hash = new FlowHash(seedIn(settings, () => undefined));
  return {
    ...ALL_SAME,
    ports: lengthened(STRUCTS.port_entry.bytes),
    delivery: lengthened(STRUCTS.delivery_entry.bytes),
    settings: (key, value) => [key, joined(value, seed)],
    flows: (key, value) => [hash.nameOf(key), joined(value, key)],
  };
}

export const CONVERSIONS: Readonly<Record<number, Conversion>> = {
  // Version 3 counts more; version 4 has service tags and drop eligibility in a byte of the key that was 0.
  2: unhashed(),
  3: unhashed(),
  4: unhashed(),
};
