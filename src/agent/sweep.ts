// What happens by the clock and not by packets: idle flows go, learned addresses live on or are forgotten, neighbours in
// use are asked again.

import type { Datapath, InstalledFlow } from '../datapath/datapath.ts';
import type { Action } from '../flow/actions.ts';
import { FIELD, getMac } from '../flow/fields.ts';
import type { Flow, FlowTable } from '../flow/table.ts';
import { FLOW_EVICT_IDLE_MS, FLOW_IDLE_MS, SWEEP_MS } from './limits.ts';
import type { Asker } from './packet/asking.ts';
import type { Replica } from './replica.ts';
import type { Subscriptions } from './subscriptions.ts';

export interface SweeperParts {
  readonly datapath: Datapath;
  readonly flows: FlowTable;
  readonly replica: Replica;
  readonly asker: Asker;
  readonly now: () => number;
}

/** A sweep takes at most this part of the thread: it lists the kernel's table, which grows with the flows. */
const SWEEP_SHARE = 0.02;
/** At most this part of the flows goes at once when there is no room. */
const EVICT_PART = 1 / 16;
const EVICT_MIN = 64;
/** Between two evictions: a table that is full of flows in use stays full. */
const EVICT_PAUSE_MS = 250;

export class Sweeper {
  readonly #parts: SweeperParts;
  #nextSweep: number;
  #lastEvict = Number.NEGATIVE_INFINITY;

  constructor(parts: SweeperParts) {
    this.#parts = parts;
    this.#nextSweep = parts.now() + SWEEP_MS;
  }

  /** Does what is due. */
  turn(now: number): void {
    this.#parts.replica.expire(now);
    if (now < this.#nextSweep) return;
    this.sweep(now);
    const tookMs = this.#parts.now() - now;
    this.#nextSweep = now + Math.max(SWEEP_MS, tookMs / SWEEP_SHARE);
  }

  /** One look at every flow in the kernel. */
  sweep(now: number): void {
    const { datapath, flows, replica, asker } = this.#parts;
    const idle: InstalledFlow[] = [];
    for (const installed of datapath.flows()) {
      const flow = flows.get(installed.key, installed.mask);
      if (flow === undefined) {
        // Found at the start and not yet decided again, or else nobody's.
        if (replica.pending === 0) idle.push(installed);
      } else if (installed.idleMs <= FLOW_IDLE_MS) {
        use(flow, now - installed.idleMs, replica, asker.subscriptions);
      } else if (!answersNeighbour(installed.actions)) {
        idle.push(installed);
      }
    }
    this.#remove(idle);
    for (const neighbour of replica.learned.dueNeighbours(now)) asker.refresh(neighbour);
    // What a predecessor left has no tags until it was decided again: it may be what uses a device.
    if (replica.pending === 0) asker.subscriptions.turn(now);
  }

  /** Makes room: the flows that were idle for longest. False when none may go. */
  evict(): boolean {
    const { datapath, now } = this.#parts;
    if (now() - this.#lastEvict < EVICT_PAUSE_MS) return false;
    this.#lastEvict = now();
    const installed = datapath.flows();
    const candidates = installed
      .filter((flow) => flow.idleMs >= FLOW_EVICT_IDLE_MS && !answersNeighbour(flow.actions))
      .sort((a, b) => b.idleMs - a.idleMs)
      .slice(0, Math.max(EVICT_MIN, Math.floor(installed.length * EVICT_PART)));
    this.#remove(candidates);
    return candidates.length > 0;
  }

  #remove(installed: readonly InstalledFlow[]): void {
    const { datapath, flows } = this.#parts;
    if (installed.length === 0) return;
    for (const { key, mask } of installed) {
      const flow = flows.get(key, mask);
      if (flow !== undefined) flows.remove(flow);
    }
    datapath.remove(installed);
  }
}

/**
 * A flow in use renews the MAC that its packets come from, is a reason to ask its neighbours again, and keeps the
 * devices that its packets come through.
 */
function use(flow: Flow, usedAt: number, { learned }: Replica, subscriptions: Subscriptions): void {
  const source = getMac(flow.key, FIELD.ethernetSource.at);
  for (const { question } of flow.tags) {
    learned.use(question, source, usedAt);
    subscriptions.use(question, usedAt);
  }
}

/** Such a flow speaks for a port that may be silent for long; it goes when the port or its address does. */
const answersNeighbour = (actions: readonly Action[]): boolean =>
  actions.some(({ kind }) => kind === 'answerNeighbour');
