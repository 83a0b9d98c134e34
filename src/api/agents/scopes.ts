// What there is to know about a device, worked out once and shared by all agents that subscribed to it. A scope is
// immutable: whoever remembers the one that was sent can tell what has changed since.

import type { Resource, ResourceRef } from '../../topology/kinds.ts';
import type { Topology } from '../../topology/nodes.ts';
import type { Id } from '../../topology/resource.ts';
import { scopeOf } from '../../topology/scope.ts';

/** `<kind>/<id>` -> object. */
export type Scope = ReadonlyMap<string, Resource>;

/** Stands for a device: hosts and tunnel zones, which are in the scope of every agent. */
export const UNDERLAY: Id = 'underlay';
const UNDERLAY_KINDS = ['host', 'tunnelZone'] as const;
export const isUnderlay = ({ kind }: ResourceRef): boolean => kind === 'host' || kind === 'tunnelZone';

const underlayOf = (topology: Topology): ResourceRef[] =>
  UNDERLAY_KINDS.flatMap((kind) => [...topology.objects(kind).keys()].map((id) => ({ kind, id })));

export interface Difference {
  readonly put: Scope;
  /** In the first and not in the second. */
  readonly gone: ReadonlyMap<string, ResourceRef>;
  /** In the second and not in the first. */
  readonly fresh: ReadonlySet<string>;
}

export class Scopes {
  readonly #topology: () => Topology;
  readonly #scopes = new Map<Id, Scope>();
  readonly #stale = new Set<Id>();

  constructor(topology: () => Topology) {
    this.#topology = topology;
  }

  /** Empty for a device that does not exist. The same map as before when nothing in it has changed. */
  of(deviceId: Id): Scope {
    const known = this.#scopes.get(deviceId);
    if (known !== undefined && !this.#stale.delete(deviceId)) return known;
    const topology = this.#topology();
    const refs = deviceId === UNDERLAY ? underlayOf(topology) : scopeOf(topology, deviceId);
    const scope: Scope = new Map(
      refs.map(({ kind, id }) => [`${kind}/${id}`, { kind, value: topology.object(kind, id)! } as Resource]),
    );
    const kept = known !== undefined && isSame(known, scope) ? known : scope;
    this.#scopes.set(deviceId, kept);
    return kept;
  }

  /** Objects of these devices have changed. */
  touch(deviceIds: Iterable<Id>): void {
    for (const id of deviceIds) if (this.#scopes.has(id)) this.#stale.add(id);
  }

  /** All of them may have changed. */
  touchAll(): void {
    this.touch(this.#scopes.keys());
  }

  /** Forgets the devices that nobody subscribes to any more. */
  prune(wanted: ReadonlySet<Id>): void {
    for (const id of this.#scopes.keys()) {
      if (wanted.has(id)) continue;
      this.#scopes.delete(id);
      this.#stale.delete(id);
    }
  }
}

function isSame(a: Scope, b: Scope): boolean {
  if (a.size !== b.size) return false;
  for (const [key, { value }] of b) if (a.get(key)?.value !== value) return false;
  return true;
}

const NOTHING: Scope = new Map();
/** Agents that were sent the same scope need the same difference. */
const differences = new WeakMap<Scope, { readonly to: Scope; readonly difference: Difference }>();

export function differenceOf(from: Scope = NOTHING, to: Scope = NOTHING): Difference {
  const known = from === NOTHING ? undefined : differences.get(from);
  if (known?.to === to) return known.difference;
  const put = new Map<string, Resource>();
  const fresh = new Set<string>();
  const gone = new Map<string, ResourceRef>();
  for (const [key, resource] of to) {
    const before = from.get(key);
    if (before?.value !== resource.value) put.set(key, resource);
    if (before === undefined) fresh.add(key);
  }
  for (const [key, { kind, value }] of from) if (!to.has(key)) gone.set(key, { kind, id: value.id });
  const difference = { put, fresh, gone };
  if (from !== NOTHING) differences.set(from, { to, difference });
  return difference;
}
