// A map of the kernel behind a small class: fixed-size keys and values as bytes, whole maps read in batches.

import fs from 'node:fs';
import { mapDelete, mapLookup, mapLookupBatch, mapTake, mapUpdate, type ObjectMap } from './sys.ts';

const BATCH_ENTRIES = 4096;

/** Number of CPUs that a per-CPU value has room for. */
export function possibleCpus(): number {
  const text = fs.readFileSync('/sys/devices/system/cpu/possible', 'utf8').trim();
  return Number(text.split(/[-,]/).at(-1)) + 1;
}

/** Bytes of a 32-bit key or value in host order. */
export function u32Bytes(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

/** The first word of a key or value. */
export const u32At = (bytes: Uint8Array): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);

export class BpfMap {
  readonly name: string;
  readonly fd: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly #entries: number;

  /** `perCpu`: a value is one of the map's values for each possible CPU. */
  constructor(map: ObjectMap, perCpu = false) {
    this.name = map.name;
    this.fd = map.fd;
    this.keyBytes = map.keyBytes;
    this.valueBytes = perCpu ? Math.ceil(map.valueBytes / 8) * 8 * possibleCpus() : map.valueBytes;
    this.#entries = map.entries;
  }

  /** Undefined when the key is not there. */
  get(key: Uint8Array): Uint8Array | undefined {
    const value = new Uint8Array(this.valueBytes);
    return mapLookup(this.fd, key, value) ? value : undefined;
  }

  /** Adds or replaces. SysError E2BIG or ENOSPC when the map is full. */
  set(key: Uint8Array, value: Uint8Array): void {
    mapUpdate(this.fd, key, value);
  }

  /** Removes and returns what was there. */
  take(key: Uint8Array): Uint8Array | undefined {
    const value = new Uint8Array(this.valueBytes);
    return mapTake(this.fd, key, value) ? value : undefined;
  }

  delete(key: Uint8Array): boolean {
    return mapDelete(this.fd, key);
  }

  /**
   * Calls `visit` with every entry; both are views that are valid during the call. Entries that come or go meanwhile
   * may be missed or seen.
   */
  forEach(visit: (key: Uint8Array, value: Uint8Array) => void): void {
    for (const batch of this.batches(BATCH_ENTRIES)) batch(visit);
  }

  /**
   * The same in batches of up to `most` entries, each read when it is asked for. More only where more lie in one bucket
   * of the map.
   */
  *batches(most: number): Generator<(visit: (key: Uint8Array, value: Uint8Array) => void) => void> {
    for (const { keys, values, count } of this.#reads(most)) {
      yield (visit) => {
        for (let index = 0; index < count; index++) {
          visit(
            keys.subarray(index * this.keyBytes, (index + 1) * this.keyBytes),
            values.subarray(index * this.valueBytes, (index + 1) * this.valueBytes),
          );
        }
      };
    }
  }

  /** Of an array with values of whole words: the entries that hold anything but zeros, without a look at each other one. */
  forEachInUse(visit: (index: number, value: Uint8Array) => void): void {
    const words = this.valueBytes / 8;
    for (const { keys, values, count } of this.#reads(BATCH_ENTRIES)) {
      const all = new BigUint64Array(values.buffer, 0, count * words);
      let from = 0;
      for (;;) {
        const found = all.subarray(from).findIndex((word) => word !== 0n);
        if (found < 0) break;
        const index = Math.floor((from + found) / words);
        visit(u32At(keys.subarray(index * 4)), values.subarray(index * this.valueBytes, (index + 1) * this.valueBytes));
        from = (index + 1) * words;
      }
    }
  }

  entries(): [Uint8Array, Uint8Array][] {
    const all: [Uint8Array, Uint8Array][] = [];
    this.forEach((key, value) => {
      all.push([key.slice(), value.slice()]);
    });
    return all;
  }

  *#reads(most: number): Generator<{ readonly keys: Uint8Array; readonly values: Uint8Array; readonly count: number }> {
    let room = Math.min(most, this.#entries);
    let keys = new Uint8Array(room * this.keyBytes);
    let values = new Uint8Array(room * this.valueBytes);
    const count = new Uint32Array(1);
    let from: Uint8Array | null = null;
    // The position is a bucket number for hashes, a key for arrays.
    let next: Uint8Array = new Uint8Array(Math.max(4, this.keyBytes));
    for (;;) {
      count[0] = room;
      const result = mapLookupBatch(this.fd, from, next, keys, values, count);
      if (result === 'noRoom') {
        room *= 2;
        keys = new Uint8Array(room * this.keyBytes);
        values = new Uint8Array(room * this.valueBytes);
        continue;
      }
      yield { keys, values, count: count[0] };
      if (result === 'end') return;
      from = next;
      next = next.slice();
    }
  }
}
