// A data path that writes down what it is told: tests of the agent's loops play the kernel.

import {
  type Budgets,
  type Counter,
  type Datapath,
  DatapathFull,
  type Delivery,
  type FloodGroup,
  type FlowEntry,
  type Injection,
  type InstalledFlow,
  type Miss,
  type UnderlayHost,
} from '../../datapath/datapath.ts';
import { maskedKey } from '../../flow/fields.ts';
import { keyOfFrame } from '../../flow/key.ts';
import { UP, type UpCause } from '../../flow/reasons.ts';

const nameOf = ({ key, mask }: Pick<FlowEntry, 'key' | 'mask'>): string =>
  `${Buffer.from(mask).toString('hex')}/${Buffer.from(maskedKey(key, mask)).toString('hex')}`;

export class FakeDatapath implements Datapath {
  /** Calls that changed something, in order. */
  readonly log: string[] = [];
  readonly injected: Injection[] = [];
  readonly installed = new Map<string, InstalledFlow>();
  /** The batches in which flows were installed. */
  readonly installs: (readonly FlowEntry[])[] = [];
  readonly #misses: Miss[] = [];
  readonly #plugs = new Map<number, string>();
  readonly #places = new Map<number, Delivery>();
  readonly #floods = new Map<number, FloodGroup>();
  readonly #hosts = new Map<number, UnderlayHost>();
  /** `plug` fails with this message. */
  failPlug: string | undefined;
  /** No more flows than this. */
  room = Number.POSITIVE_INFINITY;
  #wake: () => void = () => undefined;

  /** A packet comes up. */
  comesUp(frame: Uint8Array, port: number, options: Partial<Miss> & { readonly flood?: number } = {}): void {
    const { key } = keyOfFrame(frame, port, options.flood ?? 0);
    if (key === undefined) throw new Error('the frame does not parse');
    const cause: UpCause = (options.flood ?? 0) === 0 ? UP.miss : UP.memberMiss;
    const { flood: _, ...fields } = options;
    const miss = { cause, key, frame, frameBytes: frame.length, gsoBytes: 0, detail: 0, ageMs: 0 };
    this.#misses.push({ ...miss, ...fields });
    this.#wake();
  }

  /** The flow of this class has been idle for so long. */
  age(entry: Pick<FlowEntry, 'key' | 'mask'>, idleMs: number): void {
    const known = this.installed.get(nameOf(entry));
    if (known === undefined) throw new Error('no such flow');
    this.installed.set(nameOf(entry), { ...known, idleMs });
  }

  install(flows: readonly FlowEntry[]): void {
    const added = flows.filter((flow) => !this.installed.has(nameOf(flow))).length;
    if (this.installed.size + added > this.room) throw new DatapathFull('the table is full');
    this.installs.push(flows.map(({ key, mask, actions }) => ({ key, mask, actions })));
    for (const { key, mask, actions } of flows) {
      this.installed.set(nameOf({ key, mask }), { key, mask, actions, packets: 0, bytes: 0, idleMs: 0 });
    }
  }

  remove(flows: readonly Pick<FlowEntry, 'key' | 'mask'>[]): void {
    for (const flow of flows) this.installed.delete(nameOf(flow));
  }

  flows(): InstalledFlow[] {
    return [...this.installed.values()];
  }

  /** One by one. */
  *flowPages(): Iterable<InstalledFlow[]> {
    for (const flow of this.installed.values()) yield [flow];
  }

  plug(port: number, interfaceName: string, _: { readonly tap: boolean }): void {
    if (this.failPlug !== undefined) throw new Error(this.failPlug);
    this.#plugs.set(port, interfaceName);
    this.log.push(`plug ${port} ${interfaceName}`);
  }

  unplug(port: number): void {
    this.#plugs.delete(port);
    this.log.push(`unplug ${port}`);
  }

  plugged(): { readonly port: number; readonly interfaceName: string }[] {
    return [...this.#plugs].map(([port, interfaceName]) => ({ port, interfaceName }));
  }

  setDelivery(port: number, delivery: Delivery | undefined): void {
    const place = delivery?.kind === 'local' ? delivery.interfaceName : (delivery?.host ?? 'nowhere');
    this.log.push(`delivery ${port} ${place}`);
    setOrDelete(this.#places, port, delivery);
  }

  setFlood(flood: number, group: FloodGroup | undefined): void {
    this.log.push(`flood ${flood} ${group?.members.join(' ') ?? 'gone'}`);
    setOrDelete(this.#floods, flood, group);
  }

  setHost(index: number, host: UnderlayHost | undefined): void {
    this.log.push(`host ${index} ${host === undefined ? 'gone' : host.interfaceName}`);
    setOrDelete(this.#hosts, index, host);
  }

  places(): Map<number, Delivery> {
    return new Map(this.#places);
  }

  floods(): Map<number, FloodGroup> {
    return new Map(this.#floods);
  }

  hosts(): Map<number, UnderlayHost> {
    return new Map(this.#hosts);
  }

  poll(limit: number): Miss[] {
    return this.#misses.splice(0, limit);
  }

  wait(timeoutMs: number): Promise<void> {
    if (this.#misses.length > 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  inject(packets: readonly Injection[]): void {
    this.injected.push(...packets);
  }

  setBudgets(_: Budgets): void {}

  counters(): Counter[] {
    return [];
  }

  close(): void {}
}

function setOrDelete<V>(map: Map<number, V>, key: number, value: V | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}
