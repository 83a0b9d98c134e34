// What the agent itself drops, counted as the kernel counts: by reason and ingress port, summed up for ports that are
// not plugged any more.

import { NUMBERS } from '../../datapath/contract.ts';
import type { Counter } from '../../datapath/datapath.ts';
import { portOf } from '../../flow/fields.ts';
import { DROP_NAMES, type DropReason } from '../../flow/reasons.ts';
import { AGENT_DROPS_MAX } from '../limits.ts';
import type { Packet } from './arrival.ts';

type Tally = { -readonly [K in keyof Counter]: Counter[K] };

/** Room for the sums over ports that are gone, and for what has no port. */
const SUMS_MAX = 2 * DROP_NAMES.length;

export class AgentDrops {
  readonly #plugged: () => readonly { readonly port: number }[];
  #counters = new Map<string, Tally>();
  /** When there are more than this, ports that are gone are looked for. */
  #roomFor = SUMS_MAX;

  constructor(plugged: () => readonly { readonly port: number }[]) {
    this.#plugged = plugged;
  }

  count(reason: DropReason, { arrival }: Packet): void {
    this.#add({ kind: 'drop', id: reason, port: portOf(arrival.key), packets: 1, bytes: arrival.frame.length });
    if (this.#counters.size > this.#roomFor) this.#putAway();
  }

  /** As counters of the kind `drop`. */
  list(): Counter[] {
    this.#putAway();
    return [...this.#counters.values()].map((counter) => ({ ...counter }));
  }

  /** Adds up what was counted for ports that are gone. */
  #putAway(): void {
    const plugged = new Set(this.#plugged().map(({ port }) => port));
    const counters = this.#counters;
    this.#counters = new Map();
    for (const counter of counters.values()) {
      const stays = counter.port === 0 || plugged.has(counter.port);
      this.#add(stays ? counter : { ...counter, port: NUMBERS.PORT_GONE });
    }
    this.#roomFor = 2 * this.#counters.size + SUMS_MAX;
  }

  /** When there are too many ports, further ones are summed up too. */
  #add(added: Counter): void {
    const known = this.#counters.get(`${added.id} ${added.port}`);
    if (known !== undefined) {
      known.packets += added.packets;
      known.bytes += added.bytes;
    } else if (added.port !== NUMBERS.PORT_GONE && this.#counters.size >= AGENT_DROPS_MAX) {
      this.#add({ ...added, port: NUMBERS.PORT_GONE });
    } else {
      this.#counters.set(`${added.id} ${added.port}`, { ...added });
    }
  }
}
