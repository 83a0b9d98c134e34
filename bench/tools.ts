// Traffic tools: our own (`tools/traffic.c`, compiled at each run: it takes a second and is never stale) and iperf3.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { attempt, run } from '../src/lab/command.ts';
import { parseIperf } from '../src/lab/iperf.ts';
import type { Lab } from '../src/lab/lab.ts';
import { listensOn, type Namespace } from '../src/lab/namespace.ts';
import type { Process } from '../src/lab/process.ts';
import { waitFor } from '../src/lab/wait.ts';

const SOURCE = fileURLToPath(new URL('./tools/traffic.c', import.meta.url));
const COMPILERS = ['clang-16', 'clang', 'gcc', 'cc'] as const;

/** Senders and receivers each have a CPU of their own, where there are two. */
export const SENDER_CPU = 0;
export const RECEIVER_CPU = 1;
export const pinned = (cpu: number, argv: readonly string[]): string[] => ['taskset', '-c', `${cpu}`, ...argv];

/** Compiles our tool into the lab and gives its path. */
export async function buildTraffic(lab: Lab): Promise<string> {
  const output = join(lab.directory, 'traffic');
  for (const compiler of COMPILERS) {
    const there = await attempt(['sh', '-c', `command -v ${compiler}`]);
    if (there.code !== 0) continue;
    await run([compiler, '-O2', '-Wall', '-o', output, SOURCE], { deadlineMs: 60_000 });
    return output;
  }
  throw new Error(`the traffic tools need a C compiler, and there is none of ${COMPILERS.join(', ')} here`);
}

/** TCP and UDP ports of what listens at every receiver. */
export const PORTS = { iperf: 5201, serve: 5301, echo: 5302, count: 5303, udpEcho: 5304 } as const;

/** Starts what answers; it runs as long as the lab. */
export async function startServers(receiver: Namespace, traffic: string): Promise<void> {
  const start = (label: string, argv: readonly string[]) => receiver.spawn(label, pinned(RECEIVER_CPU, argv));
  const iperf = await start('iperf3', ['iperf3', '-s', '-p', `${PORTS.iperf}`]);
  const own = [
    await start('serve', [traffic, 'tcp-serve', `${PORTS.serve}`]),
    await start('echo', [traffic, 'tcp-echo', `${PORTS.echo}`]),
    await start('udp-echo', [traffic, 'udp-echo', `${PORTS.udpEcho}`]),
  ];
  await waitFor(() => listensOn(iperf.pid, PORTS.iperf), { what: `iperf3 in ${receiver.name} to listen` });
  await Promise.all(own.map((each) => each.says(/ready/)));
}

/** Runs our tool at a sender; gives what it printed. */
export async function send<T>(sender: Namespace, traffic: string, words: readonly (string | number)[]): Promise<T> {
  const argv = pinned(SENDER_CPU, [traffic, ...words.map(String)]);
  const { stdout } = await sender.run(argv, { deadlineMs: 60_000 });
  return JSON.parse(stdout) as T;
}

export interface Counted {
  readonly packets: number;
  readonly ns: number;
}

let counters = 0;
/** Counts UDP packets at a receiver while `work` sends; what comes later than `idleMs` after the last is not counted. */
export async function counting(
  receiver: Namespace,
  traffic: string,
  idleMs: number,
  work: () => Promise<unknown>,
): Promise<Counted> {
  // Logs are appended to: each counter has its own.
  const label = `count-${++counters}`;
  const counter: Process = await receiver.spawn(
    label,
    pinned(RECEIVER_CPU, [traffic, 'udp-count', `${PORTS.count}`, `${idleMs}`]),
  );
  try {
    await counter.says(/ready/);
    await work();
    const [, line] = await counter.says(/^(\{.*\})$/m, 30_000);
    return JSON.parse(line!) as Counted;
  } finally {
    await counter.kill();
  }
}

/** TCP; gives Gbit/s as the receiver saw them. */
export async function iperfGbits(
  sender: Namespace,
  address: string,
  seconds: number,
  streams: number,
): Promise<number> {
  const argv = ['iperf3', '-c', address, '-p', `${PORTS.iperf}`, '-J', '-t', `${seconds}`, '-P', `${streams}`];
  const { stdout } = await sender.attempt(pinned(SENDER_CPU, [...argv, '--connect-timeout', '3000']), {
    deadlineMs: seconds * 1000 + 20_000,
  });
  return parseIperf(stdout).bitsPerSecond / 1e9;
}
