// The language of the scenario files: what an operator could type, and what is expected to happen.
//
//   # a comment
//   bridge create br0 --inbound-chain c1          any kind: create, set, delete; flags are the properties of the
//   port create p1 --device br0 --bind h1         schema in kebab-case, references without -id and by name
//   port peer a b                                 a virtual wire
//   rule create r1 --chain c1 --position 10 --drop --protocol 17 --destination-ports 53-60 --not protocol
//   include two-bridges                           the commands of setup/two-bridges
//   send p1 eth(…) ip(…) …                        a guest sends (packets in words: src/packet/words.ts)
//   class p1 eth(…) ip(…) …                       the class it is in: match, actions, tags
//   trace p1 eth(…) ip(…) …                       the explanation, step by step
//   forget mac br0 MAC   forget neighbour PORT IP  what was learned expires
//   ----
//   what is expected, up to an empty line
//
// `send` prints the verdict and then, for each packet that a guest gets, its port and the packet. UPDATE=1 rewrites
// the expectations; the diff is the review.

import { KIND_NAMES, KINDS, type Kind } from '../../src/topology/kinds.ts';

export interface Block {
  /** Line of the first command. */
  readonly line: number;
  readonly commands: readonly string[];
  readonly expected: readonly string[] | undefined;
}

export interface Scenario {
  readonly name: string;
  readonly path: string;
  readonly blocks: readonly Block[];
}

export function parseScenario(path: string, text: string): Scenario {
  const blocks: Block[] = [];
  let commands: string[] = [];
  let expected: string[] | undefined;
  let line = 0;
  let first = 1;
  const close = () => {
    if (commands.length > 0) blocks.push({ line: first, commands, expected });
    commands = [];
    expected = undefined;
  };
  for (const raw of text.split('\n')) {
    line++;
    const row = raw.trimEnd();
    if (expected !== undefined) {
      if (row === '') close();
      else expected.push(row);
    } else if (row === '----') expected = [];
    else if (row !== '' && !row.startsWith('#')) {
      if (commands.length === 0) first = line;
      commands.push(row);
    }
  }
  close();
  return { name: path.replace(/^.*\//, '').replace(/\.txt$/, ''), path, blocks };
}

/** The file again, with these expectations instead of its own. */
export function rewritten(text: string, printed: readonly (readonly string[] | undefined)[]): string {
  const out: string[] = [];
  let block = 0;
  let skipping = false;
  for (const row of text.split('\n')) {
    if (skipping) {
      if (row.trimEnd() !== '') continue;
      skipping = false;
    }
    out.push(row);
    if (row.trimEnd() === '----') {
      out.push(...(printed[block++] ?? []));
      skipping = true;
    }
  }
  return out.join('\n');
}

interface Property {
  readonly type?: string;
  readonly references?: string;
  readonly items?: unknown;
  readonly properties?: Readonly<Record<string, unknown>>;
}

const NOUNS: ReadonlyMap<string, Kind> = new Map(KIND_NAMES.map((kind) => [KINDS[kind].noun, kind]));

export const kindOfNoun = (noun: string): Kind | undefined => NOUNS.get(noun);

const ACTIONS = ['accept', 'drop', 'reject', 'return'];

/** `--inbound-chain c1 --anti-spoofing` → {inboundChainId: 'c1', antiSpoofing: true}; conditions go under `match`. */
export function parseFlags(kind: Kind, words: readonly string[]): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  const match: Record<string, unknown> = {};
  const own = KINDS[kind].schema.properties as Record<string, Property>;
  const conditions = kind === 'rule' ? (own.match!.properties as Record<string, Property>) : {};
  for (let at = 0; at < words.length; ) {
    const flag = words[at++]!;
    if (!flag.startsWith('--')) throw new Error(`expected a flag, found ${flag}`);
    const values: string[] = [];
    while (at < words.length && !words[at]!.startsWith('--')) values.push(words[at++]!);
    const name = camel(flag.slice(2));
    if (kind === 'rule' && ACTIONS.includes(name)) fields.action = name;
    else if (kind === 'rule' && name === 'jump') Object.assign(fields, { action: 'jump', jumpChainId: values[0] });
    else if (name === 'bind') Object.assign(fields, { hostId: values[0], interfaceName: values[1] ?? 'auto' });
    else {
      const [key, property] = find(own, name) ?? [undefined, undefined];
      const [matchKey, condition] = find(conditions, name) ?? [undefined, undefined];
      if (matchKey !== undefined) match[matchKey] = valueFrom(condition!, values);
      else if (key !== undefined) fields[key] = values[0] === 'none' ? undefined : valueFrom(property!, values);
      else throw new Error(`a ${kind} has no ${flag}`);
    }
  }
  return Object.keys(match).length > 0 ? { ...fields, match } : fields;
}

function find(properties: Record<string, Property>, name: string): [string, Property] | undefined {
  for (const key of [name, `${name}Id`, `${name}Ids`, `${name.replace(/s$/, '')}Ids`]) {
    if (properties[key] !== undefined) return [key, properties[key]];
  }
  return undefined;
}

function valueFrom(property: Property, values: readonly string[]): unknown {
  const [first] = values;
  switch (property.type) {
    case 'integer':
      return Number(first);
    case 'boolean':
      return first !== 'false';
    case 'array':
      if (first === undefined) return [];
      return first.startsWith('[') ? JSON.parse(values.join(' ')) : values.flatMap((value) => value.split(','));
    case 'object': {
      if (first === undefined || first.startsWith('{')) return JSON.parse(values.join(' ') || '{}');
      if (property.properties?.from !== undefined) {
        const [from, to] = first.split('-').map(Number);
        return { from, to: to ?? from };
      }
      if (property.properties?.of !== undefined) {
        const [set, of] = first.split('/').map(Number);
        return { set, of };
      }
      const [mac, mask] = first.split('/');
      return mask === undefined ? { mac } : { mac, mask };
    }
    default:
      return first ?? true;
  }
}

const camel = (flag: string): string => flag.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
