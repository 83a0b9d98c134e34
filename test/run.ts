// The test runner behind ./aya test: all parts, or those that are named. It stops at nothing, tells each part's
// counts and time, and ends with one line `N passed, N failed, N skipped`; the exit code says whether any failed.
// A part without files is a failure: a suite that has gone missing must not look like one that passes.

import { spawn } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import type { EventData } from 'node:test';
import { run } from 'node:test';

const root = dirname(import.meta.dirname);
process.chdir(root);
// Tests and tools that start `node` get this one, not the machine's.
process.env.PATH = `${dirname(process.execPath)}${delimiter}${process.env.PATH ?? ''}`;
// What tests write goes here and away with it, also what those leave behind that were killed.
const scratch = mkdtempSync(join(tmpdir(), 'aya-test-'));
process.env.TMPDIR = scratch;
// Each file is a process of its own; without this each would strip the types of all that it imports anew.
process.env.NODE_COMPILE_CACHE = join(scratch, 'compiled');

/** Ctrl-C and the like end what is running and leave out the rest. */
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort());

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** Every implementation of the two edges against the suite of its edge, and what only the kernel's can show. */
const CONFORMANCE = [
  'src/store/{memory,sqlite}.test.ts',
  'src/datapath/memory.test.ts',
  'src/datapath/ebpf/**/*.test.ts',
];
const PROPERTIES = ['src/**/*propert*.test.ts', 'test/properties/**/*.test.ts'];

/** Files of a part, or a command whose exit code, and last line of counts if it has one, is the result. */
type Part =
  | { readonly files: readonly string[]; readonly without?: readonly string[]; readonly serial?: boolean }
  | { readonly command: readonly string[] };

const PARTS: Readonly<Record<string, Part>> = {
  types: { command: ['node_modules/typescript/bin/tsc', '-p', '.'] },
  lint: { command: ['node_modules/@biomejs/biome/bin/biome', 'check', '--error-on-warnings', '.'] },
  house: { files: ['test/house.test.ts'] },
  unit: { files: ['src/**/*.test.ts', 'bench/**/*.test.ts'], without: [...CONFORMANCE, ...PROPERTIES] },
  conformance: { files: CONFORMANCE, serial: true },
  scenarios: { files: ['test/scenarios/**/*.test.ts'] },
  properties: { files: PROPERTIES },
  mutants: { command: ['test/mutants/run.ts'] },
  netns: { files: ['test/netns/**/*.test.ts'], serial: true },
};

// What lands is judged by the same examples as what was tried; elsewhere each run looks at new ones.
if (process.env.CI === 'true') process.env.PROPERTY_SEED ??= '1';
const PRELOADED = ['test/flush.ts', ...(process.env.PROPERTY_SEED === undefined ? [] : ['test/seed.ts'])];

/** Longer than any test takes; one that hangs fails by this and the rest goes on. */
const TEST_TIMEOUT_MS = 300_000;

function indent(text: string): string {
  return text.trimEnd().replaceAll(/^/gm, '    ');
}

function describe(error: unknown): string {
  const { cause, message } = error as { cause?: unknown; message?: string };
  const inner = cause instanceof Error ? cause : undefined;
  return inner?.stack ?? (typeof cause === 'string' ? cause : (message ?? String(error)));
}

