// The schemas of the OpenAPI document (JSON Schema 2020-12). Those of the kinds are made from the model's own; the rest
// describe answers that have no schema elsewhere.

import { SERVER_ASSIGNED } from '../../topology/document.ts';
import { KIND_NAMES, KINDS, type Kind } from '../../topology/kinds.ts';
import { FORMAT_WORDS } from '../../topology/resource.ts';
import { ERROR_CODES } from '../errors.ts';

export type Schema = Readonly<Record<string, unknown>>;

export const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });
export const text = (description?: string): Schema => described({ type: 'string' }, description);
export const id: Schema = { type: 'string', format: 'uuid' };
export const time: Schema = { type: 'string', format: 'date-time' };
export const whole = (description?: string): Schema => described({ type: 'integer', minimum: 0 }, description);
export const flag: Schema = { type: 'boolean' };
export const oneOf = (...values: readonly string[]): Schema => ({ type: 'string', enum: values });
export const list = (items: Schema, description?: string): Schema => described({ type: 'array', items }, description);
/** All fields are required but those whose name ends with `?`; there are no others. */
export function object(fields: Readonly<Record<string, Schema>>, description?: string): Schema {
  const entries = Object.entries(fields);
  const required = entries.flatMap(([name]) => (name.endsWith('?') ? [] : [name]));
  const properties = Object.fromEntries(entries.map(([name, schema]) => [name.replace(/\?$/, ''), schema]));
  return described({ type: 'object', properties, required, additionalProperties: false }, description);
}
/** A page of a list. */
export const page = (items: Schema, more: Readonly<Record<string, Schema>> = {}): Schema =>
  object({ items: list(items), ...more, 'pageToken?': text('there is more: give it with the next request') });

function described(schema: Schema, description: string | undefined): Schema {
  return description === undefined ? schema : { ...schema, description };
}

export const nameOf = (kind: Kind): string => kind.charAt(0).toUpperCase() + kind.slice(1);
export const draftOf = (kind: Kind): string => `${nameOf(kind)}Draft`;
export const patchOf = (kind: Kind): string => `${nameOf(kind)}Patch`;

type Keywords = Record<string, unknown> & {
  readonly properties?: Readonly<Record<string, Keywords>>;
  readonly required?: readonly string[];
  readonly items?: Keywords;
};

/** The model's schema in the words of OpenAPI: its formats and relations explained, no keywords of its own. */
function published(schema: Keywords): Keywords {
  const { references, format, items, properties, ...rest } = schema;
  const words = typeof format === 'string' && format !== 'id' ? FORMAT_WORDS[format] : undefined;
  const name = format === 'id' ? 'uuid' : format;
  const about = [rest.description, words].filter((one) => one !== undefined).join('; ');
  return {
    ...rest,
    ...(name === undefined ? {} : { format: name }),
    ...(about === '' ? {} : { description: about }),
    ...(references === undefined ? {} : { 'x-references': String(references).split('|') }),
    ...(items === undefined ? {} : { items: published(items) }),
    ...(properties === undefined ? {} : { properties: mapped(properties, published) }),
  };
}

const mapped = <T, U>(record: Readonly<Record<string, T>>, of: (value: T, name: string) => U): Record<string, U> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, of(value, name)]));

/** As JSON: without what is only of use to TypeBox. */
const schemaOf = (kind: Kind): Keywords => published(JSON.parse(JSON.stringify(KINDS[kind].schema)) as Keywords);

/** What may be left out is not required: the server fills it in. */
function draft(kind: Kind): Schema {
  const { properties = {}, required = [], ...rest } = schemaOf(kind);
  const assigned = new Set<string>(SERVER_ASSIGNED[kind].map(({ field }) => field));
  const given = Object.entries(properties).filter(([, property]) => property.readOnly !== true);
  const wanted = required.filter((name) => !assigned.has(name) && properties[name]?.default === undefined);
  return { ...rest, properties: mapped(Object.fromEntries(given), relaxed), required: wanted };
}

/** Below the top, too, what has a default may be left out. */
function relaxed(schema: Keywords): Keywords {
  const { properties, required, items, ...rest } = schema;
  if (items !== undefined) return { ...rest, items: relaxed(items) };
  if (properties === undefined) return schema;
  const wanted = required?.filter((name) => properties[name]?.default === undefined) ?? [];
  return { ...rest, properties: mapped(properties, relaxed), required: wanted };
}

/** RFC 7396: every field may be left out, and `null` takes it away. */
function patch(kind: Kind): Schema {
  const { properties = {}, description, ...rest } = draft(kind) as Keywords;
  const fields = Object.entries(properties).filter(([name]) => name !== 'id' && !KINDS[kind].fixed.includes(name));
  const nullable = mapped(Object.fromEntries(fields), (schema) => ({ anyOf: [allOptional(schema), { type: 'null' }] }));
  return { ...rest, description: `a merge patch of ${String(description)}`, properties: nullable, required: [] };
}

function allOptional(schema: Keywords): Keywords {
  const { properties, required, ...rest } = schema;
  if (properties === undefined) return schema;
  const nullable = mapped(properties, (below) => ({ anyOf: [allOptional(below), { type: 'null' }] }));
  return { ...rest, properties: nullable, required: [] } as Keywords;
}

