// Flows and masks in the kernel. The kernel's tables are the only copy; kept here are the masks with the number of
// their flows, and the action lists. A mask has a number of its own that its flows carry, so the list of masks can be
// reordered and shortened without touching a flow. The list is written whole into a spare place and switched by index.
//
// The table is keyed by a hash of the masked key, which stands in the value. Of two flows whose hashes are equal the later
// one is there: packets of the other come up, which is always right.

import { FIELD, type FlowKey, KEY_BYTES, maskedKey, sameBytes, setU32 } from '../../flow/fields.ts';
import { bytesOf, NUMBERS, STRUCTS } from '../contract.ts';
import { DatapathFull, type FlowEntry, type InstalledFlow } from '../datapath.ts';
import { type BpfMap, u32Bytes } from './maps.ts';
import { SysError } from './sys.ts';
import { type ActionList, ActionSets } from './tables/action-sets.ts';
import { FlowHash } from './tables/flow-hash.ts';

const VALUE = STRUCTS.flow_value;
const NS_PER_MS = 1_000_000n;
/** Read and looked at in a fraction of a millisecond. */
const PAGE_FLOWS = 32;

interface LiveMask {
  readonly number: number;
  readonly mask: FlowKey;
  flows: number;
  /** Packets counted by its flows when they were last read. */
  packets: number;
}

/** A flow as it stood in the table before another one took its place. */
interface Old {
  readonly value: Uint8Array;
  readonly live: LiveMask;
}

export interface FlowMaps {
  readonly flows: BpfMap;
  readonly masks: BpfMap;
  readonly actions: BpfMap;
}

export class KernelFlows {
  readonly #maps: FlowMaps;
  readonly #hash: FlowHash;
  readonly #sets: ActionSets;
  readonly #switchMasks: (at: number) => void;
  readonly #masks = new Map<string, LiveMask>();
  /** Order in the kernel's list. */
  #order: LiveMask[] = [];
  #masksAt: number;

  /** `masksAt`: the place of the valid list; `switchMasks` makes another one valid. `seed`: settings.hash_seed. */
  constructor(
    maps: FlowMaps,
    actionSets: number,
    masksAt: number,
    switchMasks: (at: number) => void,
    seed: Uint32Array,
  ) {
    this.#maps = maps;
    this.#hash = new FlowHash(seed);
    this.#masksAt = masksAt;
    this.#switchMasks = switchMasks;
    this.#sets = new ActionSets(maps.actions, actionSets, () => performance.now());
    this.#recover();
  }

  /** All or none; DatapathFull. */
  install(flows: readonly FlowEntry[]): void {
    this.#addMasks(flows);
    const done: { name: Uint8Array; live: LiveMask; list: ActionList; old: Old | undefined }[] = [];
    try {
      for (const flow of flows) {
        const live = this.#masks.get(textOf(flow.mask))!;
        const key = maskedKey(flow.key, flow.mask);
        setU32(key, FIELD.mask.at, live.number);
        const list = this.#sets.acquire(flow.actions);
        const name = this.#hash.nameOf(key);
        const old = this.#find(name);
        try {
          this.#maps.flows.set(name, valueBytes(key, list, old?.value));
        } catch (error) {
          this.#sets.release(list.id, list.generation);
          throw error;
        }
        if (old !== undefined) old.live.flows--;
        live.flows++;
        done.push({ name, live, list, old });
      }
    } catch (error) {
      for (const { name, live, list, old } of done.reverse()) {
        live.flows--;
        if (old === undefined) this.#maps.flows.delete(name);
        else {
          this.#maps.flows.set(name, old.value);
          old.live.flows++;
        }
        this.#sets.release(list.id, list.generation);
      }
      this.#dropUnusedMasks();
      if (error instanceof SysError && (error.code === 'E2BIG' || error.code === 'ENOSPC')) {
        throw new DatapathFull('the flow table of the kernel is full', { cause: error });
      }
      throw error;
    }
    for (const { old } of done) if (old !== undefined) this.#releaseValue(old.value);
    this.#dropUnusedMasks();
  }

