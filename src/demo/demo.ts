// The demo as a story: three hosts that share nothing but IP, a server, two tenants, and real programs that talk over
// their networks. Everything that it makes is in namespaces of its own, and goes when it ends.

import { PortTaken } from '../lab/expose.ts';
import { Lab } from '../lab/lab.ts';
import { cleanupStale, NameTaken } from '../lab/ledger.ts';
import { CannotStart, checkMachine, checkUser } from './checks.ts';
import { CLOUD, vmsOf } from './cloud.ts';
import { Deployment } from './deployment.ts';
import { type Done, formatNote, formatStep, formatTable } from './report.ts';
import { STEPS, type Step } from './steps.ts';
import { World } from './world.ts';

export const LAB_NAME = 'aya-demo';
/** Of the API, on the machine's loopback. */
export const DEMO_PORT = 7780;

export interface DemoOptions {
  /** Run, prove, take down; without it the cloud stays up until Ctrl-C. */
  readonly once: boolean;
  readonly print: (line: string) => void;
}

/** Thrown inside when Ctrl-C or the like ends the demo. */
class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

/** Gives the exit code: 0 when every step was as expected. Nothing of it is left when it comes back. */
export async function runDemo({ once, print }: DemoOptions): Promise<number> {
  const start = performance.now();
  const note = (text: string) => print(formatNote(performance.now() - start, text));
  const interrupt = onInterrupt();
  let lab: Lab | undefined;
  let started = false;
  let failed: string | undefined;
  let code = 1;
  try {
    checkUser(process.getuid?.() ?? 0);
    for (const stale of await cleanupStale()) note(`took down what was left of ${stale}, which was killed`);
    lab = await Lab.create(LAB_NAME);
    await checkMachine(LAB_NAME, DEMO_PORT);
    started = true;
    failed = await interrupt.or(story(lab, { once, note, print, start }));
    code = failed === undefined ? 0 : 1;
    if (!once) {
      await interrupt.or(new Promise<never>(() => {}));
    }
  } catch (error) {
    code = report(error, print, once, failed);
  } finally {
    interrupt.ignore();
    if (started) note('taking everything down');
    await lab?.destroy();
    if (started) note('nothing is left');
    interrupt.close();
  }
  return code;
}

interface Telling {
  readonly once: boolean;
  readonly note: (text: string) => void;
  readonly print: (line: string) => void;
  readonly start: number;
}

/** Gives the name of the step that failed. */
async function story(lab: Lab, { once, note, print, start }: Telling): Promise<string | undefined> {
  note(`${CLOUD.hosts.length} hosts on an IP underlay, a server, an agent on each host`);
  const deployment = await Deployment.start(lab, CLOUD.hosts, DEMO_PORT);
  note(
    `hosts alive: ${[...deployment.hypervisors.values()].map(({ host }) => `${host.name} ${host.address}`).join(', ')}`,
  );
  const world = await World.weave(lab, CLOUD, deployment);
  note(`woven: ${CLOUD.tenants.map(({ name }) => name).join(' and ')}, ${vmsOf(CLOUD).length} VMs, all ports up`);

  const done: Done[] = [];
  for (const step of STEPS) {
    const outcome = await outcomeOf(step, world);
    // What fails because everything is being taken down is no outcome.
    lab.assertOpen();
    done.push({ step, outcome });
    print(formatStep(performance.now() - start, done.at(-1)!));
  }
  print('');
  for (const line of formatTable(done)) print(line);
  print('');
  const failed = done.find(({ outcome }) => !outcome.ok)?.step.name;
  if (failed === undefined) print(`All ${done.length} steps were as expected.`);
  else print(`The demo failed at the step "${failed}".`);
  if (!once) for (const line of howToLookAround(deployment)) print(line);
  return failed;
}

async function outcomeOf(step: Step, world: World) {
  try {
    return await step.run(world);
  } catch (error) {
    return { ok: false, seen: (error as Error).message };
  }
}

function howToLookAround({ server, access }: Deployment): string[] {
  const environment = `AYATORI_SERVER=${access.url} AYATORI_STATE_DIR=${server.directory}/state`;
  return [
    `From a VM:    ip netns exec ${LAB_NAME}-red-web-1 ping 10.1.2.11`,
    `Command line: ${environment} ./aya status`,
    'The cloud stays up until Ctrl-C.',
  ];
}

function report(error: unknown, print: (line: string) => void, once: boolean, failed?: string): number {
  if (error instanceof Interrupted) {
    // Without --once, Ctrl-C is how it is meant to end.
    if (once) return 130;
    return failed === undefined ? 0 : 1;
  }
  const known = error instanceof CannotStart || error instanceof NameTaken || error instanceof PortTaken;
  print(known ? error.message : `The demo failed before its first step: ${(error as Error).message}`);
  return known ? 2 : 1;
}

/** Turns signals, and an output that nobody reads any more, into an error in whatever is being waited for. */
function onInterrupt() {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  let stop: (error: Interrupted) => void = () => {};
  const stopped = new Promise<never>((_, reject) => {
    stop = reject;
  });
  // Nobody may be waiting when it comes.
  stopped.catch(() => {});
  const handler = () => stop(new Interrupted('interrupted'));
  for (const signal of signals) process.on(signal, handler);
  // Ctrl-C in `aya demo | tee log` ends tee, too: everything must still be taken down before the process may end.
  process.stdout.removeAllListeners('error');
  process.stdout.on('error', handler);
  return {
    or: <T>(work: Promise<T> | (() => Promise<T>)): Promise<T> =>
      Promise.race([typeof work === 'function' ? work() : work, stopped]),
    /** From now on signals do nothing: what is being taken down is taken down whole. */
    ignore: () => {
      stop = () => {};
    },
    close: () => {
      for (const signal of signals) process.off(signal, handler);
    },
  };
}
