// Values of the model as words on the command line and back, driven by their schemas.
//
//   reference              name or id                 list                a,b,c   (nothing: the empty list)
//   flag                   yes or no                  list of pairs       10.1.0.0/16=10.0.0.1,10.2.0.0/16=10.0.0.2
//   object                 managed=yes,lifetime-seconds=600,dns-servers=A+B   or JSON

import { usage } from '../exit.ts';
import { kindsOf, type Names } from '../names.ts';

/** The parts of a JSON Schema that are looked at here. */
export interface Schema {
  readonly type?: string;
  readonly references?: string;
  readonly description?: string;
  readonly format?: string;
  readonly default?: unknown;
  readonly readOnly?: boolean;
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly patternProperties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
}

/** `inboundChainId` -> `inbound-chain`, `portGroupIds` -> `port-groups`. */
export function flagName(property: string): string {
  const plain = property.replace(/Ids$/, 's').replace(/(?<=.)Id$/, '');
  return plain.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

export const choicesOf = (schema: Schema): readonly string[] | undefined => {
  const values = (schema.anyOf ?? (schema.const === undefined ? [] : [schema])).map((one) => one.const);
  return values.length > 0 && values.every((value) => typeof value === 'string') ? values : undefined;
};

const pairOf = (schema: Schema): readonly [string, string] | undefined => {
  const properties = Object.keys(schema.properties ?? {});
  return properties.length === 2 ? (properties as [string, string]) : undefined;
};

/** How the value of a flag is written: `<number>`; `[yes|no]` where the flag alone means yes. */
export function argumentOf(schema: Schema, flag: string): string {
  if (schema.type === 'boolean') return '[yes|no]';
  const choices = choicesOf(schema);
  if (choices !== undefined) return `<${choices.join('|')}>`;
  if (schema.references !== undefined) return schema.type === 'array' ? '<names>' : '<name>';
  if (schema.type === 'integer') return '<number>';
  if (schema.type === 'array') return '<list>';
  return `<${flag}>`;
}

function readYesNo(word: string, name: string): boolean {
  if (/^(yes|true|on)$/i.test(word)) return true;
  if (/^(no|false|off)$/i.test(word)) return false;
  throw usage(`--${name} is yes or no, not ${word}`);
}

export function readInteger(word: string, name: string): number {
  if (/^-?\d+$/.test(word) || /^0x[0-9a-f]+$/i.test(word)) return Number(word);
  throw usage(`--${name} is a whole number, not ${word}`);
}

/** `name` is the flag, for errors. Formats of text are left for the server to judge. */
export async function readValue(
  schema: Schema,
  word: string,
  name: string,
  names: Names,
  comma = ',',
): Promise<unknown> {
  if (schema.type === 'array') {
    const item = { ...schema.items, ...(schema.references === undefined ? {} : { references: schema.references }) };
    const words = word === '' ? [] : word.split(comma);
    if (word.startsWith('[')) return readJson(word, name);
    return Promise.all(words.map((one) => readValue(item, one.trim(), name, names)));
  }
  if (schema.references !== undefined) return names.idOf(kindsOf(schema.references), word);
  if (schema.type === 'boolean') return readYesNo(word, name);
  if (schema.type === 'integer') return readInteger(word, name);
  const choices = choicesOf(schema);
  if (choices !== undefined) {
    if (!choices.includes(word)) throw usage(`--${name} is one of ${choices.join(', ')}, not ${word}`);
    return word;
  }
  if (schema.type === 'object') return readObject(schema, word, name, names);
  return word;
}

async function readObject(schema: Schema, word: string, name: string, names: Names): Promise<unknown> {
  if (word.startsWith('{')) return readJson(word, name);
  const pair = pairOf(schema);
  if (pair !== undefined) {
    const [first, second] = pair;
    const [left, right] = cut(word, name, `${flagName(first)}=${flagName(second)}`.toUpperCase());
    return {
      [first]: await readValue(schema.properties?.[first] ?? {}, left, name, names),
      [second]: await readValue(schema.properties?.[second] ?? {}, right, name, names),
    };
  }
  const value: Record<string, unknown> = {};
  for (const part of word === '' ? [] : word.split(',')) {
    const [left, right] = cut(part, name, 'NAME=VALUE');
    const key = Object.keys(schema.properties ?? {}).find(
      (property) => property === left || flagName(property) === left,
    );
    const inner = key === undefined ? Object.values(schema.patternProperties ?? {})[0] : schema.properties?.[key];
    if (inner === undefined) {
      const there = Object.keys(schema.properties ?? {})
        .map(flagName)
        .join(', ');
      throw usage(`--${name} has no ${left}; there are ${there}`);
    }
    value[key ?? left] = await readValue(inner, right, `${name} ${left}`, names, '+');
  }
  return value;
}

function cut(word: string, name: string, form: string): [string, string] {
  const at = word.indexOf('=');
  if (at <= 0) throw usage(`--${name} wants ${form}, not ${word === '' ? 'nothing' : word}`);
  return [word.slice(0, at), word.slice(at + 1)];
}

function readJson(word: string, name: string): unknown {
  try {
    return JSON.parse(word);
  } catch (error) {
    throw usage(`--${name} looks like JSON and is none: ${(error as Error).message}`);
  }
}

/** The words that `readValue` would read, with names for ids. Absent values and empty lists are empty. */
export async function formatValue(schema: Schema, value: unknown, names: Names, comma = ','): Promise<string> {
  if (value === undefined || value === null) return '';
  if (Array.isArray(value)) {
    const item = { ...schema.items, ...(schema.references === undefined ? {} : { references: schema.references }) };
    return (await Promise.all(value.map((one) => formatValue(item, one, names)))).join(comma);
  }
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (typeof value === 'object') {
    const pair = pairOf(schema);
    const parts: string[] = [];
    for (const [key, inner] of Object.entries(value)) {
      const innerSchema = schema.properties?.[key] ?? Object.values(schema.patternProperties ?? {})[0] ?? {};
      const text = await formatValue(innerSchema, inner, names, '+');
      if (pair !== undefined) parts.push(text);
      else if (text !== '') parts.push(`${schema.patternProperties === undefined ? flagName(key) : key}=${text}`);
    }
    return parts.join(pair === undefined ? ',' : '=');
  }
  if (schema.references !== undefined) return names.nameOf(kindsOf(schema.references), String(value));
  return String(value);
}
