// A port that moves to another host while others talk to its guest.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bridgePlan, type CloudPlan, tenantPlan } from '../../src/demo/cloud.ts';
import type { Guest, World } from '../../src/demo/world.ts';
import { waitFor } from '../../src/lab/wait.ts';
import { assertWhole, describeCloud, pingGuest } from './cloud.ts';

/** web-1 is alone on host1: with it goes all that host1 has of the network. */
const PLAN: CloudPlan = {
  hosts: ['host1', 'host2', 'host3'],
  tenants: [tenantPlan(1, 'red', true, [bridgePlan(1, 1, 'web', ['host1', 'host2', 'host3'])])],
};

async function moveTo(world: World, guest: Guest, host: string): Promise<void> {
  const { client, hypervisor } = { client: world.deployment.client, hypervisor: world.deployment.hypervisor(host) };
  const id = world.ids.of(guest.plan.name);
  await world.lab.unplug(guest.vm);
  await world.lab.plug(guest.vm, hypervisor.host);
  await client.update('port', id, { hostId: hypervisor.id });
  await waitFor(
    async () => {
      const { status } = await client.get('port', id);
      return status?.state === 'up' && status.hostId === hypervisor.id;
    },
    { what: `${guest.plan.name} to be up on ${host}` },
  );
  await world.lease(guest);
}

describeCloud(
  'moves',
  (world) => {
    test('a guest that moves in mid-traffic gets nothing twice, and everything once its port is up', async () => {
      await world().addressAll();
      const [mover, other] = [world().guest('web-1'), world().guest('web-2')];
      assertWhole(await pingGuest(other, mover));
      const traffic = pingGuest(other, mover, { count: 2000, intervalMs: 3 });
      // Nobody awaits it when a line below throws.
      traffic.catch(() => {});
      await moveTo(world(), mover, 'host3');
      assertWhole(await pingGuest(other, mover, { count: 200, intervalMs: 3 }), 'at the new host');
      const { received, duplicates } = await traffic;
      assert.equal(duplicates, 0);
      assert.ok(received > 0);
      await moveTo(world(), mover, 'host1');
      assertWhole(await pingGuest(other, mover, { count: 200, intervalMs: 3 }), 'back again');
    });

    test('what a host that has not heard of the move still sends to the old one is sent on', async () => {
      const [mover, other] = [world().guest('web-1'), world().guest('web-2')];
      const { agent } = world().deployment.hypervisor('host2');
      assertWhole(await pingGuest(other, mover));
      agent.signal('SIGSTOP');
      try {
        await moveTo(world(), mover, 'host3');
        assertWhole(await pingGuest(other, mover, { count: 200, intervalMs: 3 }), 'by way of host1');
      } finally {
        agent.signal('SIGCONT');
      }
      assertWhole(await pingGuest(other, mover, { count: 200, intervalMs: 3 }), 'straight to host3');
      await moveTo(world(), mover, 'host1');
    });
  },
  { plan: PLAN },
);
