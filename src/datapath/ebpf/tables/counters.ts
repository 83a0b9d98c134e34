// The counters of the kernel: read, and put away when their port goes. A counter lives in one value for each CPU.

import { DROP_NAMES, UP } from '../../../flow/reasons.ts';
import { bytesOf, NUMBERS, STRUCTS } from '../../contract.ts';
import type { Counter, CounterKind } from '../../datapath.ts';
import { type BpfMap, possibleCpus } from '../maps.ts';

const KINDS: Readonly<Record<number, CounterKind>> = {
  [NUMBERS.COUNTER_PORT_RX]: 'portRx',
  [NUMBERS.COUNTER_PORT_TX]: 'portTx',
  [NUMBERS.COUNTER_RULE]: 'rule',
  [NUMBERS.COUNTER_DROP]: 'drop',
  [NUMBERS.COUNTER_UP]: 'up',
  [NUMBERS.COUNTER_TUNNEL_RX]: 'tunnelRx',
  [NUMBERS.COUNTER_TUNNEL_TX]: 'tunnelTx',
  [NUMBERS.COUNTER_LOST]: 'lost',
};
const { counter_key: KEY, counter_value: VALUE } = STRUCTS;

export class KernelCounters {
  readonly #map: BpfMap;
  readonly #cpus = possibleCpus();

  /** Makes the entry that takes what finds no room, unless a predecessor has. */
  constructor(map: BpfMap) {
    this.#map = map;
    const lost = keyOf(NUMBERS.COUNTER_LOST, 0, 0);
    if (map.get(lost) === undefined) map.set(lost, new Uint8Array(map.valueBytes));
  }

  list(): Counter[] {
    const counters: Counter[] = [];
    this.#map.forEach((key, value) => {
      const view = new DataView(key.buffer, key.byteOffset);
      const { packets, bytes } = this.#sum(value);
      if (packets === 0n) return;
      counters.push({
        kind: KINDS[view.getUint32(KEY.at.kind, true)]!,
        id: view.getUint32(KEY.at.id, true),
        port: view.getUint32(KEY.at.port, true),
        packets: Number(packets),
        bytes: Number(bytes),
      });
    });
    return counters;
  }

  /** Removes what was counted for a port; drops and causes of going up are added to those of all ports that are gone. */
  forget(port: number): void {
    this.#map.delete(keyOf(NUMBERS.COUNTER_PORT_RX, port, 0));
    this.forgetSent(port);
    for (let reason = 1; reason < DROP_NAMES.length; reason++) this.#putAway(NUMBERS.COUNTER_DROP, reason, port);
    for (const cause of Object.values(UP)) this.#putAway(NUMBERS.COUNTER_UP, cause, port);
  }

  /** Removes what was counted as handed to a port. */
  forgetSent(port: number): void {
    this.#map.delete(keyOf(NUMBERS.COUNTER_PORT_TX, port, 0));
  }

  /** Forgets all ports but these: what a predecessor left of ports that went while nobody was there. */
  keepOnly(ports: ReadonlySet<number>): void {
    const gone = new Set<number>();
    for (const { kind, id, port } of this.list()) {
      const of = kind === 'portRx' || kind === 'portTx' ? id : kind === 'drop' || kind === 'up' ? port : 0;
      if (of !== 0 && of !== NUMBERS.PORT_GONE && !ports.has(of)) gone.add(of);
    }
    for (const port of gone) this.forget(port);
  }

  /** Only this writes entries of PORT_GONE, all of it for the first CPU. */
  #putAway(kind: number, id: number, port: number): void {
    const taken = this.#map.take(keyOf(kind, id, port));
    if (taken === undefined) return;
    const { packets, bytes } = this.#sum(taken);
    const gone = keyOf(kind, id, NUMBERS.PORT_GONE);
    const value = this.#map.get(gone) ?? new Uint8Array(this.#map.valueBytes);
    const view = new DataView(value.buffer);
    view.setBigUint64(VALUE.at.packets, view.getBigUint64(VALUE.at.packets, true) + packets, true);
    view.setBigUint64(VALUE.at.bytes, view.getBigUint64(VALUE.at.bytes, true) + bytes, true);
    this.#map.set(gone, value);
  }

  #sum(value: Uint8Array): { packets: bigint; bytes: bigint } {
    const view = new DataView(value.buffer, value.byteOffset);
    let packets = 0n;
    let bytes = 0n;
    for (let cpu = 0; cpu < this.#cpus; cpu++) {
      packets += view.getBigUint64(cpu * VALUE.bytes + VALUE.at.packets, true);
      bytes += view.getBigUint64(cpu * VALUE.bytes + VALUE.at.bytes, true);
    }
    return { packets, bytes };
  }
}

function keyOf(kind: number, id: number, port: number): Uint8Array {
  const { bytes, view } = bytesOf(KEY.bytes);
  view.setUint32(KEY.at.kind, kind, true);
  view.setUint32(KEY.at.id, id, true);
  view.setUint32(KEY.at.port, port, true);
  return bytes;
}
