// Which properties of which kinds name other objects. Read from the schemas (keyword `references`), once.

import type { TSchema } from 'typebox';
import { KIND_NAMES, KINDS, type Kind, type Objects } from '../kinds.ts';
import type { Id } from '../resource.ts';

/** A property that names objects: `port.deviceId`, `rule.match.inPortIds`, `tunnelZone.members.hostId`. */
export interface Relation {
  readonly name: string;
  readonly kind: Kind;
  /** Property names from the object down; a list is passed through. */
  readonly path: readonly string[];
  /** Kinds of the objects that it may name. */
  readonly to: readonly Kind[];
}

/** One place in one object that names another. */
export interface Reference {
  readonly relation: Relation;
  readonly id: Id;
  /** JSON pointer into the object. */
  readonly pointer: string;
}

type Keywords = TSchema & {
  readonly properties?: Readonly<Record<string, TSchema>>;
  readonly items?: TSchema;
  readonly references?: string;
};

function relationsBelow(kind: Kind, schema: Keywords, path: readonly string[]): Relation[] {
  const { references, properties, items } = schema;
  if (references !== undefined) {
    return [{ name: [kind, ...path].join('.'), kind, path, to: references.split('|') as Kind[] }];
  }
  if (items !== undefined) return relationsBelow(kind, items, path);
  return Object.entries(properties ?? {}).flatMap(([name, below]) => relationsBelow(kind, below, [...path, name]));
}

export const RELATIONS: Readonly<Record<Kind, readonly Relation[]>> = Object.fromEntries(
  KIND_NAMES.map((kind) => [kind, relationsBelow(kind, KINDS[kind].schema, [])]),
) as Record<Kind, Relation[]>;

/** By the kind that is named: who may name it. */
export const RELATIONS_TO: Readonly<Record<Kind, readonly Relation[]>> = Object.fromEntries(
  KIND_NAMES.map((kind) => [
    kind,
    Object.values(RELATIONS).flatMap((all) => all.filter(({ to }) => to.includes(kind))),
  ]),
) as Record<Kind, Relation[]>;

/** Everything that the object names. */
export function referencesOf<K extends Kind>(kind: K, object: Objects[K]): Reference[] {
  const found: Reference[] = [];
  for (const relation of RELATIONS[kind]) collect(relation, object, 0, '', found);
  return found;
}

function collect(relation: Relation, value: unknown, depth: number, pointer: string, found: Reference[]): void {
  if (value === undefined) return;
  if (Array.isArray(value)) {
    value.forEach((item, index) => {
      collect(relation, item, depth, `${pointer}/${index}`, found);
    });
  } else if (depth === relation.path.length) {
    found.push({ relation, id: value as Id, pointer });
  } else {
    const name = relation.path[depth]!;
    collect(relation, (value as Record<string, unknown>)[name], depth + 1, `${pointer}/${name}`, found);
  }
}

const NOTHING: readonly Id[] = [];

/** The ids that the object names through the relation, each once. */
export function namedBy(relation: Relation, object: object | undefined): readonly Id[] {
  let value: unknown = object;
  for (let depth = 0; depth < relation.path.length; depth++) {
    if (value === undefined) return NOTHING;
    if (Array.isArray(value)) return distinctBelow(value, relation.path.slice(depth));
    value = (value as Record<string, unknown>)[relation.path[depth]!];
  }
  if (value === undefined) return NOTHING;
  return Array.isArray(value) ? distinctBelow(value, []) : [value as Id];
}

function distinctBelow(list: readonly unknown[], path: readonly string[]): readonly Id[] {
  if (list.length === 0) return NOTHING;
  const found = new Set<Id>();
  const take = (value: unknown, depth: number): void => {
    if (value === undefined) return;
    if (Array.isArray(value)) for (const item of value) take(item, depth);
    else if (depth === path.length) found.add(value as Id);
    else take((value as Record<string, unknown>)[path[depth]!], depth + 1);
  };
  take(list, 0);
  return [...found];
}
