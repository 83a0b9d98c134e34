// The first packet that a host ever sends to a device that it knows nothing of: it waits for the device, and arrives.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bridgePlan, tenantPlan } from '../../src/demo/cloud.ts';
import { describeCloud, pingGuest } from './cloud.ts';

const FAR = [1, 2, 3, 4, 5].map((n) => `far${n}`);

describeCloud(
  'first packets',
  (world) => {
    test('every first-ever ping to a bridge of which the host has no port arrives', async () => {
      await world().addressAll();
      const from = world().guest('near-1');
      const answered: string[] = [];
      for (const name of FAR) {
        // One packet and no second try; ping itself waits longer than the agent keeps it.
        const { received } = await pingGuest(from, world().guest(`${name}-1`), { count: 1, waitMs: 4000 });
        if (received === 1) answered.push(name);
      }
      assert.deepEqual(answered, FAR);
    });
  },
  {
    plan: {
      hosts: ['host1', 'host2', 'host3'],
      tenants: [
        tenantPlan(1, 'red', true, [
          bridgePlan(1, 1, 'near', ['host1']),
          ...FAR.map((name, at) => bridgePlan(1, at + 2, name, [at % 2 === 0 ? 'host2' : 'host3'])),
        ]),
      ],
    },
  },
);
