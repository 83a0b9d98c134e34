// Where things are: ports on interfaces, ports on hosts, members of floods, hosts on the underlay.

import { familyOf, type Ip, writeIp } from '../../packet/address.ts';
import { bytesOf, NUMBERS, STRUCTS } from '../contract.ts';
import type { Delivery, FloodGroup, UnderlayHost } from '../datapath.ts';
import type { Programs } from './loader.ts';
import { type BpfMap, u32Bytes } from './maps.ts';
import { interfaceDriver, interfaceIndex, interfaceName } from './sys.ts';

const { port_entry: PORT, delivery_entry: DELIVERY, flood_entry: FLOOD, host_entry: HOST, peer_entry: PEER } = STRUCTS;

/** A continuation of a flood that has more members or hosts than an entry holds; its own space of numbers. */
const CONTINUATION = 0x80000000;

const firstU32 = (bytes: Uint8Array): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);

function indexOf(name: string): number {
  const index = interfaceIndex(name);
  if (index === undefined) throw new Error(`there is no interface ${name} on this host`);
  return index;
}

export class Placement {
  readonly #programs: Programs;
  readonly #byDevice: boolean;
  readonly #ports: BpfMap;
  readonly #delivery: BpfMap;
  readonly #members: BpfMap;
  readonly #floods: BpfMap;
  readonly #hosts: BpfMap;
  readonly #peers: BpfMap;
  #nextContinuation = 1;

  /** `byDevice`: transmit through the VXLAN device always. Takes over what is in the maps. */
  constructor(programs: Programs, byDevice: boolean) {
    this.#programs = programs;
    this.#byDevice = byDevice;
    this.#ports = programs.map('ports');
    this.#delivery = programs.map('delivery');
    this.#members = programs.map('members');
    this.#floods = programs.map('floods');
    this.#hosts = programs.map('hosts');
    this.#peers = programs.map('peers');
    this.#takeOver();
  }

  plug(port: number, name: string, tap: boolean): void {
    const ifindex = indexOf(name);
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
      const ifindex = indexOf(delivery.interfaceName);
      view.setUint32(DELIVERY.at.kind, NUMBERS.DELIVER_LOCAL, true);
      view.setUint32(DELIVERY.at.ifindex, ifindex, true);
      view.setUint32(DELIVERY.at.flags, this.#deliveryFlags(ifindex, delivery.interfaceName), true);
    }
    this.#delivery.set(key, bytes);
  }

  setFlood(flood: number, group: FloodGroup | undefined): void {
    const old = this.#readFlood(flood);
    const members = group?.members ?? [];
    for (const member of members) this.#members.set(u32Bytes(member), u32Bytes(flood));
    if (group === undefined) this.#floods.delete(u32Bytes(flood));
    else this.#writeFlood(flood, group);
    for (const continuation of old.continuations) this.#floods.delete(u32Bytes(continuation));
    const still = new Set(members);
    for (const member of old.members) {
      const key = u32Bytes(member);
      const of = this.#members.get(key);
      if (!still.has(member) && of !== undefined && firstU32(of) === flood) this.#members.delete(key);
    }
  }

