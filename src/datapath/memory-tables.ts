// The tables of the memory data path: what the kernel keeps in maps. Time comes in as an argument, in milliseconds.

import type { Action } from '../flow/actions.ts';
import { FIELD, type FlowKey, type FlowMask, FRAGMENT, floodOf, maskedKey, portOf, sameBytes } from '../flow/fields.ts';
import { datagramOf, fragmentIdOf, portsOf, setPorts } from '../flow/fragment.ts';
import { ACTIONS_MAX, NUMBERS } from './contract.ts';
import { type Budgets, type Counter, type CounterKind, DatapathFull, type FlowEntry } from './datapath.ts';

/** Bytes as a Map key. */
const textOf = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

export interface StoredFlow extends FlowEntry {
  packets: number;
  bytes: number;
  usedMs: number;
}

const PAGE_FLOWS = 32;

/** Flows by mask, masks in the order in which they are tried. */
export class MemoryFlows {
  readonly #masks: { readonly mask: FlowMask; readonly flows: Map<string, StoredFlow> }[] = [];
  readonly #flowsMax: number;
  #size = 0;

  constructor(flowsMax: number) {
    this.#flowsMax = flowsMax;
  }

  /** All or none. */
  install(flows: readonly FlowEntry[], nowMs: number): void {
    const fresh = new Set<string>();
    const masks = this.#masks.map(({ mask }) => mask);
    for (const { key, mask, actions } of flows) {
      if (actions.length > ACTIONS_MAX)
        throw new RangeError(`a flow of ${actions.length} steps: at most ${ACTIONS_MAX} fit`);
      if (!masks.some((known) => sameBytes(known, mask))) masks.push(mask);
      const masked = textOf(maskedKey(key, mask));
      if (this.#tableOf(mask)?.flows.has(masked) !== true) fresh.add(textOf(mask) + masked);
    }
    if (masks.length > NUMBERS.MASKS_MAX) {
      throw new DatapathFull(`there would be ${masks.length} masks: at most ${NUMBERS.MASKS_MAX} fit`);
    }
    if (this.#size + fresh.size > this.#flowsMax) throw new DatapathFull(`at most ${this.#flowsMax} flows fit`);
    for (const { key, mask, actions } of flows) this.#put(key, mask, actions, nowMs);
  }

  remove(key: FlowKey, mask: FlowMask): void {
    const table = this.#tableOf(mask);
    if (table?.flows.delete(textOf(maskedKey(key, mask))) !== true) return;
    this.#size--;
    if (table.flows.size === 0) this.#masks.splice(this.#masks.indexOf(table), 1);
  }

  find(key: FlowKey): StoredFlow | undefined {
    for (const { mask, flows } of this.#masks) {
      const flow = flows.get(textOf(maskedKey(key, mask)));
      if (flow !== undefined) return flow;
    }
    return undefined;
  }

  all(): StoredFlow[] {
    return this.#masks.flatMap(({ flows }) => [...flows.values()]);
  }

  /** As they are when a page is asked for. */
  *pages(): Iterable<StoredFlow[]> {
    const names = this.#masks.flatMap((table) => [...table.flows.keys()].map((name) => ({ table, name })));
    for (let at = 0; at < names.length; at += PAGE_FLOWS) {
      yield names.slice(at, at + PAGE_FLOWS).flatMap(({ table, name }) => table.flows.get(name) ?? []);
    }
  }

  #tableOf(mask: FlowMask) {
    return this.#masks.find((known) => sameBytes(known.mask, mask));
  }

  #put(key: FlowKey, mask: FlowMask, actions: readonly Action[], nowMs: number): void {
    let table = this.#tableOf(mask);
    if (table === undefined) {
      table = { mask: mask.slice(), flows: new Map() };
      this.#masks.push(table);
    }
    const masked = maskedKey(key, mask);
    const before = table.flows.get(textOf(masked));
    if (before === undefined) this.#size++;
    const { packets, bytes, usedMs } = before ?? { packets: 0, bytes: 0, usedMs: nowMs };
    table.flows.set(textOf(masked), { key: masked, mask: table.mask, actions: [...actions], packets, bytes, usedMs });
  }
}

const { FRAGMENT_SLOTS, FRAGMENT_FLOODED, FRAGMENT_HASH } = NUMBERS;

/** Slot of a datagram, as the contract says. */
function fragmentSlot(key: FlowKey, id: number): number {
  const view = new DataView(key.buffer, key.byteOffset);
  const words: number[] = [];
  for (const { at } of [FIELD.source, FIELD.destination]) {
    for (let word = 0; word < 4; word++) words.push(view.getUint32(at + 4 * word));
  }
  const hash = [...words, key[FIELD.protocol.at]!].reduce((h, word) => Math.imul(h ^ word, FRAGMENT_HASH), 0);
  return ((id + (hash >>> 16)) % FRAGMENT_SLOTS) | (floodOf(key) === 0 ? 0 : FRAGMENT_FLOODED);
}

