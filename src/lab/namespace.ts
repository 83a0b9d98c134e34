// A network namespace of a lab, and programs in it.
// Programs enter by nsenter, which leaves the mounts alone: `ip netns exec` remounts /sys and so hides bpffs.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { attempt, type Output, type RunOptions, run } from './command.ts';
import type { Ledger } from './ledger.ts';
import { Process } from './process.ts';

export class Namespace {
  /** Within the lab. */
  readonly name: string;
  /** Of the machine's network namespace. */
  readonly fullName: string;
  readonly #ledger: Ledger;
  readonly #processes: Process[] = [];

  constructor(name: string, fullName: string, ledger: Ledger) {
    this.name = name;
    this.fullName = fullName;
    this.#ledger = ledger;
  }

  /** The command that runs `argv` in here; a person can type it, too. */
  enter(argv: readonly string[]): string[] {
    return ['nsenter', `--net=/run/netns/${this.fullName}`, '--', ...argv];
  }

  /** Throws CommandFailed on an exit code other than 0. */
  async run(argv: readonly string[], options?: RunOptions): Promise<Output> {
    this.#ledger.assertOpen();
    return run(this.enter(argv), options);
  }

  async attempt(argv: readonly string[], options?: RunOptions): Promise<Output> {
    this.#ledger.assertOpen();
    return attempt(this.enter(argv), options);
  }

  /** Starts a program in the background; the lab ends it. Its output is `log/<namespace>-<label>.log` of the lab. */
  spawn(label: string, argv: readonly string[]): Promise<Process> {
    return this.#ledger.making(async () => {
      const logPath = join(this.#ledger.directory, 'log', `${this.name}-${label}.log`);
      const process = await Process.start(`${this.name} ${label}`, this.enter(argv), logPath);
      this.#ledger.addProcess(process.identity);
      this.#processes.push(process);
      return process;
    });
  }

  /** Every program that was spawned here, ended ones included. */
  get processes(): readonly Process[] {
    return this.#processes;
  }

  /** Where programs in here may leave files; the lab removes it. */
  file(name: string): string {
    return join(this.#ledger.directory, 'files', `${this.name}-${name}`);
  }

  /** `key` with slashes: net/ipv4/ip_forward. Only of this namespace. */
  async sysctl(key: string, value: string | number): Promise<void> {
    if (!key.startsWith('net/')) throw new Error(`${key} is not a setting of one network namespace`);
    await this.run(['sh', '-c', 'echo "$2" > "/proc/sys/$1"', 'sh', key, String(value)]);
  }

  /** Parsed output of `ip -j …`. */
  async ipJson<T>(...words: string[]): Promise<T> {
    this.#ledger.assertOpen();
    const { stdout } = await run(['ip', '-n', this.fullName, '-j', ...words]);
    return JSON.parse(stdout || '[]');
  }

  /** Global addresses that are ready for use (no duplicate address detection under way), without prefix length. */
  async addresses(interfaceName: string): Promise<string[]> {
    const [link] = await this.ipJson<{ addr_info?: AddressInfo[] }[]>(
      'addr',
      'show',
      'dev',
      interfaceName,
      'scope',
      'global',
    );
    return (link?.addr_info ?? []).filter((info) => !info.tentative && info.local).map((info) => info.local!);
  }
}

interface AddressInfo {
  readonly local?: string;
  readonly tentative?: boolean;
}

/** Whether a TCP socket listens on `port` in the namespace of process `pid`, seen without entering it. */
export function listensOn(pid: number, port: number): boolean {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return ['tcp', 'tcp6'].some((table) =>
    readFileSync(`/proc/${pid}/net/${table}`, 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      // Field 3 is the state; 0A is LISTEN.
      .some((fields) => fields[1]?.endsWith(wanted) && fields[3] === '0A'),
  );
}
