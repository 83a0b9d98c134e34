// tcpdump on one interface: what was really there.

import { rmSync } from 'node:fs';
import type { Namespace } from './namespace.ts';
import type { Process } from './process.ts';

export class Capture {
  readonly #namespace: Namespace;
  readonly #process: Process;
  readonly #path: string;

  private constructor(namespace: Namespace, process: Process, path: string) {
    this.#namespace = namespace;
    this.#process = process;
    this.#path = path;
  }

  /** Comes back when packets are being captured. `filter` as in pcap-filter(7). */
  static async start(namespace: Namespace, interfaceName: string, filter = ''): Promise<Capture> {
    const path = namespace.file(`${interfaceName}.pcap`);
    rmSync(path, { force: true });
    const words = filter === '' ? [] : [filter];
    const argv = ['tcpdump', '-i', interfaceName, '-n', '-U', '--immediate-mode', '-Z', 'root', '-w', path, ...words];
    const process = await namespace.spawn(`tcpdump-${interfaceName}-${captures++}`, argv);
    await process.says(/listening on/);
    return new Capture(namespace, process, path);
  }

  /** Packets so far, one line of tcpdump's words each, with link-layer header and without time. */
  async lines(): Promise<string[]> {
    const { stdout } = await this.#namespace.attempt(['tcpdump', '-n', '-t', '-e', '-r', this.#path]);
    // What tcpdump has no words for it adds as indented hex.
    return stdout.split('\n').filter((line) => /^\S/.test(line));
  }

  /** Ends the capture and gives its packets. */
  async stop(): Promise<string[]> {
    this.#process.signal('SIGINT');
    await this.#process.exited;
    return this.lines();
  }
}

/** Keeps the logs of one interface's captures apart. */
let captures = 0;
