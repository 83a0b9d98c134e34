// Where ports are: on interfaces of this host, on other hosts.

import { bytesOf, NUMBERS, STRUCTS } from '../contract.ts';
import type { Delivery } from '../datapath.ts';
import type { Programs } from './loader.ts';
import { type BpfMap, u32At, u32Bytes } from './maps.ts';
import { interfaceDriver, interfaceName, requireInterface } from './sys.ts';

const { port_entry: PORT, delivery_entry: DELIVERY } = STRUCTS;

export class Placement {
  readonly #programs: Programs;
  readonly #ports: BpfMap;
  readonly #delivery: BpfMap;

  /** Takes over what is in the maps. */
  constructor(programs: Programs) {
    this.#programs = programs;
    this.#ports = programs.map('ports');
    this.#delivery = programs.map('delivery');
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
    this.#ports.set(u32Bytes(ifindex), bytes);
    const delivery = this.#delivery.get(u32Bytes(port));
    if (delivery !== undefined && new DataView(delivery.buffer).getUint32(DELIVERY.at.ifindex, true) === ifindex) {
      this.setDelivery(port, { kind: 'local', interfaceName: name });
    }
  }

  unplug(port: number): void {
    for (const [index, number] of this.#pluggedIndices()) if (number === port) this.#unplugIndex(index);
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
    const key = u32Bytes(port);
    if (delivery === undefined) {
      this.#delivery.delete(key);
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
    }
    this.#delivery.set(key, bytes);
  }

  /** What leads to an interface that is gone is forgotten. */
  places(): Map<number, Delivery> {
    const places = new Map<number, Delivery>();
    const gone: number[] = [];
    this.#delivery.forEach((key, value) => {
      const port = u32At(key);
      const view = new DataView(value.buffer, value.byteOffset);
      if (view.getUint32(DELIVERY.at.kind, true) === NUMBERS.DELIVER_REMOTE) {
        places.set(port, { kind: 'remote', host: view.getUint32(DELIVERY.at.host, true) });
        return;
      }
      const name = interfaceName(view.getUint32(DELIVERY.at.ifindex, true));
      if (name === undefined) gone.push(port);
      else places.set(port, { kind: 'local', interfaceName: name });
    });
    for (const port of gone) this.#delivery.delete(u32Bytes(port));
    return places;
  }

  /** Every hook that is in use gets the new programs; what belonged to interfaces that are gone is forgotten. */
  #takeOver(): void {
    for (const [index] of this.#pluggedIndices()) {
      if (interfaceName(index) === undefined) this.#unplugIndex(index);
      else this.#programs.attach('vm_ingress', index);
    }
    for (const index of this.#programs.attached('vm_ingress')) {
      if (interfaceName(index) === undefined) this.#programs.forget('vm_ingress', index);
      else this.#programs.attach('vm_ingress', index);
    }
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
