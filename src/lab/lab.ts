// Hosts, links and VMs as network namespaces of one machine.
//
//    VM ── veth ── host ── veth ── underlay ── veth ── host ── veth ── VM
//   eth0                        (routes, MTU 1610)
//
// Each host has a network of its own; the underlay namespace forwards between them, so hosts share nothing but IP.
// The machine's own namespace gets no interface, address, route or setting.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ipBatch, run } from './command.ts';
import { type Exposed, expose, type Target } from './expose.ts';
import { LAB_ROOT, Ledger, NameTaken, namespaceNames } from './ledger.ts';
import { Namespace } from './namespace.ts';
import type { Process } from './process.ts';

/** 1500 for guests plus VXLAN over IPv6 (70), and room for inline state (40). */
const UNDERLAY_MTU_BYTES = 1610;
export const UNDERLAY_INTERFACE = 'underlay0';
export const GUEST_INTERFACE = 'eth0';

export interface Host {
  readonly name: string;
  readonly namespace: Namespace;
  /** Underlay addresses. */
  readonly address: string;
  readonly address6: string;
  /** The host's own: a bpffs is mounted at `<directory>/bpf`, in the machine's mount namespace, so pins outlive agents. */
  readonly directory: string;
}

export interface Vm {
  readonly name: string;
  readonly namespace: Namespace;
  readonly mac: string;
  /** Name of its interface at the host's side. */
  readonly interfaceName: string;
}

export interface LabOptions {
  /** Where labs keep their files; default /run/ayatori/lab. */
  readonly root?: string;
}

export class Lab {
  readonly name: string;
  readonly #ledger: Ledger;
  readonly #namespaces: Namespace[] = [];
  readonly #exposed: Exposed[] = [];
  #underlay: Namespace | undefined;
  #hostCount = 0;
  #vmCount = 0;

  private constructor(name: string, ledger: Ledger) {
    this.name = name;
    this.#ledger = ledger;
  }

  /** Needs root. Throws NameTaken when a living lab has that name. Namespaces are named `<name>-<...>`. */
  static async create(name: string, options: LabOptions = {}): Promise<Lab> {
    const ledger = await Ledger.open(name, options.root ?? LAB_ROOT);
    for (const folder of ['log', 'files']) mkdirSync(join(ledger.directory, folder));
    return new Lab(name, ledger);
  }

  get directory(): string {
    return this.#ledger.directory;
  }

  /** Throws NeverWill when the lab is being taken down. */
  assertOpen(): void {
    this.#ledger.assertOpen();
  }

  /** Every background program of the lab, ended ones included. */
  get processes(): Process[] {
    return this.#namespaces.flatMap((namespace) => [...namespace.processes]);
  }

  /** A namespace with nothing but loopback. */
  async namespace(name: string): Promise<Namespace> {
    const fullName = `${this.name}-${name}`;
    await this.#ledger.addNamespace(fullName);
    const namespace = new Namespace(name, fullName, this.#ledger);
    this.#namespaces.push(namespace);
    await ipBatch(fullName, ['link set lo up']);
    return namespace;
  }

  /** A namespace on the underlay, in a network of its own, with a directory and a bpffs. */
  async host(name: string): Promise<Host> {
    const underlay = await this.#openUnderlay();
    const namespace = await this.namespace(name);
    await withoutAddressDetection(namespace);
    const index = ++this.#hostCount;
    const [net, net6] = [`172.31.${index}`, `fd00:172:31:${index}:`];
    const mtu = `mtu ${UNDERLAY_MTU_BYTES}`;
    await ipBatch(namespace.fullName, [
      `link add ${UNDERLAY_INTERFACE} ${mtu} type veth peer name to-${index} ${mtu} netns ${underlay.fullName}`,
      `addr add ${net}.2/30 dev ${UNDERLAY_INTERFACE}`,
      `addr add ${net6}:2/64 dev ${UNDERLAY_INTERFACE} nodad`,
      `link set ${UNDERLAY_INTERFACE} up`,
      `route add default via ${net}.1`,
      `route add ::/0 via ${net6}:1`,
    ]);
    await ipBatch(underlay.fullName, [
      `addr add ${net}.1/30 dev to-${index}`,
      `addr add ${net6}:1/64 dev to-${index} nodad`,
      `link set to-${index} up`,
    ]);
    const directory = join(this.directory, name);
    mkdirSync(join(directory, 'bpf'), { recursive: true, mode: 0o700 });
    const bpf = join(directory, 'bpf');
    await this.#ledger.making(() => run(['mount', '-t', 'bpf', '-o', 'mode=0700', 'bpf', bpf]));
    return { name, namespace, address: `${net}.2`, address6: `${net6}:2`, directory };
  }

  /** A guest with one interface, plugged into a host. */
  async vm(name: string, host: Host, options: { readonly mac?: string } = {}): Promise<Vm> {
    const index = ++this.#vmCount;
    const namespace = await this.namespace(name);
    const mac = options.mac ?? `02:00:00:00:${hexOctet(index >> 8)}:${hexOctet(index & 255)}`;
    const vm: Vm = { name, namespace, mac, interfaceName: name.slice(0, 15) };
    await this.plug(vm, host);
    return vm;
  }

  /** Gives the VM its interface, with the other end on `host`. Offloads are on, as in a real guest. */
  async plug(vm: Vm, host: Host): Promise<void> {
    await ipBatch(host.namespace.fullName, [
      `link add ${vm.interfaceName} type veth peer name ${GUEST_INTERFACE} address ${vm.mac} netns ${vm.namespace.fullName}`,
      `link set ${vm.interfaceName} up`,
    ]);
    await ipBatch(vm.namespace.fullName, [`link set ${GUEST_INTERFACE} up`]);
  }

  /** Takes the VM's interface away, on both sides. */
  async unplug(vm: Vm): Promise<void> {
    await ipBatch(vm.namespace.fullName, [`link delete ${GUEST_INTERFACE}`]);
  }

  /** Makes a TCP service of a namespace reachable on the machine's loopback; 0 takes any port. Throws PortTaken. */
  async expose(namespace: Namespace, target: Target, port = 0): Promise<Exposed> {
    const exposed = await expose(namespace, target, port);
    this.#exposed.push(exposed);
    return exposed;
  }

  /** Ends every program, deletes every namespace, mount and file of the lab. May be called again. */
  async destroy(): Promise<void> {
    for (const exposed of this.#exposed.splice(0)) await exposed.close();
    await this.#ledger.close();
  }

  async #openUnderlay(): Promise<Namespace> {
    if (this.#underlay) return this.#underlay;
    const underlay = await this.namespace('underlay');
    await withoutAddressDetection(underlay);
    await underlay.sysctl('net/ipv4/ip_forward', 1);
    await underlay.sysctl('net/ipv6/conf/all/forwarding', 1);
    this.#underlay = underlay;
    return underlay;
  }
}

/** Throws NameTaken when a namespace of that prefix is there; call it after `cleanupStale`, before anything is made. */
export function checkNames(lab: string): void {
  const taken = namespaceNames().filter((name) => name.startsWith(`${lab}-`));
  if (taken.length > 0) {
    throw new NameTaken(
      `Network namespaces of the names ${taken.join(', ')} exist already and were not made by this program: remove them with "ip netns delete NAME".`,
    );
  }
}

/** Links of the underlay are usable at once; guests detect duplicate addresses as guests do. */
const withoutAddressDetection = (namespace: Namespace) => namespace.sysctl('net/ipv6/conf/default/accept_dad', 0);

const hexOctet = (value: number): string => value.toString(16).padStart(2, '0');
