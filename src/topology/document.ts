// Documents of clients: JSON as it came in a request, turned into a value of the model or into problems that say what
// to change. What the server assigns is named here (SERVER_ASSIGNED); how it is given out is the server's matter.

import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import {
  formatIp,
  formatMac,
  formatPrefix,
  parseInterfaceAddress,
  parseIp,
  parseMac,
  parsePrefix,
} from '../packet/address.ts';
import {
  type DocumentProblem,
  isRecord,
  type Json,
  type Keywords,
  overlong,
  pointerTo,
  readable,
  unknownFields,
} from './document-problems.ts';
import { KIND_NAMES, KINDS, type Kind, type Objects } from './kinds.ts';

/** A value as a client may give it: what the server assigns may be missing. */
export type Draft<K extends Kind> = Omit<Objects[K], AssignedField> &
  Partial<Pick<Objects[K], AssignedField & keyof Objects[K]>>;
export type Parsed<T> = { readonly value: T; readonly problems?: undefined } | { readonly problems: DocumentProblem[] };

type AssignedField =
  | 'id'
  | 'revision'
  | 'createdAt'
  | 'updatedAt'
  | 'tunnelKey'
  | 'floodKey'
  | 'deviceKind'
  | 'number'
  | 'position'
  | 'mac';

export interface Assigned {
  readonly field: AssignedField;
  /**
   * uuid; revision: the configuration revision of the change; time: RFC 3339; number22: port and flood numbers;
   * number32: rule numbers; position: ten beyond the last rule of the chain (`nextPosition`); mac: a free local
   * address; deviceKind: the kind of the object that deviceId names.
   */
  readonly from: 'uuid' | 'revision' | 'time' | 'number22' | 'number32' | 'position' | 'mac' | 'deviceKind';
  /** `create`: once. `change`: at each change that is more than a no-op, create included. */
  readonly when: 'create' | 'change';
  /** The client may give it; then it stands. */
  readonly unlessGiven?: true;
  /** Only for ports on a device of this kind. */
  readonly on?: 'router';
}

const ALWAYS: readonly Assigned[] = [
  { field: 'id', from: 'uuid', when: 'create', unlessGiven: true },
  { field: 'revision', from: 'revision', when: 'change' },
  { field: 'createdAt', from: 'time', when: 'create' },
  { field: 'updatedAt', from: 'time', when: 'change' },
];
const OF_KIND: Partial<Record<Kind, readonly Assigned[]>> = {
  bridge: [{ field: 'floodKey', from: 'number22', when: 'create' }],
  port: [
    { field: 'tunnelKey', from: 'number22', when: 'create' },
    { field: 'deviceKind', from: 'deviceKind', when: 'create' },
    { field: 'mac', from: 'mac', when: 'change', unlessGiven: true, on: 'router' },
  ],
  rule: [
    { field: 'position', from: 'position', when: 'change', unlessGiven: true },
    { field: 'number', from: 'number32', when: 'change' },
  ],
};

/** What the server fills in before it checks and stores. */
export const SERVER_ASSIGNED: Readonly<Record<Kind, readonly Assigned[]>> = Object.fromEntries(
  KIND_NAMES.map((kind) => [kind, [...ALWAYS, ...(OF_KIND[kind] ?? [])]]),
) as unknown as Record<Kind, readonly Assigned[]>;

const schemaOf = (kind: Kind): Keywords => KINDS[kind].schema as Keywords;

/** Live status that answers carry beside the object; it is passed over when it is sent back. */
const STATUS_FIELD = 'status';
const WITH_STATUS: ReadonlySet<Kind> = new Set(['port', 'host']);

/**
 * `create`: defaults are filled in, nothing that only the server assigns may be there. `patch`: `json` is a merge
 * patch (RFC 7396) of `before`; what is read-only may be sent back as it was, and a removed property gets its default.
 * Addresses come out in canonical text: lower case, RFC 5952.
 */
export function parseDocument<K extends Kind>(kind: K, json: unknown, mode: 'create'): Parsed<Draft<K>>;
export function parseDocument<K extends Kind>(
  kind: K,
  json: unknown,
  mode: 'patch',
  before: Objects[K],
): Parsed<Draft<K>>;
export function parseDocument<K extends Kind>(
  kind: K,
  json: unknown,
  mode: 'create' | 'patch',
  before?: Objects[K],
): Parsed<Draft<K>> {
  if (!isRecord(json))
    return { problems: [{ code: 'malformed', message: `${aKind(kind)} is a JSON object`, path: '' }] };
  const tooMuch = overlong(json, '');
  if (tooMuch.length > 0) return { problems: tooMuch };
  const schema = schemaOf(kind);
  const given = { ...json };
  if (WITH_STATUS.has(kind)) delete given[STATUS_FIELD];
  const strangers = [...unknownFields(schema, given, ''), ...readOnlyProblems(schema, given, before)];
  if (strangers.length > 0) return { problems: strangers };
  const value = withDefaults(schema, mode === 'patch' ? merged(schema, before, given) : given) as Json;
  const validator = validatorOf(kind);
  if (!validator.Check(value)) return { problems: readable(schema, validator.Errors(value), value) };
  const canonical = canonicalised(schema, value) as Draft<K>;
  const twice = repetitions(schema, canonical, '');
  return twice.length > 0 ? { problems: twice } : { value: canonical };
}

