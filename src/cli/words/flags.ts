// The flags of a kind, made from its schema: `--mtu-bytes`, `--inbound-chain NAME`, `--addresses a,b`. Kinds whose
// properties read better in other words bring their own (match.ts, sugar.ts).

import type { Command } from 'commander';
import { KINDS, type Kind } from '../../topology/kinds.ts';
import { usage } from '../exit.ts';
import type { Names } from '../names.ts';
import { matchFlags } from './match.ts';
import { sugarOf } from './sugar.ts';
import { argumentOf, flagName, readValue, type Schema } from './values.ts';

export interface Flag {
  /** Where the value goes in the object: `['match', 'protocol']`. */
  readonly path: readonly string[];
  /** Without dashes. */
  readonly flag: string;
  /** `<number>`, or `[yes|no]` where the flag alone means yes. */
  readonly argument: string;
  readonly description: string;
  /** `none` removes the value. */
  readonly removable: boolean;
  /** A list at the top of the object: --add-… and --remove-… change it. */
  readonly list: boolean;
  read(word: string, names: Names): Promise<unknown>;
}

/** A word that removes an optional value. */
const NONE = 'none';
/** Properties that no flag sets: given by position, or by another command, or by the server. */
const NO_FLAG = new Set(['name', 'revision', 'createdAt', 'updatedAt']);

export const propertiesOf = (kind: Kind): Readonly<Record<string, Schema>> =>
  KINDS[kind].schema.properties as unknown as Readonly<Record<string, Schema>>;

/** What the server fills in when an object is made without it, although the schema wants it. */
const FILLED_IN = new Set(['id', 'position']);

const requiredOf = (kind: Kind): readonly string[] => (KINDS[kind].schema as Schema).required ?? [];

/** All flags that create (or, `set`, change) an object of the kind. */
function flagsOf(kind: Kind, verb: 'create' | 'set'): Flag[] {
  const required = requiredOf(kind);
  const flags: Flag[] = [];
  for (const [property, schema] of Object.entries(propertiesOf(kind))) {
    if (NO_FLAG.has(property) || schema.readOnly === true) continue;
    if (verb === 'set' && (property === 'id' || KINDS[kind].fixed.includes(property))) continue;
    if (kind === 'rule' && property === 'match') {
      flags.push(...matchFlags(schema));
      continue;
    }
    const flag = flagName(property);
    flags.push({
      path: [property],
      flag,
      argument: argumentOf(schema, flag),
      description: schema.description ?? '',
      removable: !required.includes(property),
      list: schema.type === 'array',
      read: (word, names) => readValue(schema, word, flag, names),
    });
  }
  return flags;
}

/** The flags that `create` cannot do without and `value` has not got, as the help writes them. */
export const missingFlags = (kind: Kind, value: Readonly<Record<string, unknown>>): string[] =>
  flagsOf(kind, 'create')
    .filter(({ path: [property = ''], removable, flag }) => {
      const filled = FILLED_IN.has(property) || propertiesOf(kind)[property]?.default !== undefined;
      return flag === flagName(property) && !removable && !filled && value[property] === undefined;
    })
    .map(({ flag, argument }) => `--${flag} ${argument}`);

const optionKey = (flag: string): string => flag.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

export function addFlags(command: Command, kind: Kind, verb: 'create' | 'set'): void {
  for (const { flag, argument, description, list } of flagsOf(kind, verb)) {
    command.option(`--${flag} ${argument}`.trim(), description);
    if (verb !== 'set' || !list) continue;
    command.option(`--add-${flag} <list>`, `add to ${flag}`);
    command.option(`--remove-${flag} <list>`, `take out of ${flag}`);
  }
  for (const { flag, argument, description } of sugarOf(kind))
    command.option(`--${flag} ${argument}`.trim(), description);
}

/** `--name` also sets the name, where the position is taken by the object that is changed. */
export type Options = Readonly<Record<string, string | boolean | undefined>>;

function put(target: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [first, ...rest] = path as [string, ...string[]];
  if (rest.length === 0) {
    target[first] = value;
    return;
  }
  target[first] ??= {};
  put(target[first] as Record<string, unknown>, rest, value);
}

/**
 * The object, or with `set` the merge patch, that the flags describe. `current` is asked for only when a list is
 * changed by parts; then the patch holds only if the object is still at that revision (`ifMatch`).
 */
export async function readFlags(
  kind: Kind,
  verb: 'create' | 'set',
  options: Options,
  names: Names,
  current?: () => Promise<{ readonly revision: number }>,
): Promise<{ readonly value: Record<string, unknown>; readonly ifMatch?: number }> {
  const value: Record<string, unknown> = {};
  let ifMatch: number | undefined;
  for (const flag of flagsOf(kind, verb)) {
    const word = options[optionKey(flag.flag)];
    if (word !== undefined) {
      const removed = word === NONE && verb === 'set' && flag.removable;
      put(value, flag.path, removed ? null : await flag.read(word === true ? 'yes' : String(word), names));
    }
    if (!flag.list || current === undefined) continue;
    const added = options[optionKey(`add-${flag.flag}`)];
    const taken = options[optionKey(`remove-${flag.flag}`)];
    if (added === undefined && taken === undefined) continue;
    if (word !== undefined)
      throw usage(`--${flag.flag} says the whole list: leave out --add-${flag.flag} and --remove-${flag.flag}`);
    const object = await current();
    ifMatch = object.revision;
    const before = (object as unknown as Record<string, unknown>)[flag.path[0]!];
    put(value, flag.path, await edited(before, flag, added, taken, names));
  }
  for (const sugar of sugarOf(kind)) {
    const word = options[optionKey(sugar.flag)];
    if (word !== undefined) Object.assign(value, await sugar.read(word === true ? '' : String(word), names));
  }
  return ifMatch === undefined ? { value } : { value, ifMatch };
}

async function edited(
  before: unknown,
  flag: Flag,
  added: string | boolean | undefined,
  taken: string | boolean | undefined,
  names: Names,
): Promise<unknown[]> {
  const list = [...((before ?? []) as unknown[])];
  const read = async (word: string | boolean | undefined) =>
    word === undefined ? [] : ((await flag.read(String(word), names)) as unknown[]);
  const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
  for (const one of await read(taken)) {
    const at = list.findIndex((other) => same(one, other));
    if (at < 0) throw usage(`--remove-${flag.flag}: ${JSON.stringify(one)} is not in the list`);
    list.splice(at, 1);
  }
  for (const one of await read(added)) if (!list.some((other) => same(one, other))) list.push(one);
  return list;
}

/** `/match/protocol` -> `--protocol`. */
export function flagAt(kind: Kind, pointer: string): string | undefined {
  const path = pointer.split('/').slice(1);
  const flag = flagsOf(kind, 'create').find((one) => one.path.every((part, at) => path[at] === part));
  return flag === undefined ? undefined : `--${flag.flag}`;
}
