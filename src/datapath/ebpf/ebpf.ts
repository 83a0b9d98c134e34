// The kernel's data path behind the Datapath interface. What it sets up stays when the process ends: the next one
// opens the same pin directory and goes on, and no packet is lost in between.

import { randomFillSync } from 'node:crypto';
import type { UpCause } from '../../flow/reasons.ts';
import { STRUCTS } from '../contract.ts';
import {
  BUDGETS,
  type Budgets,
  type Counter,
  type Datapath,
  type Delivery,
  type FloodGroup,
  type FlowEntry,
  type Injection,
  type InstalledFlow,
  type Miss,
  PENDING,
  type UnderlayHost,
} from '../datapath.ts';
import { type Devices, devicesOf, ensureDevices } from './devices.ts';
import { Injector } from './inject.ts';
import { KernelFlows } from './kernel-flows.ts';
import { type Attachment, ensurePinDirectory, type Programs } from './loader.ts';
import { u32Bytes } from './maps.ts';
import { Placement } from './placement.ts';
import { Ring } from './ring.ts';
import { interfaceIndex } from './sys.ts';
import { KernelCounters } from './tables/counters.ts';
import { KernelFloods } from './tables/floods.ts';
import { seedIn } from './tables/flow-hash.ts';
import { KernelTraffic } from './tables/traffic.ts';
import { KernelUnderlay } from './tables/underlay.ts';
import { type Conversion, type Generation, openGeneration, type Replaced } from './versions.ts';

export interface EbpfOptions {
  /** A directory of this host's own; a BPF file system is mounted there when it is on none. */
  readonly pinDirectory: string;
  /** Where tunnel packets are taken from the start; `setHost` adds those of its hosts. */
  readonly underlayInterfaces: readonly string[];
  readonly tunnelUdpPort: number;
  /** Of the names of the devices that are made: `<prefix>-vx`, `<prefix>-inj0`, `<prefix>-inj1`. Default `aya`. */
  readonly devicePrefix?: string;
  /** `hand` (default): encapsulated by the program where possible; `device`: always by the VXLAN device. */
  readonly transmit?: 'hand' | 'device';
  /** `tcx` (default) falls back to `filter` where the kernel has no TCX. */
  readonly attachment?: Attachment;
  /** Told of each generation of another contract version that was found and replaced. */
  readonly onReplaced?: (replaced: Replaced) => void;
}

const SETTINGS = STRUCTS.settings;
const MISS = STRUCTS.miss_record;
const NS_PER_MS = 1_000_000n;

/**
 * Makes the devices, loads and attaches the programs in the calling network namespace, in place of those that are there.
 * Needs root. `conversions` are those of the tables of older contract versions.
 */
export function openEbpfDatapath(
  options: EbpfOptions,
  conversions?: Readonly<Record<number, Conversion>>,
): EbpfDatapath {
  ensurePinDirectory(options.pinDirectory);
  const devices = devicesOf(options.devicePrefix ?? 'aya');
  ensureDevices(devices, options.tunnelUdpPort);
  const generation = openGeneration(options.pinDirectory, options.attachment ?? 'tcx', conversions);
  try {
    const datapath = new EbpfDatapath(generation, devices, options);
    for (const replaced of generation.replaced) options.onReplaced?.(replaced);
    return datapath;
  } catch (error) {
    generation.programs.close();
    throw error;
  }
}

export class EbpfDatapath implements Datapath {
  readonly #programs: Programs;
  readonly #settings: Uint8Array;
  readonly #settingsView: DataView;
  readonly #flows: KernelFlows;
  readonly #placement: Placement;
  readonly #floods: KernelFloods;
  readonly #underlay: KernelUnderlay;
  readonly #counters: KernelCounters;
  readonly #traffic: KernelTraffic;
  readonly #ring: Ring;
  readonly #injector: Injector;
  #closed = false;

