// The objects that one request changes, on top of a topology that it does not change: read through it, and what was
// written in it comes first. It keeps what each object was before, so that the outcome is a list of real changes.

import { isDeepStrictEqual } from 'node:util';
import { KIND_NAMES, KINDS, type Kind, type Objects, type Resource, type ResourceRef } from '../../topology/kinds.ts';
import type { Topology } from '../../topology/nodes.ts';
import type { Id } from '../../topology/resource.ts';

export interface Edit<K extends Kind = Kind> {
  readonly kind: K;
  readonly id: Id;
  readonly before: Objects[K] | undefined;
  readonly after: Objects[K] | undefined;
}

type AnyEdit = { [K in Kind]: Edit<K> }[Kind];

export class Draft {
  readonly topology: Topology;
  readonly #edits = new Map<string, AnyEdit>();

  constructor(topology: Topology) {
    this.topology = topology;
  }

  get<K extends Kind>(kind: K, id: Id): Objects[K] | undefined {
    const edit = this.#edits.get(`${kind}/${id}`);
    return edit === undefined ? this.topology.object(kind, id) : (edit.after as Objects[K] | undefined);
  }

  put<K extends Kind>(kind: K, value: Objects[K]): void {
    this.#set(kind, value.id, value);
  }

  /** Deletes the object and, with it, everything that it owns. */
  remove(kind: Kind, id: Id): void {
    if (this.get(kind, id) === undefined) return;
    this.#set(kind, id, undefined);
    for (const owned of KIND_NAMES) {
      const owner = KINDS[owned].owner;
      if (owner === undefined || !owns(kind, owned)) continue;
      for (const object of [...this.all(owned)]) {
        if ((object as unknown as Record<string, unknown>)[owner] === id) this.remove(owned, object.id);
      }
    }
  }

  *all<K extends Kind>(kind: K): Iterable<Objects[K]> {
    for (const [id, object] of this.topology.objects(kind)) {
      if (!this.#edits.has(`${kind}/${id}`)) yield object;
    }
    for (const edit of this.#edits.values()) {
      if (edit.kind === kind && edit.after !== undefined) yield edit.after as Objects[K];
    }
  }

  /** What is not as it was, in the order in which it was touched. */
  edits(): AnyEdit[] {
    return [...this.#edits.values()].filter((edit) => !isDeepStrictEqual(edit.before, edit.after));
  }

  edited<K extends Kind>(kind: K): Edit<K>[] {
    return this.edits().filter((edit) => edit.kind === kind) as unknown as Edit<K>[];
  }

  changes(): { readonly put: Resource[]; readonly del: ResourceRef[] } {
    const put: Resource[] = [];
    const del: ResourceRef[] = [];
    for (const { kind, id, after } of this.edits()) {
      if (after === undefined) del.push({ kind, id });
      else put.push({ kind, value: after } as Resource);
    }
    return { put, del };
  }

  #set<K extends Kind>(kind: K, id: Id, after: Objects[K] | undefined): void {
    const key = `${kind}/${id}`;
    const known = this.#edits.get(key);
    const before = known === undefined ? this.topology.object(kind, id) : known.before;
    this.#edits.set(key, { kind, id, before, after } as unknown as AnyEdit);
  }
}

/** Whether objects of `kind` may own those of `owned`: by the name of the owner property's target in the schema. */
function owns(kind: Kind, owned: Kind): boolean {
  const { owner, schema } = KINDS[owned];
  const property = schema.properties[owner ?? ''] as { readonly references?: string } | undefined;
  return property?.references?.split('|').includes(kind) ?? false;
}
