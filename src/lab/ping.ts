// ping (iputils) as a question with a typed answer: what came back, how fast, and which ICMP errors arrived.

import type { Namespace } from './namespace.ts';

export interface PingOptions {
  /** Default 3. */
  readonly count?: number;
  /** Default 100. */
  readonly intervalMs?: number;
  /** How long to wait for the last answer; default 1000. */
  readonly waitMs?: number;
  /** ICMP payload; default 56. */
  readonly payloadBytes?: number;
  /** Prohibit fragmentation; what the kernel learned of the path's MTU is heeded. */
  readonly dontFragment?: boolean;
}

export interface PingError {
  /** Who sent the ICMP error; undefined: the sender's own kernel refused. */
  readonly from: string | undefined;
  readonly text: string;
  /** Of fragmentation-needed and packet-too-big. */
  readonly mtuBytes?: number;
}

export interface PingResult {
  readonly sent: number;
  readonly received: number;
  readonly duplicates: number;
  /** Round trip times in the order of arrival. */
  readonly timesMs: readonly number[];
  readonly errors: readonly PingError[];
}

export async function ping(from: Namespace, address: string, options: PingOptions = {}): Promise<PingResult> {
  const count = options.count ?? 3;
  const intervalMs = options.intervalMs ?? 100;
  const waitMs = options.waitMs ?? 1_000;
  const argv = ['ping', '-n', '-c', `${count}`, '-i', `${intervalMs / 1000}`, '-W', `${waitMs / 1000}`];
  if (options.payloadBytes !== undefined) argv.push('-s', `${options.payloadBytes}`);
  if (options.dontFragment) argv.push('-M', 'do');
  const output = await from.attempt([...argv, address], { deadlineMs: count * intervalMs + waitMs + 10_000 });
  return parsePing(`${output.stdout}\n${output.stderr}`);
}

/** Exported for its test. Throws when the text holds no summary: ping did not run. */
export function parsePing(text: string): PingResult {
  const summary = /(\d+) packets transmitted, (\d+) received/.exec(text);
  if (!summary) throw new Error(`ping did not run: ${text.trim()}`);
  const timesMs: number[] = [];
  const errors: PingError[] = [];
  let duplicates = 0;
  for (const line of text.split('\n')) {
    const reply = /^\d+ bytes from .* time=([\d.]+) ms(.*)$/.exec(line);
    if (reply) {
      if (reply[2]!.includes('DUP')) duplicates++;
      else timesMs.push(Number(reply[1]));
      continue;
    }
    const error = /^From (\S+?):? icmp_seq=\d+ (.+)$/.exec(line) ?? /^ping: (local error: )(.+)$/.exec(line);
    if (!error) continue;
    const mtu = /mtu ?= ?(\d+)/.exec(error[2]!)?.[1];
    const from = line.startsWith('From ') ? error[1] : undefined;
    errors.push({ from, text: error[2]!.trim(), ...(mtu && { mtuBytes: Number(mtu) }) });
  }
  return { sent: Number(summary[1]), received: Number(summary[2]), duplicates, timesMs, errors };
}

/** The middle one, 0 when there is none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