  constructor({ programs, retire }: Generation, devices: Devices, options: EbpfOptions) {
    this.#programs = programs;
    this.#settings = programs.map('settings').get(u32Bytes(0))!;
    this.#settingsView = new DataView(this.#settings.buffer);
    const seed = seedIn(this.#settings, randomFillSync);
    const inject = interfaceIndex(devices.inject)!;
    this.#set('tunnel_ifindex', interfaceIndex(devices.tunnel)!);
    this.#set('inject_ifindex', inject);
    this.#set('tunnel_udp_port', options.tunnelUdpPort);
    this.#set('pending_packets', PENDING.packets);
    this.#set('pending_ms', PENDING.milliseconds);
    this.setBudgets(BUDGETS);
    this.#flows = new KernelFlows(
      { flows: programs.map('flows'), masks: programs.map('masks'), actions: programs.map('actions') },
      programs.sizeOf('actions'),
      this.#settingsView.getUint32(SETTINGS.at.masks_at, true),
      (at) => {
        this.#set('masks_at', at);
        this.#writeSettings();
      },
      seed,
    );
    this.#counters = new KernelCounters(programs.map('counters'));
    this.#traffic = new KernelTraffic(programs.map('traffic'));
    this.#ring = new Ring(programs.map('misses').fd, programs.sizeOf('misses'));
    this.#injector = new Injector(inject);
    programs.attach('inject_ingress', interfaceIndex(devices.injected)!);
    programs.attach('tunnel_ingress', interfaceIndex(devices.tunnel)!);
    this.#underlay = new KernelUnderlay(programs, options.transmit === 'device', this.#traffic);
    this.#floods = new KernelFloods(programs.map('floods'), programs.map('members'));
    this.#placement = new Placement(programs, this.#traffic);
    this.#counters.keepOnly(new Set(this.#placement.plugged().map(({ port }) => port)));
    for (const name of options.underlayInterfaces) this.#underlay.watch(name);
    retire();
  }

  install(flows: readonly FlowEntry[]): void {
    this.#flows.install(flows);
  }

  remove(flows: readonly Pick<FlowEntry, 'key' | 'mask'>[]): void {
    this.#flows.remove(flows);
  }

  flows(): InstalledFlow[] {
    return this.#flows.list();
  }

  flowPages(): Iterable<InstalledFlow[]> {
    return this.#flows.pages();
  }

  plug(port: number, name: string, options: { readonly tap: boolean }): void {
    this.#placement.plug(port, name, options.tap);
  }

  unplug(port: number): void {
    this.#placement.unplug(port);
    this.#counters.forget(port);
  }

  plugged(): { port: number; interfaceName: string }[] {
    return this.#placement.plugged();
  }

  setDelivery(port: number, delivery: Delivery | undefined): void {
    this.#placement.setDelivery(port, delivery);
    // A packet that was on its way to it when it was unplugged may have counted once more.
    if (delivery?.kind !== 'local') this.#counters.forgetSent(port);
  }

  setFlood(flood: number, group: FloodGroup | undefined): void {
    this.#floods.set(flood, group);
  }

  setHost(index: number, host: UnderlayHost | undefined): void {
    this.#underlay.set(index, host);
  }

  places(): Map<number, Delivery> {
    return this.#placement.places();
  }

  floods(): Map<number, FloodGroup> {
    return this.#floods.list();
  }

  hosts(): Map<number, UnderlayHost> {
    return this.#underlay.list();
  }

  poll(limit: number): Miss[] {
    const nowNs = process.hrtime.bigint();
    return this.#ring.read(limit).map((record) => readMiss(record, nowNs));
  }

  wait(timeoutMs: number): Promise<void> {
    return this.#ring.wait(timeoutMs);
  }

  inject(packets: readonly Injection[]): void {
    this.#injector.send(packets);
  }

  setBudgets(budgets: Budgets): void {
    this.#set('miss_rate', budgets.miss.perSecond);
    this.#set('miss_burst', budgets.miss.burst);
    this.#set('service_rate', budgets.service.perSecond);
    this.#set('service_burst', budgets.service.burst);
    this.#set('exception_rate', budgets.exception.perSecond);
    this.#set('exception_burst', budgets.exception.burst);
    this.#writeSettings();
    // Every port begins anew with a full burst.
    const buckets = this.#programs.map('budgets');
    for (const [port] of buckets.entries()) buckets.delete(port);
  }

  counters(): Counter[] {
    return this.#traffic.withCounters(this.#counters.list());
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#injector.close();
    // A wait that is under way ends first; the descriptor of the ring must live as long.
    void this.#ring.close().then(() => this.#programs.close());
  }

  #set(field: keyof typeof SETTINGS.at, value: number): void {
    this.#settingsView.setUint32(SETTINGS.at[field], value, true);
  }

  #writeSettings(): void {
    this.#programs.map('settings').set(u32Bytes(0), this.#settings);
  }
}

/** A record of the ring; the frame and the key are views on it. */
export function readMiss(record: Uint8Array, nowNs: bigint): Miss {
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  const timeNs = view.getBigUint64(MISS.at.time_ns, true);
  const captured = view.getUint32(MISS.at.captured, true);
  return {
    cause: view.getUint32(MISS.at.cause, true) as UpCause,
    key: record.subarray(MISS.at.key, MISS.at.key + MISS.size.key),
    frame: record.subarray(MISS.bytes, MISS.bytes + captured),
    frameBytes: view.getUint32(MISS.at.frame_bytes, true),
    gsoBytes: view.getUint32(MISS.at.gso_bytes, true),
    detail: view.getUint32(MISS.at.detail, true),
    ageMs: nowNs > timeNs ? Number((nowNs - timeNs) / NS_PER_MS) : 0,
  };
}
