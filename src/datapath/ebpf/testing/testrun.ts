// The real program without a network: frames go through it by program test-run, and what an output would have done is
// a record. Nothing is attached and nothing is pinned; a path across hosts is two runs. Needs root.

import { randomFillSync } from 'node:crypto';
import { bytesOf, NUMBERS, STRUCTS } from '../../contract.ts';
import type { Counter, FloodGroup, FlowEntry, InstalledFlow, Miss, Sense } from '../../datapath.ts';
import { readMiss } from '../ebpf.ts';
import { KernelFlows } from '../kernel-flows.ts';
import { Programs, TEST_PROGRAM } from '../loader.ts';
import { type BpfMap, u32Bytes } from '../maps.ts';
import { Placement } from '../placement.ts';
import { Ring } from '../ring.ts';
import { SysError, testRun } from '../sys.ts';
import { KernelCounters } from '../tables/counters.ts';
import { KernelFloods } from '../tables/floods.ts';
import { seedIn } from '../tables/flow-hash.ts';
import { KernelTraffic } from '../tables/traffic.ts';

/** What would have left; `frame` with its tags in line. */
export type OutputRecord =
  | { readonly kind: 'local'; readonly port: number; readonly frame: Uint8Array }
  | { readonly kind: 'tunnel'; readonly key: number; readonly host: number; readonly frame: Uint8Array }
  /** To be looked up as a flooded frame for this member: `runMember`. */
  | { readonly kind: 'member'; readonly port: number; readonly frame: Uint8Array }
  /** The answer to a neighbour request, out of the port that it came from. */
  | { readonly kind: 'back'; readonly port: number; readonly frame: Uint8Array }
  | { readonly kind: 'drop'; readonly reason: number; readonly frame: Uint8Array };

export interface RunResult {
  readonly records: readonly OutputRecord[];
  readonly misses: readonly Miss[];
}

const SENSES = { from: NUMBERS.SENSE_FROM, deliver: NUMBERS.SENSE_DELIVER, member: NUMBERS.SENSE_MEMBER } as const;
const { settings: SETTINGS, output_record: RECORD, host_entry: HOST, counter_key: COUNTER_KEY } = STRUCTS;
const AMPLE = 1_000_000;
/** An interface that is always there; nothing is sent to it. */
const STAND_IN = 'lo';

export class TestRun {
  readonly #programs = new Programs(undefined, [TEST_PROGRAM], 'tcx');
  readonly #settings: Uint8Array;
  readonly #flows: KernelFlows;
  readonly #placement: Placement;
  readonly #floods: KernelFloods;
  readonly #counters: KernelCounters;
  readonly #traffic: KernelTraffic;
  readonly #misses: Ring;
  readonly #records: Ring;
  #clockOffsetNs = 0n;

