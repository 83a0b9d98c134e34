// One list and one watch on the whole store for each server; what is read fans out in process, in the order in which it
// was committed. When the past is gone, or the store was away, everything is read anew.

import type { Log } from '../../lib/log.ts';
import { Compacted, type Entry, OutcomeUnknown, type Rev, type Store, type WatchBatch } from '../../store/store.ts';
import { REVISION_KEY } from './keys.ts';

export interface Follower {
  /** Everything in the store as of `rev`, or a little later: what came after is applied too. Replaces what was known. */
  load(entries: readonly Entry[], rev: Rev): void;
  apply(batch: WatchBatch): void;
}

const PAGE = 1000;
/** Between attempts when the store is not available. */
const RETRY_MS = 250;

export class Feed {
  readonly #store: Store;
  readonly #followers: readonly Follower[];
  readonly #log: Log;
  readonly #stop = new AbortController();
  #at: Rev = 0n;
  #waiting: { readonly rev: Rev; readonly done: () => void; readonly failed: (error: Error) => void }[] = [];
  #running: Promise<void> | undefined;

  constructor(store: Store, followers: readonly Follower[], log: Log) {
    this.#store = store;
    this.#followers = followers;
    this.#log = log;
  }

  /** Reads everything, then follows. `recall` gets what the store's log still knows of the time before: all after `after`. */
  async start(recall: (batches: readonly WatchBatch[], after: Rev) => void): Promise<void> {
    await this.#load();
    const { batches, after } = await this.#past();
    recall(batches, after);
    this.#running = this.#run();
  }

  /**
   * Resolves when everything up to this revision has reached the followers, or the feed is closed. Throws OutcomeUnknown
   * when the store goes away before: what was written at that revision may or may not be there.
   */
  async through(rev: Rev): Promise<void> {
    if (this.#at >= rev || this.#stop.signal.aborted) return;
    await new Promise<void>((done, failed) => {
      this.#waiting.push({ rev, done, failed });
    });
  }

  async close(): Promise<void> {
    this.#stop.abort();
    for (const { done } of this.#waiting.splice(0)) done();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    let fresh = true;
    let failing = false;
    while (!signal.aborted) {
      try {
        if (!fresh) await this.#load();
        fresh = false;
        failing = false;
        for await (const batch of this.#store.watch('', this.#at, signal)) {
          if (batch.events.length > 0) for (const follower of this.#followers) follower.apply(batch);
          this.#reach(batch.rev);
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Compacted) {
          this.#log.info('the store trimmed its past before it was read; reading all of it anew');
          continue;
        }
        // Said once for each time that it goes wrong, not four times a second.
        if (!failing) this.#log.error('cannot follow the store; trying again until it works', { error });
        failing = true;
        for (const { failed } of this.#waiting.splice(0))
          failed(new OutcomeUnknown('the store went away', { cause: error }));
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  /** One consistent picture: when the configuration moved on between two pages, it is read again. */
  async #load(): Promise<void> {
    for (;;) {
      const entries: Entry[] = [];
      const head = (await this.#store.get(REVISION_KEY)).entry?.modRev;
      let page = await this.#store.list('', { limit: PAGE });
      const { rev } = page;
      entries.push(...page.entries);
      while (page.more) {
        page = await this.#store.list('', { after: page.entries.at(-1)!.key, limit: PAGE });
        entries.push(...page.entries);
      }
      if ((await this.#store.get(REVISION_KEY)).entry?.modRev !== head) continue;
      for (const follower of this.#followers) follower.load(entries, rev);
      this.#reach(rev);
      return;
    }
  }

  /** What the log holds from before now. */
  async #past(): Promise<{ readonly batches: readonly WatchBatch[]; readonly after: Rev }> {
    const batches: WatchBatch[] = [];
    let from = 0n;
    for (;;) {
      try {
        for await (const batch of this.#store.watch('', from, this.#stop.signal)) {
          if (batch.events.length > 0 && batch.rev <= this.#at) batches.push(batch);
          if (batch.rev >= this.#at) break;
        }
        return { batches, after: from };
      } catch (error) {
        if (!(error instanceof Compacted)) throw error;
        from = error.oldest - 1n;
        batches.length = 0;
      }
    }
  }

  #reach(rev: Rev): void {
    if (rev > this.#at) this.#at = rev;
    const ready = this.#waiting.filter((each) => each.rev <= this.#at);
    if (ready.length === 0) return;
    this.#waiting = this.#waiting.filter((each) => each.rev > this.#at);
    for (const { done } of ready) done();
  }
}
