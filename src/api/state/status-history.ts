// The changes of live status, as far back as they are kept: what a status watch reads. Status has a number of its own,
// the store's revision of the last change; so it rises, is the same at every server, and has gaps.

import type { Rev, WatchBatch } from '../../store/store.ts';
import { type LiveStatus, type StatusChange, statusChangeOf } from './live-status.ts';

export interface StatusStep {
  readonly revision: number;
  readonly changes: readonly StatusChange[];
}

/** Steps that a watch can go back, and changes in them: memory is bounded by the second. */
const HISTORY_STEPS = 10_000;
const HISTORY_CHANGES = 100_000;

export class StatusHistory {
  #revision = 0;
  /** Everything after this is in `#steps`. */
  #from = 0;
  #steps: StatusStep[] = [];
  #changes = 0;
  readonly #listeners = new Set<() => void>();

  constructor(liveStatus: LiveStatus) {
    liveStatus.onChange((changes, rev) => {
      if (changes === undefined) this.#begin(Number(rev));
      else this.#remember({ revision: Number(rev), changes });
      for (const listener of this.#listeners) listener();
    });
  }

  /** That of the last change that is known, or of the reading that began the history: a list is as of it. */
  get revision(): number {
    return this.#revision;
  }

  /** Told after every change. Returns its undo. */
  onStep(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The steps after a revision, or undefined when they are not all known any more. */
  since(revision: number): readonly StatusStep[] | undefined {
    if (revision < this.#from || revision > this.#revision) return undefined;
    let low = 0;
    let high = this.#steps.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#steps[middle]!.revision > revision) high = middle;
      else low = middle + 1;
    }
    return this.#steps.slice(low);
  }

  /** What the store's log holds of the time before the first reading; all of it after `after`. */
  recall(batches: readonly WatchBatch[], after: Rev): void {
    if (this.#steps.length > 0) return;
    this.#begin(Number(after));
    for (const { rev, events } of batches) {
      const changes = events.map(statusChangeOf).filter((change) => change !== undefined);
      if (changes.length > 0) this.#remember({ revision: Number(rev), changes });
    }
  }

  #begin(revision: number): void {
    this.#revision = revision;
    this.#from = revision;
    this.#steps = [];
    this.#changes = 0;
  }

  #remember(step: StatusStep): void {
    this.#revision = step.revision;
    this.#steps.push(step);
    this.#changes += step.changes.length;
    while (this.#steps.length > HISTORY_STEPS || this.#changes > HISTORY_CHANGES) {
      const gone = this.#steps.shift();
      if (gone === undefined) break;
      this.#changes -= gone.changes.length;
      this.#from = gone.revision;
    }
  }
}
