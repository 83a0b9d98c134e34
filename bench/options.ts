// The command line of `aya bench`.

import { parseArgs } from 'node:util';
import { CONTENDERS, type ContenderName, JOBS, type JobName, namesOf } from './names.ts';

export interface Options {
  readonly jobs: readonly JobName[];
  readonly contenders: readonly ContenderName[];
  readonly rounds: number;
  readonly quick: boolean;
  /** Once more with segmentation forced before the underlay. */
  readonly segmented: boolean;
  /** What only Ayatori has: cost of the program, misses, first packets, simulation, memory. */
  readonly own: boolean;
  readonly json: string | undefined;
}

export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export const USAGE = `Usage: aya bench [flags]

  --quick            one short round, without the second underlay: less than a minute
  --rounds N         rounds of each figure (4; with --quick 1)
  --jobs A,B         ${namesOf(JOBS).join(', ')}
  --contenders A,B   ${namesOf(CONTENDERS).join(', ')}
  --only-own         nothing side by side: cost of the program, misses, first packets, simulation, memory
  --json FILE        the figures, every round, as JSON
  --install          first install peers that are missing

Contenders
${namesOf(CONTENDERS)
  .map((name) => `  ${name.padEnd(9)} ${CONTENDERS[name]}`)
  .join('\n')}
`;

const ROUNDS = 4;
const ROUNDS_MAX = 100;

/** Undefined: only help was asked for. Throws UsageError. */
export function parseOptions(words: readonly string[]): Options | undefined {
  const { values } = parsed(words);
  if (values.help === true) return undefined;
  const quick = values.quick === true;
  const onlyOwn = values['only-own'] === true;
  const contenders = chosen('contender', CONTENDERS, values.contenders);
  return {
    jobs: chosen('job', JOBS, values.jobs),
    contenders: onlyOwn ? [] : contenders,
    rounds: roundsOf(values.rounds, quick),
    quick,
    segmented: !quick && !onlyOwn,
    own: contenders.includes('ayatori'),
    json: values.json,
  };
}

function parsed(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      options: {
        quick: { type: 'boolean' },
        rounds: { type: 'string' },
        jobs: { type: 'string' },
        contenders: { type: 'string' },
        'only-own': { type: 'boolean' },
        json: { type: 'string' },
        install: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
      strict: true,
    });
  } catch (error) {
    throw new UsageError(`${(error as Error).message}; see aya bench --help`);
  }
}

/** In the order of the table, whatever the order of the words. */
function chosen<T extends string>(what: string, table: Readonly<Record<T, unknown>>, words: string | undefined): T[] {
  const all = namesOf(table);
  if (words === undefined) return all;
  const wanted = words.split(',').map((word) => word.trim());
  const unknown = wanted.filter((word) => !(all as string[]).includes(word));
  if (unknown.length > 0) {
    throw new UsageError(`there is no ${what} ${unknown.join(', ')}; there are ${all.join(', ')}`);
  }
  return all.filter((name) => wanted.includes(name));
}

function roundsOf(word: string | undefined, quick: boolean): number {
  if (word === undefined) return quick ? 1 : ROUNDS;
  const rounds = Number(word);
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > ROUNDS_MAX) {
    throw new UsageError(`--rounds is a number from 1 to ${ROUNDS_MAX}, not ${word}`);
  }
  return rounds;
}
