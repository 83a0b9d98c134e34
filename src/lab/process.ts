// A program in the background: its output goes to a file, it is known by pid and start time (a pid alone may be
// somebody else's by now), and it lives in a session of its own, so that Ctrl-C in a terminal reaches only its owner.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { NeverWill, waitFor } from './wait.ts';

export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks after boot, field 22 of /proc/PID/stat (proc(5)). */
  readonly startTicks: string;
}

/** undefined: there is no such process, or it is dead and only its parent has not looked yet. */
export function identityOf(pid: number): ProcessIdentity | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The second field is the name in parentheses and may itself hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const startTicks = fields[19];
  return startTicks === undefined || fields[0] === 'Z' ? undefined : { pid, startTicks };
}

export const isAlive = (identity: ProcessIdentity): boolean =>
  identityOf(identity.pid)?.startTicks === identity.startTicks;

/** Ends processes: asks first (SIGTERM), kills after `graceMs`, and comes back when they are gone. */
export async function end(processes: readonly ProcessIdentity[], graceMs: number): Promise<void> {
  const signal = (name: NodeJS.Signals) => {
    for (const identity of processes) {
      if (!isAlive(identity)) continue;
      try {
        process.kill(identity.pid, name);
      } catch {
        // It ended between the look and the signal.
      }
    }
  };
  const gone = () => !processes.some(isAlive);
  if (graceMs > 0) {
    signal('SIGTERM');
    // A stopped process handles the signal only when it goes on.
    signal('SIGCONT');
    try {
      await waitFor(gone, { what: 'processes to end', deadlineMs: graceMs });
      return;
    } catch {
      // Those that did not listen are killed.
    }
  }
  signal('SIGKILL');
  await waitFor(gone, { what: `killed processes to go (${processes.map((each) => each.pid).join(', ')})` });
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class Process {
  readonly label: string;
  readonly identity: ProcessIdentity;
  readonly logPath: string;
  /** Resolves when it has ended, for whatever reason. */
  readonly exited: Promise<Exit>;
  exit: Exit | undefined;
  readonly #child: ChildProcess;

  private constructor(label: string, child: ChildProcess, identity: ProcessIdentity, logPath: string) {
    this.label = label;
    this.#child = child;
    this.identity = identity;
    this.logPath = logPath;
    this.exited = new Promise((resolve) => {
      child.on('exit', (code, signal) => {
        this.exit = { code, signal };
        resolve(this.exit);
      });
    });
  }

  /** Standard output and error are appended to `logPath`. */
  static async start(label: string, argv: readonly string[], logPath: string): Promise<Process> {
    const [program, ...rest] = argv;
    const log = openSync(logPath, 'a', 0o600);
    try {
      const child = spawn(program!, rest, {
        stdio: ['ignore', log, log],
        detached: true,
      });
      await new Promise<void>((resolve, reject) => {
        child.once('spawn', resolve);
        child.once('error', (error) => reject(new Error(`cannot start ${label}: ${error.message}`, { cause: error })));
      });
      const pid = child.pid!;
      return new Process(label, child, identityOf(pid) ?? { pid, startTicks: '' }, logPath);
    } finally {
      closeSync(log);
    }
  }

  get pid(): number {
    return this.identity.pid;
  }

  get running(): boolean {
    return this.exit === undefined;
  }

  log(): string {
    return readFileSync(this.logPath, 'utf8');
  }

  signal(name: NodeJS.Signals): void {
    if (this.running) this.#child.kill(name);
  }

  /** Asks it to end, kills it after `graceMs`. */
  async stop(graceMs = 5_000): Promise<Exit> {
    if (this.running) {
      await end([this.identity], graceMs);
      return this.exited;
    }
    return this.exit!;
  }

  /** kill -9, and waits until it is gone. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.exited;
  }

  /** Waits until its output holds `pattern`; fails at once, with the output, when it ends before. */
  says(pattern: RegExp, deadlineMs = 10_000): Promise<RegExpExecArray> {
    return waitFor(
      () => {
        const ended = !this.running;
        const output = this.log();
        const found = pattern.exec(output);
        if (found) return found;
        if (ended) throw new NeverWill(`${this.label} ended before it said ${pattern}:\n${output}`);
        throw new Error(`it said\n${output}`);
      },
      { what: `${this.label} to say ${pattern}`, deadlineMs },
    );
  }
}
