// For tests: hosts and guests as network namespaces, and what is there to be cleaned away afterwards. Needs root.

import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ensurePinDirectory } from '../loader.ts';
import { inNetworkNamespace } from '../sys.ts';
import { removePins } from '../versions.ts';

/** The reason why tests of the kernel cannot run here, for the `skip` of a test; false when they can. */
export function whyNoKernelTests(): string | false {
  if (process.getuid?.() !== 0) return 'needs root';
  if (!fs.existsSync('/proc/sys/net/core/bpf_jit_enable')) return 'the kernel has no BPF';
  return false;
}

export function run(command: string, ...words: string[]): string {
  return execFileSync(command, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

export class Namespace {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
    run('ip', 'netns', 'add', name);
    this.ip('link', 'set', 'lo', 'up');
  }
  get file(): string {
    return `/run/netns/${this.name}`;
  }
  ip(...words: string[]): string {
    return run('ip', '-n', this.name, ...words);
  }
  run(command: string, ...words: string[]): string {
    return run('nsenter', `--net=${this.file}`, command, ...words);
  }
  /** Resolves with the exit code and what was printed. */
  start(command: string, ...words: string[]): Promise<{ code: number | null; output: string }> {
    const child = spawn('nsenter', [`--net=${this.file}`, command, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (data) => {
      output += data;
    });
    child.stderr.on('data', (data) => {
      output += data;
    });
    return new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code) => resolve({ code, output }));
    });
  }
  enter<T>(work: () => T): T {
    return inNetworkNamespace(this.file, work);
  }
  setting(name: string, value: string): void {
    this.enter(() => fs.writeFileSync(`/proc/sys/net/${name}`, value));
  }
}

/** Everything made through it is taken away by `close`, in the reverse order. */
export class Testbed {
  readonly #prefix: string;
  readonly #undo: (() => void | Promise<void>)[] = [];

  constructor(name: string) {
    this.#prefix = `ayt${process.pid}${name}`;
  }

  onClose(undo: () => void | Promise<void>): void {
    this.#undo.push(undo);
  }

  namespace(name: string): Namespace {
    const namespace = new Namespace(`${this.#prefix}-${name}`);
    this.onClose(() => void run('ip', 'netns', 'delete', namespace.name));
    return namespace;
  }

  /** A directory with a BPF file system of its own. */
  pinDirectory(): string {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'ayatori-pins-'));
    ensurePinDirectory(directory);
    this.onClose(() => {
      removePins(directory);
      run('umount', directory);
      fs.rmdirSync(directory);
    });
    return directory;
  }

  async close(): Promise<void> {
    for (const undo of this.#undo.reverse()) await undo();
  }
}

/** A veth pair between two namespaces, both ends up. */
export function wire(a: Namespace, nameA: string, b: Namespace, nameB: string, mtuBytes: number): void {
  a.ip(
    'link',
    'add',
    nameA,
    'mtu',
    `${mtuBytes}`,
    'type',
    'veth',
    'peer',
    nameB,
    'mtu',
    `${mtuBytes}`,
    'netns',
    b.name,
  );
  a.ip('link', 'set', nameA, 'up');
  b.ip('link', 'set', nameB, 'up');
}
