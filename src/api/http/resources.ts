// Create, list, read, change and delete of every kind: one table (KINDS) drives all paths, filters and answers.

import type { Context } from 'hono';
import { KIND_NAMES, KINDS, type Kind, type Objects, type Resource } from '../../topology/kinds.ts';
import type { Topology } from '../../topology/nodes.ts';
import type { Id } from '../../topology/resource.ts';
import { ApiError } from '../errors.ts';
import type { Parts } from '../parts.ts';
import { judged } from '../tenant/plan.ts';
import { redacted } from '../tenant/redact.ts';
import type { Operation } from '../write/plan.ts';
import type { Outcome } from '../write/transact.ts';
import type { App, Call } from './caller.ts';
import { OPERATIONS_PER_CALL } from './rate.ts';
import {
  LIST_LIMIT,
  LIST_LIMIT_MAX,
  readIfMatch,
  readInteger,
  readJson,
  readQuery,
  TRANSACTION_BYTES,
} from './request.ts';

const OPERATIONS_MAX = 10_000;

type Json = Readonly<Record<string, unknown>>;

export function resourceRoutes(app: App, parts: Parts): void {
  for (const kind of KIND_NAMES) {
    const path = `/v1/${KINDS[kind].plural}`;
    app.get(path, (context) => list(context, parts, kind));
    app.post(path, async (context) => {
      const value = await readJson(context);
      const outcome = await submit(context, parts, [{ op: 'create', kind, value, at: '' }]);
      return answer(context, parts, kind, outcome, outcome.done[0]!.created ? 201 : 200);
    });
    app.get(`${path}/:id`, (context) => {
      const object = topologyOf(context, parts).object(kind, context.req.param('id'));
      if (object === undefined) throw new ApiError('notFound', `there is no ${kind} ${context.req.param('id')}`);
      context.header('ETag', `"${object.revision}"`);
      return context.json(shown(context, parts, kind, object));
    });
    app.patch(`${path}/:id`, async (context) => {
      const value = await readJson(context);
      const outcome = await submit(context, parts, [
        { op: 'update', kind, id: context.req.param('id'), value, at: '', ...ifMatch(context) },
      ]);
      return answer(context, parts, kind, outcome, 200);
    });
    app.delete(`${path}/:id`, async (context) => {
      const id = context.req.param('id');
      const outcome = await submit(context, parts, [{ op: 'delete', kind, id, at: '', ...ifMatch(context) }]);
      context.header('Ayatori-Revision', String(outcome.revision));
      return context.body(null, 204);
    });
  }
  app.post('/v1/transaction', async (context) => {
    const operations = operationsOf(await readJson(context, TRANSACTION_BYTES));
    // The first of them is the call itself.
    parts.rateLimits.charge(context.get('caller').token, Math.floor(operations.length / OPERATIONS_PER_CALL));
    const { revision, done } = await submit(context, parts, operations);
    context.header('Ayatori-Revision', String(revision));
    const objects = done.flatMap(({ kind, value }) =>
      value === undefined ? [] : [shown(context, parts, kind, value)],
    );
    return context.json({ revision, objects });
  });
}

/** Everything, or what the tenant sees of it. */
const topologyOf = (context: Call, { config }: Parts): Topology => (context.get('caller').view ?? config).topology;

async function submit(context: Call, { transactor }: Parts, operations: readonly Operation[]): Promise<Outcome> {
  const { view } = context.get('caller');
  return view === undefined
    ? transactor.submit(operations)
    : transactor.submit(judged(operations, view.projects), view);
}

const ifMatch = (context: Context): { readonly ifMatch?: number } => {
  const revision = readIfMatch(context);
  return revision === undefined ? {} : { ifMatch: revision };
};

function answer(context: Call, parts: Parts, kind: Kind, outcome: Outcome, status: 200 | 201): Response {
  const value = outcome.done[0]!.value!;
  context.header('Ayatori-Revision', String(outcome.revision));
  context.header('ETag', `"${value.revision}"`);
  if (status === 201) context.header('Location', `/v1/${KINDS[kind].plural}/${value.id}`);
  return context.json(shown(context, parts, kind, value), status);
}

/** The object as answers have it: ports and hosts with their live status. */
function shown(context: Call, parts: Parts, kind: Kind, object: Objects[Kind]): unknown {
  const { view } = context.get('caller');
  if (kind === 'port') {
    const whole = parts.config.topology.object('port', object.id) ?? (object as Objects['port']);
    const status = parts.liveStatus.ofPort(whole);
    if (view === undefined) return { ...object, status };
    // Where it is, and what its host says of that, is the operator's.
    const seen = redacted({ kind, value: object as Objects['port'] }, view.projects, parts.config.topology);
    return { ...seen, status: { state: status.state } };
  }
  if (view !== undefined) return redacted({ kind, value: object } as Resource, view.projects, parts.config.topology);
  if (kind === 'host') return { ...object, status: parts.agents.hostStatus(object.id) };
  return object;
}

