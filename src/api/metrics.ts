// What Prometheus is told. Counters are kept where things happen; gauges are read when they are asked for.

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { KIND_NAMES } from '../topology/kinds.ts';
import type { Agents } from './agents/agents.ts';
import { HostMetrics } from './agents/host-metrics.ts';
import type { Config } from './state/config.ts';
import type { Transactor } from './write/transact.ts';

export class Metrics {
  readonly #registry = new Registry();
  readonly #requests: Histogram<'method' | 'route' | 'status'>;
  readonly #agentsCut: Counter<'why'>;
  #hosts: HostMetrics | undefined;

  constructor() {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry, prefix: 'ayatori_server_' });
    this.#requests = new Histogram({
      name: 'ayatori_http_request_seconds',
      help: 'time to answer a request, long polls and watches left out',
      labelNames: ['method', 'route', 'status'],
      buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3],
      registers,
    });
    this.#agentsCut = new Counter({
      name: 'ayatori_agents_cut_total',
      help: 'agent streams that the server ended, by reason',
      labelNames: ['why'],
      registers,
    });
  }

  /** Gauges of what the server holds, and what the hosts of its agents have counted. */
  observe(parts: { readonly config: Config; readonly agents: Agents; readonly transactor: Transactor }): void {
    this.#hosts = new HostMetrics(this.#registry, parts.agents, parts.config);
    const registers = [this.#registry];
    const gauge = (name: string, help: string, read: () => number): void => {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    };
    gauge('ayatori_config_revision', 'configuration revision', () => parts.config.revision);
    gauge('ayatori_agents_connected', 'agents connected to this server', () => parts.agents.connected);
    gauge('ayatori_commits', 'configuration commits by this server', () => parts.transactor.commits);
    gauge(
      'ayatori_commit_retries',
      'commits planned again because another server was faster',
      () => parts.transactor.retries,
    );
    new Gauge({
      name: 'ayatori_objects',
      help: 'objects by kind',
      labelNames: ['kind'],
      registers,
      collect() {
        for (const kind of KIND_NAMES) this.set({ kind }, parts.config.topology.objects(kind).size);
      },
    });
  }

  answered(method: string, route: string, status: number, seconds: number): void {
    this.#requests.observe({ method, route, status }, seconds);
  }

  agentCut(why: string): void {
    this.#agentsCut.inc({ why });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  async text(): Promise<string> {
    await this.#hosts?.refresh();
    return this.#registry.metrics();
  }
}
