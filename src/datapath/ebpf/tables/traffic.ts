// What ports and hosts receive and send, counted for each packet in a slot of `traffic` that their entries name. A slot is
// somebody's as long as an entry names it; there are fewer slots than ports may be, and who has none is counted in
// `counters` like everything else.

import { bytesOf, NUMBERS, STRUCTS } from '../../contract.ts';
import type { Counter, CounterKind } from '../../datapath.ts';
import { type BpfMap, possibleCpus, u32Bytes } from '../maps.ts';

const { traffic_value: VALUE, counter_value: COUNTER } = STRUCTS;

/** Whose slot it is: a port by its number, or a host by its index. */
export type Holder = `port ${number}` | `host ${number}`;

const KINDS = {
  port: { received: 'portRx', sent: 'portTx' },
  host: { received: 'tunnelRx', sent: 'tunnelTx' },
} as const satisfies Record<string, { received: CounterKind; sent: CounterKind }>;

const nameOf = ({ kind, id, port }: Counter): string => `${kind} ${id} ${port}`;

export class KernelTraffic {
  readonly #map: BpfMap;
  readonly #cpus = possibleCpus();
  readonly #slots = new Map<Holder, number>();
  readonly #taken = new Set<number>([0]);
  #next = 1;

  constructor(map: BpfMap) {
    this.#map = map;
  }

  /** An entry of a predecessor names this slot. */
  adopt(holder: Holder, slot: number): void {
    if (slot === 0 || slot >= NUMBERS.TRAFFIC_SLOTS || this.#taken.has(slot)) return;
    this.#taken.add(slot);
    this.#slots.set(holder, slot);
  }

  /** The slot of a holder, from now on if it had none. 0 when all are taken. */
  slotOf(holder: Holder): number {
    const known = this.#slots.get(holder);
    if (known !== undefined) return known;
    if (this.#taken.size === NUMBERS.TRAFFIC_SLOTS) return 0;
    while (this.#taken.has(this.#next)) this.#next = (this.#next + 1) % NUMBERS.TRAFFIC_SLOTS;
    const slot = this.#next;
    this.#clear(slot);
    this.#taken.add(slot);
    this.#slots.set(holder, slot);
    return slot;
  }

  has(holder: Holder): boolean {
    return this.#slots.has(holder);
  }

  /** Begins again at 0; the slot stays. */
  reset(holder: Holder): void {
    const slot = this.#slots.get(holder);
    if (slot !== undefined) this.#clear(slot);
  }

  /** No entry names the slot any more. */
  release(holder: Holder): void {
    const slot = this.#slots.get(holder);
    if (slot === undefined) return;
    this.#slots.delete(holder);
    this.#taken.delete(slot);
  }

  /** Those that are not 0, and the others, which hold what was counted without a slot at hand. */
  withCounters(others: readonly Counter[]): Counter[] {
    const sums = new Map(others.map((counter) => [nameOf(counter), counter]));
    for (const counter of this.#list()) {
      const { packets, bytes } = sums.get(nameOf(counter)) ?? { packets: 0, bytes: 0 };
      sums.set(nameOf(counter), { ...counter, packets: counter.packets + packets, bytes: counter.bytes + bytes });
    }
    return [...sums.values()];
  }

  #list(): Counter[] {
    const counters: Counter[] = [];
    for (const [holder, slot] of this.#slots) {
      const [of, number] = holder.split(' ') as ['port' | 'host', string];
      const value = this.#map.get(u32Bytes(slot))!;
      for (const way of ['received', 'sent'] as const) {
        const packets = this.#sum(value, VALUE.at[way] + COUNTER.at.packets);
        const bytes = this.#sum(value, VALUE.at[way] + COUNTER.at.bytes);
        if (packets > 0) counters.push({ kind: KINDS[of][way], id: Number(number), port: 0, packets, bytes });
      }
    }
    return counters;
  }

  #clear(slot: number): void {
    this.#map.set(u32Bytes(slot), bytesOf(this.#map.valueBytes).bytes);
  }

  #sum(value: Uint8Array, at: number): number {
    const view = new DataView(value.buffer, value.byteOffset);
    let sum = 0n;
    for (let cpu = 0; cpu < this.#cpus; cpu++) sum += view.getBigUint64(cpu * VALUE.bytes + at, true);
    return Number(sum);
  }
}
