// The names that options, figures and the JSON output share.

/** What a contender has to do; one that cannot do a job is left out there by name. */
export const JOBS = {
  l2: 'guests on two hosts in one network',
  l3: 'guests on two hosts in two networks with a router between them',
} as const;
export type JobName = keyof typeof JOBS;

export const CONTENDERS = {
  limit: 'plain forwarding by Linux through both hosts, no tunnel: a bridge for l2, routes for l3',
  linux: 'VXLAN device without GRO of its own, with a bridge for l2 and routes on both hosts for l3',
  ovn: 'OVN, Geneve, user-space datapath of Open vSwitch (in no sender’s CPU time); its guests send without offloads',
  ayatori: 'Ayatori',
} as const;
export type ContenderName = keyof typeof CONTENDERS;

export interface MetricFacts {
  readonly unit: string;
  readonly what: string;
  readonly better: 'more' | 'less';
  /** Digits after the point in tables. */
  readonly digits: number;
}
export const METRICS = {
  tcp: { unit: 'Gbit/s', what: 'iperf3, one stream', better: 'more', digits: 1 },
  tcp4: { unit: 'Gbit/s', what: 'iperf3, four streams', better: 'more', digits: 1 },
  udp64: { unit: 'kpps', what: 'frames of 64 bytes received, one flow', better: 'more', digits: 0 },
  conn: { unit: 'k/s', what: 'connect, request, response, close; 32 at a time', better: 'more', digits: 1 },
  udp64_cpu: {
    unit: 'ns',
    what: "CPU time of udp64's sender for a frame, the way included",
    better: 'less',
    digits: 0,
  },
  conn_cpu: { unit: 'µs', what: "CPU time of conn's client for a connection", better: 'less', digits: 1 },
  rr_p50: { unit: 'µs', what: 'one byte to and fro over TCP, median', better: 'less', digits: 0 },
  rr_p99: { unit: 'µs', what: 'the same, 99 of 100', better: 'less', digits: 0 },
} as const satisfies Record<string, MetricFacts>;
export type MetricName = keyof typeof METRICS;

/** Whether what a guest sends at once may cross the underlay whole. */
export type Underlay = 'whole' | 'segmented';

export const namesOf = <T extends string>(table: Readonly<Record<T, unknown>>): T[] => Object.keys(table) as T[];
