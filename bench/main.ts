// `aya bench`: side by side with its peers, on one machine, in one run.

import { runBench } from './bench.ts';
import { parseOptions, USAGE, UsageError } from './options.ts';

class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

const print = (line: string): void => void process.stdout.write(`${line}\n`);
const say = (text: string): void => void process.stderr.write(`${text}\n`);

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (options === undefined) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (process.getuid?.() !== 0) throw new UsageError('it makes network namespaces: run it as root or with sudo');
  const start = performance.now();
  const note = (text: string): void => say(`${((performance.now() - start) / 1000).toFixed(1).padStart(6)} s  ${text}`);
  const stop = Promise.withResolvers<never>();
  // Nobody may be waiting when it comes.
  stop.promise.catch(() => undefined);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => stop.reject(new Interrupted('interrupted')));
  }
  await runBench(options, { print, note, path: process.env.PATH ?? '', stopped: stop.promise });
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  const { message } = error as Error;
  if (!(error instanceof Interrupted)) say(`aya bench: ${message}`);
  process.exitCode = error instanceof Interrupted ? 130 : error instanceof UsageError ? 2 : 1;
}