  remove(flows: readonly Pick<FlowEntry, 'key' | 'mask'>[]): void {
    for (const flow of flows) {
      const live = this.#masks.get(textOf(flow.mask));
      if (live === undefined) continue;
      const key = maskedKey(flow.key, flow.mask);
      setU32(key, FIELD.mask.at, live.number);
      const name = this.#hash.nameOf(key);
      const old = this.#maps.flows.take(name);
      if (old === undefined) continue;
      if (!sameBytes(keyIn(old), key)) {
        this.#maps.flows.set(name, old);
        continue;
      }
      live.flows--;
      this.#releaseValue(old);
    }
    this.#dropUnusedMasks();
  }

  /** Every flow. As a by-product the masks are put in order of the packets they matched since the last time. */
  list(): InstalledFlow[] {
    const packets = new Map(this.#order.map((live) => [live.number, 0]));
    const flows: InstalledFlow[] = [];
    const read = this.#reader();
    this.#maps.flows.forEach((_, value) => {
      const flow = read(value);
      if (flow === undefined) return;
      const number = numberOf(keyIn(value));
      packets.set(number, packets.get(number)! + flow.packets);
      flows.push(flow);
    });
    this.#reorder(packets);
    return flows;
  }

  /** Every flow, page by page; masks and actions are those of the time when a page is asked for. */
  *pages(): Iterable<InstalledFlow[]> {
    for (const batch of this.#maps.flows.batches(PAGE_FLOWS)) {
      const page: InstalledFlow[] = [];
      const read = this.#reader();
      batch((_, value) => {
        const flow = read(value);
        if (flow !== undefined) page.push(flow);
      });
      yield page;
    }
  }

  /** Makes flows of values of the kernel's table as it is now; undefined when mask or actions are gone. */
  #reader(): (value: Uint8Array) => InstalledFlow | undefined {
    const byNumber = new Map(this.#order.map((live) => [live.number, live]));
    const nowNs = process.hrtime.bigint();
    return (value) => {
      const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
      const key = keyIn(value);
      const live = byNumber.get(numberOf(key));
      const list = this.#sets.find(view.getUint32(VALUE.at.actions, true), view.getUint32(VALUE.at.generation, true));
      return live && list && installedFlow(key, live.mask, list, view, nowNs);
    };
  }

  #recover(): void {
    const list = this.#maps.masks.get(u32Bytes(this.#masksAt))!;
    const count = Math.min(new DataView(list.buffer).getUint32(0, true), NUMBERS.MASKS_MAX);
    for (let index = 0; index < count; index++) {
      const at = STRUCTS.mask_list.at.mask + index * KEY_BYTES;
      const mask = list.slice(at, at + KEY_BYTES);
      const number = numberOf(mask);
      setU32(mask, FIELD.mask.at, 0);
      const live: LiveMask = { number, mask, flows: 0, packets: 0 };
      this.#masks.set(textOf(mask), live);
      this.#order.push(live);
    }
    const byNumber = new Map(this.#order.map((live) => [live.number, live]));
    const unreadable: Uint8Array[] = [];
    let newest = 0;
    this.#maps.flows.forEach((name, value) => {
      const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
      const generation = view.getUint32(VALUE.at.generation, true);
      newest = Math.max(newest, generation);
      const live = byNumber.get(numberOf(keyIn(value)));
      const found = live && this.#sets.recover(view.getUint32(VALUE.at.actions, true), generation);
      if (live === undefined || found === undefined) unreadable.push(name.slice());
      else live.flows++;
    });
    for (const name of unreadable) this.#maps.flows.delete(name);
    this.#sets.recovered(newest);
    this.#dropUnusedMasks();
  }

  /** What stands under a name, which may be another flow. */
  #find(name: Uint8Array): Old | undefined {
    const value = this.#maps.flows.get(name);
    if (value === undefined) return undefined;
    const number = numberOf(keyIn(value));
    return { value, live: this.#order.find((live) => live.number === number)! };
  }

  #addMasks(flows: readonly FlowEntry[]): void {
    const fresh = new Map<string, FlowKey>();
    for (const { mask } of flows) {
      const text = textOf(mask);
      if (!this.#masks.has(text)) fresh.set(text, mask);
    }
    if (fresh.size === 0) return;
    if (this.#masks.size + fresh.size > NUMBERS.MASKS_MAX) {
      throw new DatapathFull(`more than ${NUMBERS.MASKS_MAX} masks: ${this.#masks.size} live, ${fresh.size} more`);
    }
    const taken = new Set(this.#order.map(({ number }) => number));
    for (const [text, mask] of fresh) {
      let number = 1;
      while (taken.has(number)) number++;
      taken.add(number);
      const live: LiveMask = { number, mask: mask.slice(), flows: 0, packets: 0 };
      this.#masks.set(text, live);
      this.#order.push(live);
    }
    this.#writeMasks();
  }

  #dropUnusedMasks(): void {
    if (this.#order.every(({ flows }) => flows > 0)) return;
    this.#order = this.#order.filter(({ flows }) => flows > 0);
    this.#masks.clear();
    for (const live of this.#order) this.#masks.set(textOf(live.mask), live);
    this.#writeMasks();
  }

  #reorder(packets: ReadonlyMap<number, number>): void {
    const recent = new Map<LiveMask, number>();
    for (const live of this.#order) {
      const total = packets.get(live.number)!;
      recent.set(live, Math.max(0, total - live.packets));
      live.packets = total;
    }
    const ordered = [...this.#order].sort((a, b) => recent.get(b)! - recent.get(a)!);
    if (ordered.every((live, index) => live === this.#order[index])) return;
    this.#order = ordered;
    this.#writeMasks();
  }

  #writeMasks(): void {
    const { bytes, view } = bytesOf(STRUCTS.mask_list.bytes);
    view.setUint32(0, this.#order.length, true);
    this.#order.forEach((live, index) => {
      const at = STRUCTS.mask_list.at.mask + index * KEY_BYTES;
      bytes.set(live.mask, at);
      setU32(bytes, at + FIELD.mask.at, live.number);
    });
    const at = (this.#masksAt + 1) % NUMBERS.MASK_LISTS;
    this.#maps.masks.set(u32Bytes(at), bytes);
    this.#switchMasks(at);
    this.#masksAt = at;
  }

  #releaseValue(value: Uint8Array): void {
    const view = new DataView(value.buffer);
    this.#sets.release(view.getUint32(VALUE.at.actions, true), view.getUint32(VALUE.at.generation, true));
  }
}

const textOf = (mask: Uint8Array): string => Buffer.from(mask).toString('latin1');
const numberOf = (key: Uint8Array): number => new DataView(key.buffer, key.byteOffset).getUint32(FIELD.mask.at, true);

const keyIn = (value: Uint8Array): FlowKey => value.subarray(VALUE.at.key, VALUE.at.key + KEY_BYTES);

/** A flow that takes the place of itself keeps its counts and its age. */
function valueBytes(key: FlowKey, list: ActionList, old: Uint8Array | undefined): Uint8Array {
  const { bytes, view } = bytesOf(VALUE.bytes);
  if (old !== undefined && sameBytes(keyIn(old), key)) bytes.set(old);
  else view.setBigUint64(VALUE.at.used_ns, process.hrtime.bigint(), true);
  view.setUint32(VALUE.at.actions, list.id, true);
  view.setUint32(VALUE.at.generation, list.generation, true);
  bytes.set(key, VALUE.at.key);
  return bytes;
}

function installedFlow(key: Uint8Array, mask: FlowKey, list: ActionList, view: DataView, nowNs: bigint): InstalledFlow {
  const usedNs = view.getBigUint64(VALUE.at.used_ns, true);
  return {
    key: withoutNumber(key),
    mask,
    actions: list.actions,
    packets: Number(view.getBigUint64(VALUE.at.packets, true)),
    bytes: Number(view.getBigUint64(VALUE.at.bytes, true)),
    idleMs: nowNs > usedNs ? Number((nowNs - usedNs) / NS_PER_MS) : 0,
  };
}

function withoutNumber(key: Uint8Array): FlowKey {
  const copy = key.slice();
  setU32(copy, FIELD.mask.at, 0);
  return copy;
}
