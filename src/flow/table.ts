// The agent's memory of what is cached in the kernel: each flow with the mask it got, the actions, and the questions
// its verdict rests on. It decides what the data path is told and never talks to it.
//
// 0.7 to 1.1 kB a flow with eight tags, by how many of them nobody else has: masked keys lie in one slab, masks, tags and
// actions are shared.

import type { Action } from './actions.ts';
import { Askers } from './askers.ts';
import { type FlowKey, type FlowMask, portOf, sameBytes } from './fields.ts';
import { KeySlab } from './key-slab.ts';
import { type LiveMask, MaskBook } from './masks.ts';
import { SharedActions } from './shared-actions.ts';
import type { Tag, Touch } from './tags.ts';

/** What a simulation says of a class. */
export interface Decided {
  /** A packet of the class: its full key, or the masked key of a flow that is decided again. */
  readonly key: FlowKey;
  /** The bits that were looked at. */
  readonly wantedMask: FlowMask;
  readonly actions: readonly Action[];
  readonly tags: readonly Tag[];
  /** For people. */
  readonly why?: string;
}

/** A cached verdict. It lives, and changes in place, until it is removed. */
export interface Flow {
  /** Masked, a copy at every reading. Not valid once the flow is removed. */
  readonly key: FlowKey;
  /** What is installed: holds every bit of `wantedMask`. */
  readonly mask: FlowMask;
  readonly wantedMask: FlowMask;
  readonly actions: readonly Action[];
  readonly tags: readonly Tag[];
  /** Ingress port; of a look-up for a member of a flood: the member. */
  readonly port: number;
  readonly why: string;
}

/** Names a flow to the data path. */
export type FlowName = Pick<Flow, 'key' | 'mask'>;

export interface FlowLimits {
  /** The kernel's table has as many entries. */
  readonly flows: number;
  /** Flows of one ingress port: what a guest that scans the world can take from the others. */
  readonly flowsPerPort: number;
}
const FLOW_LIMITS: FlowLimits = { flows: 262_144, flowsPerPort: 65_536 };

/**
 * What to tell the data path: install, then remove. Should it have no room for the masks, remove first and install
 * again: in between packets of the class only come up.
 */
export interface FlowChange {
  readonly install: readonly Flow[];
  readonly remove: readonly FlowName[];
  /** Nothing was remembered: the port has its share of flows, or the table is full. */
  readonly refused?: 'portFull' | 'tableFull';
}

class Cached implements Flow {
  readonly #slab: KeySlab;
  readonly #askers: Askers;
  readonly place: number;
  readonly port: number;
  readonly live: LiveMask;
  wantedMask: FlowMask;
  actions: readonly Action[] = [];
  why = '';

  constructor(slab: KeySlab, askers: Askers, place: number, port: number, live: LiveMask) {
    this.#slab = slab;
    this.#askers = askers;
    this.place = place;
    this.port = port;
    this.live = live;
    this.wantedMask = live.mask;
  }

  get key(): FlowKey {
    return this.#slab.key(this.place);
  }
  get mask(): FlowMask {
    return this.live.mask;
  }
  get tags(): Tag[] {
    return this.#askers.tagsOf(this.place);
  }
}

export class FlowTable {
  readonly masks = new MaskBook();
  readonly #limits: FlowLimits;
  readonly #slab = new KeySlab();
  /** By place in the slab. */
  readonly #flows: (Cached | undefined)[] = [];
  readonly #askers = new Askers();
  readonly #actions = new SharedActions();
  readonly #perPort = new Map<number, number>();
  readonly #wanted: FlowMask[] = [];
  /** The place that `someOf` looked at last. */
  #hand = -1;

