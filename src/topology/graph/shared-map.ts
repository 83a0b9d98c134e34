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
    const none: ReadonlyMap<K, V> = new Map();
    return new SharedMap<K, V>(new Array<ReadonlyMap<K, V>>(SHARDS).fill(none), 0);
  }

  get(key: K): V | undefined {
    return this.#shards[shardOf(key)]!.get(key);
  }

  has(key: K): boolean {
    return this.#shards[shardOf(key)]!.has(key);
  }

  /** With these entries set, or removed where the value is undefined. The same map when nothing differs. */
  with(changes: Iterable<readonly [K, V | undefined]>): SharedMap<K, V> {
    const mine = new Map<number, Map<K, V>>();
    let size = this.size;
    for (const [key, value] of changes) {
      const at = shardOf(key);
      let shard = mine.get(at);
      if ((shard ?? this.#shards[at]!).get(key) === value) continue;
      if (shard === undefined) {
        shard = new Map(this.#shards[at]);
        mine.set(at, shard);
      }
      size -= shard.size;
      if (value === undefined) shard.delete(key);
      else shard.set(key, value);
      size += shard.size;
    }
    if (mine.size === 0) return this;
    const shards = this.#shards.slice();
    for (const [at, shard] of mine) shards[at] = shard;
    return new SharedMap(shards, size);
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
    for (const shard of this.#shards) yield* shard;
    return undefined;
  }

  *keys(): MapIterator<K> {
    for (const shard of this.#shards) yield* shard.keys();
    return undefined;
  }

  *values(): MapIterator<V> {
    for (const shard of this.#shards) yield* shard.values();
    return undefined;
  }

  [Symbol.iterator](): MapIterator<[K, V]> {
    return this.entries();
  }

  forEach(visit: (value: V, key: K, map: ReadonlyMap<K, V>) => void): void {
    for (const [key, value] of this) visit(value, key, this);
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
