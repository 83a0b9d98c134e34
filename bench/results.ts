// What a run of the bench has found, and its form as JSON.

import { type ContenderName, type JobName, METRICS, type MetricName, namesOf, type Underlay } from './names.ts';
import { median } from './statistics.ts';

export interface Result {
  readonly contender: string;
  /** `l3`; with segmentation forced before the underlay `l3-segmented`; figures of Ayatori alone are of job `own`. */
  readonly job: string;
  readonly metric: string;
  readonly unit: string;
  readonly median: number;
  /** One figure for each round. */
  readonly runs: readonly number[];
}

export interface Missing {
  readonly contender: ContenderName;
  readonly why: string;
}

export interface Circumstances {
  readonly rounds: number;
  /** CPUs that other programs and other guests of the machine took meanwhile: the median, and the worst figure's. */
  readonly othersCpus: { readonly median: number; readonly most: number };
}

export interface Machine {
  readonly machine: string;
  readonly kernel: string;
  /** RFC 3339. */
  readonly date: string;
}

export interface Report extends Machine {
  readonly results: readonly Result[];
  readonly missing: readonly Missing[];
  readonly circumstances: Circumstances;
}

/** What `--json` writes. */
export function reportOf(
  machine: Machine,
  figures: Figures,
  own: readonly Result[],
  missing: readonly Missing[],
  rounds: number,
): Report {
  return {
    ...machine,
    results: [...figures.results(), ...own],
    missing,
    circumstances: { rounds, othersCpus: figures.othersCpus },
  };
}

export const jobKey = (job: JobName, underlay: Underlay): string => (underlay === 'whole' ? job : `${job}-segmented`);

/** Collects the figures of the rounds. */
export class Figures {
  readonly #runs = new Map<string, number[]>();
  readonly #others: number[] = [];

  add(contender: ContenderName, job: string, values: Partial<Record<MetricName, number>>, othersCpus: number): void {
    for (const [metric, value] of Object.entries(values)) {
      const key = keyOf(contender, job, metric as MetricName);
      const runs = this.#runs.get(key);
      if (runs === undefined) this.#runs.set(key, [value]);
      else runs.push(value);
    }
    this.#others.push(othersCpus);
  }

  runs(contender: ContenderName, job: string, metric: MetricName): readonly number[] {
    return this.#runs.get(keyOf(contender, job, metric)) ?? [];
  }

  get othersCpus(): Circumstances['othersCpus'] {
    return this.#others.length === 0
      ? { median: 0, most: 0 }
      : { median: median(this.#others), most: Math.max(...this.#others) };
  }

  results(): Result[] {
    return [...this.#runs].map(([key, runs]) => {
      const [contender, job, metric] = key.split(' ') as [string, string, MetricName];
      return { contender, job, metric, unit: METRICS[metric].unit, median: median(runs), runs };
    });
  }
}

const keyOf = (contender: ContenderName, job: string, metric: MetricName): string => `${contender} ${job} ${metric}`;

export const METRIC_NAMES = namesOf(METRICS);
