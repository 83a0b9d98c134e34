// How much of the machine was taken by what is not ours while something was measured: other programs, and, where the
// machine is itself a guest, other guests of its host.

import { readdirSync, readFileSync } from 'node:fs';

/** Of Linux, on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;
/** Kernel threads are children of it: what they do is done for somebody, often for us. */
const KTHREADD = 2;

export interface Sample {
  /** CPU ticks used so far, by process. */
  readonly others: ReadonlyMap<number, number>;
  readonly stolen: number;
  readonly atMs: number;
}

export function sample(): Sample {
  const processes = readdirSync('/proc').flatMap((name) =>
    /^\d+$/.test(name) ? (readProcess(Number(name)) ?? []) : [],
  );
  return { others: othersAmong(processes, process.pid), stolen: stolenTicks(), atMs: performance.now() };
}

/** In CPUs. What began and ended in between is not seen. */
export function othersCpus(before: Sample, after: Sample): number {
  let ticks = after.stolen - before.stolen;
  for (const [pid, used] of after.others) ticks += used - (before.others.get(pid) ?? used);
  return (ticks / TICKS_PER_SECOND / (after.atMs - before.atMs)) * 1000;
}

export interface ProcessTicks {
  readonly pid: number;
  readonly parent: number;
  readonly ticks: number;
}

/** Neither `own` nor anything that it started, nor threads of the kernel. */
export function othersAmong(processes: readonly ProcessTicks[], own: number): Map<number, number> {
  const parents = new Map(processes.map(({ pid, parent }) => [pid, parent]));
  const isOurs = (pid: number): boolean => {
    for (let at: number | undefined = pid; at !== undefined; at = parents.get(at)) {
      if (at === own || at === KTHREADD) return true;
    }
    return false;
  };
  return new Map(processes.filter(({ pid }) => !isOurs(pid)).map(({ pid, ticks }) => [pid, ticks]));
}

/** proc(5): the name, in parentheses, may hold anything. */
export function parseStat(pid: number, stat: string): ProcessTicks {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { pid, parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) };
}

function readProcess(pid: number): ProcessTicks | undefined {
  try {
    return parseStat(pid, readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    // It has ended.
    return undefined;
  }
}

function stolenTicks(): number {
  const [total] = readFileSync('/proc/stat', 'utf8').split('\n');
  return Number(total!.split(/\s+/)[8] ?? 0);
}
