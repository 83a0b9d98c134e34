// The tables that `aya bench` prints.

import { CONTENDERS, type ContenderName, type JobName, METRICS, type MetricFacts } from './names.ts';
import { type Circumstances, type Figures, METRIC_NAMES, type Result } from './results.ts';
import { median, spread } from './statistics.ts';

/** Columns of a job: each contender's median with its spread, and Ayatori's ratio to those that it is held against. */
const AGAINST = ['limit', 'linux'] as const satisfies readonly ContenderName[];

/** `job`: its key among the figures. */
export function formatJob(
  title: string,
  job: string,
  figures: Figures,
  contenders: readonly ContenderName[],
): string[] {
  const against = AGAINST.filter((name) => contenders.includes(name) && contenders.includes('ayatori'));
  const rows = METRIC_NAMES.map((metric) => [
    metric,
    METRICS[metric].unit,
    ...contenders.map((contender) => formatRuns(figures.runs(contender, job, metric), METRICS[metric])),
    ...against.map((name) => formatRatio(figures.runs('ayatori', job, metric), figures.runs(name, job, metric))),
  ]);
  return ['', title, ...aligned([['metric', 'unit', ...contenders, ...against.map((name) => `/${name}`)], ...rows])];
}

/** `17.4 (16.0–18.1)`; `-` when there is no figure. */
export function formatRuns(runs: readonly number[], { digits }: Pick<MetricFacts, 'digits'>): string {
  if (runs.length === 0) return '-';
  const { least, most } = spread(runs);
  const around = runs.length === 1 ? '' : ` (${least.toFixed(digits)}–${most.toFixed(digits)})`;
  return `${median(runs).toFixed(digits)}${around}`;
}

export function formatRatio(runs: readonly number[], others: readonly number[]): string {
  if (runs.length === 0 || others.length === 0) return '-';
  return `×${(median(runs) / median(others)).toFixed(2)}`;
}

export function formatOwn(results: readonly Result[]): string[] {
  if (results.length === 0) return [];
  const rows = results.map(({ metric, unit, runs }) => [metric, unit, formatRuns(runs, { digits: digitsFor(runs) })]);
  return ['', 'ayatori by itself', ...aligned([['metric', 'unit', 'median'], ...rows])];
}

/** Three digits that say something. */
const digitsFor = (runs: readonly number[]): number => {
  const value = median(runs);
  return value >= 100 ? 0 : value >= 10 ? 1 : 2;
};

export function formatCircumstances({ rounds, othersCpus }: Circumstances): string {
  const { median: usual, most } = othersCpus;
  return `${rounds} ${rounds === 1 ? 'round' : 'rounds'}; other programs took ${usual.toFixed(2)} CPUs meanwhile, ${most.toFixed(2)} at the worst`;
}

export const formatLegend = (contenders: readonly ContenderName[]): string[] => [
  ...contenders.map((name) => `  ${name.padEnd(9)} ${CONTENDERS[name]}`),
  ...METRIC_NAMES.map((name) => `  ${name.padEnd(9)} ${METRICS[name].what}, ${METRICS[name].unit}`),
];

export const titleOf = (job: JobName, what: string, segmented: boolean): string =>
  `${job}: ${what}${segmented ? '; segmentation forced before the underlay' : ''}`;

/** The first column to the left, the others to the right. */
function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, at) => Math.max(...rows.map((row) => row[at]!.length)));
  return rows.map((row) =>
    row
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!)))
      .join('  ')
      .trimEnd(),
  );
}
