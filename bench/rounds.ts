// The rounds: every contender's turn at a figure comes before any contender's second one, so that what changes in the
// machine meanwhile changes for all.

import type { Namespace } from '../src/lab/namespace.ts';
import { type Bed, WIRE } from './beds/bed.ts';
import { othersCpus, sample } from './disturbance.ts';
import { type Durations, MEASURES, type Values } from './metrics.ts';
import type { JobName, Underlay } from './names.ts';
import { type Figures, jobKey } from './results.ts';

/** A figure is taken again when others took more of the machine than this, and the least disturbed one counts. */
const DISTURBED_CPUS = 0.2;
const TRIES = 2;

export interface RoundsOptions {
  readonly rounds: number;
  readonly jobs: readonly JobName[];
  readonly beds: readonly Bed[];
  readonly traffic: string;
  readonly durations: Durations;
  /** Take disturbed figures again. */
  readonly patient: boolean;
  readonly note: (text: string) => void;
}

export async function playRounds(options: RoundsOptions, underlay: Underlay, figures: Figures): Promise<void> {
  for (let round = 1; round <= options.rounds; round++) {
    for (const job of options.jobs) {
      const beds = options.beds.filter((bed) => bed.job === job);
      if (beds.length === 0) continue;
      options.note(`${jobKey(job, underlay)}, round ${round} of ${options.rounds}`);
      for (const measure of Object.values(MEASURES)) {
        for (const bed of inTurn(beds, round)) {
          const { values, others } = await undisturbed(() => measure(bed, options.traffic, options.durations), options);
          figures.add(bed.contender, jobKey(job, underlay), values, others);
        }
      }
    }
  }
}

/** Each round begins with another one: who comes after whom must not decide. */
export function inTurn<T>(all: readonly T[], round: number): T[] {
  const first = all.length === 0 ? 0 : (round - 1) % all.length;
  return [...all.slice(first), ...all.slice(0, first)];
}

async function undisturbed(
  measure: () => Promise<Values>,
  { patient }: Pick<RoundsOptions, 'patient'>,
): Promise<{ readonly values: Values; readonly others: number }> {
  let best: { readonly values: Values; readonly others: number } | undefined;
  for (let left = patient ? TRIES : 1; left > 0; left--) {
    const before = sample();
    const values = await measure();
    const others = othersCpus(before, sample());
    if (best === undefined || others < best.others) best = { values, others };
    if (others <= DISTURBED_CPUS) break;
  }
  return best!;
}

/** Super-packets are cut before the wire and, as on a real one, merged again behind it. */
export async function segment(hosts: readonly Namespace[]): Promise<void> {
  const off = ['tso', 'gso', 'tx-udp-segmentation', 'tx-udp_tnl-segmentation', 'tx-udp_tnl-csum-segmentation'];
  for (const host of hosts) {
    for (const feature of off) await host.run(['ethtool', '-K', WIRE, feature, 'off']);
  }
  for (const host of hosts) await host.run(['ethtool', '-K', WIRE, 'gro', 'on']);
}
