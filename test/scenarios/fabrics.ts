// What scenarios run on below the agents: the in-memory data path, or the kernel's program by test-run.

import type {
  Budgets,
  Counter,
  Datapath,
  Delivery,
  FloodGroup,
  FlowEntry,
  Injection,
  InstalledFlow,
  Miss,
  UnderlayHost,
} from '../../src/datapath/datapath.ts';
import { type RunResult, TestRun } from '../../src/datapath/ebpf/testing/testrun.ts';
import type { MemoryDatapath } from '../../src/datapath/memory.ts';
import { MemoryUnderlay } from '../../src/datapath/testing/memory-underlay.ts';
import { ADDRESS, type Fabric, HOSTS, type HostName, INDEX } from './hosts.ts';

interface Got {
  readonly port: number;
  readonly frame: Uint8Array;
}

export class MemoryFabric implements Fabric {
  readonly name = 'memory';
  readonly #underlay = new MemoryUnderlay();
  readonly #paths: ReadonlyMap<HostName, MemoryDatapath>;

  constructor(clock: { readonly ms: number }) {
    this.#paths = new Map(HOSTS.map((name) => [name, this.#underlay.host(ADDRESS[name], { now: () => clock.ms })]));
  }

  path(host: HostName): Datapath {
    return this.#paths.get(host)!;
  }

  receive(host: HostName, port: number, frame: Uint8Array): void {
    this.#paths.get(host)!.receive(`i${port}`, frame);
  }

  take(): Got[] {
    return this.#underlay
      .take()
      .flatMap((event) => (event.kind === 'guest' ? [{ port: event.port, frame: event.frame }] : []));
  }

  close(): void {}
}

/** One host's tables and program; what it puts out is carried on by the fabric. */
class KernelPath implements Datapath {
  readonly program = new TestRun();
  readonly #carry: (result: RunResult) => void;
  readonly misses: Miss[] = [];

  constructor(carry: (path: KernelPath, result: RunResult) => void) {
    this.#carry = (result) => carry(this, result);
  }

  install(flows: readonly FlowEntry[]): void {
    this.program.install(flows);
  }
  remove(flows: readonly Pick<FlowEntry, 'key' | 'mask'>[]): void {
    this.program.remove(flows);
  }
  flows(): InstalledFlow[] {
    return this.program.flows();
  }
  flowPages(): Iterable<InstalledFlow[]> {
    return this.program.flowPages();
  }
  setDelivery(port: number, delivery: Delivery | undefined): void {
    this.program.setDelivery(port, delivery?.kind === 'remote' ? { host: delivery.host } : delivery && 'local');
  }
  setFlood(flood: number, group: FloodGroup | undefined): void {
    this.program.setFlood(flood, group);
  }
  setHost(index: number, host: UnderlayHost | undefined): void {
    this.program.setHost(index, host !== undefined);
  }
  poll(limit: number): Miss[] {
    return this.misses.splice(0, limit);
  }
  inject(packets: readonly Injection[]): void {
    for (const { sense, number, frame } of packets) {
      this.#carry(
        sense === 'member' ? this.program.runMember(number, frame) : this.program.runInjected(sense, number, frame),
      );
    }
  }
  /** Program test-run names its port itself. */
  plug(): void {}
  unplug(): void {}
  plugged(): { readonly port: number; readonly interfaceName: string }[] {
    return [];
  }
  places(): Map<number, Delivery> {
    return new Map();
  }
  floods(): Map<number, FloodGroup> {
    return new Map();
  }
  hosts(): Map<number, UnderlayHost> {
    return new Map();
  }
  async wait(): Promise<void> {}
  setBudgets(_: Budgets): void {}
  counters(): Counter[] {
    return [];
  }
  close(): void {
    this.program.close();
  }
}

export class KernelFabric implements Fabric {
  readonly name = 'kernel';
  readonly #paths: ReadonlyMap<HostName, KernelPath>;
  #got: Got[] = [];

  constructor() {
    this.#paths = new Map(
      HOSTS.map((name) => [name, new KernelPath((path, result) => this.#carry(name, path, result))]),
    );
  }

  path(host: HostName): Datapath {
    return this.#paths.get(host)!;
  }

  receive(host: HostName, port: number, frame: Uint8Array): void {
    const path = this.#paths.get(host)!;
    this.#carry(host, path, path.program.run(port, frame));
  }

  take(): Got[] {
    const got = this.#got;
    this.#got = [];
    return got;
  }

  close(): void {
    for (const path of this.#paths.values()) path.close();
  }

  #carry(from: HostName, path: KernelPath, result: RunResult): void {
    path.misses.push(...result.misses.map((miss) => ({ ...miss, key: miss.key.slice(), frame: miss.frame.slice() })));
    for (const record of result.records) {
      if (record.kind === 'local' || record.kind === 'back') this.#got.push({ port: record.port, frame: record.frame });
      else if (record.kind === 'member') this.#carry(from, path, path.program.runMember(record.port, record.frame));
      else if (record.kind === 'tunnel') {
        const to = HOSTS.find((each) => INDEX[each] === record.host)!;
        const there = this.#paths.get(to)!;
        this.#carry(to, there, there.program.runTunnel(record.key, INDEX[from], record.frame));
      }
    }
  }
}
