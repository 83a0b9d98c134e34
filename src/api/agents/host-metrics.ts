// What the hosts have counted, for Prometheus: their agents are asked at each scrape, and one that does not answer in
// time is left out of it. Each server tells of the agents that are connected to it.

import { Counter, Gauge, type Registry } from 'prom-client';
import type { Id } from '../../topology/resource.ts';
import type { Config } from '../state/config.ts';
import type { Agents } from './agents.ts';

/** A scrape gives up after ten seconds by default: an agent that hangs must not cost it. */
const SCRAPE_MS = 1000;

/** Of the answer of an agent to `counters`. */
interface Counted {
  readonly drops: readonly { readonly reason: string; readonly packets: number }[];
  readonly misses: number;
  readonly agent: { readonly flows: number };
}

export class HostMetrics {
  readonly #agents: Pick<Agents, 'ask' | 'connectedHosts'>;
  readonly #config: Pick<Config, 'topology'>;
  readonly #drops: Counter<'host' | 'reason'>;
  readonly #misses: Counter<'host'>;
  readonly #flows: Gauge<'host'>;

  constructor(registry: Registry, agents: Pick<Agents, 'ask' | 'connectedHosts'>, config: Pick<Config, 'topology'>) {
    this.#agents = agents;
    this.#config = config;
    const registers = [registry];
    this.#drops = new Counter({
      name: 'ayatori_drops_total',
      help: 'packets that a host has dropped, by reason',
      labelNames: ['host', 'reason'],
      registers,
    });
    this.#misses = new Counter({
      name: 'ayatori_misses_total',
      help: 'packets that came up to the agent of a host since there was no flow for them',
      labelNames: ['host'],
      registers,
    });
    this.#flows = new Gauge({
      name: 'ayatori_flows',
      help: 'flows that the agent of a host has installed',
      labelNames: ['host'],
      registers,
    });
  }

  async refresh(): Promise<void> {
    const hosts = this.#agents.connectedHosts;
    const asked = hosts.map((id) => this.#agents.ask(id, 'counters', {}, SCRAPE_MS) as Promise<Counted>);
    const answers = await Promise.allSettled(asked);
    for (const metric of [this.#drops, this.#misses, this.#flows]) metric.reset();
    for (const [at, answer] of answers.entries()) {
      if (answer.status === 'fulfilled') this.#tell(this.#label(hosts[at]!), answer.value);
    }
  }

  /** An agent of another version may leave something out. */
  #tell(host: string, { drops = [], misses = 0, agent }: Partial<Counted>): void {
    for (const { reason, packets } of drops) this.#drops.inc({ host, reason }, packets);
    this.#misses.inc({ host }, misses);
    if (agent !== undefined) this.#flows.set({ host }, agent.flows);
  }

  /** Its name, or its id when it has none or shares it. */
  #label(id: Id): string {
    const hosts = [...this.#config.topology.objects('host').values()];
    const name = hosts.find((host) => host.id === id)?.name ?? '';
    return name === '' || hosts.filter((host) => host.name === name).length > 1 ? id : name;
  }
}
