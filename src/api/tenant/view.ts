// The configuration as the tokens of some projects see it: a topology of its own, kept beside the whole one, and the
// changes of it. Whatever is answered from it cannot tell of anything else. Made when it is first asked for, and let go
// when nobody has asked for long.

import { isDeepStrictEqual } from 'node:util';
import { RELATIONS_TO } from '../../topology/graph/references.ts';
import { stateOf, usersOf } from '../../topology/graph/state.ts';
import { KIND_NAMES, type Resource, type ResourceRef } from '../../topology/kinds.ts';
import type { Topology } from '../../topology/nodes.ts';
import type { Id } from '../../topology/resource.ts';
import { applyChanges, emptyTopology } from '../../topology/snapshot.ts';
import type { Config, ConfigChange, ConfigStep } from '../state/config.ts';
import { isSeen, type Projects, redacted } from './redact.ts';

export interface Changes {
  readonly put: readonly Resource[];
  readonly del: readonly ResourceRef[];
}

/** Changes that a watch can go back, and objects in them. */
const HISTORY_CHANGES = 1000;
const HISTORY_OBJECTS = 20_000;
const IDLE_MS = 600_000;

export class View {
  readonly projects: Projects;
  #topology: Topology;
  #revision: number;
  /** Everything after this is in `#history`. */
  #from: number;
  #history: ConfigChange[] = [];
  #historyObjects = 0;
  readonly #listeners = new Set<() => void>();
  usedAtMs = Date.now();

  constructor(projects: Projects, config: Config) {
    this.projects = projects;
    this.#topology = wholeOf(projects, config.topology);
    this.#revision = config.revision;
    this.#from = config.revision;
  }

  get topology(): Topology {
    return this.#topology;
  }
  /** The configuration revision that it is as of. */
  get revision(): number {
    return this.#revision;
  }
  get isWatched(): boolean {
    return this.#listeners.size > 0;
  }

  /** Told after every revision. Returns its undo. */
  onStep(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The changes after a revision that are seen; undefined when they are not all known, or it is still to come. */
  since(revision: number): readonly ConfigChange[] | undefined {
    if (revision < this.#from || revision > this.#revision) return undefined;
    return this.#history.filter((change) => change.revision > revision);
  }

  step({ before, after, change }: ConfigStep): void {
    this.#revision = change?.revision ?? after.revision;
    if (change === undefined) {
      this.#topology = wholeOf(this.projects, after);
      this.#from = this.#revision;
      this.#history = [];
      this.#historyObjects = 0;
    } else {
      const seen = this.changes(before, after, change);
      if (seen.put.length + seen.del.length > 0) this.#take({ revision: this.#revision, ...seen });
    }
    for (const listener of this.#listeners) listener();
  }

  /** What is seen of a change that leads from one whole topology to another; this view is of the one before. */
  changes(before: Topology, after: Topology, { put, del }: Changes): Changes {
    const looked = new Map<string, ResourceRef>();
    const look = (ref: ResourceRef): void => {
      looked.set(`${ref.kind}/${ref.id}`, ref);
    };
    for (const { kind, id } of [...put.map(({ kind, value }) => ({ kind, id: value.id })), ...del]) {
      look({ kind, id });
      const was = isSeen(this.projects, kind, before.object(kind, id));
      if (was === isSeen(this.projects, kind, after.object(kind, id))) continue;
      // Those that name it show it now, or do not any more.
      for (const relation of RELATIONS_TO[kind]) {
        for (const user of usersOf(stateOf(after), relation.name, id)) look({ kind: relation.kind, id: user });
      }
    }
    const seen = { put: [] as Resource[], del: [] as ResourceRef[] };
    for (const { kind, id } of looked.values()) {
      const known = this.#topology.object(kind, id);
      const now = seenOf(this.projects, after, kind, id);
      if (now === undefined && known !== undefined) seen.del.push({ kind, id });
      if (now !== undefined && !isDeepStrictEqual(known, now.value)) seen.put.push(now);
    }
    return seen;
  }

  #take(change: ConfigChange): void {
    this.#topology = applyChanges(this.#topology, change).topology;
    this.#history.push(change);
    this.#historyObjects += change.put.length + change.del.length;
    while (this.#history.length > HISTORY_CHANGES || this.#historyObjects > HISTORY_OBJECTS) {
      const gone = this.#history.shift();
      if (gone === undefined) break;
      this.#historyObjects -= gone.put.length + gone.del.length;
      this.#from = gone.revision;
    }
  }
}

function seenOf(projects: Projects, topology: Topology, kind: Resource['kind'], id: Id): Resource | undefined {
  const value = topology.object(kind, id);
  if (value === undefined || !isSeen(projects, kind, value)) return undefined;
  return { kind, value: redacted({ kind, value } as Resource, projects, topology) } as Resource;
}

function wholeOf(projects: Projects, topology: Topology): Topology {
  const put: Resource[] = [];
  for (const kind of KIND_NAMES) {
    for (const id of topology.objects(kind).keys()) {
      const seen = seenOf(projects, topology, kind, id);
      if (seen !== undefined) put.push(seen);
    }
  }
  return applyChanges(emptyTopology(), { revision: topology.revision, put, del: [] }).topology;
}

export class Views {
  readonly #config: Config;
  readonly #views = new Map<string, View>();

  constructor(config: Config) {
    this.#config = config;
    config.onStep((step) => {
      const nowMs = Date.now();
      for (const [key, view] of this.#views) {
        if (!view.isWatched && view.usedAtMs + IDLE_MS < nowMs) this.#views.delete(key);
        else view.step(step);
      }
    });
  }

  of(projectIds: readonly Id[]): View {
    const key = projectIds.toSorted().join();
    let view = this.#views.get(key);
    if (view === undefined) {
      view = new View(new Set(projectIds), this.#config);
      this.#views.set(key, view);
    }
    view.usedAtMs = Date.now();
    return view;
  }
}
