// The configuration in memory: the model at the newest revision, built from the store's batches, and the changes that
// led there, as far back as they are kept. Written by the feed alone; everything else reads.
//
//   batch ─┬─ config/revision with a higher revision: its objects (or its chunks) are one change
//          ├─ change/<set>/<i>: a chunk, kept until the revision that names it
//          └─ objects without a new revision: chunks being copied to their keys; nothing new

import type { Entry, Rev, StoreEvent, WatchBatch } from '../../store/store.ts';
import type { Resource, ResourceRef } from '../../topology/kinds.ts';
import type { Topology } from '../../topology/nodes.ts';
import { applyChanges, emptyTopology } from '../../topology/snapshot.ts';
import type { ValueWrite } from './keys.ts';
import { changeKey, decode, FIRST_HEAD, type Head, PREFIX, parseObjectKey, REVISION_KEY } from './keys.ts';

export interface ConfigChange {
  readonly revision: number;
  readonly put: readonly Resource[];
  readonly del: readonly ResourceRef[];
}

/** What listeners are told: from `before` to `after`. `change` is undefined when all was read anew. */
export interface ConfigStep {
  readonly before: Topology;
  readonly after: Topology;
  readonly change: ConfigChange | undefined;
}

/** Changes that a watch can go back, and objects in them: memory is bounded by the second. */
const HISTORY_CHANGES = 10_000;
const HISTORY_OBJECTS = 200_000;

export class Config {
  #topology = emptyTopology();
  #head: Head = FIRST_HEAD;
  #headModRev: Rev = 0n;
  readonly #chunks = new Map<string, Uint8Array>();
  #history: ConfigChange[] = [];
  #historyObjects = 0;
  readonly #listeners = new Set<(step: ConfigStep) => void>();
  #prepared: { readonly commit: string; readonly before: Topology; readonly after: Topology } | undefined;

  get topology(): Topology {
    return this.#topology;
  }
  get revision(): number {
    return this.#head.revision;
  }
  get head(): Head {
    return this.#head;
  }
  /** The store's revision of the head: a commit guards it. 0n: there is none yet. */
  get headModRev(): Rev {
    return this.#headModRev;
  }

