// What every command has at hand: the client, names, and how the answer is to be told.

import type { Command } from 'commander';
import { ApiError, type Applied, type Client } from '../client/client.ts';
import { CliError, EXIT, usage } from './exit.ts';
import { Names } from './names.ts';

/** The outside of the command line: main.ts has the real one, tests their own. */
export interface CliIo {
  readonly out: (text: string) => void;
  readonly error: (text: string) => void;
  /** Throws CliError when no token can be found. */
  readonly client: (wish: ServerWish) => Client;
  readonly nowMs: () => number;
  readonly version: string;
  /** Ends what goes on until it is told to stop. */
  readonly signal: AbortSignal;
}

/** What flags said about the server; the environment and the disk say the rest. */
export interface ServerWish {
  readonly server?: string;
  readonly token?: string;
  readonly fingerprint?: string;
  readonly stateDir?: string;
}

export interface GlobalOptions extends ServerWish {
  readonly json?: boolean;
  readonly wait?: string | boolean;
}

const WAIT_SECONDS = 30;
/** One call of GET /v1/applied waits no longer, so that a proxy does not cut it. */
const CALL_SECONDS = 20;

export class Context {
  readonly io: CliIo;
  readonly json: boolean;
  readonly waitSeconds: number | undefined;
  readonly client: Client;
  readonly names: Names;

  constructor(io: CliIo, options: GlobalOptions) {
    this.io = io;
    this.json = options.json === true;
    this.waitSeconds = secondsOf(options.wait);
    this.client = io.client(options);
    this.names = new Names(this.client);
  }

  out(text: string): void {
    this.io.out(text);
  }

  outJson(value: unknown): void {
    this.io.out(`${JSON.stringify(value, undefined, 2)}\n`);
  }

  /** Tells what a write did and, with --wait, waits until every host forwards by it. */
  async wrote(what: string, revision: number, object?: unknown): Promise<void> {
    if (this.json) this.outJson(object ?? { revision });
    else this.out(`${what} (revision ${revision})\n`);
    if (this.waitSeconds === undefined) return;
    const applied = await this.#applied(revision, this.waitSeconds);
    const late = applied.hosts.filter((host) => !((host.revision ?? -1) >= revision));
    if (!applied.done) {
      const named = late.map((host) => {
        const at = host.revision === undefined ? 'has not told its revision' : `is at revision ${host.revision}`;
        return `${host.name || host.id} ${at}${host.alive ? '' : ' and is not alive'}`;
      });
      const who = named.join(', ') || 'the server does not say which host is behind';
      throw new CliError(
        EXIT.notLive,
        `revision ${revision} is not live everywhere after ${this.waitSeconds} s: ${who}`,
      );
    }
    if (!this.json) {
      const names = applied.hosts.map((host) => host.name || host.id);
      this.out(names.length === 0 ? 'no host needs it\n' : `live on ${names.join(', ')}\n`);
    }
  }

  async #applied(revision: number, seconds: number): Promise<Applied> {
    const untilMs = this.io.nowMs() + seconds * 1000;
    for (;;) {
      const left = Math.max(0, (untilMs - this.io.nowMs()) / 1000);
      const applied = await this.client.applied(revision, Math.min(CALL_SECONDS, Math.ceil(left)));
      if (applied.done || this.io.nowMs() >= untilMs) return applied;
    }
  }
}

function secondsOf(wait: string | boolean | undefined): number | undefined {
  if (wait === undefined || wait === false) return undefined;
  if (wait === true) return WAIT_SECONDS;
  if (/^\d+$/.test(wait)) return Number(wait);
  throw usage(`--wait takes seconds, not ${wait}: write it last, or as --wait=${WAIT_SECONDS}`);
}

/** The options of a command with those of the program, and a context made from them. */
export const contextOf = (io: CliIo, command: Command): Context =>
  new Context(io, command.optsWithGlobals<GlobalOptions>());

/** Whether a host's agent could not be asked. */
export const isAway = (error: unknown): boolean => error instanceof ApiError && error.status === 503;
