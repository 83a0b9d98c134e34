// A change that a tenant asks for. It is planned twice: on what the tenant sees, where every refusal may be told as it
// is, and then on everything, where a refusal tells only that there is one. Of the outcome nothing may be the matter of
// others: neither an object of theirs nor what they put into an object of the tenant.

import { referencesOf } from '../../topology/graph/references.ts';
import { KIND_NAMES, type Kind, type Objects } from '../../topology/kinds.ts';
import type { Topology } from '../../topology/nodes.ts';
import { ApiError, type ErrorCode } from '../errors.ts';
import { type Operation, type Plan, type PlanContext, plan } from '../write/plan.ts';
import { isSeen, isSeenId, OPERATORS_KINDS, type Projects } from './redact.ts';

/** Not about what is there. */
const OPEN: ReadonlySet<ErrorCode> = new Set(['unavailable', 'outcomeUnknown', 'tooMany', 'internal']);
const BINDING = ['hostId', 'interfaceName'] as const;

/**
 * The operations with the project that they are about, as far as they can be judged by themselves. Throws ApiError for
 * what is the operator's alone; the same for objects that are there and that are not.
 */
export function judged(operations: readonly Operation[], projects: Projects): readonly Operation[] {
  return operations.map((operation) => {
    const { kind, op, at } = operation;
    if (OPERATORS_KINDS.has(kind) || kind === 'project') {
      throw new ApiError('forbidden', `a token of role member does not ${op} a ${kind}: that is the operator's`);
    }
    if (op === 'delete' || !isRecord(operation.value)) return operation;
    const { value } = operation;
    const bound = kind === 'port' ? BINDING.find((name) => Object.hasOwn(value, name)) : undefined;
    if (bound !== undefined) {
      const words = "ports are bound to interfaces by the operator or the host's own agent: leave it out";
      throw new ApiError('forbidden', words, `${at}/${bound}`);
    }
    if (value.projectId === null) {
      const words = "an object without a project is the operator's: name a project of this token";
      throw new ApiError('forbidden', words, `${at}/projectId`);
    }
    if (op === 'update' || value.projectId !== undefined) return operation;
    const [only, ...others] = projects;
    if (only === undefined || others.length > 0) {
      const words = 'projectId is missing: this token is of several projects, name one';
      throw new ApiError('malformed', words, `${at}/projectId`);
    }
    return { ...operation, value: { ...value, projectId: only } };
  });
}

/** `seen`: the same moment as the tenant sees it. Throws ApiError. */
export function planForTenant(
  context: PlanContext,
  seen: PlanContext,
  operations: readonly Operation[],
  projects: Projects,
): Plan {
  plan(seen, operations);
  refuseTakenIds(operations, context.before, projects);
  const planned = planQuietly(context, operations);
  for (const { kind, value } of planned.put) {
    const before = context.before.object(kind, value.id);
    if (before !== undefined && !isSeen(projects, kind, before)) throw inUse();
    if (!isSeen(projects, kind, value)) throw inTheWay();
    const left = new Set(unseenReferences(kind, value, context.before, projects));
    const had = before === undefined ? [] : unseenReferences(kind, before, context.before, projects);
    if (had.some((one) => !left.has(one))) throw inTheWay();
  }
  for (const { kind, id } of planned.del) {
    if (!isSeen(projects, kind, context.before.object(kind, id))) throw inUse();
  }
  return planned;
}

/** The id of an object is taken, whatever the object is: that much cannot be kept from who knows the id already. */
function refuseTakenIds(operations: readonly Operation[], topology: Topology, projects: Projects): void {
  for (const operation of operations) {
    const id = operation.op === 'create' && isRecord(operation.value) ? operation.value.id : undefined;
    if (typeof id !== 'string') continue;
    const kind = KIND_NAMES.find((one) => topology.object(one, id) !== undefined);
    if (kind === undefined || isSeen(projects, kind, topology.object(kind, id))) continue;
    throw new ApiError('exists', `${id} cannot be chosen: choose another id`, `${operation.at}/id`);
  }
}

function planQuietly(context: PlanContext, operations: readonly Operation[]): Plan {
  try {
    return plan(context, operations);
  } catch (error) {
    if (!(error instanceof ApiError) || OPEN.has(error.code)) throw error;
    throw error.code === 'inUse' ? inUse() : inTheWay();
  }
}

const inUse = (): ApiError => new ApiError('inUse', 'what this token may not see uses it: ask the operator');
const inTheWay = (): ApiError =>
  new ApiError('conflict', 'something that this token may not see is in the way: ask the operator');

function unseenReferences(kind: Kind, object: Objects[Kind], topology: Topology, projects: Projects): string[] {
  return referencesOf(kind, object as never)
    .filter(({ relation, id }) => !isSeenId(projects, topology, relation.to, id))
    .filter(({ relation, id }) => relation.to.some((to) => topology.object(to, id) !== undefined))
    .map(({ relation, id }) => `${relation.name}/${id}`);
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
