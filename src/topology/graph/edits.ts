// A batch of changes as objects before and after, and the indexes that follow from them.

import { KIND_NAMES, type Kind, type Objects, type Resource, type ResourceRef } from '../kinds.ts';
import type { Id } from '../resource.ts';
import { referencesOf } from './references.ts';
import type { SharedMap } from './shared-map.ts';
import type { ObjectMaps, Users } from './state.ts';

export interface Edit<K extends Kind> {
  readonly before: Objects[K] | undefined;
  readonly after: Objects[K] | undefined;
}
/** By kind and id; only what differs. */
export type Edits = { readonly [K in Kind]: ReadonlyMap<Id, Edit<K>> };

/** What is both put and deleted is put; of several objects with one id the last counts. */
export function editsOf(objects: ObjectMaps, put: readonly Resource[], del: readonly ResourceRef[]): Edits {
  const after = Object.fromEntries(KIND_NAMES.map((kind) => [kind, new Map()])) as {
    [K in Kind]: Map<Id, Edit<K>>;
  };
  for (const { kind, id } of del) setEdit(after[kind], objects[kind], id, undefined);
  for (const { kind, value } of put) setEdit(after[kind] as Map<Id, Edit<Kind>>, objects[kind], value.id, value);
  return after;
}

function setEdit<K extends Kind>(
  edits: Map<Id, Edit<K>>,
  objects: SharedMap<Id, Objects[K]>,
  id: Id,
  after: Objects[K] | undefined,
): void {
  const before = objects.get(id);
  if (before === after) edits.delete(id);
  else edits.set(id, { before, after });
}

export function editedObjects(objects: ObjectMaps, edits: Edits): ObjectMaps {
  const edited = KIND_NAMES.map((kind) => {
    const map = objects[kind] as SharedMap<Id, Objects[Kind]>;
    return [kind, map.with(afterOf(edits[kind]))] as const;
  });
  return Object.fromEntries(edited) as unknown as ObjectMaps;
}

function* afterOf<K extends Kind>(edits: ReadonlyMap<Id, Edit<K>>): Iterable<readonly [Id, Objects[K] | undefined]> {
  for (const [id, { after }] of edits) yield [id, after];
}

/** Ids that come to and go from one list of an index. */
class Moves<K extends string | number> {
  readonly #moves = new Map<K, Map<Id, boolean>>();

  /** The last word counts: an object that goes and comes stays. */
  note(key: K, id: Id, comes: boolean): void {
    const list = this.#moves.get(key) ?? new Map<Id, boolean>();
    this.#moves.set(key, list.set(id, comes));
  }

  applied(index: SharedMap<K, readonly Id[]>): SharedMap<K, readonly Id[]> {
    return index.with([...this.#moves].map(([key, moves]) => [key, moved(index.get(key), moves)] as const));
  }
}

/** Rising lists; the very same list when nothing differs, undefined when nobody is left. */
function moved(was: readonly Id[] = [], moves: ReadonlyMap<Id, boolean>): readonly Id[] | undefined {
  const real = [...moves].filter(([id, comes]) => comes !== (was[placeOf(was, id)] === id));
  if (real.length === 0) return was.length === 0 ? undefined : was;
  if (real.length > FEW) {
    const ids = new Set(was);
    for (const [id, comes] of real) {
      if (comes) ids.add(id);
      else ids.delete(id);
    }
    return ids.size === 0 ? undefined : [...ids].sort();
  }
  const now = [...was];
  for (const [id, comes] of real) {
    if (comes) now.splice(placeOf(now, id), 0, id);
    else now.splice(placeOf(now, id), 1);
  }
  return now.length === 0 ? undefined : now;
}

/** Up to so many moves, putting each in its place costs less than sorting the list anew. */
const FEW = 16;

/** The index of the id in a rising list, or where it belongs. */
function placeOf(ids: readonly Id[], id: Id): number {
  let from = 0;
  let to = ids.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (ids[middle]! < id) from = middle + 1;
    else to = middle;
  }
  return from;
}

export function editedUsers(users: Users, edits: Edits): Users {
  const moves = new Map<string, Moves<Id>>();
  const note = (kind: Kind, id: Id, object: Objects[Kind] | undefined, comes: boolean) => {
    if (object === undefined) return;
    for (const { relation, id: named } of referencesOf(kind, object)) {
      const ofRelation = moves.get(relation.name) ?? new Moves<Id>();
      moves.set(relation.name, ofRelation);
      ofRelation.note(named, id, comes);
    }
  };
  for (const kind of KIND_NAMES) {
    for (const [id, { before, after }] of edits[kind]) {
      note(kind, id, before, false);
      note(kind, id, after, true);
    }
  }
  return new Map([...users].map(([name, index]) => [name, moves.get(name)?.applied(index) ?? index]));
}

/** The index of objects of one kind by a number of theirs. */
export function editedNumbers<K extends Kind>(
  index: SharedMap<number, readonly Id[]>,
  edits: ReadonlyMap<Id, Edit<K>>,
  numberOf: (object: Objects[K]) => number,
): SharedMap<number, readonly Id[]> {
  const moves = new Moves<number>();
  for (const [id, { before, after }] of edits) {
    if (before !== undefined) moves.note(numberOf(before), id, false);
    if (after !== undefined) moves.note(numberOf(after), id, true);
  }
  return moves.applied(index);
}
