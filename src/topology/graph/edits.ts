// A batch of changes as objects before and after, and the indexes that follow from them.

import { eachLight, eachOf, merged, PIECE_ITEMS, type Steps, sorted } from '../../lib/steps.ts';
import { KIND_NAMES, type Kind, type Objects, type Resource, type ResourceRef } from '../kinds.ts';
import type { Id } from '../resource.ts';
import { namedBy, RELATIONS } from './references.ts';
import { SharedMap, type SharedMapEdit } from './shared-map.ts';
import type { ObjectMaps, Users } from './state.ts';

export interface Edit<K extends Kind> {
  readonly before: Objects[K] | undefined;
  readonly after: Objects[K] | undefined;
}
/** By kind and id; only what differs. */
export type Edits = { readonly [K in Kind]: SharedMap<Id, Edit<K>> };

/** What is both put and deleted is put; of several objects with one id the last counts. */
export function* editsOf(objects: ObjectMaps, put: Iterable<Resource>, del: Iterable<ResourceRef>): Steps<Edits> {
  const edits = Object.fromEntries(
    KIND_NAMES.map((kind) => [kind, SharedMap.empty<Id, Edit<Kind>>().edit()]),
  ) as unknown as Record<Kind, SharedMapEdit<Id, Edit<Kind>>>;
  const note = (kind: Kind, id: Id, after: Objects[Kind] | undefined): void => {
    const before = objects[kind].get(id);
    edits[kind].set(id, before === after ? undefined : { before, after });
  };
  yield* eachOf(del, ({ kind, id }) => note(kind, id, undefined));
  yield* eachOf(put, ({ kind, value }) => note(kind, value.id, value));
  return Object.fromEntries(KIND_NAMES.map((kind) => [kind, edits[kind].done()])) as unknown as Edits;
}

export function* editedObjects(objects: ObjectMaps, edits: Edits): Steps<ObjectMaps> {
  const edited = { ...objects } as Record<Kind, SharedMap<Id, Objects[Kind]>>;
  for (const kind of KIND_NAMES) {
    const map = edited[kind].edit();
    yield* eachOf(edits[kind] as SharedMap<Id, Edit<Kind>>, ([id, { after }]) => map.set(id, after));
    edited[kind] = map.done();
  }
  return edited as unknown as ObjectMaps;
}

/** Ids that come to and go from one list of an index: none that comes is in it, each that goes is. */
interface Moves {
  readonly come: Id[];
  readonly go: Id[];
}

/** An index in the making: from a key to the ids of the objects that name it. */
class IndexEdit<K extends string | number> {
  readonly #moves = SharedMap.empty<K, Moves>().edit();

  /** The object named these keys before, and names those now; each once. */
  note(id: Id, before: readonly K[], after: readonly K[]): void {
    for (const key of without(after, before)) this.#of(key).come.push(id);
    for (const key of without(before, after)) this.#of(key).go.push(id);
  }

  *applied(index: SharedMap<K, readonly Id[]>): Steps<SharedMap<K, readonly Id[]>> {
    const edit = index.edit();
    let pieceItems = 0;
    for (const [key, moves] of this.#moves.done()) {
      edit.set(key, yield* moved(index.get(key) ?? [], moves));
      if (++pieceItems % PIECE_ITEMS === 0) yield;
    }
    return edit.done();
  }

  #of(key: K): Moves {
    const known = this.#moves.get(key);
    if (known !== undefined) return known;
    const moves: Moves = { come: [], go: [] };
    this.#moves.set(key, moves);
    return moves;
  }
}

function without<K>(all: readonly K[], others: readonly K[]): readonly K[] {
  if (all.length === 0 || others.length === 0) return all;
  if (others.length <= FEW) return all.filter((key) => !others.includes(key));
  const known = new Set(others);
  return all.filter((key) => !known.has(key));
}

/** Rising lists; undefined when nobody is left. */
function* moved(was: readonly Id[], { come, go }: Moves): Steps<readonly Id[] | undefined> {
  const now = come.length + go.length > FEW ? yield* remade(was, come, go) : replaced(was, come, go);
  return now.length === 0 ? undefined : now;
}

/** Up to so many moves, putting each in its place costs less than sorting. */
const FEW = 16;

function replaced(was: readonly Id[], come: readonly Id[], go: readonly Id[]): readonly Id[] {
  const now = [...was];
  for (const id of come) now.splice(placeOf(now, id), 0, id);
  for (const id of go) now.splice(placeOf(now, id), 1);
  return now;
}

function* remade(was: readonly Id[], come: Id[], go: Id[]): Steps<readonly Id[]> {
  const gone = yield* sorted(go, rising);
  const rest: Id[] = [];
  let next = 0;
  yield* eachLight(was, (id) => {
    if (id === gone[next]) next++;
    else rest.push(id);
  });
  return yield* merged(rest, yield* sorted(come, rising), rising);
}

const rising = (a: Id, b: Id): number => (a < b ? -1 : a > b ? 1 : 0);

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

export function* editedUsers(users: Users, edits: Edits): Steps<Users> {
  const edited = new Map(users);
  for (const kind of KIND_NAMES) {
    if (edits[kind].size === 0) continue;
    for (const relation of RELATIONS[kind]) {
      const index = new IndexEdit<Id>();
      yield* eachOf(edits[kind] as SharedMap<Id, Edit<Kind>>, ([id, { before, after }]) =>
        index.note(id, namedBy(relation, before), namedBy(relation, after)),
      );
      edited.set(relation.name, yield* index.applied(users.get(relation.name)!));
    }
  }
  return edited;
}

/** The index of objects of one kind by a number of theirs. */
export function* editedNumbers<K extends Kind>(
  index: SharedMap<number, readonly Id[]>,
  edits: SharedMap<Id, Edit<K>>,
  numberOf: (object: Objects[K]) => number,
): Steps<SharedMap<number, readonly Id[]>> {
  const edit = new IndexEdit<number>();
  const numbers = (object: Objects[K] | undefined) => (object === undefined ? [] : [numberOf(object)]);
  yield* eachOf(edits, ([id, { before, after }]) => edit.note(id, numbers(before), numbers(after)));
  return yield* edit.applied(index);
}
