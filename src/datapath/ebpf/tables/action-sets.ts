// Action sets in the kernel: flows with the same list share one chain of sets, which never changes while it is there.
// An id that was given back rests before it is used again, so that no packet that is under way meets another list
// under it; beyond that the program checks the generation, which is new for each list.

import type { Action } from '../../../flow/actions.ts';
import { ACTIONS_MAX, bytesOf, decodeActions, encodeActions, NUMBERS, STRUCTS } from '../../contract.ts';
import { DatapathFull } from '../../datapath.ts';
import { type BpfMap, u32Bytes } from '../maps.ts';

const REST_MS = 1000;
const SET_STEP_BYTES = STRUCTS.action_set.size.step;

export interface ActionList {
  /** Of the first set. */
  readonly id: number;
  readonly generation: number;
  readonly actions: readonly Action[];
}

interface Kept extends ActionList {
  readonly ids: readonly number[];
  readonly content: string;
  users: number;
}

export class ActionSets {
  readonly #map: BpfMap;
  readonly #limit: number;
  readonly #now: () => number;
  readonly #byContent = new Map<string, Kept>();
  readonly #byId = new Map<number, Kept>();
  readonly #resting: { readonly id: number; readonly sinceMs: number }[] = [];
  #nextId = 1;
  #nextGeneration = 1;

  /** `limit`: ids below it exist. `now`: milliseconds of a clock that only goes forward. */
  constructor(map: BpfMap, limit: number, now: () => number) {
    this.#map = map;
    this.#limit = limit;
    this.#now = now;
  }

  /** The list in the kernel, with one user more. DatapathFull when no id is free. */
  acquire(actions: readonly Action[]): ActionList {
    if (actions.length > ACTIONS_MAX) {
      throw new RangeError(`${actions.length} actions in one flow: at most ${ACTIONS_MAX} are possible`);
    }
    const steps = encodeActions(actions);
    const content = Buffer.from(steps).toString('latin1');
    const kept = this.#byContent.get(content) ?? this.#write(actions, steps, content);
    kept.users++;
    return kept;
  }

  release(id: number, generation: number): void {
    const kept = this.#byId.get(id);
    if (kept === undefined || kept.generation !== generation || --kept.users > 0) return;
    if (this.#byContent.get(kept.content) === kept) this.#byContent.delete(kept.content);
    this.#byId.delete(id);
    const sinceMs = this.#now();
    for (const one of kept.ids) this.#resting.push({ id: one, sinceMs });
  }

  /** What the id of a flow stands for; undefined when there is no such list. */
  find(id: number, generation: number): ActionList | undefined {
    const kept = this.#byId.get(id);
    return kept?.generation === generation ? kept : undefined;
  }

  /**
   * Takes over a list that a predecessor wrote, for one flow that uses it. Undefined when the sets are not, or no
   * longer, those of the flow, or cannot be read.
   */
  recover(id: number, generation: number): ActionList | undefined {
    const known = this.find(id, generation);
    if (known !== undefined) {
      this.#byId.get(id)!.users++;
      return known;
    }
    const ids: number[] = [];
    const parts: Uint8Array[] = [];
    for (let next = id; next !== 0 && ids.length < NUMBERS.CHAIN_MAX; ) {
      const set = this.#map.get(u32Bytes(next));
      if (set === undefined) return undefined;
      const view = new DataView(set.buffer);
      if (view.getUint32(STRUCTS.action_set.at.generation, true) !== generation) return undefined;
      ids.push(next);
      parts.push(set.subarray(STRUCTS.action_set.at.step));
      next = view.getUint32(STRUCTS.action_set.at.next, true);
    }
    const actions = decodeActions(Buffer.concat(parts));
    if (actions === undefined) return undefined;
    const content = Buffer.from(encodeActions(actions)).toString('latin1');
    const kept: Kept = { id, ids, generation, actions, content, users: 1 };
    // Two lists of the same content may be there; only one is given out again.
    if (!this.#byContent.has(content)) this.#byContent.set(content, kept);
    this.#byId.set(id, kept);
    return kept;
  }

  /** After the last `recover`: what is not in use rests from now on. `generation`: the highest that was seen. */
  recovered(generation: number): void {
    this.#nextGeneration = generation + 1;
    const used = new Set([...this.#byId.values()].flatMap((kept) => kept.ids));
    this.#nextId = Math.max(0, ...used) + 1;
    const sinceMs = this.#now();
    for (let id = 1; id < this.#nextId; id++) if (!used.has(id)) this.#resting.push({ id, sinceMs });
  }

  #write(actions: readonly Action[], steps: Uint8Array, content: string): Kept {
    const count = Math.max(1, Math.ceil(steps.length / SET_STEP_BYTES));
    const ids = this.#takeIds(count);
    const generation = this.#nextGeneration;
    this.#nextGeneration = (this.#nextGeneration + 1) >>> 0 || 1;
    ids.forEach((id, index) => {
      const { bytes, view } = bytesOf(STRUCTS.action_set.bytes);
      view.setUint32(STRUCTS.action_set.at.generation, generation, true);
      view.setUint32(STRUCTS.action_set.at.next, ids[index + 1] ?? 0, true);
      bytes.set(steps.subarray(index * SET_STEP_BYTES, (index + 1) * SET_STEP_BYTES), STRUCTS.action_set.at.step);
      this.#map.set(u32Bytes(id), bytes);
    });
    const kept: Kept = { id: ids[0]!, ids, generation, actions, content, users: 0 };
    this.#byContent.set(content, kept);
    this.#byId.set(kept.id, kept);
    return kept;
  }

  #takeIds(count: number): number[] {
    const fresh = Math.min(count, this.#limit - this.#nextId);
    const youngest = this.#resting[count - fresh - 1];
    if (fresh < count && (youngest === undefined || this.#now() - youngest.sinceMs < REST_MS)) {
      throw new DatapathFull(
        `no action set is free: ${this.#byId.size} lists are in use, ${this.#resting.length} rest`,
      );
    }
    const reused = this.#resting.splice(0, count - fresh).map(({ id }) => id);
    const first = this.#nextId;
    this.#nextId += fresh;
    return [...reused, ...Array.from({ length: fresh }, (_, index) => first + index)];
  }
}
