// What the token of some projects sees of the model: the objects of its projects, without their references to others.
// Hosts and tunnel zones are the operator's, whatever project they name.

import type { TSchema } from 'typebox';
import { KINDS, type Kind, type Objects, type Resource } from '../../topology/kinds.ts';
import type { Topology } from '../../topology/nodes.ts';
import type { Id } from '../../topology/resource.ts';

export type Projects = ReadonlySet<Id>;

/** Kinds whose objects belong to the operator alone. */
export const OPERATORS_KINDS: ReadonlySet<Kind> = new Set(['host', 'tunnelZone']);

export function isSeen(projects: Projects, kind: Kind, object: Objects[Kind] | undefined): boolean {
  if (object === undefined || OPERATORS_KINDS.has(kind)) return false;
  return kind === 'project'
    ? projects.has(object.id)
    : object.projectId !== undefined && projects.has(object.projectId);
}

/** Whether the id, where it names an object of one of these kinds, names one that is seen. */
export const isSeenId = (projects: Projects, topology: Topology, kinds: readonly Kind[], id: Id): boolean =>
  kinds.some((kind) => isSeen(projects, kind, topology.object(kind, id)));

type Keywords = TSchema & {
  readonly properties?: Readonly<Record<string, Keywords>>;
  readonly items?: Keywords;
  readonly references?: string;
  readonly required?: readonly string[];
};
type Sees = (kinds: readonly Kind[], id: Id) => boolean;

/**
 * The object without references to what is not seen; the very same one when it has none. What an object cannot be
 * without (the device of a port) stays: whoever put the object there told its id with it.
 */
export function redacted<R extends Resource>({ kind, value }: R, projects: Projects, topology: Topology): R['value'] {
  const sees: Sees = (kinds, id) => isSeenId(projects, topology, kinds, id);
  const seen = without(KINDS[kind].schema, value, sees) as R['value'];
  if (kind !== 'port' || seen === value || 'hostId' in seen) return seen;
  // An interface is one of its host.
  const { interfaceName: _, ...port } = seen as Objects['port'];
  return port as R['value'];
}

/** Undefined: nothing of it is seen. */
function without(schema: Keywords, value: unknown, sees: Sees): unknown {
  if (schema.references !== undefined) {
    const kinds = schema.references.split('|') as Kind[];
    if (!Array.isArray(value)) return sees(kinds, value as Id) ? value : undefined;
    const seen = value.filter((id: Id) => sees(kinds, id));
    return seen.length === value.length ? value : seen;
  }
  if (schema.properties === undefined || typeof value !== 'object' || value === null) return value;
  let changed = false;
  const result: Record<string, unknown> = {};
  for (const [name, given] of Object.entries(value)) {
    const below = schema.properties[name];
    const seen = below === undefined ? given : without(below, given, sees);
    const isRequired = schema.required?.includes(name) ?? false;
    const isGone = seen === undefined || (Array.isArray(seen) && seen.length === 0 && seen !== given && !isRequired);
    if (isGone && !isRequired) changed = true;
    else result[name] = isGone ? given : seen;
    if (result[name] !== given) changed = true;
  }
  return changed ? result : value;
}
