// How each figure is taken on a bed.

import type { Bed } from './beds/bed.ts';
import type { MetricName } from './names.ts';
import { counting, iperfGbits, PORTS, send } from './tools.ts';

export interface Durations {
  /** iperf3 counts in whole seconds. */
  readonly tcpSeconds: number;
  readonly otherMs: number;
}
export const DURATIONS = {
  full: { tcpSeconds: 2, otherMs: 1000 },
  quick: { tcpSeconds: 1, otherMs: 400 },
} as const satisfies Record<string, Durations>;

export type Values = Partial<Record<MetricName, number>>;
export type Measure = (bed: Bed, traffic: string, durations: Durations) => Promise<Values>;

const IDLE_MS = 200;
const CONNECTIONS_AT_A_TIME = 32;
const NS_PER_MS = 1e6;
const NS_PER_US = 1e3;

/** In this order; one may give several figures. */
export const MEASURES: Readonly<Record<string, Measure>> = {
  tcp: async (bed, _, { tcpSeconds }) => ({ tcp: await iperfGbits(bed.sender, bed.address, tcpSeconds, 1) }),

  tcp4: async (bed, _, { tcpSeconds }) => ({ tcp4: await iperfGbits(bed.sender, bed.address, tcpSeconds, 4) }),

  udp64: async (bed, traffic, { otherMs }) => {
    let sent = { packets: 0, cpuNs: 0 };
    const { packets, ns } = await counting(bed.receiver, traffic, IDLE_MS, async () => {
      sent = await send(bed.sender, traffic, ['udp-send', bed.address, PORTS.count, otherMs]);
    });
    return { udp64: perMs(packets, ns), udp64_cpu: sent.cpuNs / sent.packets };
  },

  conn: async (bed, traffic, { otherMs }) => {
    const words = ['tcp-connect', bed.address, PORTS.serve, otherMs, CONNECTIONS_AT_A_TIME];
    const seen = await send<{ connections: number; failed: number; ns: number; cpuNs: number }>(
      bed.sender,
      traffic,
      words,
    );
    if (seen.failed > 0) {
      throw new Error(`${bed.contender} ${bed.job}: ${seen.failed} of ${seen.connections} connections failed`);
    }
    return { conn: perMs(seen.connections, seen.ns), conn_cpu: seen.cpuNs / seen.connections / NS_PER_US };
  },

  rr: async (bed, traffic, { otherMs }) => {
    const words = ['tcp-pingpong', bed.address, PORTS.echo, otherMs];
    const seen = await send<{ rrP50: number; rrP99: number }>(bed.sender, traffic, words);
    return { rr_p50: seen.rrP50 / NS_PER_US, rr_p99: seen.rrP99 / NS_PER_US };
  },
};

/** Thousands a second. */
export const perMs = (count: number, ns: number): number => count / (ns / NS_PER_MS);
