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
    let room = Math.min(BATCH_ENTRIES, this.#entries);
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
      for (let index = 0; index < count[0]; index++) {
        visit(
          keys.subarray(index * this.keyBytes, (index + 1) * this.keyBytes),
          values.subarray(index * this.valueBytes, (index + 1) * this.valueBytes),
        );
      }
      if (result === 'end') return;
      from = next;
      next = next.slice();
    }
  }

  entries(): [Uint8Array, Uint8Array][] {
    const all: [Uint8Array, Uint8Array][] = [];
    this.forEach((key, value) => {
      all.push([key.slice(), value.slice()]);
    });
    return all;
  }
}