  constructor(limits: FlowLimits = FLOW_LIMITS) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#slab.size;
  }

  /** Number of flows of an ingress port. */
  sizeOf(port: number): number {
    return this.#perPort.get(port) ?? 0;
  }

  /**
   * Remembers a verdict. A flow of the same class is overwritten in place. `instead` is the flow that was decided
   * again: it keeps its mask if that still covers what was looked at, else it goes. `prefer` asks for a mask that the
   * kernel has already, of a flow that an earlier agent left there.
   */
  add(decided: Decided, instead?: Flow, prefer: FlowMask | undefined = instead?.mask): FlowChange {
    const live = this.masks.take(decided.key, decided.wantedMask, prefer);
    const known = this.#at(this.#slab.find(decided.key, [live]));
    if (known !== undefined) {
      this.masks.release(live);
      this.#askers.remove(known.place);
      this.#fill(known, decided);
      return { install: [known], remove: instead === undefined || instead === known ? [] : this.#drop(instead) };
    }
    const port = portOf(decided.key);
    const remove = instead === undefined ? [] : this.#drop(instead);
    const refused = this.size >= this.#limits.flows ? 'tableFull' : this.#portFull(port) ? 'portFull' : undefined;
    if (refused !== undefined) {
      this.masks.release(live);
      return { install: [], remove, refused };
    }
    const place = this.#slab.put(decided.key, live);
    const flow = new Cached(this.#slab, this.#askers, place, port, live);
    this.#flows[place] = flow;
    this.#perPort.set(port, this.sizeOf(port) + 1);
    this.#fill(flow, decided);
    return { install: [flow], remove };
  }

  /** The flow of exactly this class; the key may be masked or not. */
  get(key: FlowKey, mask: FlowMask): Flow | undefined {
    const live = this.masks.live.find((known) => sameBytes(known.mask, mask));
    return live === undefined ? undefined : this.#at(this.#slab.find(key, [live]));
  }

  /** A flow whose class the packet with this full key belongs to. */
  find(key: FlowKey): Flow | undefined {
    return this.#at(this.#slab.find(key, this.masks.live));
  }

  /** Whether the flow is still remembered: rechecks run in slices, and flows go in between. */
  has(flow: Flow): boolean {
    return flow instanceof Cached && this.#flows[flow.place] === flow;
  }

  /** The flows whose verdict one of the changes may alter. */
  touchedBy(touches: readonly Touch[]): Set<Flow> {
    const flows = new Set<Flow>();
    for (const place of this.#askers.touchedBy(touches)) flows.add(this.#flows[place]!);
    return flows;
  }

  /** Forgets the flow; what it returns is for the data path. Undefined: it was forgotten before. */
  remove(flow: Flow): FlowName | undefined {
    return this.#drop(flow)[0];
  }

  /** The port with the most flows; undefined: there is no flow. */
  get greediest(): number | undefined {
    let most: number | undefined;
    for (const port of this.#perPort.keys())
      if (most === undefined || this.sizeOf(port) > this.sizeOf(most)) most = port;
    return most;
  }

  /** Up to `count` flows of a port, at each call others, until each had its turn. */
  someOf(port: number, count: number): Flow[] {
    const some: Flow[] = [];
    const places = this.#flows.length;
    for (let looked = 0; looked < places && some.length < count; looked++) {
      this.#hand = this.#hand + 1 < places ? this.#hand + 1 : 0;
      const flow = this.#flows[this.#hand];
      if (flow?.port === port) some.push(flow);
    }
    return some;
  }

  /** In no particular order. Flows may be removed meanwhile. */
  *[Symbol.iterator](): Generator<Flow> {
    for (const flow of this.#flows) if (flow !== undefined) yield flow;
  }

  /** What is decided of a flow that has no tags yet. */
  #fill(flow: Cached, { wantedMask, actions, tags, why = '' }: Decided): void {
    const shared = this.#actions.share(actions, why);
    flow.actions = shared.actions;
    flow.why = shared.why;
    flow.wantedMask = this.#intern(wantedMask);
    this.#askers.add(flow.place, tags);
  }

  #at(place: number): Cached | undefined {
    return place < 0 ? undefined : this.#flows[place];
  }

  #portFull(port: number): boolean {
    return this.sizeOf(port) >= this.#limits.flowsPerPort;
  }

  #drop(flow: Flow): FlowName[] {
    if (!(flow instanceof Cached) || this.#flows[flow.place] !== flow) return [];
    const name = { key: flow.key, mask: flow.mask };
    this.#askers.remove(flow.place);
    this.#slab.remove(flow.place);
    this.#flows[flow.place] = undefined;
    const left = this.sizeOf(flow.port) - 1;
    if (left === 0) this.#perPort.delete(flow.port);
    else this.#perPort.set(flow.port, left);
    this.masks.release(flow.live);
    return [name];
  }

  /** Walks mark few different masks: the last ones are kept to be shared, older ones live on in their flows. */
  #intern(mask: FlowMask): FlowMask {
    const known = this.#wanted.findIndex((other) => sameBytes(other, mask));
    const shared = known < 0 ? mask.slice() : this.#wanted.splice(known, 1)[0]!;
    this.#wanted.unshift(shared);
    if (this.#wanted.length > WANTED_SHARED) this.#wanted.pop();
    return shared;
  }
}

/** The search is linear: as many as a busy host marks, few enough to compare. */
const WANTED_SHARED = 32;