  setHost(index: number, host: UnderlayHost | undefined): void {
    if (index < 1 || index > 0xffff) throw new RangeError(`host index ${index} is not in 1..65535`);
    const key = u32Bytes(index);
    const { bytes, view } = bytesOf(HOST.bytes);
    const ifindex = host === undefined ? 0 : indexOf(host.interfaceName);
    if (host !== undefined) {
      const family = familyOf(host.remote);
      if (familyOf(host.local) !== family) throw new Error(`host ${index}: addresses of two families`);
      const flags = (family === 6 ? NUMBERS.HOST_IPV6 : 0) | (this.#byDevice ? NUMBERS.HOST_BY_DEVICE : 0);
      view.setUint32(HOST.at.flags, flags, true);
      view.setUint32(HOST.at.ifindex, ifindex, true);
      view.setUint32(HOST.at.mtu, host.mtuBytes, true);
      bytes.set(addressBytes(host.local), HOST.at.local);
      bytes.set(addressBytes(host.remote), HOST.at.remote);
      this.watchUnderlay(host.interfaceName);
    }
    const old = this.#hosts.get(key)!;
    this.#hosts.set(key, bytes);
    if (host !== undefined) {
      const peer = bytesOf(PEER.bytes);
      peer.view.setUint32(PEER.at.host, index, true);
      peer.view.setUint32(PEER.at.ifindex, ifindex, true);
      this.#peers.set(addressBytes(host.remote), peer.bytes);
    }
    const oldRemote = old.slice(HOST.at.remote, HOST.at.remote + 16);
    if (oldRemote.every((byte) => byte === 0)) return;
    if (host !== undefined && Buffer.from(oldRemote).equals(addressBytes(host.remote))) return;
    const peer = this.#peers.get(oldRemote);
    if (peer !== undefined && firstU32(peer) === index) this.#peers.delete(oldRemote);
  }

  /** Marks the tunnel packets of peers that come in there. */
  watchUnderlay(name: string): void {
    this.#programs.attach('underlay_ingress', indexOf(name));
  }

  /** Every hook that is in use gets the new programs; what belonged to interfaces that are gone is forgotten. */
  #takeOver(): void {
    for (const [index] of this.#pluggedIndices()) {
      if (interfaceName(index) === undefined) this.#unplugIndex(index);
      else this.#programs.attach('vm_ingress', index);
    }
    for (const index of this.#programs.linked('vm_ingress')) {
      if (interfaceName(index) === undefined) this.#programs.forget('vm_ingress', index);
      else this.#programs.attach('vm_ingress', index);
    }
    const underlays = new Set<number>(this.#programs.linked('underlay_ingress'));
    this.#peers.forEach((_, value) => {
      underlays.add(new DataView(value.buffer, value.byteOffset).getUint32(PEER.at.ifindex, true));
    });
    for (const index of underlays) {
      if (interfaceName(index) === undefined) this.#programs.forget('underlay_ingress', index);
      else this.#programs.attach('underlay_ingress', index);
    }
    this.#floods.forEach((key) => {
      const number = firstU32(key);
      if (number >= CONTINUATION) this.#nextContinuation = Math.max(this.#nextContinuation, number - CONTINUATION + 1);
    });
  }

  #pluggedIndices(): [number, number][] {
    const plugged: [number, number][] = [];
    this.#ports.forEach((key, value) => {
      plugged.push([firstU32(key), firstU32(value)]);
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

  #readFlood(flood: number): { members: number[]; continuations: number[] } {
    const members: number[] = [];
    const continuations: number[] = [];
    for (let number = flood; number !== 0; ) {
      const entry = this.#floods.get(u32Bytes(number));
      if (entry === undefined) break;
      if (number !== flood) continuations.push(number);
      const view = new DataView(entry.buffer);
      const count = view.getUint32(FLOOD.at.members, true);
      for (let i = 0; i < count; i++) members.push(view.getUint32(FLOOD.at.member + i * 4, true));
      number = view.getUint32(FLOOD.at.next, true);
    }
    return { members, continuations };
  }

  /** From the last part to the first, so that whoever reads the first one finds the others. */
  #writeFlood(flood: number, group: FloodGroup): void {
    const slots = NUMBERS.FLOOD_SLOTS;
    const parts = Math.max(1, Math.ceil(Math.max(group.members.length, group.hosts.length) / slots));
    let next = 0;
    for (let part = parts - 1; part >= 0; part--) {
      const members = group.members.slice(part * slots, (part + 1) * slots);
      const hosts = group.hosts.slice(part * slots, (part + 1) * slots);
      const { bytes, view } = bytesOf(FLOOD.bytes);
      view.setUint32(FLOOD.at.members, members.length, true);
      view.setUint32(FLOOD.at.hosts, hosts.length, true);
      members.forEach((member, i) => {
        view.setUint32(FLOOD.at.member + i * 4, member, true);
      });
      hosts.forEach((host, i) => {
        view.setUint32(FLOOD.at.host + i * 4, host, true);
      });
      view.setUint32(FLOOD.at.next, next, true);
      const number = part === 0 ? flood : (CONTINUATION | this.#nextContinuation++) >>> 0;
      this.#floods.set(u32Bytes(number), bytes);
      next = number;
    }
  }
}

/** Sixteen bytes, an IPv4 address in the last four. */
function addressBytes(ip: Ip): Uint8Array {
  const bytes = new Uint8Array(16);
  writeIp(bytes, typeof ip === 'number' ? 12 : 0, ip);
  return bytes;
}
