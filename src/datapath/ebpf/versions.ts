// Generations of different contract versions in one pin directory, and the way from one to the other.
//
//   v<N>       a whole generation. Those of other versions forward until the hooks are taken over from them
//   new-v<N>   one that is being made: loaded, and filled from the newest other one; attached to nothing
//   old-v<M>   one that is being removed: all of its hooks have been taken over
//
// Whoever is killed in between leaves a whole generation attached at every hook, and the next start goes on from there.
// A version whose tables cannot be converted (an older one without an entry here, any newer one) is taken over with its
// hooks alone: everything is dropped until the agent has wired and decided anew, and nothing is ever let through.

import fs from 'node:fs';
import path from 'node:path';
import { CONTRACT_VERSION } from '../contract.ts';
import { type Attachment, HOOK_PROGRAMS, PER_CPU, Programs } from './loader.ts';
import { BpfMap } from './maps.ts';
import { closeFd, detachFilter, openPinnedMap, SysError } from './sys.ts';

/** Tables without which traffic would stop, or counts be lost; all others begin empty. */
const CARRIED = [
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
type Convert = (key: Uint8Array, value: Uint8Array) => readonly [Uint8Array, Uint8Array] | undefined;

/** `same`: neither bytes nor their meaning have changed. What is not named is left behind. */
export type Conversion = Readonly<Partial<Record<CarriedTable, 'same' | Convert>>>;

/** Nothing has changed but what begins empty anyway. */
export const ALL_SAME: Conversion = Object.fromEntries(CARRIED.map((table) => [table, 'same']));

/**
 * From the tables of an older version straight to those of this one. Whoever raises the version says here what becomes
 * of the last one's, and looks at the others again. Flows go with their masks, actions and settings, or not at all.
 * No version before 5 has left the house, so there is none yet.
 */
export const CONVERSIONS: Readonly<Record<number, Conversion>> = {};

export interface Replaced {
  /** Contract version of the generation that was there. */
  readonly version: number;
  /** Whether its tables were carried over; else everything begins empty. */
  readonly carried: boolean;
}

export interface Generation {
  /** Not attached to anything new yet. */
  readonly programs: Programs;
  /** Those whose hooks are to be taken over, the newest first. */
  readonly replaced: readonly Replaced[];
  /** When all hooks are taken over: takes away what is left of the others. */
  retire(): void;
}

/** Loads this version's generation, or takes it over. Throws when the kernel refuses it; others stay as they are. */
export function openGeneration(
  root: string,
  attachment: Attachment,
  conversions: Readonly<Record<number, Conversion>> = CONVERSIONS,
): Generation {
  for (const name of fs.readdirSync(root)) if (/^(?:new|old)-v\d+$/.test(name)) removeGeneration(path.join(root, name));
  const directory = path.join(root, `v${CONTRACT_VERSION}`);
  const versions = otherVersions(root);
  const others = versions.map((version) => path.join(root, `v${version}`));
  let carried = false;
  let programs: Programs;
  if (versions.length === 0 || fs.existsSync(directory)) {
    // Beside others it was complete when somebody was killed: their tables are in it already.
    carried = versions.length > 0 && conversions[versions[0]!] !== undefined;
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    programs = new Programs(directory, HOOK_PROGRAMS, attachment);
  } else {
    const draft = path.join(root, `new-v${CONTRACT_VERSION}`);
    fs.mkdirSync(draft, { mode: 0o700 });
    programs = new Programs(draft, HOOK_PROGRAMS, attachment);
    try {
      carried = carry(others[0]!, conversions[versions[0]!] ?? {}, programs);
      fs.renameSync(draft, directory);
    } catch (error) {
      programs.close();
      throw error;
    }
  }
  programs.settle(directory, others);
  return {
    programs,
    replaced: versions.map((version, at) => ({ version, carried: carried && at === 0 })),
    retire: () => {
      programs.settle(directory, []);
      for (const other of others) {
        for (const ifindex of leftFilters(other, directory)) detachFilter(ifindex);
        const old = path.join(root, `old-${path.basename(other)}`);
        fs.renameSync(other, old);
        removeGeneration(old);
      }
    },
  };
}

/** Interfaces with a filter of that generation that is not this one's by now: of devices that are no longer used. */
function leftFilters(other: string, directory: string): number[] {
  const filtered = (of: string) => fs.readdirSync(of).flatMap((file) => /^filter-.+-(\d+)$/.exec(file)?.[1] ?? []);
  const own = new Set(filtered(directory));
  return filtered(other)
    .filter((ifindex) => !own.has(ifindex))
    .map(Number);
}

/** Takes away everything below a pin directory: programs, tables, connections. Traffic stops. */
export function removePins(root: string): void {
  for (const name of fs.readdirSync(root)) {
    const directory = path.join(root, name);
    if (fs.statSync(directory).isDirectory()) removeGeneration(directory);
  }
}

function removeGeneration(directory: string): void {
  for (const file of fs.readdirSync(directory)) fs.unlinkSync(path.join(directory, file));
  fs.rmdirSync(directory);
}

/** The newest first. */
function otherVersions(root: string): number[] {
  return fs
    .readdirSync(root)
    .flatMap((name) => /^v(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .filter((version) => version !== CONTRACT_VERSION)
    .sort((a, b) => b - a);
}

interface Pair {
  readonly old: BpfMap;
  readonly isArray: boolean;
  readonly table: BpfMap;
  readonly convert: 'same' | Convert;
}

/** Fills the tables from those of another generation; false: from none of them. */
function carry(from: string, conversion: Conversion, programs: Programs): boolean {
  const pairs: Pair[] = [];
  try {
    for (const name of CARRIED) {
      const convert = conversion[name];
      const map = convert === undefined ? undefined : openPinnedMap(path.join(from, name), name);
      if (convert === undefined || map === undefined) continue;
      const { isArray } = map;
      const pair: Pair = { old: new BpfMap(map, PER_CPU.has(name)), isArray, table: programs.map(name), convert };
      pairs.push(pair);
      // Then it is not the version that it says, and nothing in it can be trusted.
      if (convert === 'same' && !sameSizes(pair.old, pair.table)) return false;
    }
    for (const pair of pairs) carryTable(pair);
    return pairs.length > 0;
  } finally {
    for (const { old } of pairs) closeFd(old.fd);
  }
}

const sameSizes = (a: BpfMap, b: BpfMap): boolean => a.keyBytes === b.keyBytes && a.valueBytes === b.valueBytes;

/** What finds no room is left behind: the agent will find it missing. */
function carryTable({ old, isArray, table, convert }: Pair): void {
  old.forEach((key, value) => {
    // Nobody has set that one.
    if (isArray && value.every((byte) => byte === 0)) return;
    const entry = convert === 'same' ? ([key, value] as const) : convert(key, value);
    if (entry === undefined) return;
    if (entry[0].length !== table.keyBytes || entry[1].length !== table.valueBytes) {
      throw new Error(`the conversion of table ${table.name} makes entries of the wrong size`);
    }
    try {
      table.set(...entry);
    } catch (error) {
      if (!(error instanceof SysError) || (error.code !== 'E2BIG' && error.code !== 'ENOSPC')) throw error;
    }
  });
}