const STATUS: Partial<Record<Kind, Schema>> = {
  port: object({ state: oneOf('claimed', 'up', 'down', 'refused'), 'hostId?': id, 'why?': text() }, 'live status'),
  host: object({ alive: flag, 'revision?': whole(), 'since?': time }, 'live status'),
};

/** As answers have it, live status included. */
function answered(kind: Kind): Schema {
  const schema = schemaOf(kind);
  const status = STATUS[kind];
  return status === undefined ? schema : { ...schema, properties: { ...schema.properties, status } };
}

const kindNames = oneOf(...KIND_NAMES);
const statusKinds = oneOf('alive', 'interface', 'port', 'mac', 'neighbour');
const hosted = object({
  hostId: id,
  status: {
    type: 'object',
    properties: { kind: statusKinds, id: text() },
    required: ['kind', 'id'],
    description:
      'further fields by kind: interface {mac, mtuBytes, up, addresses, portId?}, port {state, why?}, mac {portId}',
  },
});
const anything: Schema = { type: 'object', description: "the agent's own words, by the version of the agent" };

const OTHERS: Readonly<Record<string, Schema>> = {
  Error: object({
    code: oneOf(...ERROR_CODES),
    message: text('what happened, to which object, what to do'),
    'path?': text('JSON pointer into the request'),
  }),
  Transaction: object({
    operations: {
      type: 'array',
      maxItems: 10_000,
      items: {
        oneOf: [
          object({ op: { const: 'create' }, kind: kindNames, value: { type: 'object' } }),
          object({ op: { const: 'update' }, kind: kindNames, id, value: { type: 'object' }, 'ifMatch?': whole() }),
          object({ op: { const: 'delete' }, kind: kindNames, id, 'ifMatch?': whole() }),
        ],
      },
    },
  }),
  Transacted: object({ revision: whole(), objects: list({ type: 'object' }, 'those that creates and updates left') }),
  WatchLine: {
    description: 'one line of JSON',
    anyOf: [
      object({
        rev: whole(),
        put: list(object({ kind: kindNames, value: { type: 'object' } })),
        del: list(object({ kind: kindNames, id })),
      }),
      object({ rev: whole('the server is there and this far') }),
      object({ reset: { const: true, description: 'the past is gone: list again' } }),
    ],
  },
  StatusLine: {
    description: 'one line of JSON',
    anyOf: [
      object({ rev: whole(), put: list(hosted), del: list(object({ hostId: id, kind: statusKinds, id: text() })) }),
      object({ rev: whole() }),
      object({ reset: { const: true } }),
    ],
  },
  StatusPage: page(hosted, { revision: whole('of status, not of the configuration') }),
  Interface: object({
    ...{ hostId: id, name: text(), mac: text(), mtuBytes: whole(), up: flag, addresses: list(text()) },
    'portId?': id,
  }),
  InterfacePage: page(ref('Interface')),
  Applied: object({
    revision: whole(),
    done: flag,
    hosts: list(object({ id, name: text(), alive: flag, 'revision?': whole() })),
  }),
  TraceRequest: object({
    portId: id,
    frame: text('the bytes of an Ethernet frame in hexadecimal'),
    'first?': text('of a later fragment: the first of its datagram'),
  }),
  Trace: object({
    'revision?': whole(),
    verdict: oneOf('forward', 'drop', 'reject', 'answer', 'needs'),
    why: text(),
    'reason?': text('name of a drop reason'),
    'cacheable?': flag,
    actions: list(text()),
    mask: text(),
    tags: list(text()),
    steps: list(object({ depth: whole(), at: text(), text: text() })),
    born: list(object({ to: whole('port or flood number'), frame: text() })),
    'needs?': list({ type: 'object' }),
  }),
  JoinToken: object({ joinToken: text(), expiresAt: time }),
  JoinRequest: object({ secret: text('of a join token') }),
  Joined: object({ hostId: id, credential: text() }),
  TokenDraft: object({
    name: { type: 'string', minLength: 1, maxLength: 255 },
    role: oneOf('admin', 'member', 'reader'),
    'projectIds?': list(id, 'of members and readers: 1 to 100'),
    'expiresAt?': time,
  }),
  Token: tokenWith({}),
  NewToken: tokenWith({ token: text('told this once') }),
  TokenPage: page(ref('Token')),
  Version: object({ name: text(), version: text(), revision: whole() }),
  HostReport: anything,
};

function tokenWith(more: Readonly<Record<string, Schema>>): Schema {
  return object({
    ...{
      id,
      role: oneOf('admin', 'member', 'reader', 'host'),
      'name?': text(),
      'projectIds?': list(id),
      'hostId?': id,
    },
    ...{ createdAt: time, 'expiresAt?': time, 'lastUsedAt?': time, ...more },
  });
}

/** By name; what `ref` speaks of. */
export function schemas(): Readonly<Record<string, Schema>> {
  const ofKinds = KIND_NAMES.flatMap((kind): [string, Schema][] => [
    [nameOf(kind), answered(kind)],
    [draftOf(kind), draft(kind)],
    [patchOf(kind), patch(kind)],
  ]);
  return { ...Object.fromEntries(ofKinds), ...OTHERS };
}
