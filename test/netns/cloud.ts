// A deployment with a small cloud for the tests of one file, and what is asserted after each of them: every flow in
// every kernel is what a fresh agent would compute; and at the end: no log holds an unexpected warning or error.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, afterEach, before, describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { bridgePlan, type CloudPlan, tenantPlan } from '../../src/demo/cloud.ts';
import { Deployment } from '../../src/demo/deployment.ts';
import { type Guest, World } from '../../src/demo/world.ts';
import { Capture } from '../../src/lab/capture.ts';
import { attempt, type Output } from '../../src/lab/command.ts';
import { GUEST_INTERFACE, Lab } from '../../src/lab/lab.ts';
import { cleanupStale } from '../../src/lab/ledger.ts';
import { type PingOptions, type PingResult, ping } from '../../src/lab/ping.ts';
import { labName, needsRoot } from './root.ts';

/** web-1 and web-2 on host1, web-3 on host2; db-1 on host2 behind the router. */
export const SMALL_CLOUD: CloudPlan = {
  hosts: ['host1', 'host2'],
  tenants: [
    tenantPlan(1, 'red', true, [
      bridgePlan(1, 1, 'web', ['host1', 'host1', 'host2']),
      bridgePlan(1, 2, 'db', ['host2']),
    ]),
  ],
};

export interface CloudOptions {
  /** Log lines that the tests of this file provoke. */
  readonly expectedTroubles?: readonly RegExp[];
  /** Default: `SMALL_CLOUD`. */
  readonly plan?: CloudPlan;
}

/** `world` is there when the tests run. Addresses of guests are not asked for. */
export function describeCloud(name: string, body: (world: () => World) => void, options: CloudOptions = {}): void {
  describe(name, { skip: needsRoot() }, () => {
    let lab: Lab | undefined;
    let world: World | undefined;
    const plan = options.plan ?? SMALL_CLOUD;
    const there = () => {
      if (!world) throw new Error('the cloud did not come up');
      return world;
    };
    before(async () => {
      await cleanupStale();
      lab = await Lab.create(labName());
      const deployment = await Deployment.start(lab, plan.hosts);
      world = await World.weave(lab, plan, deployment);
    });
    afterEach(async () => {
      if (!world) return;
      for (const { name: host, differences } of await world.deployment.audit()) {
        assert.deepEqual(differences, [], `audit of ${host}`);
      }
    });
    after(async () => {
      const troubles = world?.deployment.troubles(options.expectedTroubles) ?? [];
      await lab?.destroy();
      assert.deepEqual(troubles, [], 'log lines that nothing here should cause');
    });
    body(there);
  });
}

/** Every packet came back, once, and nothing else did. */
export function assertWhole(result: PingResult, what = 'ping'): void {
  const { sent, received, duplicates, errors } = result;
  assert.deepEqual({ received, duplicates, errors }, { received: sent, duplicates: 0, errors: [] }, what);
  assert.ok(sent > 0);
}

export const pingGuest = (from: Guest, to: Guest, options?: PingOptions): Promise<PingResult> =>
  ping(from.namespace, to.plan.address, { count: 5, intervalMs: 20, ...options });

export const captureAt = (guest: Guest, filter?: string): Promise<Capture> =>
  Capture.start(guest.namespace, GUEST_INTERFACE, filter);

const PROGRAM = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** The command line, as an operator of this deployment has it. */
export function aya({ deployment }: World, ...words: string[]): Promise<Output> {
  const { access, server } = deployment;
  const flags = ['--server', access.url, '--state-dir', join(server.directory, 'state')];
  return attempt([process.execPath, PROGRAM, ...words, ...flags], { deadlineMs: 60_000 });
}

/** How many packets a host dropped for this reason (`DROP` in src/flow/reasons.ts). */
export async function drops(world: World, host: string, reason: string): Promise<number> {
  const report = await world.deployment.client.counters(world.deployment.hypervisor(host).id);
  return report.drops.find((drop) => drop.reason === reason)?.packets ?? 0;
}