  /** `seed` of the hash of flows: random unless a test wants names to meet. */
  constructor(seed?: Uint8Array) {
    const settings = this.#map('settings');
    const { bytes, view } = bytesOf(SETTINGS.bytes);
    this.#settings = bytes;
    view.setUint32(SETTINGS.at.record_output, 1, true);
    view.setUint32(SETTINGS.at.pending_packets, AMPLE, true);
    view.setUint32(SETTINGS.at.pending_ms, AMPLE, true);
    for (const bucket of ['miss', 'service', 'exception'] as const) {
      view.setUint32(SETTINGS.at[`${bucket}_rate`], AMPLE, true);
      view.setUint32(SETTINGS.at[`${bucket}_burst`], AMPLE, true);
    }
    if (seed !== undefined) bytes.set(seed, SETTINGS.at.hash_seed);
    const hashSeed = seedIn(bytes, randomFillSync);
    settings.set(u32Bytes(0), bytes);
    this.#flows = new KernelFlows(
      { flows: this.#map('flows'), masks: this.#map('masks'), actions: this.#map('actions') },
      this.#programs.sizeOf('actions'),
      0,
      (at) => this.#set('masks_at', at),
      hashSeed,
    );
    this.#traffic = new KernelTraffic(this.#map('traffic'));
    this.#placement = new Placement(this.#programs, this.#traffic);
    this.#floods = new KernelFloods(this.#map('floods'), this.#map('members'));
    this.#counters = new KernelCounters(this.#map('counters'));
    this.#misses = new Ring(this.#map('misses').fd, this.#programs.sizeOf('misses'));
    this.#records = new Ring(this.#map('records').fd, this.#programs.sizeOf('records'));
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

  /** Here, on the host of that index, or nowhere. */
  setDelivery(port: number, where: 'local' | { readonly host: number } | undefined): void {
    if (where === undefined) this.#placement.setDelivery(port, undefined);
    else if (where === 'local') this.#placement.setDelivery(port, { kind: 'local', interfaceName: STAND_IN });
    else this.#placement.setDelivery(port, { kind: 'remote', host: where.host });
  }

  setFlood(flood: number, group: FloodGroup | undefined): void {
    this.#floods.set(flood, group);
  }

  /** Makes a host known, or not. */
  setHost(index: number, known: boolean): void {
    const { bytes, view } = bytesOf(HOST.bytes);
    if (known) view.setUint32(HOST.at.flags, NUMBERS.HOST_BY_DEVICE, true);
    this.#map('hosts').set(u32Bytes(index), bytes);
  }

  counters(): Counter[] {
    return this.#traffic.withCounters(this.#counters.list());
  }

  /** Counters of made-up rules until no more fit. */
  fillCounters(): void {
    const map = this.#map('counters');
    const key = bytesOf(COUNTER_KEY.bytes);
    key.view.setUint32(COUNTER_KEY.at.kind, NUMBERS.COUNTER_RULE, true);
    for (let id = 1; ; id++) {
      key.view.setUint32(COUNTER_KEY.at.id, id, true);
      try {
        map.set(key.bytes, new Uint8Array(map.valueBytes));
      } catch (error) {
        if (error instanceof SysError && error.code === 'E2BIG') return;
        throw error;
      }
    }
  }

  /** Sets a field of the settings of the contract, like `miss_burst`. */
  set(field: Exclude<keyof typeof SETTINGS.at, 'clock_offset_ns' | 'masks_at'>, value: number): void {
    this.#set(field, value);
  }

  /** Moves the program's clock. */
  advanceClock(milliseconds: number): void {
    this.#clockOffsetNs += BigInt(milliseconds) * 1_000_000n;
    new DataView(this.#settings.buffer).setBigUint64(SETTINGS.at.clock_offset_ns, this.#clockOffsetNs, true);
    this.#map('settings').set(u32Bytes(0), this.#settings);
  }

  /**
   * A frame from the guest of a port, tags in line. SysError EINVAL for what the kernel takes in no test-run: less than
   * 15 or more than 3500 bytes, and (newer kernels) an untagged IP frame without a whole IP header.
   */
  run(port: number, frame: Uint8Array): RunResult {
    return this.#run(frame, [NUMBERS.TEST_GUEST, port]);
  }

  /** The copy of a flooded frame for a member; its flood number is that of `setFlood`. */
  runMember(member: number, frame: Uint8Array): RunResult {
    return this.#run(frame, [NUMBERS.TEST_AGENT, mark(NUMBERS.SENSE_MEMBER, member) | NUMBERS.MARK_FLOODED]);
  }

  /** A frame that the agent sends. */
  runInjected(sense: Sense, number: number, frame: Uint8Array): RunResult {
    return this.#run(frame, [NUMBERS.TEST_AGENT, mark(SENSES[sense], number)]);
  }

  /** A frame from the tunnel, with all 24 bits of its key, from the host of that index. */
  runTunnel(key: number, host: number, frame: Uint8Array): RunResult {
    return this.#run(frame, [NUMBERS.TEST_TUNNEL, key, host]);
  }

  /** Mean time of one run over many, nanoseconds, the work around the program not counted. */
  measure(port: number, frame: Uint8Array, repeat: number): number {
    this.#set('record_output', 0);
    const { nanosecondsPerRun } = testRun(
      this.#programs.program(TEST_PROGRAM),
      frame,
      [NUMBERS.TEST_GUEST, port, this.#traffic.slotOf(`port ${port}`)],
      repeat,
    );
    this.#set('record_output', 1);
    this.#take();
    return nanosecondsPerRun;
  }

  async close(): Promise<void> {
    await this.#misses.close();
    await this.#records.close();
    this.#programs.close();
  }

  #map(name: string): BpfMap {
    return this.#programs.map(name);
  }

  #set(field: keyof typeof SETTINGS.at, value: number): void {
    new DataView(this.#settings.buffer).setUint32(SETTINGS.at[field], value, true);
    this.#map('settings').set(u32Bytes(0), this.#settings);
  }

  #run(frame: Uint8Array, cb: readonly number[]): RunResult {
    testRun(this.#programs.program(TEST_PROGRAM), frame, cb, 1);
    return this.#take();
  }

  /** Copies, so that the rings have all their room for the next run. */
  #take(): RunResult {
    const nowNs = process.hrtime.bigint();
    const misses = this.#misses.read(AMPLE).map((record) => readMiss(record.slice(), nowNs));
    const records = this.#records.read(AMPLE).map((record) => readRecord(record.slice()));
    this.#misses.release();
    this.#records.release();
    return { records, misses };
  }
}

const mark = (sense: number, number: number): number => ((sense << NUMBERS.MARK_SENSE_SHIFT) | number) >>> 0;

function readRecord(bytes: Uint8Array): OutputRecord {
  const view = new DataView(bytes.buffer);
  const number = view.getUint32(RECORD.at.number, true);
  const host = view.getUint32(RECORD.at.host, true);
  const frame = bytes.subarray(RECORD.bytes, RECORD.bytes + view.getUint32(RECORD.at.captured, true));
  switch (view.getUint32(RECORD.at.kind, true)) {
    case NUMBERS.RECORD_LOCAL:
      return { kind: 'local', port: number, frame };
    case NUMBERS.RECORD_TUNNEL:
      return { kind: 'tunnel', key: number, host, frame };
    case NUMBERS.RECORD_MEMBER:
      return { kind: 'member', port: number, frame };
    case NUMBERS.RECORD_BACK:
      return { kind: 'back', port: number, frame };
    default:
      return { kind: 'drop', reason: number, frame };
  }
}
