// Other hosts in the kernel: how each is reached, and whose tunnel packets are taken, on which interface.

import { familyOf, type Ip, readIp4, readIp6, writeIp } from '../../../packet/address.ts';
import { bytesOf, NUMBERS, STRUCTS } from '../../contract.ts';
import type { UnderlayHost } from '../../datapath.ts';
import type { Programs } from '../loader.ts';
import { type BpfMap, u32At, u32Bytes } from '../maps.ts';
import { interfaceName, requireInterface } from '../sys.ts';
import type { KernelTraffic } from './traffic.ts';

const { host_entry: HOST, peer_entry: PEER } = STRUCTS;
const HOST_INDEX_MAX = 0xffff;

export class KernelUnderlay {
  readonly #programs: Programs;
  readonly #byDevice: boolean;
  readonly #traffic: KernelTraffic;
  readonly #hosts: BpfMap;
  readonly #peers: BpfMap;
  readonly #ports: BpfMap;

  /**
   * `byDevice`: transmit through the VXLAN device always. Takes over what is in the maps, and mends what a predecessor
   * that was killed left half done.
   */
  constructor(programs: Programs, byDevice: boolean, traffic: KernelTraffic) {
    this.#programs = programs;
    this.#traffic = traffic;
    this.#byDevice = byDevice;
    this.#hosts = programs.map('hosts');
    this.#peers = programs.map('peers');
    this.#ports = programs.map('ports');
    for (const index of programs.attached('underlay_ingress')) {
      if (interfaceName(index) === undefined) programs.forget('underlay_ingress', index);
      else programs.attach('underlay_ingress', index);
    }
    this.#hosts.forEachInUse((index, value) => {
      const view = new DataView(value.buffer, value.byteOffset);
      traffic.adopt(`host ${index}`, view.getUint32(HOST.at.traffic, true));
    });
    const hosts = this.list();
    for (const name of new Set([...hosts.values()].map(({ interfaceName }) => interfaceName))) this.watch(name);
    for (const [index, host] of hosts) this.#write(index, host);
    for (const [address, value] of this.#peers.entries()) {
      const host = hosts.get(u32At(value));
      if (host === undefined || !Buffer.from(addressBytes(host.remote)).equals(address)) this.#peers.delete(address);
    }
  }

  set(index: number, host: UnderlayHost | undefined): void {
    if (index < 1 || index > HOST_INDEX_MAX) throw new RangeError(`host index ${index} is not in 1..${HOST_INDEX_MAX}`);
    if (host !== undefined) this.watch(host.interfaceName);
    this.#write(index, host);
  }

  list(): Map<number, UnderlayHost> {
    const hosts = new Map<number, UnderlayHost>();
    const gone: number[] = [];
    this.#hosts.forEachInUse((index, value) => {
      const remote = value.subarray(HOST.at.remote, HOST.at.remote + 16);
      if (isEmpty(remote)) return;
      const view = new DataView(value.buffer, value.byteOffset);
      const name = interfaceName(view.getUint32(HOST.at.ifindex, true));
      if (name === undefined) {
        gone.push(index);
        return;
      }
      const six = (view.getUint32(HOST.at.flags, true) & NUMBERS.HOST_IPV6) !== 0;
      const address = (at: number): Ip => (six ? readIp6(value, at) : readIp4(value, at + 12));
      hosts.set(index, {
        local: address(HOST.at.local),
        remote: address(HOST.at.remote),
        interfaceName: name,
        mtuBytes: view.getUint32(HOST.at.mtu, true),
      });
    });
    for (const index of gone) this.set(index, undefined);
    return hosts;
  }

  /** Marks the tunnel packets of peers that come in there. */
  watch(name: string): void {
    const ifindex = requireInterface(name);
    this.#programs.attach('underlay_ingress', ifindex);
    // What was a port once would go on dropping all that comes in.
    if (this.#ports.get(u32Bytes(ifindex)) === undefined) this.#programs.forget('vm_ingress', ifindex);
  }
  #write(index: number, host: UnderlayHost | undefined): void {
    const key = u32Bytes(index);
    const { bytes, view } = bytesOf(HOST.bytes);
    const ifindex = host === undefined ? 0 : requireInterface(host.interfaceName);
    if (host !== undefined) {
      const family = familyOf(host.remote);
      if (familyOf(host.local) !== family) throw new Error(`host ${index}: addresses of two families`);
      const flags = (family === 6 ? NUMBERS.HOST_IPV6 : 0) | (this.#byDevice ? NUMBERS.HOST_BY_DEVICE : 0);
      view.setUint32(HOST.at.flags, flags, true);
      view.setUint32(HOST.at.ifindex, ifindex, true);
      view.setUint32(HOST.at.mtu, host.mtuBytes, true);
      view.setUint32(HOST.at.traffic, this.#traffic.slotOf(`host ${index}`), true);
      bytes.set(addressBytes(host.local), HOST.at.local);
      bytes.set(addressBytes(host.remote), HOST.at.remote);
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
    if (isEmpty(oldRemote)) return;
    if (host !== undefined && Buffer.from(oldRemote).equals(addressBytes(host.remote))) return;
    const peer = this.#peers.get(oldRemote);
    if (peer !== undefined && u32At(peer) === index) this.#peers.delete(oldRemote);
  }
}

const isEmpty = (address: Uint8Array): boolean => address.every((byte) => byte === 0);

/** Sixteen bytes, an IPv4 address in the last four. */
function addressBytes(ip: Ip): Uint8Array {
  const bytes = new Uint8Array(16);
  writeIp(bytes, typeof ip === 'number' ? 12 : 0, ip);
  return bytes;
}
