// An immutable map that shares what did not change with the map it came from: the keys are spread over 256 native maps,
// and a change copies only those that it touches. A look-up costs little more than that of a native map, whose strings
// keep their hash; a change in a map of 10,000 copies some forty entries.

const SHARDS = 256;

export class SharedMap<K extends string | number | bigint, V> implements ReadonlyMap<K, V> {
  readonly size: number;
  readonly #shards: readonly ReadonlyMap<K, V>[];

  private constructor(shards: readonly ReadonlyMap<K, V>[], size: number) {
    this.#shards = shards;
    this.size = size;
  }

  static empty<K extends string | number | bigint, V>(): SharedMap<K, V> {
    return EMPTY as SharedMap<never, never> as SharedMap<K, V>;
  }

  /** For `SharedMapEdit` alone. */
  static of<K extends string | number | bigint, V>(shards: readonly ReadonlyMap<K, V>[], size: number) {
    return new SharedMap<K, V>(shards, size);
  }

  get(key: K): V | undefined {
    return this.#shards[shardOf(key)]!.get(key);
  }

  has(key: K): boolean {
    return this.#shards[shardOf(key)]!.has(key);
  }

  /** With these entries set, or removed where the value is undefined. The same map when nothing differs. */
  with(changes: Iterable<readonly [K, V | undefined]>): SharedMap<K, V> {
    const edit = this.edit();
    for (const [key, value] of changes) edit.set(key, value);
    return edit.done();
  }

  /** The same, entry by entry. */
  edit(): SharedMapEdit<K, V> {
    return new SharedMapEdit(this, this.#shards);
  }

  /** Keys whose values are not identical in the two. Parts that the maps share are not visited. */
  *differences(other: SharedMap<K, V>): Iterable<K> {
    for (let at = 0; at < SHARDS; at++) {
      const [mine, theirs] = [this.#shards[at]!, other.#shards[at]!];
      if (mine === theirs) continue;
      for (const [key, value] of mine) if (theirs.get(key) !== value) yield key;
      for (const key of theirs.keys()) if (!mine.has(key)) yield key;
    }
  }

  /** In no particular order. */
  *entries(): MapIterator<[K, V]> {
    for (const shard of this.#shards) if (shard.size > 0) yield* shard;
    return undefined;
  }

  *keys(): MapIterator<K> {
    for (const shard of this.#shards) if (shard.size > 0) yield* shard.keys();
    return undefined;
  }

  *values(): MapIterator<V> {
    for (const shard of this.#shards) if (shard.size > 0) yield* shard.values();
    return undefined;
  }

  [Symbol.iterator](): MapIterator<[K, V]> {
    return this.entries();
  }

  forEach(visit: (value: V, key: K, map: ReadonlyMap<K, V>) => void): void {
    for (const [key, value] of this) visit(value, key, this);
  }
}

const EMPTY = SharedMap.of<string, unknown>(new Array<ReadonlyMap<string, unknown>>(SHARDS).fill(new Map()), 0);

/**
 * A map in the making: entries are set one by one, a price for each that does not grow with the map, and nobody sees
 * them before `done`. Also for what is only gathered: a native map of 50,000 stops the thread for 2 ms when it grows.
 */
export class SharedMapEdit<K extends string | number | bigint, V> {
  readonly #from: SharedMap<K, V>;
  #shards: readonly ReadonlyMap<K, V>[];
  /** Shards that are this edit's own, by index. */
  #mine: (Map<K, V> | undefined)[] | undefined;
  #size: number;

  constructor(from: SharedMap<K, V>, shards: readonly ReadonlyMap<K, V>[]) {
    this.#from = from;
    this.#shards = shards;
    this.#size = from.size;
  }

  get size(): number {
    return this.#size;
  }

  get(key: K): V | undefined {
    return this.#shards[shardOf(key)]!.get(key);
  }

  /** Undefined: removed. */
  set(key: K, value: V | undefined): void {
    const at = shardOf(key);
    if (this.#shards[at]!.get(key) === value) return;
    const shard = this.#own(at);
    this.#size -= shard.size;
    if (value === undefined) shard.delete(key);
    else shard.set(key, value);
    this.#size += shard.size;
  }

  /** What was set last is in it; the edit is over. The map it came from, when nothing was altered. */
  done(): SharedMap<K, V> {
    return this.#mine === undefined ? this.#from : SharedMap.of(this.#shards, this.#size);
  }

  #own(at: number): Map<K, V> {
    if (this.#mine === undefined) {
      this.#mine = new Array(SHARDS);
      this.#shards = this.#shards.slice();
    }
    const mine = this.#mine[at];
    if (mine !== undefined) return mine;
    const shard = new Map(this.#shards[at]);
    this.#mine[at] = shard;
    (this.#shards as ReadonlyMap<K, V>[])[at] = shard;
    return shard;
  }
}

/** Ids are UUIDs: their last two hexadecimal digits are spread evenly, whether drawn or counted up. */
function shardOf(key: string | number | bigint): number {
  if (typeof key === 'number') return key & 255;
  if (typeof key === 'bigint') return Number(BigInt.asUintN(8, key));
  return ((hexDigit(key.charCodeAt(key.length - 2)) << 4) | hexDigit(key.charCodeAt(key.length - 1))) & 255;
}

/** 0..15 for a digit of a UUID, anything for another character. */
const hexDigit = (code: number): number => (code & 15) + (code >> 6) * 9;