function list(context: Call, parts: Parts, kind: Kind): Response {
  const query = readQuery(context, (name) => isControl(name) || filterOf(kind, name) !== undefined);
  const limit = readInteger(query.limit, 'limit', 1, LIST_LIMIT_MAX) ?? LIST_LIMIT;
  const after = query.pageToken === undefined ? '' : readPageToken(query.pageToken);
  const filters = Object.entries(query).filter(([name]) => !isControl(name));
  const fits = (object: Json): boolean => filters.every(([name, text]) => filterOf(kind, name)!(object, text));
  const { revision } = parts.config;
  const objects = topologyOf(context, parts).objects(kind);
  const items: unknown[] = [];
  let last: Id | undefined;
  for (const id of sortedIds(objects)) {
    if (id <= after) continue;
    const object = objects.get(id)!;
    if (!fits(object as unknown as Json)) continue;
    if (items.length === limit) {
      return context.json({ items, revision, pageToken: Buffer.from(last!).toString('base64url') });
    }
    items.push(shown(context, parts, kind, object));
    last = id;
  }
  return context.json({ items, revision });
}

const isControl = (name: string): boolean => name === 'limit' || name === 'pageToken';

type Filter = (object: Json, text: string) => boolean;
const SCALARS = new Set(['string', 'integer', 'boolean']);
interface FieldSchema {
  readonly type?: string;
  readonly const?: unknown;
  readonly anyOf?: readonly FieldSchema[];
}

/** What a list of the kind can be filtered by. */
export const filterNames = (kind: Kind): readonly string[] =>
  [...Object.keys(KINDS[kind].schema.properties), 'tag'].filter((name) => filterOf(kind, name) !== undefined);

/** Equality on scalar fields; `tag` looks into `tags`. */
function filterOf(kind: Kind, name: string): Filter | undefined {
  if (name === 'tag') return (object, text) => (object.tags as readonly string[]).includes(text);
  const { properties } = KINDS[kind].schema;
  const schema: FieldSchema | undefined = Object.hasOwn(properties, name) ? properties[name] : undefined;
  if (schema === undefined || !isScalar(schema)) return undefined;
  return (object, text) => object[name] !== undefined && String(object[name]) === text;
}

const isScalar = ({ type, const: literal, anyOf }: FieldSchema): boolean =>
  literal !== undefined || SCALARS.has(type ?? '') || (anyOf?.every(isScalar) ?? false);

/** Ids in order, worked out once for each state of a kind. */
const sorted = new WeakMap<object, readonly Id[]>();
function sortedIds(objects: ReadonlyMap<Id, unknown>): readonly Id[] {
  let ids = sorted.get(objects);
  if (ids === undefined) {
    ids = [...objects.keys()].sort();
    sorted.set(objects, ids);
  }
  return ids;
}

function readPageToken(token: string): Id {
  const id = Buffer.from(token, 'base64url').toString();
  if (!/^[0-9a-f-]{36}$/.test(id)) throw new ApiError('malformed', 'pageToken is not one that a list gave');
  return id;
}

function operationsOf(json: unknown): Operation[] {
  const operations = isRecord(json) ? json.operations : undefined;
  if (!isRecord(json) || !Array.isArray(operations)) {
    throw new ApiError('malformed', 'a transaction is {"operations": [...]}', '/operations');
  }
  const stranger = Object.keys(json).find((name) => name !== 'operations');
  if (stranger !== undefined) throw new ApiError('malformed', `there is no field ${stranger}`, `/${stranger}`);
  if (operations.length > OPERATIONS_MAX) {
    throw new ApiError('tooLarge', `${operations.length} operations, at most ${OPERATIONS_MAX} go in one transaction`);
  }
  return operations.map((operation, index) => operationOf(operation, `/operations/${index}`));
}

const FIELDS_OF = {
  create: ['op', 'kind', 'value'],
  update: ['op', 'kind', 'id', 'value', 'ifMatch'],
  delete: ['op', 'kind', 'id', 'ifMatch'],
} as const;

function operationOf(json: unknown, at: string): Operation {
  if (!isRecord(json)) throw new ApiError('malformed', 'an operation is an object {op, kind, ...}', at);
  const { op, kind, id, value, ifMatch } = json;
  if (op !== 'create' && op !== 'update' && op !== 'delete') {
    throw new ApiError('malformed', 'op is one of create, update, delete', `${at}/op`);
  }
  if (typeof kind !== 'string' || !Object.hasOwn(KINDS, kind)) {
    throw new ApiError('malformed', `kind is one of ${KIND_NAMES.join(', ')}`, `${at}/kind`);
  }
  const fields: readonly string[] = FIELDS_OF[op];
  for (const name of Object.keys(json)) {
    if (!fields.includes(name)) throw new ApiError('malformed', `${op} has no field ${name}`, `${at}/${name}`);
  }
  const common = { kind: kind as Kind, at: `${at}/value` };
  if (op === 'create') return { op, ...common, value };
  if (typeof id !== 'string') throw new ApiError('malformed', 'id is the id of the object', `${at}/id`);
  if (ifMatch !== undefined && !(Number.isSafeInteger(ifMatch) && Number(ifMatch) >= 0)) {
    throw new ApiError('malformed', 'ifMatch is the revision that the object must have', `${at}/ifMatch`);
  }
  const held = ifMatch === undefined ? {} : { ifMatch: ifMatch as number };
  return op === 'update' ? { op, ...common, id, value, ...held } : { op, ...common, id, ...held };
}

const isRecord = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
