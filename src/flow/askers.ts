// Who asked what: from a question to the flows that asked it. An asker is a number (a flow's place in its slab). Tags
// that say the same are one; that an asker has a tag is one node of five words, in two lists:
//
//   asker 7 --first--> [tag 3 | asker 7 | previous | next | following] --following--> [tag 9 | asker 7 | …] --> 0
//                            ^                       |
//   tag 3 --first------------+                       +--next--> [tag 3 | asker 8 | …]
//
// so 100,000 flows with eight tags each take 16 MB for their nodes, and one leaves without a search.

import { type Tag, type Touch, touches } from './tags.ts';

const NODE_WORDS = 5;
const TAG = 0;
const ASKER = 1;
const PREVIOUS = 2;
const NEXT = 3;
const FOLLOWING = 4;
const TAG_WORDS = 2;
const FIRST = 0;
const SIBLING = 1;

/** The tags of a question that has others than the plain one. */
interface Narrowed {
  /** Id of the tag without prefix and position, 0: none. */
  plain: number;
  /** By the prefix's address, or by the position where there is no prefix: the first of siblings. */
  readonly tags: Map<number | bigint, number>;
}

export class Askers {
  /** A number is the id of the plain tag, when the question has no other. */
  readonly #questions = new Map<string, number | Narrowed>();
  /** By id, from 1 on. A plain tag is kept as its question alone. */
  readonly #tags: (string | Tag | undefined)[] = [undefined];
  readonly #freeTags: number[] = [];
  #tagWords = new Int32Array(1024 * TAG_WORDS);
  /** Node 0 is none. Free nodes are a list by their FOLLOWING. */
  #nodes = new Int32Array(4096 * NODE_WORDS);
  #nodesUsed = 1;
  #freeNode = 0;
  #firstOfAsker = new Int32Array(1024);

  /** Number of questions that somebody asked. */
  get size(): number {
    return this.#questions.size;
  }