/** Ports of first fragments, in slots: each port has its own. */
export class MemoryFragments {
  readonly #slots = new Map<string, { readonly datagram: string; readonly ports: Uint8Array }>();

  /** The first fragment writes its ports, a later one takes them. False: a later one without its first. */
  fill(key: FlowKey, frame: Uint8Array): boolean {
    const part = key[FIELD.fragment.at]!;
    if (part === FRAGMENT.none) return true;
    const id = fragmentIdOf(frame);
    const slot = `${portOf(key)} ${fragmentSlot(key, id)}`;
    const datagram = datagramOf(key, id);
    if (part === FRAGMENT.first) {
      this.#slots.set(slot, { datagram, ports: portsOf(key) });
      return true;
    }
    const first = this.#slots.get(slot);
    if (first?.datagram !== datagram) return false;
    setPorts(key, first.ports);
    return true;
  }
}

const PENDING_MAX = 16_384;

/** Keys whose answer is awaited: a few packets of each go up, not all. */
export class MemoryPending {
  readonly #since = new Map<string, { readonly sinceMs: number; packets: number }>();
  readonly #packetsMax: number;
  readonly #forgetMs: number;

  constructor(packetsMax: number, forgetMs: number) {
    this.#packetsMax = packetsMax;
    this.#forgetMs = forgetMs;
  }

  /** Whether enough packets of this key are on their way up. */
  has(key: FlowKey, nowMs: number): boolean {
    const name = textOf(key);
    const known = this.#since.get(name);
    if (known === undefined || nowMs - known.sinceMs >= this.#forgetMs) {
      this.#since.delete(name);
      this.#since.set(name, { sinceMs: nowMs, packets: 1 });
      if (this.#since.size > PENDING_MAX) this.#since.delete(this.#since.keys().next().value!);
      return false;
    }
    if (known.packets >= this.#packetsMax) return true;
    known.packets++;
    return false;
  }
}

export type Bucket = keyof Budgets;
const PLENTY = { perSecond: 1_000_000, burst: 1_000_000 };

/** Token buckets, three for each port. */
export class MemoryBudgets {
  #allowed: Budgets = { miss: PLENTY, service: PLENTY, exception: PLENTY };
  readonly #left = new Map<string, { filledMs: number; tokens: number }>();

  /** Every port begins anew with a full burst. */
  set(allowed: Budgets): void {
    this.#allowed = allowed;
    this.#left.clear();
  }

  /** False: there is not enough left, nothing was taken. */
  spend(bucket: Bucket, port: number, cost: number, nowMs: number): boolean {
    const { perSecond, burst } = this.#allowed[bucket];
    const name = `${bucket} ${port}`;
    const { filledMs, tokens } = this.#left.get(name) ?? { filledMs: nowMs, tokens: burst };
    const now = Math.min(burst, tokens + ((nowMs - filledMs) * perSecond) / 1000);
    const enough = now >= cost;
    this.#left.set(name, { filledMs: nowMs, tokens: enough ? now - cost : now });
    return enough;
  }
}

export class MemoryCounters {
  readonly #counters = new Map<string, { -readonly [K in keyof Counter]: Counter[K] }>();
  readonly #entriesMax: number;

  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
  }

  count(kind: CounterKind, id: number, port: number, bytes: number): void {
    this.#add({ kind, id, port, packets: 1, bytes });
  }

  /** Removes what was counted for a port; drops and causes of going up are added to those of all ports that are gone. */
  forget(port: number): void {
    this.#counters.delete(nameOf('portRx', port, 0));
    this.forgetSent(port);
    for (const counter of this.all()) {
      if ((counter.kind !== 'drop' && counter.kind !== 'up') || counter.port !== port) continue;
      this.#counters.delete(nameOf(counter.kind, counter.id, port));
      this.#add({ ...counter, port: NUMBERS.PORT_GONE });
    }
  }

  /** Removes what was counted as handed to a port. */
  forgetSent(port: number): void {
    this.#counters.delete(nameOf('portTx', port, 0));
  }

  all(): Counter[] {
    return [...this.#counters.values()].map((counter) => ({ ...counter }));
  }

  /** What finds no room is counted as lost: one entry that is always there. */
  #add({ kind, id, port, packets, bytes }: Counter): void {
    const name = nameOf(kind, id, port);
    let counter = this.#counters.get(name);
    if (counter === undefined) {
      const lost = this.#counters.has(LOST) ? 0 : 1;
      if (kind !== 'lost' && this.#counters.size + lost >= this.#entriesMax) {
        this.#add({ kind: 'lost', id: 0, port: 0, packets, bytes });
        return;
      }
      counter = { kind, id, port, packets: 0, bytes: 0 };
      this.#counters.set(name, counter);
    }
    counter.packets += packets;
    counter.bytes += bytes;
  }
}

const nameOf = (kind: CounterKind, id: number, port: number): string => `${kind} ${id} ${port}`;
const LOST = nameOf('lost', 0, 0);
