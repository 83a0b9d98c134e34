// What several may claim and one has: a map of lists that shows the first of each. Who stands behind takes over when
// the first goes.

import { SharedMap } from './shared-map.ts';

export class Claims<K extends string | number | bigint, V> implements ReadonlyMap<K, V> {
  readonly lists: SharedMap<K, readonly V[]>;

  constructor(lists: SharedMap<K, readonly V[]> = SharedMap.empty()) {
    this.lists = lists;
  }

  /** With these lists in place of what it had; a key without a list has none. */
  with(lists: SharedMap<K, readonly V[]>): Claims<K, V> {
    return lists === this.lists ? this : new Claims(lists);
  }

  get size(): number {
    return this.lists.size;
  }
  get(key: K): V | undefined {
    return this.lists.get(key)?.[0];
  }
  has(key: K): boolean {
    return this.lists.has(key);
  }
  *entries(): MapIterator<[K, V]> {
    for (const [key, list] of this.lists) yield [key, list[0]!];
    return undefined;
  }
  keys(): MapIterator<K> {
    return this.lists.keys();
  }
  *values(): MapIterator<V> {
    for (const list of this.lists.values()) yield list[0]!;
    return undefined;
  }
  [Symbol.iterator](): MapIterator<[K, V]> {
    return this.entries();
  }
  forEach(visit: (value: V, key: K, map: ReadonlyMap<K, V>) => void): void {
    for (const [key, value] of this) visit(value, key, this);
  }
}
