// What one request would do: its operations on a draft, what the server adds, and the check of the outcome. Nothing is
// written and nothing is waited for; the answer is a list of writes, or an ApiError that names the place in the request.

import { isDeepStrictEqual } from 'node:util';
import { check } from '../../topology/check.ts';
import { parseDocument, SERVER_ASSIGNED } from '../../topology/document.ts';
import type { DocumentProblem } from '../../topology/document-problems.ts';
import type { Kind, Objects, Resource, ResourceRef } from '../../topology/kinds.ts';
import type { Topology } from '../../topology/nodes.ts';
import type { Id } from '../../topology/resource.ts';
import { applyChanges } from '../../topology/snapshot.ts';
import { ApiError } from '../errors.ts';
import { objectKey, type ValueWrite } from '../state/keys.ts';
import { derive } from './derive.ts';
import { Draft } from './draft.ts';
import { type Draw, freed } from './numbers.ts';
import { Refused } from './refused.ts';

export type Operation = {
  readonly kind: Kind;
  /** JSON pointer to its value in the request: '' for a body that is the value. */
  readonly at: string;
} & (
  | { readonly op: 'create'; readonly value: unknown }
  | { readonly op: 'update'; readonly id: Id; readonly value: unknown; readonly ifMatch?: number }
  | { readonly op: 'delete'; readonly id: Id; readonly ifMatch?: number }
);

export interface Done {
  readonly kind: Kind;
  readonly id: Id;
  /** The object afterwards; undefined when it was deleted. */
  readonly value: Objects[Kind] | undefined;
  /** False for a create whose object was there already, exactly so. */
  readonly created: boolean;
}

export interface PlanContext {
  readonly before: Topology;
  /** The revision that the changes will get. */
  readonly revision: number;
  readonly now: Date;
  readonly draw: Draw;
  readonly newId: () => Id;
  /** Store keys of the tokens that go with a host or a project. */
  readonly keysOf: (ref: ResourceRef) => readonly string[];
}

export interface Plan {
  readonly after: Topology;
  readonly put: readonly Resource[];
  readonly del: readonly ResourceRef[];
  readonly writes: readonly ValueWrite[];
  readonly done: readonly Done[];
}

/** An object takes at most half of what a store takes in one transaction. */
const OBJECT_BYTES = 500_000;

/** Throws ApiError. */
export function plan(context: PlanContext, operations: readonly Operation[]): Plan {
  const draft = new Draft(context.before);
  const touched = operations.map((operation) => ({ operation, ...perform(draft, operation, context) }));
  const placeOf = (kind: Kind, id: Id, path: string): string | undefined => {
    const last = touched.findLast((each) => each.operation.kind === kind && each.id === id);
    return last === undefined ? undefined : `${last.operation.at}${path}`;
  };
  try {
    derive(draft, context.draw);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const { code, message, kind, id, path } = error.refusal;
    throw new ApiError(code, message, placeOf(kind, id, path));
  }
  stamp(draft, context);
  const { put, del } = draft.changes();
  const after =
    put.length + del.length === 0
      ? context.before
      : applyChanges(context.before, { revision: context.revision, put, del }).topology;
  const [problem] = after === context.before ? [] : check({ put, del }, context.before, after);
  if (problem !== undefined) {
    throw new ApiError(problem.code, problem.message, placeOf(problem.kind, problem.id, problem.path));
  }
  const done = touched.map(({ operation, id, created }) => {
    const value = draft.get(operation.kind, id);
    return { kind: operation.kind, id, value: operation.op === 'delete' ? undefined : value, created };
  });
  return { after, put, del, writes: writesOf(draft, put, del, context), done };
}

function perform(draft: Draft, operation: Operation, context: PlanContext): { id: Id; created: boolean } {
  const { kind, at } = operation;
  if (operation.op === 'create') return create(draft, kind, operation.value, at, context);
  const before = draft.get(kind, operation.id);
  if (before === undefined) throw new ApiError('notFound', `there is no ${kind} ${operation.id}`, idPlace(at));
  if (operation.ifMatch !== undefined) checkRevision(draft.topology.object(kind, operation.id), operation);
  if (operation.op === 'delete') draft.remove(kind, operation.id);
  else update(draft, kind, before, operation.value, at);
  return { id: operation.id, created: false };
}

