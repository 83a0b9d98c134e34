// What the agent itself drops, counted as the kernel counts: by reason and ingress port.

import { NUMBERS } from '../../datapath/contract.ts';
import type { Counter } from '../../datapath/datapath.ts';
import { portOf } from '../../flow/fields.ts';
import type { DropReason } from '../../flow/reasons.ts';
import { AGENT_DROPS_MAX } from '../limits.ts';
import type { Packet } from './arrival.ts';

type Tally = { -readonly [K in keyof Counter]: Counter[K] };

export class AgentDrops {
  readonly #counters = new Map<string, Tally>();

  count(reason: DropReason, { arrival }: Packet): void {
    const counter = this.#counterOf(reason, portOf(arrival.key));
    counter.packets++;
    counter.bytes += arrival.frame.length;
  }

  /** As counters of the kind `drop`. */
  list(): Counter[] {
    return [...this.#counters.values()].map((counter) => ({ ...counter }));
  }

  /** When there are too many ports, further ones share an entry. */
  #counterOf(reason: DropReason, port: number): Tally {
    const name = `${reason} ${port}`;
    const known = this.#counters.get(name);
    if (known !== undefined) return known;
    if (port !== NUMBERS.PORT_GONE && this.#counters.size >= AGENT_DROPS_MAX) {
      return this.#counterOf(reason, NUMBERS.PORT_GONE);
    }
    const counter: Tally = { kind: 'drop', id: reason, port, packets: 0, bytes: 0 };
    this.#counters.set(name, counter);
    return counter;
  }
}
