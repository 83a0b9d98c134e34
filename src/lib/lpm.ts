// Longest-prefix match over both families. A look-up also tells how many leading bits of the address it had to look
// at: every address that shares those bits gets the same answer. That number is what a flow mask needs.
//
// A path-compressed binary trie (Morrison 1968) of immutable nodes, one root for each family. A node without an entry
// has two children; a child agrees with its parent in the parent's bits and branches on the next:
//
//              10.0.0.0/8            a look-up of 10.64.0.1 goes from /8 to /9 and sees the first difference from
//              /        \            10.0.0.0/16 at bit 9: it has looked at 10 bits
//     10.0.0.0/9        10.192.0.0/16
//        |
//     10.0.0.0/16

/** uint32 for IPv4, 128-bit bigint for IPv6. */
export type Address = number | bigint;
export interface LpmPrefix {
  readonly ip: Address;
  readonly bits: number;
}

/** Immutable. Both families live side by side; an address only ever meets prefixes of its own. */
export interface Lpm<T> {
  /** The value of the longest prefix that holds the address. */
  lookup(ip: Address): { readonly value: T | undefined; readonly bits: number };
  /** The values of all prefixes that hold the address, longest first. */
  matches(ip: Address): { readonly values: readonly T[]; readonly bits: number };
  /** The value of exactly this prefix. */
  get(prefix: LpmPrefix): T | undefined;
  /** IPv4 before IPv6, by rising address, shorter before longer. */
  entries(): Iterable<readonly [LpmPrefix, T]>;
  readonly size: number;
}

/** Prefixes hold no bit beyond their length. Of two values for one prefix the later counts. */
export function lpmOf<T>(entries: Iterable<readonly [LpmPrefix, T]>): Lpm<T> {
  return new Trie<T>(undefined, undefined, 0).with(entries);
}

/**
 * The same map with entries set, or removed where the value is undefined. What did not change is shared, so the price
 * is that of the changes. `lpm` comes from this file.
 */
export function lpmWith<T>(lpm: Lpm<T>, changes: Iterable<readonly [LpmPrefix, T | undefined]>): Lpm<T> {
  if (!(lpm instanceof Trie)) throw new TypeError('lpmWith takes what lpmOf or lpmWith returned');
  return (lpm as Trie<T>).with(changes);
}

/** `lpmWith` entry by entry: nobody sees them before `done`. */
export function lpmEdit<T>(lpm: Lpm<T>): LpmEdit<T> {
  if (!(lpm instanceof Trie)) throw new TypeError('lpmEdit takes what lpmOf or lpmWith returned');
  return (lpm as Trie<T>).edit();
}

export interface LpmEdit<T> {
  /** Undefined: removed. */
  set(prefix: LpmPrefix, value: T | undefined): void;
  /** The map; the edit is over. */
  done(): Lpm<T>;
}

/** Prefixes whose values are not identical in both maps. What the two share is not visited. */
export function lpmDifferences<T>(a: Lpm<T>, b: Lpm<T>): Iterable<LpmPrefix> {
  if (!(a instanceof Trie && b instanceof Trie))
    throw new TypeError('lpmDifferences takes what lpmOf or lpmWith returned');
  return (a as Trie<T>).differences(b as Trie<T>);
}

type Entry<T> = readonly [LpmPrefix, T];

/** 128 bits from the left, as int32 words; an IPv4 address is the first. Bits beyond `bits` mean nothing. */
interface Node<T> {
  readonly word0: number;
  readonly word1: number;
  readonly word2: number;
  readonly word3: number;
  readonly bits: number;
  entry: Entry<T> | undefined;
  zero: Node<T> | undefined;
  one: Node<T> | undefined;
  /** The change that made the node: until that one returns nobody else sees it, so it may be written. */
  readonly edit: object;
}

// A bigint is taken apart through memory: two stores instead of four shifts, each of which allocates.
const halves = new BigUint64Array(2);
const words = new Int32Array(halves.buffer);
const littleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
const [AT0, AT1, AT2, AT3] = littleEndian ? ([3, 2, 1, 0] as const) : ([2, 3, 0, 1] as const);

function split(ip: Address): void {
  if (typeof ip === 'number') {
    words.fill(0);
    words[AT0] = ip;
  } else {
    halves[0] = ip;
    halves[1] = ip >> 64n;
  }
}

/** How many leading bits the node has in common with the address. */
function commonBits(node: Node<unknown>, word0: number, word1: number, word2: number, word3: number): number {
  if (node.word0 !== word0) return Math.clz32(node.word0 ^ word0);
  if (node.word1 !== word1) return 32 + Math.clz32(node.word1 ^ word1);
  if (node.word2 !== word2) return 64 + Math.clz32(node.word2 ^ word2);
  return 96 + Math.clz32(node.word3 ^ word3);
}