/** `there`: the object before the request. */
function checkRevision(
  there: Objects[Kind] | undefined,
  operation: Exclude<Operation, { readonly op: 'create' }>,
): void {
  const { kind, id, ifMatch, at } = operation;
  if (there?.revision === ifMatch) return;
  const is =
    there === undefined ? 'was not there before this transaction' : `is at revision ${there.revision}, not ${ifMatch}`;
  throw new ApiError('stale', `${kind} ${id} ${is}`, operationPlace(at));
}

function create<K extends Kind>(
  draft: Draft,
  kind: K,
  json: unknown,
  at: string,
  context: PlanContext,
): { id: Id; created: boolean } {
  const parsed = parseDocument(kind, json, 'create');
  if (parsed.problems !== undefined) throw firstOf(parsed.problems, at);
  const id = (parsed.value as { id?: Id }).id ?? context.newId();
  const there = draft.get(kind, id);
  if (there === undefined) {
    draft.put(kind, { ...parsed.value, id } as Objects[K]);
    return { id, created: true };
  }
  if (sameBody(kind, parsed.value as Json, there as unknown as Json)) return { id, created: false };
  throw new ApiError('exists', `${kind} ${id} exists and is not the same: choose another id`, `${at}/id`);
}

function update<K extends Kind>(draft: Draft, kind: K, before: Objects[K], json: unknown, at: string): void {
  const parsed = parseDocument(kind, json, 'patch', before);
  if (parsed.problems !== undefined) throw firstOf(parsed.problems, at);
  draft.put(kind, parsed.value as Objects[K]);
}

type Json = Readonly<Record<string, unknown>>;

/** Whether a create that came again says what is there; what the server chose and was not given makes no difference. */
function sameBody(kind: Kind, given: Json, there: Json): boolean {
  const assigned = new Set<string>(SERVER_ASSIGNED[kind].map(({ field }) => field));
  if (kind === 'port') assigned.add('peerId');
  for (const name of new Set([...Object.keys(given), ...Object.keys(there)])) {
    if (given[name] === undefined && assigned.has(name)) continue;
    if (!isDeepStrictEqual(given[name], there[name])) return false;
  }
  return true;
}

function firstOf(problems: readonly DocumentProblem[], at: string) {
  const [first] = problems;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  return new ApiError(first!.code, first!.message + more, at + first!.path);
}

/** In a transaction the place of the operation itself; its id stands beside its value. */
const operationPlace = (at: string): string | undefined => (at === '' ? undefined : at.replace(/\/value$/, ''));
const idPlace = (at: string): string | undefined => (at === '' ? undefined : `${operationPlace(at)}/id`);

/** Revision and times of everything that has really changed. */
function stamp(draft: Draft, { revision, now }: PlanContext): void {
  const time = now.toISOString();
  for (const edit of draft.edits()) {
    if (edit.after === undefined) continue;
    const createdAt = edit.before?.createdAt ?? time;
    draft.put(edit.kind, { ...edit.after, revision, createdAt, updatedAt: time } as Objects[Kind]);
  }
}

function writesOf(
  draft: Draft,
  put: readonly Resource[],
  del: readonly ResourceRef[],
  { now, keysOf }: PlanContext,
): ValueWrite[] {
  const writes: ValueWrite[] = [];
  for (const { kind, value } of put) {
    if (Buffer.byteLength(JSON.stringify(value)) > OBJECT_BYTES) {
      throw new ApiError('tooLarge', `${kind} ${value.id} is larger than ${OBJECT_BYTES} bytes: split it`);
    }
    writes.push({ put: objectKey(kind, value.id), value });
  }
  for (const { kind, id } of del) writes.push({ del: objectKey(kind, id) });
  for (const ref of del) for (const key of keysOf(ref)) writes.push({ del: key });
  for (const { before, after } of draft.edited('port')) {
    if (before !== undefined && after === undefined) writes.push(freed(before.tunnelKey, now.getTime()));
  }
  for (const { before, after } of draft.edited('bridge')) {
    if (before !== undefined && after === undefined) writes.push(freed(before.floodKey, now.getTime()));
  }
  return writes;
}
