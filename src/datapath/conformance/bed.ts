// A harness with four ports plugged and placed, and the waiting that tests need.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Action } from '../../flow/actions.ts';
import type { FieldName } from '../../flow/fields.ts';
import { DROP, type DropName } from '../../flow/reasons.ts';
import type { Harness, TunnelPacket } from '../conformance.ts';
import type { CounterKind, Datapath, Miss } from '../datapath.ts';
import { classOf, marker } from './frames.ts';

/** Ports of the guests, plugged and placed here; one that is on the first peer, and numbers that nobody has. */
export const PORTS = [11, 12, 13, 14] as const;
export const REMOTE_PORT = 21;
export const NO_PORT = 31;
export const FLOOD = 41;
/** Indices of the two peers. */
export const HOSTS = [1, 2] as const;

/** More than any test sends. */
export const PLENTY = { perSecond: 100_000, burst: 100_000 };

const PATIENCE_MS = 2000;
const POLL_MS = 5;

export type Open = () => Promise<Harness>;

export class Bed {
  readonly harness: Harness;
  readonly datapath: Datapath;

  constructor(harness: Harness) {
    this.harness = harness;
    this.datapath = harness.datapath;
    this.datapath.setBudgets({ miss: PLENTY, service: PLENTY, exception: PLENTY });
    for (const [at, port] of PORTS.entries()) {
      const interfaceName = this.guest(port);
      this.datapath.plug(port, interfaceName, { tap: harness.taps.has(interfaceName) });
      this.datapath.setDelivery(port, { kind: 'local', interfaceName });
      assert.equal(interfaceName, harness.guests[at]);
    }
    for (const [at, index] of HOSTS.entries()) this.datapath.setHost(index, harness.peers[at]!);
    this.datapath.setDelivery(REMOTE_PORT, { kind: 'remote', host: HOSTS[0] });
  }

  guest(port: number): string {
    const name = this.harness.guests[PORTS.indexOf(port as (typeof PORTS)[number])];
    if (name === undefined) throw new Error(`no guest has port ${port}`);
    return name;
  }

  async sends(port: number, frame: Uint8Array): Promise<void> {
    await this.harness.guestSends(this.guest(port), frame);
  }

  /** The frames that come to the guest, which are exactly so many. */
  async receives(port: number, count: number): Promise<Uint8Array[]> {
    this.datapath.inject([{ sense: 'deliver', number: port, frame: marker() }]);
    const frames = await this.harness.guestReceived(this.guest(port), count + 1);
    assert.deepEqual(frames.pop(), marker(), 'the marker comes last');
    assert.equal(frames.length, count, `port ${port} receives ${count} frames`);
    return frames;
  }

  /** The tunnel packets, which are exactly so many. */
  async tunnels(count: number): Promise<TunnelPacket[]> {
    this.datapath.inject([{ sense: 'deliver', number: REMOTE_PORT, frame: marker() }]);
    const packets = await this.harness.tunnelSent(count + 1);
    assert.deepEqual(packets.pop()?.frame, marker(), 'the marker comes last');
    assert.equal(packets.length, count, `${count} tunnel packets`);
    return packets;
  }

  /** The packets that come up, which are exactly so many. */
  async comesUp(count: number): Promise<Miss[]> {
    const misses: Miss[] = [];
    const until = performance.now() + PATIENCE_MS;
    while (misses.length < count && performance.now() < until) {
      await this.datapath.wait(PATIENCE_MS);
      for (const miss of this.datapath.poll(64)) {
        misses.push({ ...miss, key: miss.key.slice(), frame: miss.frame.slice() });
      }
    }
    misses.push(...this.datapath.poll(64));
    assert.equal(misses.length, count, `${count} packets come up`);
    return misses;
  }

  packets(kind: CounterKind, id: number, port: number): number {
    return this.datapath
      .counters()
      .filter((counter) => counter.kind === kind && counter.id === id && counter.port === port)
      .reduce((sum, { packets }) => sum + packets, 0);
  }

  /** Waits until the counter is there, and is no more. */
  async counted(kind: CounterKind, id: number, port: number, packets: number): Promise<void> {
    await until(() => this.packets(kind, id, port) >= packets);
    assert.equal(this.packets(kind, id, port), packets, `${kind} ${id} of port ${port}`);
  }

  async dropped(reason: DropName, port: number, packets = 1): Promise<void> {
    await this.counted('drop', DROP[reason], port, packets);
  }

  /** A flow for the class of the frame at the port. */
  flow(
    frame: Uint8Array,
    port: number,
    actions: readonly Action[],
    fields: readonly FieldName[] = [],
    flood = 0,
  ): void {
    this.datapath.install([{ ...classOf(frame, port, fields, flood), actions }]);
  }
}

export async function until(holds: () => boolean): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!holds() && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
}

/** A test with a bed of its own. */
export function withBed(open: Open, name: string, body: (bed: Bed) => Promise<void>): void {
  test(name, async () => {
    const harness = await open();
    try {
      await body(new Bed(harness));
    } finally {
      await harness.cleanup();
    }
  });
}

export const output = (port: number): Action => ({ kind: 'output', port });
