// Where a contender is measured: two hosts joined by a wire, a guest on each.
//
//   sender ── veth ── host1 ── wire0 ─────── wire0 ── host2 ── veth ── receiver
//    eth0            guest0   (one veth pair, MTU 1610)   guest0      eth0

import { ipBatch } from '../../src/lab/command.ts';
import { GUEST_INTERFACE, type Lab } from '../../src/lab/lab.ts';
import type { Namespace } from '../../src/lab/namespace.ts';
import type { ContenderName, JobName } from '../names.ts';

export interface Bed {
  readonly contender: ContenderName;
  readonly job: JobName;
  readonly sender: Namespace;
  readonly receiver: Namespace;
  /** Of the guests. */
  readonly from: string;
  readonly address: string;
}

export interface Woven {
  readonly beds: readonly Bed[];
  /** Those with an end of the wire. */
  readonly hosts: readonly Namespace[];
}

export const WIRE = 'wire0';
/** 1500 for guests, a tunnel over IPv6 and inline state. */
const WIRE_MTU_BYTES = 1610;
export const WIRE_ADDRESSES = ['10.99.0.1', '10.99.0.2'] as const;

export interface Plan {
  /** Of the guests, with prefix lengths. */
  readonly addresses: readonly [string, string];
  /** Of l3: the router's at each guest. */
  readonly gateways?: readonly [string, string];
}
export const PLANS: Readonly<Record<JobName, Plan>> = {
  l2: { addresses: ['10.71.0.11/24', '10.71.0.12/24'] },
  l3: { addresses: ['10.72.1.11/24', '10.72.2.12/24'], gateways: ['10.72.1.1', '10.72.2.1'] },
};
/** Of l3: the network of each guest. */
export const NETWORKS = ['10.72.1.0/24', '10.72.2.0/24'] as const;
export const GUEST_MACS: Readonly<Record<JobName, readonly [string, string]>> = {
  l2: ['02:00:00:00:71:01', '02:00:00:00:71:02'],
  l3: ['02:00:00:00:72:01', '02:00:00:00:72:02'],
};

export const addressOf = (withLength: string): string => withLength.slice(0, withLength.indexOf('/'));

/** The only link between two hosts but for what they may have to a server. */
export async function wireHosts(a: Namespace, b: Namespace): Promise<void> {
  const mtu = `mtu ${WIRE_MTU_BYTES}`;
  await ipBatch(a.fullName, [
    `link add ${WIRE} ${mtu} type veth peer name ${WIRE} ${mtu} netns ${b.fullName}`,
    `link set ${WIRE} up`,
  ]);
  await ipBatch(b.fullName, [`link set ${WIRE} up`]);
}

/** The ends of the wire get addresses, on it or on what carries them in its place. */
export async function addressHosts(hosts: readonly Namespace[], interfaceName = WIRE): Promise<void> {
  for (const [at, host] of hosts.entries()) {
    await ipBatch(host.fullName, [`addr add ${WIRE_ADDRESSES[at]}/30 dev ${interfaceName}`]);
  }
}

/** Two hosts of this name, wired. */
export async function twoHosts(lab: Lab, name: string): Promise<[Namespace, Namespace]> {
  const hosts: [Namespace, Namespace] = [await lab.namespace(`${name}-h1`), await lab.namespace(`${name}-h2`)];
  await wireHosts(...hosts);
  return hosts;
}

/** A guest at a host, by an interface there of that name. */
export async function addGuest(
  lab: Lab,
  name: string,
  host: Namespace,
  interfaceName: string,
  mac: string,
): Promise<Namespace> {
  const guest = await lab.namespace(name);
  await ipBatch(host.fullName, [
    `link add ${interfaceName} type veth peer name ${GUEST_INTERFACE} address ${mac} netns ${guest.fullName}`,
    `link set ${interfaceName} up`,
  ]);
  await ipBatch(guest.fullName, [`link set ${GUEST_INTERFACE} up`]);
  return guest;
}

/** Gives a guest its address and, where there is one, its default route. */
export async function addressGuest(guest: Namespace, job: JobName, at: 0 | 1): Promise<void> {
  const { addresses, gateways } = PLANS[job];
  await ipBatch(guest.fullName, [
    `addr add ${addresses[at]} dev ${GUEST_INTERFACE}`,
    ...(gateways === undefined ? [] : [`route add default via ${gateways[at]}`]),
  ]);
}

/** Both guests of a job, with addresses. `interfaceName`: of the host's side. */
export async function addGuests(
  lab: Lab,
  name: string,
  job: JobName,
  hosts: readonly [Namespace, Namespace],
  interfaceName: string,
): Promise<[Namespace, Namespace]> {
  const one = async (at: 0 | 1): Promise<Namespace> => {
    const guest = await addGuest(lab, `${name}-v${at + 1}`, hosts[at], interfaceName, GUEST_MACS[job][at]);
    await addressGuest(guest, job, at);
    return guest;
  };
  return [await one(0), await one(1)];
}

export function bedOf(contender: ContenderName, job: JobName, guests: readonly [Namespace, Namespace]): Bed {
  const [from, address] = PLANS[job].addresses;
  return {
    contender,
    job,
    sender: guests[0],
    receiver: guests[1],
    from: addressOf(from),
    address: addressOf(address),
  };
}

/** Both hosts are routers. */
export async function forwardOn(hosts: readonly Namespace[]): Promise<void> {
  for (const host of hosts) await host.sysctl('net/ipv4/ip_forward', 1);
}
