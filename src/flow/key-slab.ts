// Masked keys of many flows in one block of memory, with an open-addressing index over them: 136 bytes a flow instead
// of the 350 of a typed array each, and a look-up allocates nothing.
//
//   slots (hash -> place + 1)      words (30 a place; word 0 is the id of the mask, as in the kernel)
//   +---+---+---+---+---+---+      +--------------------------------+--------------------------------+-- …
//   | 0 | 2 | 0 | 0 | 1 | 0 |      | place 0: mask 8, port 3, …     | place 1: mask 24, port 3, …    |
//   +---+---+---+---+---+---+      +--------------------------------+--------------------------------+-- …

import { type FlowKey, KEY_BYTES } from './fields.ts';

const WORDS = KEY_BYTES / 4;
const PLACES_FIRST = 1024;
/** Slots for each place: at most half of them are in use, so that probes stay short. */
const SLOTS_PER_PLACE = 2;

/** What the slab needs of a mask. */
export interface SlabMask {
  /** Not negative; equal for equal masks only. */
  readonly id: number;
  readonly words: Uint32Array;
}

export class KeySlab {
  #words = new Uint32Array(PLACES_FIRST * WORDS);
  #slots = new Int32Array(PLACES_FIRST * SLOTS_PER_PLACE);
  #used = 0;
  readonly #free: number[] = [];
  /** The key that is looked for, as bytes and as words, and the same masked. */
  readonly #asked = new Uint8Array(KEY_BYTES);
  readonly #askedWords = new Uint32Array(this.#asked.buffer);
  readonly #masked = new Uint32Array(WORDS);

  get size(): number {
    return this.#used - this.#free.length;
  }

  /** The place of the key under one of the masks, the first that has it; -1: none. */
  find(key: FlowKey, masks: readonly SlabMask[]): number {
    this.#ask(key);
    for (const mask of masks) {
      const slot = this.#probe(this.#mask(mask));
      if (this.#slots[slot] !== 0) return this.#slots[slot]! - 1;
    }
    return -1;
  }

  /** The place of the key under the mask; a new one when it has none. */
  put(key: FlowKey, mask: SlabMask): number {
    this.#ask(key);
    if (this.#free.length === 0 && (this.#used + 1) * WORDS > this.#words.length) this.#grow();
    const slot = this.#probe(this.#mask(mask));
    if (this.#slots[slot] !== 0) return this.#slots[slot]! - 1;
    const place = this.#free.pop() ?? this.#used++;
    this.#words.set(this.#masked, place * WORDS);
    this.#slots[slot] = place + 1;
    return place;
  }

  /** Frees a place that is in use. */
  remove(place: number): void {
    const slots = this.#slots;
    const last = slots.length - 1;
    let hole = this.#home(place);
    while (slots[hole] !== place + 1) hole = (hole + 1) & last;
    // Close the gap: whoever would not be found past an empty slot moves into it.
    for (let next = (hole + 1) & last; slots[next] !== 0; next = (next + 1) & last) {
      const home = this.#home(slots[next]! - 1);
      if (((next - home) & last) >= ((next - hole) & last)) {
        slots[hole] = slots[next]!;
        hole = next;
      }
    }
    slots[hole] = 0;
    this.#free.push(place);
  }

  /** A copy of the masked key at a place that is in use; its mask index is 0. */
  key(place: number): FlowKey {
    const key = new Uint32Array(WORDS);
    key.set(this.#words.subarray(place * WORDS + 1, (place + 1) * WORDS), 1);
    return new Uint8Array(key.buffer);
  }

  #ask(key: FlowKey): void {
    this.#asked.set(key);
  }

  /** Fills #masked; returns its hash. */
  #mask(mask: SlabMask): number {
    const [asked, masked, words] = [this.#askedWords, this.#masked, mask.words];
    masked[0] = mask.id;
    for (let at = 1; at < WORDS; at++) masked[at] = asked[at]! & words[at]!;
    return hash(masked, 0);
  }

  /** The slot that holds #masked, or the empty one where it belongs. */
  #probe(start: number): number {
    const last = this.#slots.length - 1;
    for (let slot = start & last; ; slot = (slot + 1) & last) {
      const taken = this.#slots[slot]!;
      if (taken === 0 || this.#isMasked(taken - 1)) return slot;
    }
  }

  #isMasked(place: number): boolean {
    const from = place * WORDS;
    for (let at = 0; at < WORDS; at++) if (this.#words[from + at] !== this.#masked[at]) return false;
    return true;
  }

  #home(place: number): number {
    return hash(this.#words, place * WORDS) & (this.#slots.length - 1);
  }

  #grow(): void {
    const words = new Uint32Array(this.#words.length * 2);
    words.set(this.#words);
    this.#words = words;
    this.#slots = new Int32Array((words.length / WORDS) * SLOTS_PER_PLACE);
    const last = this.#slots.length - 1;
    for (let place = 0; place < this.#used; place++) {
      let slot = this.#home(place);
      while (this.#slots[slot] !== 0) slot = (slot + 1) & last;
      this.#slots[slot] = place + 1;
    }
  }
}

/** Two rounds of multiply and fold at the end; not keyed: the table is bounded, and so is each guest's share of it. */
function hash(words: Uint32Array, from: number): number {
  let value = 0;
  for (let at = from; at < from + WORDS; at++) value = Math.imul(value ^ words[at]!, 0x9e3779b1) ^ (value >>> 15);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  return (value ^ (value >>> 13)) >>> 0;
}
