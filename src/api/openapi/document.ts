// The OpenAPI 3.1 document of the API, made of the model's schemas, the table of errors and the list of calls.

import { KIND_NAMES, KINDS } from '../../topology/kinds.ts';
import { ERROR_CODES, type ErrorStatus, statusOf } from '../errors.ts';
import { LIST_LIMIT, LIST_LIMIT_MAX } from '../http/request.ts';
import { CALLS, type CallDoc } from './calls.ts';
import { type Schema, schemas, text, whole } from './schemas.ts';

/** Whatever is called may be answered so. */
const ALWAYS: readonly ErrorStatus[] = [429, 500, 503];
const WITH_TOKEN: readonly ErrorStatus[] = [401, 403];

const QUERY: Readonly<Record<string, Schema>> = {
  limit: { type: 'integer', minimum: 1, maximum: LIST_LIMIT_MAX, default: LIST_LIMIT },
  pageToken: text('what the page before gave'),
  tag: text('objects with this word among their tags'),
  from: whole('the revision after which changes are told; none: from now on'),
  timeoutSeconds: { type: 'integer', minimum: 0, maximum: 300, default: 10 },
};

export function openApi(version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const call of CALLS) paths[call.path] = { ...paths[call.path], [call.method]: operation(call) };
  return {
    openapi: '3.1.0',
    info: {
      title: 'Ayatori',
      version,
      description:
        'Virtual networks over any IP network. Errors are {code, message, path?}; see docs/api in the source.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    security: [{ token: [] }],
    tags: [...new Set(CALLS.map(({ tag }) => tag))].map((name) => ({ name, ...aboutTag(name) })),
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer', description: 'aya token create' } },
      schemas: schemas(),
      responses: Object.fromEntries(
        [...new Set(ERROR_CODES.map(statusOf))].map((status) => [`E${status}`, error(status)]),
      ),
    },
  };
}

function aboutTag(name: string): object {
  const kind = KIND_NAMES.find((one) => KINDS[one].plural === name);
  return kind === undefined ? {} : { description: (KINDS[kind].schema as { description?: string }).description };
}

function operation({
  method,
  path,
  tag,
  summary,
  query,
  ifMatch,
  body,
  ok,
  contentType,
  errors,
  open,
  roles,
}: CallDoc) {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => parameter(name!, 'path', text()));
  const inQuery = [...(query ?? [])].map((name) => parameter(name, 'query', QUERY[name] ?? text('equality')));
  const condition = parameter('If-Match', 'header', text('the revision that the object must have, else 412'));
  const refusals = [
    ...new Set([...(errors ?? []), ...(open === true ? [] : WITH_TOKEN), ...ALWAYS, ...(open && body ? [401] : [])]),
  ];
  const isWrite =
    method !== 'get' && roles !== undefined && path !== '/v1/tokens' && !path.startsWith('/v1/hosts/{id}/');
  return {
    operationId: `${method}${path.replaceAll(/[^a-zA-Z]+(\w)/g, (_, letter: string) => letter.toUpperCase()).replaceAll(/\W/g, '')}`,
    tags: [tag],
    summary,
    ...(open === true ? { security: [] } : { 'x-roles': roles ?? 'admin, member, reader' }),
    parameters: [...inPath, ...inQuery, ...(ifMatch === true ? [condition] : [])],
    ...(body === undefined
      ? {}
      : { requestBody: { required: true, content: { 'application/json': { schema: body } } } }),
    responses: {
      ...Object.fromEntries(
        Object.entries(ok).map(([status, schema]) => [status, answer(status, schema, contentType, isWrite)]),
      ),
      ...Object.fromEntries(
        refusals.toSorted().map((status) => [status, { $ref: `#/components/responses/E${status}` }]),
      ),
    },
  };
}

const parameter = (name: string, where: 'path' | 'query' | 'header', schema: Schema) => ({
  ...{ name, in: where, required: where === 'path', schema },
});

const WORDS: Readonly<Record<string, string>> = { 101: 'switched', 201: 'created', 204: 'done' };

function answer(status: string, schema: Schema | undefined, contentType = 'application/json', isWrite = false) {
  const revision = { 'Ayatori-Revision': { schema: whole('of the change') } };
  return {
    description: WORDS[status] ?? 'the answer',
    ...(isWrite ? { headers: revision } : {}),
    ...(schema === undefined ? {} : { content: { [contentType]: { schema } } }),
  };
}

function error(status: ErrorStatus) {
  const codes = ERROR_CODES.filter((code) => statusOf(code) === status);
  return {
    description: `code ${codes.join(' or ')}`,
    ...(status === 429 ? { headers: { 'Retry-After': { schema: whole('seconds') } } } : {}),
    content: {
      'application/json': {
        schema: {
          allOf: [{ $ref: '#/components/schemas/Error' }, { properties: { code: { enum: codes } } }],
        },
      },
    },
  };
}