function wordOf(at: number, word0: number, word1: number, word2: number, word3: number): number {
  return at < 64 ? (at < 32 ? word0 : word1) : at < 96 ? word2 : word3;
}

class Trie<T> implements Lpm<T> {
  readonly size: number;
  readonly #root4: Node<T> | undefined;
  readonly #root6: Node<T> | undefined;

  constructor(root4: Node<T> | undefined, root6: Node<T> | undefined, size: number) {
    this.#root4 = root4;
    this.#root6 = root6;
    this.size = size;
  }

  lookup(ip: Address): { readonly value: T | undefined; readonly bits: number } {
    const found = this.#walk(ip, undefined);
    return { value: found?.[1], bits: lookedAt };
  }

  matches(ip: Address): { readonly values: readonly T[]; readonly bits: number } {
    const all: Entry<T>[] = [];
    this.#walk(ip, all);
    const bits = lookedAt;
    return { values: all.map((entry) => entry[1]).reverse(), bits };
  }

  get(prefix: LpmPrefix): T | undefined {
    const all: Entry<T>[] = [];
    this.#walk(prefix.ip, all);
    return all.find((entry) => entry[0].bits === prefix.bits)?.[1];
  }

  *entries(): Iterable<readonly [LpmPrefix, T]> {
    yield* entriesOf(this.#root4);
    yield* entriesOf(this.#root6);
  }

  with(changes: Iterable<readonly [LpmPrefix, T | undefined]>): Lpm<T> {
    const edit = this.edit();
    for (const [prefix, value] of changes) edit.set(prefix, value);
    return edit.done();
  }

  edit(): LpmEdit<T> {
    const edit = {};
    const roots = { 4: this.#root4, 6: this.#root6 };
    const tally = { size: this.size };
    return {
      set: (prefix, value) => {
        const family = typeof prefix.ip === 'number' ? 4 : 6;
        roots[family] =
          value === undefined
            ? removed(roots[family], prefix, edit, tally)
            : put(roots[family], [prefix, value], edit, tally);
      },
      done: () => new Trie(roots[4], roots[6], tally.size),
    };
  }

  *differences(other: Trie<T>): Iterable<LpmPrefix> {
    yield* differ(this.#root4, other.#root4);
    yield* differ(this.#root6, other.#root6);
  }

  /** The longest entry that holds the address; all of them go to `all`, shortest first. Sets `lookedAt`. */
  #walk(ip: Address, all: Entry<T>[] | undefined): Entry<T> | undefined {
    return typeof ip === 'number' ? walk4(this.#root4, ip, all) : walk6(this.#root6, ip, all);
  }
}

/** How many leading bits the last walk looked at: a second result that costs no object. */
let lookedAt = 0;

function walk4<T>(root: Node<T> | undefined, ip: number, all: Entry<T>[] | undefined): Entry<T> | undefined {
  let found: Entry<T> | undefined;
  let node = root;
  let bits = 0;
  while (node !== undefined) {
    const common = Math.clz32(node.word0 ^ ip);
    if (common < node.bits) {
      bits = common + 1;
      break;
    }
    bits = node.bits;
    if (node.entry !== undefined) {
      found = node.entry;
      all?.push(found);
    }
    if (node.zero === undefined && node.one === undefined) break;
    node = (ip >>> (31 - bits)) & 1 ? node.one : node.zero;
    bits++;
  }
  lookedAt = bits;
  return found;
}

function walk6<T>(root: Node<T> | undefined, ip: bigint, all: Entry<T>[] | undefined): Entry<T> | undefined {
  split(ip);
  const word0 = words[AT0]!;
  const word1 = words[AT1]!;
  const word2 = words[AT2]!;
  const word3 = words[AT3]!;
  let found: Entry<T> | undefined;
  let node = root;
  let bits = 0;
  while (node !== undefined) {
    const common = commonBits(node, word0, word1, word2, word3);
    if (common < node.bits) {
      bits = common + 1;
      break;
    }
    bits = node.bits;
    if (node.entry !== undefined) {
      found = node.entry;
      all?.push(found);
    }
    if (node.zero === undefined && node.one === undefined) break;
    node = (wordOf(bits, word0, word1, word2, word3) >>> (31 - (bits & 31))) & 1 ? node.one : node.zero;
    bits++;
  }
  lookedAt = bits;
  return found;
}

function* entriesOf<T>(root: Node<T> | undefined): Iterable<Entry<T>> {
  const open = [root];
  while (open.length > 0) {
    const node = open.pop();
    if (node === undefined) continue;
    if (node.entry !== undefined) yield node.entry;
    open.push(node.one, node.zero);
  }
}

function nodeAt<T>(ip: Address, bits: number, entry: Entry<T> | undefined, edit: object): Node<T> {
  split(ip);
  const node = { word0: words[AT0]!, word1: words[AT1]!, word2: words[AT2]!, word3: words[AT3]!, bits };
  return { ...node, entry, zero: undefined, one: undefined, edit };
}

const owned = <T>(node: Node<T>, edit: object): Node<T> => (node.edit === edit ? node : { ...node, edit });

const branchOf = (node: Node<unknown>, bit: number): 'zero' | 'one' =>
  (wordOf(bit, node.word0, node.word1, node.word2, node.word3) >>> (31 - (bit & 31))) & 1 ? 'one' : 'zero';

const commonOf = (a: Node<unknown>, b: Node<unknown>): number =>
  Math.min(commonBits(a, b.word0, b.word1, b.word2, b.word3), a.bits, b.bits);

function put<T>(root: Node<T> | undefined, entry: Entry<T>, edit: object, tally: { size: number }): Node<T> {
  const leaf = nodeAt(entry[0].ip, entry[0].bits, entry, edit);
  return merged(root, leaf, edit, tally);
}

function merged<T>(node: Node<T> | undefined, leaf: Node<T>, edit: object, tally: { size: number }): Node<T> {
  if (node === undefined) {
    tally.size++;
    return leaf;
  }
  const common = commonOf(node, leaf);
  if (common === node.bits) {
    const mine = owned(node, edit);
    if (common === leaf.bits) {
      if (mine.entry === undefined) tally.size++;
      mine.entry = leaf.entry;
    } else {
      const side = branchOf(leaf, common);
      mine[side] = merged(mine[side], leaf, edit, tally);
    }
    return mine;
  }
  tally.size++;
  if (common === leaf.bits) {
    leaf[branchOf(node, common)] = node;
    return leaf;
  }
  const fork: Node<T> = { ...leaf, bits: common, entry: undefined };
  fork[branchOf(leaf, common)] = leaf;
  fork[branchOf(node, common)] = node;
  return fork;
}

function removed<T>(
  root: Node<T> | undefined,
  prefix: LpmPrefix,
  edit: object,
  tally: { size: number },
): Node<T> | undefined {
  return without(root, nodeAt<T>(prefix.ip, prefix.bits, undefined, edit), edit, tally);
}

function without<T>(
  node: Node<T> | undefined,
  target: Node<T>,
  edit: object,
  tally: { size: number },
): Node<T> | undefined {
  if (node === undefined || commonOf(node, target) < node.bits) return node;
  if (node.bits === target.bits) {
    if (node.entry === undefined) return node;
    tally.size--;
    const mine = owned(node, edit);
    mine.entry = undefined;
    return shrunk(mine);
  }
  const side = branchOf(target, node.bits);
  const child = without(node[side], target, edit, tally);
  if (child === node[side]) return node;
  const mine = owned(node, edit);
  mine[side] = child;
  return shrunk(mine);
}

/** Keeps the invariant: a node without an entry has two children. */
function shrunk<T>(node: Node<T>): Node<T> | undefined {
  if (node.entry !== undefined || (node.zero !== undefined && node.one !== undefined)) return node;
  return node.zero ?? node.one;
}

function* differ<T>(a: Node<T> | undefined, b: Node<T> | undefined): Iterable<LpmPrefix> {
  if (a === b) return;
  if (a === undefined || b === undefined) {
    for (const [prefix] of entriesOf(a ?? b)) yield prefix;
    return;
  }
  const common = commonOf(a, b);
  if (common < Math.min(a.bits, b.bits)) {
    yield* differ(a, undefined);
    yield* differ(undefined, b);
  } else if (a.bits === b.bits) {
    if (a.entry?.[1] !== b.entry?.[1]) yield (a.entry ?? b.entry)![0];
    yield* differ(a.zero, b.zero);
    yield* differ(a.one, b.one);
  } else {
    // One lies below the other: its subtree meets the branch that it would be on.
    const [upper, lower] = a.bits < b.bits ? [a, b] : [b, a];
    if (upper.entry !== undefined) yield upper.entry[0];
    const side = branchOf(lower, upper.bits);
    yield* differ(upper[side], lower);
    yield* differ(upper[side === 'zero' ? 'one' : 'zero'], undefined);
  }
}