  /** Told after every change, in order. Returns its undo. */
  onStep(listener: (step: ConfigStep) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The changes after a revision, or undefined when they are not all known any more. */
  since(revision: number): readonly ConfigChange[] | undefined {
    if (revision === this.revision) return [];
    const first = this.#history[0]?.revision;
    if (first === undefined || revision < first - 1 || revision > this.revision) return undefined;
    return this.#history.slice(revision - first + 1);
  }

  /** A writer has computed what its commit leads to; it is taken over if nothing else came between. */
  prepare(commit: string, before: Topology, after: Topology): void {
    this.#prepared = { commit, before, after };
  }

  /** Everything below `config/` and `change/` at one store revision. */
  load(entries: readonly Entry[]): void {
    this.#chunks.clear();
    const objects = new Map<string, Resource>();
    const head = entries.find((entry) => entry.key === REVISION_KEY);
    this.#head = head === undefined ? FIRST_HEAD : decode<Head>(head.value);
    this.#headModRev = head?.modRev ?? 0n;
    for (const entry of entries) {
      if (entry.key.startsWith(PREFIX.change)) this.#chunks.set(entry.key, entry.value);
      const ref = parseObjectKey(entry.key);
      if (ref !== undefined) objects.set(entry.key, resourceOf(ref, decode(entry.value)));
    }
    const copying = this.#chunkWrites(this.#head);
    if (copying === undefined) throw new Error(`change set ${this.#head.changeSet?.id} is not all there`);
    for (const write of copying) {
      const key = 'put' in write ? write.put : write.del;
      const ref = parseObjectKey(key);
      if (ref === undefined) continue;
      if ('put' in write) objects.set(key, resourceOf(ref, write.value));
      else objects.delete(key);
    }
    const before = this.#topology;
    const put = [...objects.values()];
    this.#topology = applyChanges(emptyTopology(), { revision: this.#head.revision, put, del: [] }).topology;
    this.#history = [];
    this.#historyObjects = 0;
    this.#tell({ before, after: this.#topology, change: undefined });
  }

  apply(batch: WatchBatch): void {
    for (const event of batch.events) {
      if (event.kind === 'put' && event.entry.key.startsWith(PREFIX.change)) {
        this.#chunks.set(event.entry.key, event.entry.value);
      }
    }
    const head = headOf(batch);
    if (head !== undefined) {
      const change = head.value.revision > this.revision ? this.#read(head.value, batch) : undefined;
      this.#head = head.value;
      this.#headModRev = head.modRev;
      if (change !== undefined) this.#advance(head.value, change);
    }
    for (const event of batch.events) if (event.kind === 'del') this.#chunks.delete(event.key);
  }

  /** Fills the history with changes up to now, read from an old part of the store's log. */
  recall(batches: readonly WatchBatch[]): void {
    const past = new Config();
    const changes: ConfigChange[] = [];
    for (const batch of batches) {
      const head = headOf(batch);
      for (const event of batch.events) {
        if (event.kind === 'put' && event.entry.key.startsWith(PREFIX.change)) {
          past.#chunks.set(event.entry.key, event.entry.value);
        }
      }
      if (head === undefined || head.value.revision <= past.revision) continue;
      if (head.value.changeSet !== undefined && past.#chunkWrites(head.value) === undefined) {
        changes.length = 0;
      } else {
        changes.push(past.#read(head.value, batch));
      }
      past.#head = head.value;
    }
    if (changes.at(-1)?.revision !== this.revision || this.#history.length > 0) return;
    for (const change of changes) this.#remember(change);
  }

  #read(head: Head, batch: WatchBatch): ConfigChange {
    const put: Resource[] = [];
    const del: ResourceRef[] = [];
    const take = (key: string, value: (() => unknown) | undefined): void => {
      const ref = parseObjectKey(key);
      if (ref === undefined) return;
      if (value === undefined) del.push(ref);
      else put.push(resourceOf(ref, value()));
    };
    if (head.changeSet === undefined) {
      for (const event of batch.events) {
        if (event.kind === 'put') take(event.entry.key, () => decode(event.entry.value));
        else take(event.key, undefined);
      }
    } else {
      const writes = this.#chunkWrites(head);
      if (writes === undefined) throw new Error(`change set ${head.changeSet.id} is not all there`);
      for (const write of writes) {
        if ('put' in write) take(write.put, () => write.value);
        else take(write.del, undefined);
      }
    }
    return { revision: head.revision, put, del };
  }

  #advance(head: Head, change: ConfigChange): void {
    const before = this.#topology;
    const prepared = this.#prepared;
    this.#prepared = undefined;
    this.#topology =
      prepared?.commit === head.commit && prepared.before === before
        ? prepared.after
        : applyChanges(before, change).topology;
    this.#remember(change);
    this.#tell({ before, after: this.#topology, change });
  }

  #remember(change: ConfigChange): void {
    const last = this.#history.at(-1)?.revision;
    if (last !== undefined && last !== change.revision - 1) {
      this.#history = [];
      this.#historyObjects = 0;
    }
    this.#history.push(change);
    this.#historyObjects += change.put.length + change.del.length;
    while (this.#history.length > HISTORY_CHANGES || this.#historyObjects > HISTORY_OBJECTS) {
      const gone = this.#history.shift();
      if (gone === undefined) break;
      this.#historyObjects -= gone.put.length + gone.del.length;
    }
  }

  #tell(step: ConfigStep): void {
    for (const listener of this.#listeners) listener(step);
  }

  /** Undefined when a chunk is missing; empty when the revision has none. */
  #chunkWrites(head: Head): readonly ValueWrite[] | undefined {
    if (head.changeSet === undefined) return [];
    const { id, chunks } = head.changeSet;
    const writes: ValueWrite[] = [];
    for (let chunk = 0; chunk < chunks; chunk++) {
      const value = this.#chunks.get(changeKey(id, chunk));
      if (value === undefined) return undefined;
      writes.push(...decode<ValueWrite[]>(value));
    }
    return writes;
  }
}

function headOf(batch: WatchBatch): { readonly value: Head; readonly modRev: Rev } | undefined {
  const event = batch.events.find((each): each is StoreEvent & { kind: 'put' } => keyOf(each) === REVISION_KEY);
  return event === undefined ? undefined : { value: decode<Head>(event.entry.value), modRev: event.entry.modRev };
}

const keyOf = (event: StoreEvent): string | undefined => (event.kind === 'put' ? event.entry.key : undefined);

const resourceOf = (ref: ResourceRef, value: unknown): Resource => ({ kind: ref.kind, value }) as Resource;