/** A value with all defaults of its kind; it is not checked. */
export const filled = (kind: Kind, value: Readonly<Json>): Json => withDefaults(schemaOf(kind), value) as Json;

const aKind = (kind: Kind): string => `${/^[aeio]/.test(kind) ? 'an' : 'a'} ${kind}`;

const validators = new Map<Kind, ReturnType<typeof Compile>>();

function validatorOf(kind: Kind): ReturnType<typeof Compile> {
  const cached = validators.get(kind);
  if (cached !== undefined) return cached;
  const schema = schemaOf(kind);
  const assigned = new Set<string>(SERVER_ASSIGNED[kind].map(({ field }) => field));
  const required = schema.required?.filter((name) => !assigned.has(name)) ?? [];
  const validator = Compile({ ...schema, required } as TSchema);
  validators.set(kind, validator);
  return validator;
}

function readOnlyProblems(schema: Keywords, given: Json, before: Json | undefined): DocumentProblem[] {
  return Object.keys(given).flatMap((name): DocumentProblem[] => {
    const fixed = schema.properties?.[name]?.readOnly === true || (name === 'id' && before !== undefined);
    if (!fixed || (before !== undefined && given[name] === before[name])) return [];
    const was = before === undefined ? '' : `, it is ${JSON.stringify(before[name])}`;
    return [
      {
        code: 'malformed',
        message: `${name} is assigned by the server${was}: leave it out`,
        path: pointerTo('', name),
      },
    ];
  });
}

/** RFC 7396, along the schema: only where that has properties or free names is there anything to merge. */
function merged(schema: Keywords | undefined, target: unknown, patch: unknown): unknown {
  if (!isRecord(patch) || schema?.type !== 'object') return patch;
  const result: Json = isRecord(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = merged(schema.properties?.[name], result[name], value);
  }
  return result;
}

function withDefaults(schema: Keywords, value: unknown): unknown {
  if (Array.isArray(value))
    return value.map((item) => (schema.items === undefined ? item : withDefaults(schema.items, item)));
  if (!isRecord(value) || schema.properties === undefined) return value;
  const result: Json = { ...value };
  const required = new Set(schema.required);
  for (const [name, property] of Object.entries(schema.properties)) {
    if (result[name] === undefined) {
      // What is optional has no default of its own: none of it is a meaning too (a condition that is not there).
      if (property.default === undefined || !required.has(name)) delete result[name];
      else result[name] = structuredClone(property.default);
    }
    if (result[name] !== undefined) result[name] = withDefaults(property, result[name]);
  }
  return result;
}

/** Canonical text of each format; the value is valid. */
const CANONICAL: Readonly<Record<string, (text: string) => string>> = {
  mac: (text) => formatMac(parseMac(text)!),
  ip: (text) => formatIp(parseIp(text)!),
  prefix: (text) => formatPrefix(parsePrefix(text)!),
  interfaceAddress: (text) => formatPrefix(parseInterfaceAddress(text)!),
};

function canonicalised(schema: Keywords | undefined, value: unknown): unknown {
  if (schema === undefined) return value;
  if (typeof value === 'string')
    return schema.format === undefined ? value : (CANONICAL[schema.format]?.(value) ?? value);
  if (Array.isArray(value)) return value.map((item) => canonicalised(schema.items, item));
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, below]) => [name, canonicalised(schema.properties?.[name], below)]),
  );
}

/** Items that were different texts of one address. */
function repetitions(schema: Keywords | undefined, value: unknown, path: string): DocumentProblem[] {
  if (schema?.properties !== undefined && isRecord(value)) {
    return Object.entries(value).flatMap(([name, below]) =>
      repetitions(schema.properties?.[name], below, pointerTo(path, name)),
    );
  }
  if (schema?.uniqueItems !== true || !Array.isArray(value)) return [];
  const seen = new Set<unknown>();
  return value.flatMap((item, index): DocumentProblem[] => {
    if (!seen.has(item)) {
      seen.add(item);
      return [];
    }
    return [
      { code: 'malformed', message: `${item} is in the list twice: leave one out`, path: pointerTo(path, index) },
    ];
  });
}
