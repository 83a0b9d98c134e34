// Watches as cursors: a watch holds no queue, only how far it has read in the driver's log. A commit wakes it, it
// reads on from there; when the log was trimmed past it meanwhile, it ends with Compacted like any late comer.
//
//   commit -> log (rev, events) ──wake──> follow: read(after) -> batches -> the caller, at its own pace

import { type Rev, Unavailable, type WatchBatch } from './store.ts';

/** Revisions a watch reads at a time. */
const READ_REVISIONS = 256;

export interface LogPage {
  /** The batches that touch the prefix, by rising revision. */
  readonly batches: readonly WatchBatch[];
  /** Every revision up to this one was looked at. */
  readonly through: Rev;
  readonly more: boolean;
}

/** Reads the log after a revision; throws Compacted when the log no longer reaches back that far. */
export type ReadLog = (prefix: string, after: Rev, limit: number) => LogPage;

export class Watches {
  readonly #bells = new Set<() => void>();
  #closed = false;

  /** Tells every watch that there is something to read. */
  wake(): void {
    for (const bell of this.#bells) bell();
  }

  close(): void {
    this.#closed = true;
    this.wake();
  }

  /** One batch without events says that the past has been read; after it come changes as they happen. */
  async *follow(read: ReadLog, prefix: string, from: Rev, signal: AbortSignal): AsyncGenerator<WatchBatch> {
    let at = from;
    let rung = false;
    let wake = (): void => {};
    const bell = (): void => {
      rung = true;
      wake();
    };
    this.#bells.add(bell);
    signal.addEventListener('abort', bell);
    try {
      let caughtUp = false;
      while (!signal.aborted) {
        if (this.#closed) throw new Unavailable('the store is closed');
        rung = false;
        const page = read(prefix, at, READ_REVISIONS);
        for (const batch of page.batches) {
          if (signal.aborted) return;
          yield batch;
        }
        at = page.through;
        if (page.more) continue;
        if (!caughtUp) {
          caughtUp = true;
          yield { rev: at, events: [] };
        }
        if (!rung && !signal.aborted) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      this.#bells.delete(bell);
      signal.removeEventListener('abort', bell);
    }
  }
}
