// Why a change of the model cannot be, and what a check may look at.

import type { Kind, ResourceRef } from './kinds.ts';
import type { Topology } from './nodes.ts';
import type { Id } from './resource.ts';

/**
 * inUse: others name what is to be deleted. conflict: it would make sense if something else were not in the way.
 * invalid: it never makes sense.
 */
export type ProblemCode = 'inUse' | 'conflict' | 'invalid';
export const PROBLEM_STATUS = { inUse: 409, conflict: 409, invalid: 422 } as const;

/** What a check of one object finds. */
export interface Finding {
  readonly code: ProblemCode;
  /** Says what is wrong and what to change. */
  readonly message: string;
  /** JSON pointer into the object; '' is the whole. */
  readonly path: string;
  /** Others that are in the way; the message names them. */
  readonly objects?: readonly ResourceRef[];
}

/** A finding, and the object of the change that it is about. */
export interface Problem extends Finding, ResourceRef {
  readonly status: 409 | 422;
}

export const invalid = (path: string, message: string): Finding => ({ code: 'invalid', message, path });
export const conflict = (path: string, message: string, objects: readonly ResourceRef[]): Finding => ({
  code: 'conflict',
  message,
  path,
  objects,
});

/** What the check of one object sees. */
export interface Checking {
  readonly before: Topology;
  /** As it would be. */
  readonly after: Topology;
  /** Ids of the objects that would name this one through a relation (`port.deviceId`). */
  users(relation: string, id: Id): readonly Id[];
  /** For people: `port "web" (9b2e…)`. */
  named(kind: Kind, id: Id): string;
  /** The same answer for all objects of one check, computed once. */
  once<T>(key: string, make: () => T): T;
}
