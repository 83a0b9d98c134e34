// iperf3 between two namespaces: one run, one figure.

import { listensOn, type Namespace } from './namespace.ts';
import { waitFor } from './wait.ts';

export interface IperfOptions {
  /** Default 2. */
  readonly seconds?: number;
  /** UDP at this rate instead of TCP. */
  readonly udpBitsPerSecond?: number;
  /** UDP payload; default 1200. */
  readonly udpBytes?: number;
  /** Default 5201. */
  readonly port?: number;
}

export interface IperfResult {
  /** As the receiver saw it. */
  readonly bitsPerSecond: number;
  /** TCP segments that were sent again. */
  readonly retransmits: number;
  /** UDP. */
  readonly packets: number;
  readonly lostPackets: number;
}

/** Throws when no connection comes about within 3 s or breaks off. */
export async function iperf(
  client: Namespace,
  server: Namespace,
  address: string,
  options: IperfOptions = {},
): Promise<IperfResult> {
  const port = options.port ?? 5201;
  const seconds = options.seconds ?? 2;
  const listener = await server.spawn(`iperf3-${port}`, ['iperf3', '-s', '-1', '-p', `${port}`]);
  try {
    await waitFor(() => listensOn(listener.pid, port), { what: `iperf3 in ${server.name} to listen` });
    const argv = ['iperf3', '-c', address, '-p', `${port}`, '-J', '-t', `${seconds}`, '--connect-timeout', '3000'];
    if (options.udpBitsPerSecond) {
      argv.push('-u', '-b', `${options.udpBitsPerSecond}`, '-l', `${options.udpBytes ?? 1200}`);
    }
    const { stdout } = await client.attempt(argv, { deadlineMs: seconds * 1_000 + 15_000 });
    return parseIperf(stdout);
  } finally {
    await listener.kill();
  }
}

interface Sum {
  readonly bits_per_second?: number;
  readonly retransmits?: number;
  readonly packets?: number;
  readonly lost_packets?: number;
}
interface Report {
  readonly error?: string;
  readonly end?: { readonly sum?: Sum; readonly sum_sent?: Sum; readonly sum_received?: Sum };
}

/** Exported for its test. */
export function parseIperf(text: string): IperfResult {
  const report: Report = JSON.parse(text);
  if (report.error) throw new Error(`iperf3: ${report.error}`);
  const received = report.end?.sum_received ?? report.end?.sum;
  if (received?.bits_per_second === undefined) throw new Error('iperf3 gave no result');
  return {
    bitsPerSecond: received.bits_per_second,
    retransmits: report.end?.sum_sent?.retransmits ?? 0,
    packets: report.end?.sum?.packets ?? 0,
    lostPackets: report.end?.sum?.lost_packets ?? 0,
  };
}
