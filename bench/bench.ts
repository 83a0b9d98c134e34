// One run: weave every contender, play the rounds, take down.

import { writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { Lab } from '../src/lab/lab.ts';
import { cleanupStale } from '../src/lab/ledger.ts';
import type { WovenAyatori } from './beds/ayatori.ts';
import type { Bed, Woven } from './beds/bed.ts';
import { weave, whyMissing } from './contenders.ts';
import { DURATIONS } from './metrics.ts';
import { type ContenderName, JOBS } from './names.ts';
import type { Options } from './options.ts';
import { measureOwn } from './own/own.ts';
import { Figures, jobKey, type Machine, type Missing, type Report, type Result, reportOf } from './results.ts';
import { playRounds, type RoundsOptions, segment } from './rounds.ts';
import { formatCircumstances, formatJob, formatLegend, formatOwn, titleOf } from './table.ts';
import { buildTraffic, startServers } from './tools.ts';

const LAB_NAME = 'aya-bench';
/** Enough for the largest number of connections in one run, all of them in TIME_WAIT. */
const PORT_RANGE = '1024 65535';

export interface Surroundings {
  readonly print: (line: string) => void;
  readonly note: (text: string) => void;
  /** Where programs are looked for. */
  readonly path: string;
  /** Rejects when the run is to end early. */
  readonly stopped: Promise<never>;
}

/** Throws when a contender that is there cannot be measured. Nothing of it is left when it comes back. */
export async function runBench(options: Options, surroundings: Surroundings): Promise<Report> {
  const { note, stopped } = surroundings;
  for (const stale of await cleanupStale()) note(`took down what was left of ${stale}, which was killed`);
  const lab = await Lab.create(LAB_NAME);
  try {
    return await Promise.race([measureAll(lab, options, surroundings), stopped]);
  } finally {
    note('taking everything down');
    await lab.destroy();
  }
}

async function measureAll(lab: Lab, options: Options, { print, note, path }: Surroundings): Promise<Report> {
  const missing = options.contenders.flatMap((contender): Missing[] => {
    const why = whyMissing(contender, path);
    return why === undefined ? [] : [{ contender, why }];
  });
  for (const { contender, why } of missing) note(`${contender} is left out: ${why}`);
  const contenders = options.contenders.filter((name) => !missing.some(({ contender }) => contender === name));

  note(`setting up ${(contenders.length === 0 ? ['ayatori'] : contenders).join(', ')}`);
  const traffic = await buildTraffic(lab);
  const woven = await weaveAll(lab, contenders, options);
  const all = woven.flatMap((each) => each.beds);
  for (const bed of all) await prepare(bed, traffic);
  const beds = all.filter(({ contender }) => contenders.includes(contender));

  const figures = new Figures();
  const rounds: RoundsOptions = {
    ...{ rounds: options.rounds, jobs: options.jobs, beds, traffic, note },
    durations: options.quick ? DURATIONS.quick : DURATIONS.full,
    patient: !options.quick,
  };
  const ayatori = woven.find((each): each is WovenAyatori => 'deployment' in each);
  let own: readonly Result[] = [];
  const failure = await failureOf(async () => {
    await playRounds(rounds, 'whole', figures);
    if (options.own && ayatori !== undefined) own = await measureOwn({ traffic, ayatori, quick: options.quick, note });
    if (!options.segmented) return;
    await segment(woven.flatMap(({ hosts }) => hosts));
    await playRounds(rounds, 'segmented', figures);
  });
  lab.assertOpen();
  for (const trouble of ayatori?.deployment.troubles() ?? []) note(trouble);

  const report = reportOf(thisMachine(), figures, own, missing, options.rounds);
  printReport(report, figures, own, contenders, options, print);
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, undefined, 2)}\n`);
  if (failure !== undefined) throw failure;
  return report;
}

/** What was seen before something failed is told all the same. */
async function failureOf(work: () => Promise<void>): Promise<Error | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

/** Ayatori is there for its own figures, too. */
async function weaveAll(lab: Lab, contenders: readonly ContenderName[], options: Options): Promise<Woven[]> {
  const names = options.own && !contenders.includes('ayatori') ? [...contenders, 'ayatori' as const] : contenders;
  return Promise.all(names.map((name) => weave(name, lab, options.jobs)));
}

async function prepare({ sender, receiver, address }: Bed, traffic: string): Promise<void> {
  await sender.sysctl('net/ipv4/ip_local_port_range', PORT_RANGE);
  await startServers(receiver, traffic);
  await sender.run(['ping', '-q', '-c', '3', '-i', '0.1', '-W', '5', address], { deadlineMs: 20_000 });
}

function thisMachine(): Machine {
  const all = cpus();
  return {
    machine: `${all[0]?.model.trim() ?? 'unknown'}, ${all.length} CPUs`,
    kernel: release(),
    date: new Date().toISOString(),
  };
}

function printReport(
  { machine, kernel, date, missing, circumstances }: Report,
  figures: Figures,
  own: readonly Result[],
  contenders: readonly ContenderName[],
  { jobs, segmented }: Options,
  print: (line: string) => void,
): void {
  print('');
  print(`${machine}; Linux ${kernel}; ${date}`);
  if (contenders.length > 0) {
    print(`${formatCircumstances(circumstances)}. Medians, with the least and the most.`);
    print('The underlay is a veth pair: it hides what a wire and its cards show.');
    for (const forced of segmented ? [false, true] : [false]) {
      for (const job of jobs) {
        const key = jobKey(job, forced ? 'segmented' : 'whole');
        for (const line of formatJob(titleOf(job, JOBS[job], forced), key, figures, contenders)) print(line);
      }
    }
    print('');
    for (const line of formatLegend(contenders)) print(line);
  }
  for (const line of formatOwn(own)) print(line);
  for (const { contender, why } of missing) print(`\n${contender} is missing: ${why}`);
}
