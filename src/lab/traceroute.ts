// traceroute (Debian's own, UDP probes) as a list of hops, and what a guest's kernel knows of a path's MTU.

import type { Namespace } from './namespace.ts';

export interface Hop {
  /** undefined: nobody answered. */
  readonly address: string | undefined;
  /** `!N`, `!X` and the like when the answer was an ICMP error other than time exceeded. */
  readonly note?: string;
}

export async function traceroute(from: Namespace, address: string, maxHops = 8): Promise<Hop[]> {
  const family = address.includes(':') ? '-6' : '-4';
  const argv = ['traceroute', family, '-n', '-q', '1', '-N', '1', '-w', '1', '-m', `${maxHops}`, address];
  const { stdout } = await from.run(argv, { deadlineMs: maxHops * 1_500 + 5_000 });
  return parseTraceroute(stdout);
}

/** Exported for its test. */
export function parseTraceroute(text: string): Hop[] {
  const hops: Hop[] = [];
  for (const line of text.split('\n')) {
    const hop = /^\s*\d+\s+(\S+)(?:\s+[\d.]+ ms)?(?:\s+(!\S*))?/.exec(line);
    if (!hop) continue;
    hops.push({ address: hop[1] === '*' ? undefined : hop[1], ...(hop[2] && { note: hop[2] }) });
  }
  return hops;
}

/** The MTU that the kernel learned for a destination; undefined: that of the interface. */
export async function learnedPathMtu(from: Namespace, address: string): Promise<number | undefined> {
  const { stdout } = await from.run(['ip', 'route', 'get', address]);
  const mtu = /\bmtu (\d+)/.exec(stdout)?.[1];
  return mtu === undefined ? undefined : Number(mtu);
}
