// The one road by which the configuration changes. Requests queue; those that wait together share a commit, each with
// its own outcome. A commit compares and bumps the head, so what was checked is what it is written upon: with several
// servers the slower one reads on, and plans again.
//
//   submit -> queue -> plan each on top of the one before -> commit (one revision) -> feed has it -> answers

import { randomUUID } from 'node:crypto';
import type { Log } from '../../lib/log.ts';
import { OutcomeUnknown, type Rev, type Store, Unavailable } from '../../store/store.ts';
import type { Resource, ResourceRef } from '../../topology/kinds.ts';
import type { Topology } from '../../topology/nodes.ts';
import { applyChanges } from '../../topology/snapshot.ts';
import { ApiError } from '../errors.ts';
import type { Config } from '../state/config.ts';
import type { Credentials } from '../state/credentials.ts';
import type { Feed } from '../state/feed.ts';
import { decode, type Head, REVISION_KEY, type ValueWrite } from '../state/keys.ts';
import { planForTenant } from '../tenant/plan.ts';
import type { Changes, View } from '../tenant/view.ts';
import { commit, finish, fits } from './change-set.ts';
import { Draw, type FreedNumbers } from './numbers.ts';
import { type Done, type Operation, type PlanContext, plan } from './plan.ts';

export interface Outcome {
  readonly revision: number;
  readonly done: readonly Done[];
}

/** Requests that may wait; more are told to come back. */
const QUEUE_LIMIT = 2000;
/** Requests that share a commit: a bound on what a lost race makes us plan again. */
const SHARE_LIMIT = 64;

interface Waiting {
  readonly operations: readonly Operation[];
  /** Of the tenant that asks; undefined: the operator. */
  readonly view: View | undefined;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: unknown) => void;
}

/** What one commit holds. Refusals wait for it too: they may rest on a member that does not come to be. */
interface Round {
  readonly head: Head;
  readonly after: Topology;
  readonly writes: readonly ValueWrite[];
  readonly members: readonly { readonly waiting: Waiting; readonly done: readonly Done[] }[];
  readonly refused: readonly { readonly waiting: Waiting; readonly error: unknown }[];
  /** Those that did not fit. */
  readonly left: readonly Waiting[];
}

export interface TransactorParts {
  readonly store: Store;
  readonly config: Config;
  readonly feed: Feed;
  readonly credentials: Credentials;
  readonly freedNumbers: FreedNumbers;
  readonly log: Log;
}

export class Transactor {
  readonly #parts: TransactorParts;
  readonly #queue: Waiting[] = [];
  #running: Promise<void> | undefined;
  /** Commits that lost a race against another server and were planned again. */
  retries = 0;
  commits = 0;

  constructor(parts: TransactorParts) {
    this.#parts = parts;
  }

