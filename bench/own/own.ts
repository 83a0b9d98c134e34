// What only Ayatori has: figures of its parts, and of the whole that no peer can be asked for.

import type { WovenAyatori } from '../beds/ayatori.ts';
import type { Result } from '../results.ts';
import { median } from '../statistics.ts';
import { measureLive } from './live.ts';
import { measureProgram } from './program.ts';
import { measureSimulation } from './simulation.ts';

export interface OwnOptions {
  readonly traffic: string;
  readonly ayatori: WovenAyatori;
  readonly quick: boolean;
  readonly note: (text: string) => void;
}

/** Metric names with the unit and a figure for each run. */
export type OwnFigures = Readonly<Record<string, { readonly unit: string; readonly runs: readonly number[] }>>;

export async function measureOwn(options: OwnOptions): Promise<Result[]> {
  options.note('first packets, misses, memory');
  const live = await measureLive(options);
  options.note('the program, and simulate()');
  const figures: OwnFigures = {
    ...(await measureProgram(options.quick)),
    ...measureSimulation(options.quick),
    ...live,
  };
  return Object.entries(figures).map(([metric, { unit, runs }]) => ({
    ...{ contender: 'ayatori', job: 'own', metric, unit },
    median: median(runs),
    runs,
  }));
}
