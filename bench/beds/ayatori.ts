// Ayatori: a server and two agents as an operator would start them, one bridge for l2, two and a router for l3.

import { randomUUID } from 'node:crypto';
import type { Operation } from '../../src/client/client.ts';
import { Deployment } from '../../src/demo/deployment.ts';
import type { Lab } from '../../src/lab/lab.ts';
import { JOBS, type JobName, namesOf } from '../names.ts';
import { addGuests, addressHosts, bedOf, GUEST_MACS, PLANS, WIRE_ADDRESSES, type Woven, wireHosts } from './bed.ts';

const HOSTS = ['host1', 'host2'] as const;

export interface WovenAyatori extends Woven {
  readonly deployment: Deployment;
  /** Ids of the ports of the guests. */
  readonly ports: Readonly<Record<JobName, readonly [string, string]>>;
}

/** Always with the beds of all jobs: its own figures are taken on them. */
export async function weaveAyatori(lab: Lab): Promise<WovenAyatori> {
  const jobs = namesOf(JOBS);
  const deployment = await Deployment.start(lab, HOSTS);
  const [first, second] = HOSTS.map((name) => deployment.hypervisor(name));
  const hosts = [first!.host.namespace, second!.host.namespace] as const;
  await wireHosts(...hosts);
  await addressHosts(hosts);
  const hostIds = [first!.id, second!.id] as const;
  const ports: Record<JobName, [string, string]> = {
    l2: [randomUUID(), randomUUID()],
    l3: [randomUUID(), randomUUID()],
  };
  const beds = [];
  for (const job of jobs) {
    beds.push(bedOf('ayatori', job, await addGuests(lab, `ayatori-${job}`, job, hosts, `guest-${job}`)));
  }
  const { revision } = await deployment.client.transaction([
    {
      op: 'create',
      kind: 'tunnelZone',
      value: { name: 'wire', members: hostIds.map((hostId, at) => ({ hostId, address: WIRE_ADDRESSES[at]! })) },
    },
    ...jobs.flatMap((job) => operationsOf(job, hostIds, ports[job])),
  ]);
  await deployment.live(revision);
  await deployment.portsUp(jobs.flatMap((job) => ports[job]));
  return { beds, hosts, deployment, ports };
}

function operationsOf(
  job: JobName,
  hostIds: readonly [string, string],
  portIds: readonly [string, string],
): Operation[] {
  const guest = (deviceId: string, at: 0 | 1): Operation => ({
    op: 'create',
    kind: 'port',
    value: {
      id: portIds[at],
      name: `${job}-${at + 1}`,
      deviceId,
      mac: GUEST_MACS[job][at],
      addresses: [PLANS[job].addresses[at]],
      hostId: hostIds[at],
      interfaceName: `guest-${job}`,
    },
  });
  const bridge = (id: string, name: string): Operation => ({ op: 'create', kind: 'bridge', value: { id, name } });
  if (job === 'l2') {
    const id = randomUUID();
    return [bridge(id, 'l2'), guest(id, 0), guest(id, 1)];
  }
  const router = randomUUID();
  const side = (at: 0 | 1): Operation[] => {
    const [network, outlet, inlet] = [randomUUID(), randomUUID(), randomUUID()];
    const name = `l3-net${at + 1}`;
    return [
      bridge(network, name),
      { op: 'create', kind: 'port', value: { id: inlet, name: `${name} router`, deviceId: network } },
      {
        op: 'create',
        kind: 'port',
        value: {
          id: outlet,
          name: `${name} gateway`,
          deviceId: router,
          addresses: [`${PLANS.l3.gateways![at]}/24`],
          peerId: inlet,
        },
      },
      guest(network, at),
    ];
  };
  return [{ op: 'create', kind: 'router', value: { id: router, name: 'l3' } }, ...side(0), ...side(1)];
}
