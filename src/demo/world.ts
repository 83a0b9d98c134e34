// What steps stand on: the deployment, the woven cloud and its guests.

import type { Operation } from '../client/client.ts';
import { dhclient, type Lease } from '../lab/dhcp.ts';
import { GUEST_INTERFACE, type Lab, type Vm } from '../lab/lab.ts';
import type { Namespace } from '../lab/namespace.ts';
import { waitFor } from '../lab/wait.ts';
import { type CloudPlan, type HostRecord, Ids, operationsOf, type VmPlan, vmsOf } from './cloud.ts';
import type { Deployment } from './deployment.ts';

export interface Guest {
  readonly plan: VmPlan;
  readonly vm: Vm;
  readonly namespace: Namespace;
}

export class World {
  readonly lab: Lab;
  readonly plan: CloudPlan;
  readonly deployment: Deployment;
  readonly ids: Ids;
  readonly guests: ReadonlyMap<string, Guest>;

  private constructor(lab: Lab, plan: CloudPlan, deployment: Deployment, ids: Ids, guests: Map<string, Guest>) {
    this.lab = lab;
    this.plan = plan;
    this.deployment = deployment;
    this.ids = ids;
    this.guests = guests;
  }

  /** VMs plugged and bound, every port up, the whole configuration live on every host. No guest has an address yet. */
  static async weave(lab: Lab, plan: CloudPlan, deployment: Deployment): Promise<World> {
    const guests = new Map<string, Guest>();
    for (const each of vmsOf(plan)) {
      const vm = await lab.vm(each.name, deployment.hypervisor(each.host).host, { mac: each.mac });
      guests.set(each.name, { plan: each, vm, namespace: vm.namespace });
    }
    const hosts = new Map<string, HostRecord>();
    for (const [name, { id, host }] of deployment.hypervisors) hosts.set(name, { id, address: host.address });
    const world = new World(lab, plan, deployment, new Ids(), guests);
    await world.change(operationsOf(plan, world.ids, hosts));
    await deployment.portsUp([...guests.keys()].map((name) => world.ids.of(name)));
    return world;
  }

  guest(name: string): Guest {
    const found = this.guests.get(name);
    if (!found) throw new Error(`there is no VM ${name} in this cloud`);
    return found;
  }

  /** Writes all or nothing and waits until it is live on every host. Gives how long that took. */
  async change(operations: readonly Operation[]): Promise<number> {
    const start = performance.now();
    const { revision } = await this.deployment.client.transaction(operations);
    await this.deployment.live(revision);
    return performance.now() - start;
  }

  /** Asks for an IPv4 address by DHCP. */
  lease(guest: Guest): Promise<Lease> {
    return dhclient(guest.namespace, GUEST_INTERFACE, 4);
  }

  /** Waits until the guest has made its IPv6 address and found its router. Gives when that was, on performance.now(). */
  async advertised(guest: Guest): Promise<number> {
    await waitFor(
      async () => {
        const addresses = await guest.namespace.addresses(GUEST_INTERFACE);
        if (!addresses.includes(guest.plan.address6)) return false;
        const routes = await guest.namespace.ipJson<unknown[]>('-6', 'route', 'show', 'default');
        return routes.length > 0;
      },
      {
        what: `${guest.plan.name} to have ${guest.plan.address6} and a default route`,
        deadlineMs: 20_000,
        everyMs: 100,
      },
    );
    return performance.now();
  }

  /** Gives every guest its addresses of both families. */
  async addressAll(): Promise<void> {
    const guests = [...this.guests.values()];
    await Promise.all(guests.flatMap((guest) => [this.lease(guest), this.advertised(guest)]));
  }
}