  /** All operations or none, as the tenant of `view` may make them. Throws ApiError; after `outcomeUnknown` it may have happened. */
  async submit(operations: readonly Operation[], view?: View): Promise<Outcome> {
    if (this.#queue.length >= QUEUE_LIMIT) throw new ApiError('tooMany');
    return new Promise((resolve, reject) => {
      this.#queue.push({ operations, view, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Resolves when nothing is left to commit or to copy. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    // Requests of the same turn of the event loop share the first commit too.
    await new Promise(setImmediate);
    while (this.#queue.length > 0) {
      const taken = this.#queue.splice(0, SHARE_LIMIT);
      try {
        const round = await this.#round(taken);
        for (const { waiting, done } of round.members) waiting.resolve({ revision: this.#parts.config.revision, done });
        for (const { waiting, error } of round.refused) waiting.reject(this.#answerTo(error));
        this.#queue.unshift(...round.left);
      } catch (error) {
        for (const { reject } of taken) reject(this.#answerTo(error));
      }
      await this.#finishChangeSet();
    }
    this.#running = undefined;
  }

  /** Plans and commits the first of these that fit together. */
  async #round(taken: readonly Waiting[]): Promise<Round> {
    const { store, config, feed } = this.#parts;
    for (;;) {
      if (config.head.changeSet !== undefined) {
        await finish(store);
        await this.#readOn();
        continue;
      }
      const before = config.topology;
      const round = this.#plan(taken);
      if (round.writes.length === 0) return round;
      config.prepare(round.head.commit, before, round.after);
      const rev = await this.#commit(config.headModRev, round);
      if (rev !== undefined) {
        this.commits++;
        await feed.through(rev);
        return round;
      }
      this.retries++;
      await this.#readOn();
    }
  }

  #plan(taken: readonly Waiting[]): Round {
    const { config, credentials } = this.#parts;
    const now = new Date();
    const members: Round['members'][number][] = [];
    const refused: Round['refused'][number][] = [];
    let head: Head = { ...config.head, revision: config.revision + 1, commit: randomUUID() };
    let after = config.topology;
    const changes: { readonly put: Resource[]; readonly del: ResourceRef[] } = { put: [], del: [] };
    let writes: readonly ValueWrite[] = [];
    let left: readonly Waiting[] = [];
    for (const [at, waiting] of taken.entries()) {
      const draw = this.#draw(head, after, now);
      try {
        const context: PlanContext = {
          before: after,
          revision: head.revision,
          now,
          draw,
          newId: randomUUID,
          keysOf: (ref) => credentials.keysOf(ref),
        };
        const planned =
          waiting.view === undefined
            ? plan(context, waiting.operations)
            : planForTenant(
                context,
                {
                  ...context,
                  before: seenBy(waiting.view, config.topology, after, changes),
                  draw: this.#draw(head, after, now),
                },
                waiting.operations,
                waiting.view.projects,
              );
        const together = merged(writes, planned.writes);
        if (members.length > 0 && !fits(together)) {
          left = taken.slice(at);
          break;
        }
        members.push({ waiting, done: planned.done });
        writes = together;
        after = planned.after;
        changes.put.push(...planned.put);
        changes.del.push(...planned.del);
        head = { ...head, ...draw.next };
      } catch (error) {
        refused.push({ waiting, error });
      }
    }
    return { head, after, writes, members, refused, left };
  }

  #draw(head: Head, topology: Topology, now: Date): Draw {
    const { freedNumbers } = this.#parts;
    return new Draw(
      head,
      (number) =>
        topology.portByNumber(number) === undefined &&
        topology.bridgeByFlood(number) === undefined &&
        !freedNumbers.resting(number, now.getTime()),
      () => new Set([...topology.objects('rule').values()].map((rule) => rule.number)),
    );
  }

  /** Copies what a large commit left in chunks; what fails here is done before the next commit. */
  async #finishChangeSet(): Promise<void> {
    const { config, store, log } = this.#parts;
    if (config.head.changeSet === undefined) return;
    try {
      await finish(store);
      await this.#readOn();
    } catch (error) {
      log.warn('a large change is committed but not copied to its keys yet; trying again with the next', { error });
    }
  }

  /** Waits until what the store has now is known here. */
  async #readOn(): Promise<void> {
    const { store, feed } = this.#parts;
    await feed.through((await store.get(REVISION_KEY)).rev);
  }

  /** The store's revision of the commit; undefined when somebody else's came first. */
  async #commit(headModRev: Rev, round: Round): Promise<Rev | undefined> {
    const { store } = this.#parts;
    try {
      return await commit(store, headModRev, round.head, round.writes);
    } catch (error) {
      if (!(error instanceof OutcomeUnknown)) throw error;
      const { entry, rev } = await store.get(REVISION_KEY);
      if (entry !== undefined && decode<Head>(entry.value).commit === round.head.commit) return rev;
      if ((entry?.modRev ?? 0n) === headModRev) return undefined;
      throw error;
    }
  }

  #answerTo(error: unknown): ApiError {
    if (error instanceof ApiError) return error;
    if (error instanceof Unavailable) return new ApiError('unavailable', error.message);
    if (error instanceof OutcomeUnknown) return new ApiError('outcomeUnknown');
    this.#parts.log.error('a change could not be made', { error });
    return new ApiError('internal');
  }
}

/** What the tenant sees of `after`, to which the changes lead from what its view is of. */
function seenBy(view: View, before: Topology, after: Topology, changes: Changes): Topology {
  if (before === after) return view.topology;
  const seen = view.changes(before, after, changes);
  return applyChanges(view.topology, { revision: after.revision, ...seen }).topology;
}

/** Later writes of a key replace earlier ones. */
function merged(some: readonly ValueWrite[], more: readonly ValueWrite[]): readonly ValueWrite[] {
  if (some.length === 0) return more;
  const byKey = new Map(some.map((write) => [keyOf(write), write]));
  for (const write of more) byKey.set(keyOf(write), write);
  return [...byKey.values()];
}

const keyOf = (write: ValueWrite): string => ('put' in write ? write.put : write.del);
