// What is wrong with a document, in the words of its schema.

import type { TSchema } from 'typebox';
import { FORMAT_WORDS } from './resource.ts';

export interface DocumentProblem {
  readonly code: 'malformed';
  readonly message: string;
  /** JSON pointer into the document; '' is the whole. */
  readonly path: string;
}

export type Json = Record<string, unknown>;
/** The keywords that the schemas of the model use. */
export type Keywords = TSchema & {
  readonly type?: string;
  readonly format?: string;
  readonly properties?: Readonly<Record<string, Keywords>>;
  readonly required?: readonly string[];
  readonly items?: Keywords;
  readonly anyOf?: readonly Keywords[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly readOnly?: boolean;
  readonly uniqueItems?: boolean;
  readonly additionalProperties?: boolean;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
};

export const isRecord = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
export const pointerTo = (path: string, name: string | number): string =>
  `${path}/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}`;

/** More entries than any list of the model has use for; what checks a document may take long for each of them. */
const ENTRIES_MAX = 20_000;
/** Unknown fields of one object that are compared with those that there are. */
const HINTS_MAX = 8;

/** Lists and objects, at any depth, with more entries than any has use for; the first one. */
export function overlong(value: unknown, path: string): DocumentProblem[] {
  if (typeof value !== 'object' || value === null) return [];
  const entries = Object.entries(value);
  if (entries.length > ENTRIES_MAX) {
    const many = `${entries.length} entries are more than the ${ENTRIES_MAX} that a list or an object may have`;
    return [{ code: 'malformed', message: `${many}: split it`, path }];
  }
  for (const [name, below] of entries) {
    const problems = overlong(below, pointerTo(path, name));
    if (problems.length > 0) return problems;
  }
  return [];
}

/** Fields that the schema has not; what lies below one is not looked at. */
export function unknownFields(schema: Keywords, value: unknown, path: string): DocumentProblem[] {
  const { properties, items } = schema;
  if (items !== undefined && Array.isArray(value)) {
    return value.flatMap((item, index) => unknownFields(items, item, pointerTo(path, index)));
  }
  if (properties === undefined || !isRecord(value)) {
    // Names are free, but this one would be no name to JavaScript.
    if (!isRecord(value) || !Object.hasOwn(value, '__proto__')) return [];
    return [{ code: 'malformed', message: '__proto__ cannot be used as a name', path: pointerTo(path, '__proto__') }];
  }
  let unknown = 0;
  return Object.keys(value).flatMap((name): DocumentProblem[] => {
    const below = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (below !== undefined) return unknownFields(below, value[name], pointerTo(path, name));
    const like = ++unknown > HINTS_MAX ? undefined : nearest(name, Object.keys(properties));
    const hint = like === undefined ? `there are ${Object.keys(properties).join(', ')}` : `did you mean ${like}?`;
    const shown = name.length <= 60 ? name : `${name.slice(0, 57)}...`;
    return [{ code: 'malformed', message: `there is no field ${shown}: ${hint}`, path: pointerTo(path, name) }];
  });
}

/** The name that is at most two letters away. */
function nearest(name: string, names: readonly string[]): string | undefined {
  if (name.length > 64) return undefined;
  const ranked = names.map((other) => [distance(name.toLowerCase(), other.toLowerCase()), other] as const);
  const best = ranked.sort((a, b) => a[0] - b[0])[0];
  return best !== undefined && best[0] <= 2 ? best[1] : undefined;
}

/** Levenshtein's. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      next.push(Math.min(row[j + 1]! + 1, next[j]! + 1, row[j]! + (a[i] === b[j] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}

interface SchemaError {
  readonly keyword: string;
  readonly instancePath: string;
  readonly params: object;
}

/** One problem a place, in words of the schema there. */
export function readable(schema: Keywords, errors: readonly SchemaError[], value: unknown): DocumentProblem[] {
  const problems = new Map<string, DocumentProblem>();
  const add = (problem: DocumentProblem) => {
    if (!problems.has(problem.path)) problems.set(problem.path, problem);
  };
  for (const { keyword, instancePath, params } of errors) {
    const [at, found] = locate(schema, value, instancePath);
    if (keyword === 'required') {
      for (const name of (params as { requiredProperties: string[] }).requiredProperties) {
        const words = at.properties?.[name] === undefined ? '' : `: ${wordsOf(at.properties[name])}`;
        add({ code: 'malformed', message: `${name} is missing${words}`, path: pointerTo(instancePath, name) });
      }
    } else if (keyword === 'uniqueItems') {
      const index = (params as { duplicateItems: number[] }).duplicateItems[0]!;
      const item = JSON.stringify((found as unknown[])[index]);
      add({
        code: 'malformed',
        message: `${item} is in the list twice: leave one out`,
        path: pointerTo(instancePath, index),
      });
    } else {
      const isItem = /\/[0-9]+$/.test(instancePath);
      const name = instancePath.split('/').findLast((part) => !/^[0-9]*$/.test(part)) ?? 'it';
      add({
        code: 'malformed',
        message: `${isItem ? `each of ${name}` : name} must be ${wordsOf(at)}, not ${shortly(found)}`,
        path: instancePath,
      });
    }
  }
  return [...problems.values()];
}

function locate(schema: Keywords, value: unknown, pointer: string): [Keywords, unknown] {
  let at: Keywords = schema;
  let found = value;
  for (const raw of pointer.split('/').slice(1)) {
    const name = raw.replaceAll('~1', '/').replaceAll('~0', '~');
    at = at.items ?? at.properties?.[name] ?? freeNames(at) ?? at;
    found = (found as Json)[name];
  }
  return [at, found];
}

const freeNames = (schema: Keywords): Keywords | undefined =>
  Object.values((schema as { patternProperties?: Record<string, Keywords> }).patternProperties ?? {})[0];

function wordsOf(schema: Keywords): string {
  const { type, format, anyOf, minimum, maximum, maxLength, pattern } = schema;
  if (anyOf !== undefined) return `one of ${anyOf.map((one) => String(one.const)).join(', ')}`;
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (format !== undefined) return FORMAT_WORDS[format] ?? format;
  if (type === 'integer') {
    if (minimum !== undefined && maximum !== undefined) return `a whole number from ${minimum} to ${maximum}`;
    return minimum === undefined ? 'a whole number' : `a whole number not below ${minimum}`;
  }
  if (type === 'string' && pattern !== undefined) return `a text of the form ${pattern}`;
  if (type === 'string') return maxLength === undefined ? 'a text' : `a text of at most ${maxLength} characters`;
  if (type === 'boolean') return 'true or false';
  return type === 'array' ? 'a list' : 'an object';
}

function shortly(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}