  /** The asker has no tags yet. A tag that is there twice counts once. */
  add(asker: number, tags: readonly Tag[]): void {
    if (asker >= this.#firstOfAsker.length) this.#firstOfAsker = grown(this.#firstOfAsker, asker + 1);
    for (let i = tags.length - 1; i >= 0; i--) {
      const tag = this.#intern(tags[i]!);
      if (this.#has(asker, tag)) continue;
      const node = this.#newNode();
      const nodes = this.#nodes;
      const next = this.#tagWords[tag * TAG_WORDS + FIRST]!;
      nodes[node + TAG] = tag;
      nodes[node + ASKER] = asker;
      nodes[node + PREVIOUS] = 0;
      nodes[node + NEXT] = next;
      nodes[node + FOLLOWING] = this.#firstOfAsker[asker]!;
      if (next !== 0) nodes[next + PREVIOUS] = node;
      this.#tagWords[tag * TAG_WORDS + FIRST] = node;
      this.#firstOfAsker[asker] = node;
    }
  }

  /** Takes all tags of the asker away. */
  remove(asker: number): void {
    const nodes = this.#nodes;
    let node = this.#firstOfAsker[asker] ?? 0;
    while (node !== 0) {
      const tag = nodes[node + TAG]!;
      const previous = nodes[node + PREVIOUS]!;
      const next = nodes[node + NEXT]!;
      if (next !== 0) nodes[next + PREVIOUS] = previous;
      if (previous !== 0) nodes[previous + NEXT] = next;
      else if (next !== 0) this.#tagWords[tag * TAG_WORDS + FIRST] = next;
      else this.#forget(tag);
      const following = nodes[node + FOLLOWING]!;
      nodes[node + FOLLOWING] = this.#freeNode;
      this.#freeNode = node;
      node = following;
    }
    this.#firstOfAsker[asker] = 0;
  }

  tagsOf(asker: number): Tag[] {
    const tags: Tag[] = [];
    for (let node = this.#firstOfAsker[asker] ?? 0; node !== 0; node = this.#nodes[node + FOLLOWING]!) {
      tags.push(this.#tag(this.#nodes[node + TAG]!));
    }
    return tags;
  }

  /** Everyone with a tag that one of the touches touches. */
  touchedBy(changes: readonly Touch[]): Set<number> {
    const touched = new Set<number>();
    for (const touch of changes) {
      const question = this.#questions.get(touch.question);
      if (question === undefined) continue;
      if (typeof question === 'number') {
        this.#collect(touched, question, touch);
        continue;
      }
      if (question.plain !== 0) this.#collect(touched, question.plain, touch);
      for (const first of question.tags.values()) {
        for (let tag = first; tag !== 0; tag = this.#sibling(tag)) this.#collect(touched, tag, touch);
      }
    }
    return touched;
  }

  #collect(into: Set<number>, tag: number, touch: Touch): void {
    if (!touches(touch, this.#tag(tag))) return;
    let node = this.#tagWords[tag * TAG_WORDS + FIRST]!;
    for (; node !== 0; node = this.#nodes[node + NEXT]!) into.add(this.#nodes[node + ASKER]!);
  }

  #has(asker: number, tag: number): boolean {
    let node = this.#firstOfAsker[asker]!;
    while (node !== 0 && this.#nodes[node + TAG] !== tag) node = this.#nodes[node + FOLLOWING]!;
    return node !== 0;
  }

  #tag(id: number): Tag {
    const tag = this.#tags[id]!;
    return typeof tag === 'string' ? { question: tag } : tag;
  }

  #sibling(tag: number): number {
    return this.#tagWords[tag * TAG_WORDS + SIBLING]!;
  }

  #intern(tag: Tag): number {
    const question = this.#questions.get(tag.question);
    const at = narrowingOf(tag);
    if (at === undefined) {
      const known = typeof question === 'object' ? question.plain : question;
      if (known !== undefined && known !== 0) return known;
      const id = this.#newTag(tag.question);
      if (typeof question === 'object') question.plain = id;
      else this.#questions.set(tag.question, id);
      return id;
    }
    let narrowed = question;
    if (typeof narrowed !== 'object') {
      narrowed = { plain: narrowed ?? 0, tags: new Map() };
      this.#questions.set(tag.question, narrowed);
    }
    const first = narrowed.tags.get(at) ?? 0;
    for (let id = first; id !== 0; id = this.#sibling(id)) if (sameNarrowing(this.#tags[id] as Tag, tag)) return id;
    const id = this.#newTag(tag);
    this.#tagWords[id * TAG_WORDS + SIBLING] = first;
    narrowed.tags.set(at, id);
    return id;
  }

  #newTag(tag: string | Tag): number {
    const id = this.#freeTags.pop() ?? this.#tags.length;
    this.#tags[id] = tag;
    if ((id + 1) * TAG_WORDS > this.#tagWords.length) this.#tagWords = grown(this.#tagWords, (id + 1) * TAG_WORDS);
    return id;
  }

  /** The tag has no askers left. */
  #forget(id: number): void {
    const tag = this.#tags[id]!;
    const name = typeof tag === 'string' ? tag : tag.question;
    const question = this.#questions.get(name)!;
    if (typeof question === 'number') this.#questions.delete(name);
    else if (typeof tag === 'string') question.plain = 0;
    else this.#unlink(question, tag, id);
    if (typeof question === 'object' && question.tags.size === 0) {
      if (question.plain === 0) this.#questions.delete(name);
      else this.#questions.set(name, question.plain);
    }
    this.#tags[id] = undefined;
    this.#tagWords.fill(0, id * TAG_WORDS, (id + 1) * TAG_WORDS);
    this.#freeTags.push(id);
  }

  #unlink(question: Narrowed, tag: Tag, id: number): void {
    const at = narrowingOf(tag)!;
    const next = this.#sibling(id);
    const first = question.tags.get(at)!;
    if (first !== id) {
      let before = first;
      while (this.#sibling(before) !== id) before = this.#sibling(before);
      this.#tagWords[before * TAG_WORDS + SIBLING] = next;
    } else if (next !== 0) question.tags.set(at, next);
    else question.tags.delete(at);
  }

  /** Its index in words. */
  #newNode(): number {
    if (this.#freeNode !== 0) {
      const node = this.#freeNode;
      this.#freeNode = this.#nodes[node + FOLLOWING]!;
      return node;
    }
    const node = this.#nodesUsed++ * NODE_WORDS;
    if (node + NODE_WORDS > this.#nodes.length) this.#nodes = grown(this.#nodes, node + NODE_WORDS);
    return node;
  }
}

const narrowingOf = (tag: Tag): number | bigint | undefined => tag.prefix?.ip ?? tag.upTo;

function sameNarrowing(a: Tag, b: Tag): boolean {
  return a.upTo === b.upTo && a.prefix?.bits === b.prefix?.bits && a.prefix?.ip === b.prefix?.ip;
}

function grown(array: Int32Array<ArrayBuffer>, least: number): Int32Array<ArrayBuffer> {
  let length = array.length;
  while (length < least) length *= 2;
  const larger = new Int32Array(length);
  larger.set(array);
  return larger;
}
