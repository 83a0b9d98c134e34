// The hash that names a flow in the kernel's table; bpf/contract.h (`flow_name`) says how it is made, and why.

import { bytesOf, NUMBERS, STRUCTS } from '../../contract.ts';

const { HASH_WORDS } = NUMBERS;

export class FlowHash {
  readonly #seed: Uint32Array;

  /** `seed`: one word for each word of the key. */
  constructor(seed: Uint32Array) {
    if (seed.length !== HASH_WORDS) throw new RangeError(`a seed has ${HASH_WORDS} words, not ${seed.length}`);
    this.#seed = seed;
  }

  /** Key of the table for a masked key that holds the number of its mask. */
  nameOf(key: Uint8Array): Uint8Array {
    const words = new DataView(key.buffer, key.byteOffset, key.byteLength);
    const seed = this.#seed;
    let low = 0;
    let high = 0;
    for (let word = 0; word < HASH_WORDS; word += 2) {
      const a = (words.getUint32(4 * word, true) + seed[word]!) >>> 0;
      const b = (words.getUint32(4 * word + 4, true) + seed[word + 1]!) >>> 0;
      // a * b in 64 bits, by halves of 16: no number here is above 2^53.
      const middle = (a >>> 16) * (b & 0xffff) + (a & 0xffff) * (b >>> 16);
      const bottom = (a & 0xffff) * (b & 0xffff) + (middle % 0x10000) * 0x10000;
      low += bottom;
      high += (a >>> 16) * (b >>> 16) + Math.floor(middle / 0x10000) + Math.floor(low / 0x1_0000_0000);
      low %= 0x1_0000_0000;
      high %= 0x1_0000_0000;
    }
    const { bytes, view } = bytesOf(STRUCTS.flow_name.bytes);
    view.setUint32(0, low, true);
    view.setUint32(4, high, true);
    return bytes;
  }
}

/** The seed in the settings of a generation of tables; chosen, by `random`, when there is none yet. */
export function seedIn(settings: Uint8Array, random: (bytes: Uint8Array) => void): Uint32Array {
  const { at, size } = STRUCTS.settings;
  const bytes = settings.subarray(at.hash_seed, at.hash_seed + size.hash_seed);
  if (bytes.every((byte) => byte === 0)) random(bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return Uint32Array.from({ length: HASH_WORDS }, (_, word) => view.getUint32(4 * word, true));
}
