// Agents and servers that stop, die and return, with traffic under way.

import assert from 'node:assert/strict';
import { readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CONTRACT_VERSION } from '../../src/datapath/contract.ts';
import { pauseMs, waitFor } from '../../src/lab/wait.ts';
import { assertWhole, aya, captureAt, describeCloud, pingGuest } from './cloud.ts';

/** Said by agents whose server was killed; all else is unexpected. */
const LOST = [/"why":"no server; trying again"/];

/** Of a host at its server (docs/api). */
const LEASE_MS = 10_000;

interface HostAnswer {
  readonly name: string;
  readonly status: { readonly alive: boolean };
}

describeCloud(
  'faults',
  (world) => {
    test('a first-ever flow passes to a port whose agent is stopped', async () => {
      await world().addressAll();
      const [from, to] = [world().guest('web-1'), world().guest('web-3')];
      const { agent } = world().deployment.hypervisor('host2');
      const capture = await captureAt(to, 'icmp[icmptype] = icmp-echo');
      agent.signal('SIGSTOP');
      try {
        await pingGuest(from, to, { count: 10, waitMs: 200 });
      } finally {
        agent.signal('SIGCONT');
      }
      assert.equal((await capture.stop()).length, 10);
      assertWhole(await pingGuest(from, to), 'after the agent goes on');
    });

    for (const hosts of [['host1'], ['host2'], ['host1', 'host2']]) {
      test(`killing the agent of ${hosts.join(' and ')} in mid-traffic loses no packet of a known flow`, async () => {
        const pairs = [
          [world().guest('web-1'), world().guest('web-3')],
          [world().guest('db-1'), world().guest('web-1')],
        ] as const;
        for (const [from, to] of pairs) assertWhole(await pingGuest(from, to));
        const traffic = Promise.all(pairs.map(([from, to]) => pingGuest(from, to, { count: 1500, intervalMs: 3 })));
        // Nobody awaits it when a line below throws.
        traffic.catch(() => {});
        await pauseMs(1_000);
        for (const host of hosts) await world().deployment.hypervisor(host).agent.kill();
        // With nobody there; then its successor takes over while packets go on.
        await pauseMs(1_000);
        await world().deployment.restartAgents(hosts);
        for (const result of await traffic) {
          assert.equal(result.sent, 1500);
          assertWhole(result);
        }
      });
    }

    test('a killed agent takes over on return: flows that it has never seen pass, and changes take effect', async () => {
      const { deployment, ids } = world();
      for (const host of ['host1', 'host2']) await deployment.hypervisor(host).agent.kill();
      await deployment.restartAgents(['host1', 'host2']);
      const [from, to] = [world().guest('web-2'), world().guest('db-1')];
      assertWhole(await pingGuest(from, to), 'a pair that never spoke before');
      await world().change([{ op: 'update', kind: 'port', id: ids.of('db-1'), value: { adminUp: false } }]);
      assert.equal((await pingGuest(from, to, { waitMs: 300 })).received, 0);
      await world().change([{ op: 'update', kind: 'port', id: ids.of('db-1'), value: { adminUp: true } }]);
      assertWhole(await pingGuest(from, to));
    });

    for (const version of [CONTRACT_VERSION - 1, CONTRACT_VERSION + 1]) {
      test(`an agent that finds programs and tables of contract version ${version} wires anew what it cannot convert`, async () => {
        await world().addressAll();
        const { deployment } = world();
        const [from, to] = [world().guest('web-1'), world().guest('web-3')];
        assertWhole(await pingGuest(from, to));
        const { host, id, agent } = deployment.hypervisor('host1');
        const pins = (name: string) => join(host.directory, 'bpf', id, name);
        const traffic = pingGuest(from, to, { count: 1500, intervalMs: 3 });
        traffic.catch(() => {});
        await pauseMs(500);
        await agent.kill();
        renameSync(pins(`v${CONTRACT_VERSION}`), pins(`v${version}`));
        await deployment.restartAgents(['host1']);
        const result = await traffic;
        assert.equal(result.sent, 1500);
        assert.ok(result.received > 0);
        assertWhole(await pingGuest(from, to), 'afterwards');
        assertWhole(await pingGuest(to, from), 'afterwards, back');
        assert.deepEqual(readdirSync(pins('')), [`v${CONTRACT_VERSION}`]);
      });
    }

    test('a host whose agent was killed is told as not alive when its lease has ended, and as alive again afterwards', async () => {
      const { hypervisors, client } = world().deployment;
      const asked = async (...words: string[]) => JSON.parse((await aya(world(), ...words, '--json')).stdout);
      /** Name -> alive. */
      const told = (hosts: readonly HostAnswer[]) => Object.fromEntries(hosts.map((h) => [h.name, h.status.alive]));
      const [all, lost] = [
        { host1: true, host2: true },
        { host1: false, host2: true },
      ];
      assert.deepEqual(told(await asked('host', 'list')), all);
      await hypervisors.get('host1')!.agent.kill();
      const killedMs = performance.now();
      await waitFor(async () => !(await client.get('host', hypervisors.get('host1')!.id)).status?.alive, {
        what: 'host1 to be told as not alive',
        deadlineMs: LEASE_MS + 5_000,
      });
      const seconds = (performance.now() - killedMs) / 1000;
      assert.ok(seconds > 1, `a lease outlives a short absence; this one ended after ${seconds} s`);
      assert.deepEqual(told(await asked('host', 'list')), lost);
      const status = await asked('status');
      assert.deepEqual(told(status.hosts), lost);
      assert.deepEqual(status.away, ['host1'], 'the host that could not be asked');
      await world().deployment.restartAgents(['host1']);
      assert.deepEqual(told(await asked('host', 'list')), all);
      const after = await asked('status');
      assert.deepEqual([told(after.hosts), after.away], [all, []]);
    });

    test('without a server, known and new flows pass; a new server takes changes again', async () => {
      const { deployment, ids } = world();
      const [from, to] = [world().guest('web-1'), world().guest('web-2')];
      assertWhole(await pingGuest(from, world().guest('web-3')));
      await deployment.serverProcess.kill();
      assertWhole(await pingGuest(from, world().guest('web-3')), 'a known flow');
      assertWhole(await pingGuest(to, world().guest('web-3')), 'a new flow');
      await deployment.restartServer();
      await world().change([{ op: 'update', kind: 'port', id: ids.of('web-2'), value: { adminUp: false } }]);
      assert.equal((await pingGuest(from, to, { waitMs: 300 })).received, 0);
      await world().change([{ op: 'update', kind: 'port', id: ids.of('web-2'), value: { adminUp: true } }]);
      await waitFor(async () => (await pingGuest(from, to, { waitMs: 300 })).received > 0, { what: 'web-2 to answer' });
    });
  },
  { expectedTroubles: LOST },
);
