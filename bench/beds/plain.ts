// What Linux does by itself: without a tunnel (`limit`), and with a VXLAN device (`linux`).
//
//            l2                                         l3
//   limit    guest0 ─ br0 ─ wire0                       guest0 ─ routes ─ wire0
//   linux    guest0 ─ br0 ─ vx0 ─ wire0                 guest0 ─ routes ─ vx0 ─ wire0
//
// The best of what was tried for `linux`: the tunnel leads to one place, routes lead straight to it on both hosts (no
// bridge), and packets are merged on the wire and not once more on the tunnel device (docs/benchmarks.md).

import { ipBatch } from '../../src/lab/command.ts';
import type { Lab } from '../../src/lab/lab.ts';
import type { Namespace } from '../../src/lab/namespace.ts';
import type { JobName } from '../names.ts';
import {
  addGuests,
  addressHosts,
  bedOf,
  forwardOn,
  NETWORKS,
  PLANS,
  twoHosts,
  WIRE,
  WIRE_ADDRESSES,
  type Woven,
} from './bed.ts';

const GUEST = 'guest0';
const TUNNEL = 'vx0';
const TUNNEL_ADDRESSES = ['10.98.0.1', '10.98.0.2'] as const;
const VNI = 71;
/** RFC 7348. */
const VXLAN_PORT = 4789;

export async function weavePlain(lab: Lab, contender: 'limit' | 'linux', jobs: readonly JobName[]): Promise<Woven> {
  const woven = await Promise.all(
    jobs.map(async (job) => {
      const name = `${contender}-${job}`;
      const hosts = await twoHosts(lab, name);
      const guests = await addGuests(lab, name, job, hosts, GUEST);
      if (contender === 'linux') await addTunnel(hosts);
      const way = contender === 'linux' ? TUNNEL : WIRE;
      if (job === 'l2') await bridge(hosts, way);
      else await route(hosts, way, contender === 'linux' ? TUNNEL_ADDRESSES : WIRE_ADDRESSES);
      return { beds: [bedOf(contender, job, guests)], hosts };
    }),
  );
  return { beds: woven.flatMap(({ beds }) => beds), hosts: woven.flatMap(({ hosts }) => hosts) };
}

async function addTunnel(hosts: readonly Namespace[]): Promise<void> {
  await addressHosts(hosts);
  for (const [at, host] of hosts.entries()) {
    const ends = `local ${WIRE_ADDRESSES[at]} remote ${WIRE_ADDRESSES[1 - at]}`;
    await ipBatch(host.fullName, [
      `link add ${TUNNEL} mtu 1500 type vxlan id ${VNI} ${ends} dstport ${VXLAN_PORT} nolearning dev ${WIRE}`,
      `link set ${TUNNEL} up`,
    ]);
    await host.run(['ethtool', '-K', TUNNEL, 'gro', 'off']);
  }
}

async function bridge(hosts: readonly Namespace[], way: string): Promise<void> {
  for (const host of hosts) {
    await ipBatch(host.fullName, [
      'link add br0 type bridge',
      `link set ${GUEST} master br0`,
      `link set ${way} master br0`,
      'link set br0 up',
    ]);
  }
}

async function route(hosts: readonly Namespace[], way: string, ends: readonly [string, string]): Promise<void> {
  await forwardOn(hosts);
  for (const [at, host] of hosts.entries()) {
    await ipBatch(host.fullName, [
      `addr add ${PLANS.l3.gateways![at]}/24 dev ${GUEST}`,
      `addr add ${ends[at]}/30 dev ${way}`,
      `route add ${NETWORKS[1 - at]} via ${ends[1 - at]} dev ${way}`,
    ]);
  }
}
