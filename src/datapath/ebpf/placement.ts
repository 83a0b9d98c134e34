// Where ports are: on interfaces of this host, on other hosts.

import { bytesOf, NUMBERS, STRUCTS } from '../contract.ts';
import type { Delivery } from '../datapath.ts';
import type { Programs } from './loader.ts';
import { type BpfMap, u32At, u32Bytes } from './maps.ts';
import { interfaceDriver, interfaceName, requireInterface } from './sys.ts';
import { KernelPlaces } from './tables/places.ts';
import type { KernelTraffic } from './tables/traffic.ts';

const { port_entry: PORT, delivery_entry: DELIVERY } = STRUCTS;

export class Placement {
  readonly #programs: Programs;
  readonly #ports: BpfMap;
  readonly #places: KernelPlaces;
  readonly #traffic: KernelTraffic;

  /** Takes over what is in the maps. */
  constructor(programs: Programs, traffic: KernelTraffic) {
    this.#programs = programs;
    this.#traffic = traffic;
    this.#ports = programs.map('ports');
    this.#places = new KernelPlaces(programs.map('delivery'), programs.map('places'));
    this.#takeOver();
  }

  plug(port: number, name: string, tap: boolean): void {
    const ifindex = requireInterface(name);
    for (const [index, number] of this.#pluggedIndices()) {
      if (number === port && index !== ifindex) this.#unplugIndex(index);
    }
    // The program first: without an entry it drops.
    this.#programs.attach('vm_ingress', ifindex);
    const { bytes, view } = bytesOf(PORT.bytes);
    view.setUint32(PORT.at.number, port, true);
    view.setUint32(PORT.at.flags, tap ? NUMBERS.PORT_TAP : 0, true);
    view.setUint32(PORT.at.traffic, this.#traffic.slotOf(`port ${port}`), true);
    this.#ports.set(u32Bytes(ifindex), bytes);
    const delivery = this.#places.get(port);
    if (delivery !== undefined && new DataView(delivery.buffer).getUint32(DELIVERY.at.ifindex, true) === ifindex) {
      this.setDelivery(port, { kind: 'local', interfaceName: name });
    }
  }

  unplug(port: number): void {
    for (const [index, number] of this.#pluggedIndices()) if (number === port) this.#unplugIndex(index);
    this.#traffic.reset(`port ${port}`);
    this.#releaseUnused(port);
  }

  plugged(): { port: number; interfaceName: string }[] {
    return this.#pluggedIndices().flatMap(([index, port]) => {
      const name = interfaceName(index);
      if (name !== undefined) return [{ port, interfaceName: name }];
      this.#unplugIndex(index);
      return [];
    });
  }

  setDelivery(port: number, delivery: Delivery | undefined): void {
    if (delivery === undefined) {
      this.#places.set(port, undefined);
      this.#releaseUnused(port);
      return;
    }
    const { bytes, view } = bytesOf(DELIVERY.bytes);
    if (delivery.kind === 'remote') {
      view.setUint32(DELIVERY.at.kind, NUMBERS.DELIVER_REMOTE, true);
      view.setUint32(DELIVERY.at.host, delivery.host, true);
    } else {
      const ifindex = requireInterface(delivery.interfaceName);
      view.setUint32(DELIVERY.at.kind, NUMBERS.DELIVER_LOCAL, true);
      view.setUint32(DELIVERY.at.ifindex, ifindex, true);
      view.setUint32(DELIVERY.at.flags, this.#deliveryFlags(ifindex, delivery.interfaceName), true);
      view.setUint32(DELIVERY.at.traffic, this.#traffic.slotOf(`port ${port}`), true);
    }
    this.#places.set(port, bytes);
    if (delivery.kind === 'remote') this.#releaseUnused(port);
  }

  /** What leads to an interface that is gone is forgotten. */
  places(): Map<number, Delivery> {
    const places = new Map<number, Delivery>();
    const gone: number[] = [];
    this.#places.forEach((port, value) => {
      const view = new DataView(value.buffer, value.byteOffset);
      if (view.getUint32(DELIVERY.at.kind, true) === NUMBERS.DELIVER_REMOTE) {
        places.set(port, { kind: 'remote', host: view.getUint32(DELIVERY.at.host, true) });
        return;
      }
      const name = interfaceName(view.getUint32(DELIVERY.at.ifindex, true));
      if (name === undefined) gone.push(port);
      else places.set(port, { kind: 'local', interfaceName: name });
    });
    for (const port of gone) this.#places.set(port, undefined);
    return places;
  }

  /** Every hook that is in use gets the new programs; what belonged to interfaces that are gone is forgotten. */
  #takeOver(): void {
    this.#ports.forEach((_, value) => {
      const view = new DataView(value.buffer, value.byteOffset);
      this.#traffic.adopt(`port ${view.getUint32(PORT.at.number, true)}`, view.getUint32(PORT.at.traffic, true));
    });
    this.#places.forEach((port, value) => {
      const view = new DataView(value.buffer, value.byteOffset);
      this.#traffic.adopt(`port ${port}`, view.getUint32(DELIVERY.at.traffic, true));
    });
    for (const [index] of this.#pluggedIndices()) {
      if (interfaceName(index) === undefined) this.#unplugIndex(index);
      else this.#programs.attach('vm_ingress', index);
    }
    for (const index of this.#programs.attached('vm_ingress')) {
      if (interfaceName(index) === undefined) this.#programs.forget('vm_ingress', index);
      else this.#programs.attach('vm_ingress', index);
    }
  }

  /** The slot of a port that is neither plugged nor delivered here is nobody's. */
  #releaseUnused(port: number): void {
    if (!this.#traffic.has(`port ${port}`)) return;
    const entry = this.#places.get(port);
    const isHere = entry !== undefined && u32At(entry) === NUMBERS.DELIVER_LOCAL;
    if (isHere || this.#pluggedIndices().some(([, number]) => number === port)) return;
    this.#traffic.release(`port ${port}`);
  }

  #pluggedIndices(): [number, number][] {
    const plugged: [number, number][] = [];
    this.#ports.forEach((key, value) => {
      plugged.push([u32At(key), u32At(value)]);
    });
    return plugged;
  }

  #unplugIndex(ifindex: number): void {
    this.#ports.delete(u32Bytes(ifindex));
    // On an interface that is still there the program stays and drops: what its guest sends must not reach this host.
    if (interfaceName(ifindex) === undefined) this.#programs.forget('vm_ingress', ifindex);
  }

  /** redirect_peer is for veth only; a tap, or a port that was plugged as one, gets a plain redirect. */
  #deliveryFlags(ifindex: number, name: string): number {
    const port = this.#ports.get(u32Bytes(ifindex));
    const asTap = port !== undefined && new DataView(port.buffer).getUint32(PORT.at.flags, true) & NUMBERS.PORT_TAP;
    return asTap || interfaceDriver(name) !== 'veth' ? NUMBERS.PORT_TAP : 0;
  }
}
