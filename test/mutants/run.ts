// Plants each known bug in a copy of the sources and runs the properties and scenarios there: each must be caught.
// `node test/mutants/run.ts [words of a name]` runs those that match.

import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { MUTANTS, type Mutant } from './mutants.ts';

const root = dirname(dirname(import.meta.dirname));
/** The quickest first: a mutant that is caught spares itself the others. */
const SUITES = [
  'src/packet/codec.property.test.ts',
  'src/packet/checksum.property.test.ts',
  'test/scenarios/scenarios.test.ts',
  'test/properties/scenario-masks.test.ts',
  'test/properties/mask.test.ts',
  'test/properties/change.test.ts',
];
/** Enough for the least likely of them; a mutant that is caught ends its run at once. */
const PROPERTY_RUNS = '1000';
/** Whether a mutant is caught must not hang on luck. */
const PROPERTY_SEED = '1';
const SUITE_TIMEOUT_MS = 240_000;

const wanted = process.argv[2];
const queue = MUTANTS.filter(({ name }) => wanted === undefined || name.includes(wanted));
let passed = 0;
let failed = 0;

/** The suite that caught it. */
async function catchMutant(mutant: Mutant): Promise<string | undefined> {
  const text = readFileSync(join(root, mutant.file), 'utf8');
  if (text.split(mutant.find).length !== 2) throw new Error(`"${mutant.find}" is not exactly once in ${mutant.file}`);
  const copy = mkdtempSync(join(tmpdir(), 'aya-mutant-'));
  try {
    for (const folder of ['src', 'test']) cpSync(join(root, folder), join(copy, folder), { recursive: true });
    cpSync(join(root, 'package.json'), join(copy, 'package.json'));
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
    writeFileSync(
      join(copy, mutant.file),
      text.replace(mutant.find, () => mutant.replace),
    );
    for (const suite of SUITES) if (!(await passes(copy, suite))) return suite;
    return undefined;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function passes(folder: string, suite: string): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--import', './test/seed.ts', '--test', '--test-reporter=dot', suite], {
      cwd: folder,
      stdio: 'ignore',
      timeout: SUITE_TIMEOUT_MS,
      env: {
        ...process.env,
        PROPERTY_RUNS,
        PROPERTY_SEED,
        SCENARIO_ENGINES: 'pure,memory',
        NODE_TEST_CONTEXT: undefined,
      },
    });
    child.on('close', (code) => resolve(code === 0));
  });
}

async function worker(): Promise<void> {
  for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
    const started = performance.now();
    try {
      const suite = await catchMutant(mutant);
      if (suite === undefined) failed++;
      else passed++;
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      console.log(
        suite === undefined ? `  SURVIVED: ${mutant.name}` : `  caught: ${mutant.name} (${suite}, ${seconds} s)`,
      );
    } catch (error) {
      failed++;
      console.log(`  broken: ${mutant.name}: ${error instanceof Error ? error.message : error}`);
    }
  }
}

await Promise.all(Array.from({ length: Math.max(1, availableParallelism()) }, worker));
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exitCode = failed > 0 ? 1 : 0;