async function runFiles(part: Extract<Part, { files: readonly string[] }>): Promise<Counts> {
  const left = new Set(globSync([...(part.without ?? [])]));
  const files = globSync([...part.files])
    .filter((file) => !left.has(file))
    .sort();
  if (files.length === 0) {
    console.log(`  failed: there are no files ${part.files.join(' ')}`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  const where = (data: EventData.TestFail | EventData.TestPass): string =>
    `${data.name}  (${data.file ?? '?'}:${data.line ?? 0})`;
  const stream = run({
    files,
    // Of itself it would leave one core out, which on two cores is half.
    concurrency: part.serial === true ? 1 : availableParallelism(),
    timeout: TEST_TIMEOUT_MS,
    signal: stop.signal,
    // node:sqlite is marked experimental in Node 24 and says so in every process.
    execArgv: ['--disable-warning=ExperimentalWarning', ...PRELOADED.flatMap((name) => ['--import', join(root, name)])],
    // A failed test may leave timers and children behind, which would keep its file from ever ending.
    forceExit: true,
  });
  stream.on('test:pass', (data) => {
    // A suite is told by its tests, unless it is skipped whole.
    if (data.details.type === 'suite' && data.skip === undefined) return;
    // A file that told of no test is told of itself.
    if (data.file !== undefined && resolve(data.name) === data.file) {
      counts.failed++;
      console.log(`  failed: ${data.name} ended without telling of any test`);
    } else if (data.skip === undefined && data.todo === undefined) counts.passed++;
    else {
      counts.skipped++;
      console.log(
        `  skipped: ${where(data)}${typeof data.skip === 'string' && data.skip !== '' ? `: ${data.skip}` : ''}`,
      );
    }
  });
  stream.on('test:fail', (data) => {
    // A test that holds failed tests fails too; what failed in it has been told already.
    if ((data.details.error as { failureType?: string }).failureType === 'subtestsFailed') return;
    counts.failed++;
    console.log(`  failed: ${where(data)}\n${indent(describe(data.details.error))}`);
  });
  stream.on('test:stderr', (data) => console.log(indent(data.message)));
  stream.on('test:stdout', (data) => console.log(indent(data.message)));
  stream.resume();
  await new Promise<void>((done) => stream.on('end', done));
  return counts;
}

function runCommand(command: readonly string[]): Promise<Counts> {
  if (!existsSync(join(root, command[0]!))) {
    console.log(`  failed: there is no ${command[0]}`);
    return Promise.resolve({ passed: 0, failed: 1, skipped: 0 });
  }
  return new Promise((done) => {
    const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'inherit'], signal: stop.signal });
    // It is told by close, too; the only other cause is the signal.
    child.on('error', () => {});
    let output = '';
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (text: string) => {
      output += text;
      process.stdout.write(text);
    });
    child.on('close', (code) => {
      const told = /(\d+) passed, (\d+) failed, (\d+) skipped\s*$/.exec(output);
      const [passed, failed, skipped] = (told ?? ['', '1', '0', '0']).slice(1).map(Number) as [number, number, number];
      if (code === 0) done({ passed, failed, skipped });
      else done({ passed: told === null ? 0 : passed, failed: Math.max(failed, 1), skipped });
    });
  });
}

async function main(): Promise<number> {
  const wanted = process.argv.slice(2);
  if (wanted.some((word) => word === '-h' || word === '--help')) {
    console.log(
      `Usage: aya test [part...]\n\nParts, in this order; all of them unless named:\n  ${Object.keys(PARTS).join(' ')}`,
    );
    return 0;
  }
  const unknown = wanted.filter((name) => !(name in PARTS));
  if (unknown.length > 0) {
    console.error(`aya test: there is no part ${unknown.join(', ')}; there are ${Object.keys(PARTS).join(', ')}`);
    return 2;
  }
  const total: Counts = { passed: 0, failed: 0, skipped: 0 };
  const rows: string[] = [];
  for (const [name, part] of Object.entries(PARTS)) {
    if (stop.signal.aborted || (wanted.length > 0 && !wanted.includes(name))) continue;
    console.log(`== ${name}`);
    const startedMs = performance.now();
    const counts = 'files' in part ? await runFiles(part) : await runCommand(part.command);
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    rows.push(
      `${name.padEnd(12)} ${seconds.padStart(7)} s  ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`,
    );
    console.log(`${rows.at(-1)}\n`);
    total.passed += counts.passed;
    total.failed += counts.failed;
    total.skipped += counts.skipped;
  }
  if (rows.length > 1) console.log(`${rows.join('\n')}\n`);
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  if (stop.signal.aborted) return 130;
  return total.failed > 0 ? 1 : 0;
}

try {
  process.exitCode = await main();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
