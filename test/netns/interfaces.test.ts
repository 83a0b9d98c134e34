// Interfaces come, go and move; so do the addresses behind them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GUEST_INTERFACE } from '../../src/lab/lab.ts';
import { ping } from '../../src/lab/ping.ts';
import { waitFor } from '../../src/lab/wait.ts';
import { assertWhole, aya, describeCloud, pingGuest } from './cloud.ts';

describeCloud('interfaces', (world) => {
  const stateOf = async (name: string) =>
    (await world().deployment.client.get('port', world().ids.of(name))).status?.state;

  test('a host reports its interfaces and the port that is plugged into each', async () => {
    const { client, hypervisors } = world().deployment;
    const guest = world().guest('web-1');
    const reported = await waitFor(
      async () => {
        const all = await client.status({ kind: 'interface', hostId: hypervisors.get('host1')!.id });
        const found = all.map(({ status }) => status).find(({ id }) => id === guest.vm.interfaceName);
        return found?.kind === 'interface' && found.portId !== undefined ? found : undefined;
      },
      { what: 'the interface of web-1 in the status of host1' },
    );
    assert.equal(reported.portId, world().ids.of('web-1'));
    assert.equal(reported.up, true);
    const [link] = await hypervisors
      .get('host1')!
      .host.namespace.ipJson<{ address: string; mtu: number }[]>('link', 'show', guest.vm.interfaceName);
    assert.equal(reported.mac, link!.address);
    assert.equal(reported.mtuBytes, link!.mtu);
  });

  test('an interface that goes takes its port down, and one that comes brings it up', async () => {
    await world().addressAll();
    const [from, guest] = [world().guest('web-2'), world().guest('web-1')];
    assertWhole(await pingGuest(from, guest));
    await world().lab.unplug(guest.vm);
    await waitFor(async () => (await stateOf('web-1')) !== 'up', { what: 'the port of web-1 to go down' });
    assert.equal((await pingGuest(from, guest, { waitMs: 300 })).received, 0);
    await world().lab.plug(guest.vm, world().deployment.hypervisor('host1').host);
    await waitFor(async () => (await stateOf('web-1')) === 'up', { what: 'the port of web-1 to come up' });
    await world().lease(guest);
    assertWhole(await pingGuest(from, guest));
  });

  /** Both ends of a guest's cable, and how each is pulled out and put back. */
  const ends = [
    {
      what: "the host's side",
      namespaceOf: () => world().deployment.hypervisor('host1').host.namespace,
      link: 'web-1',
    },
    { what: "the guest's side", namespaceOf: () => world().guest('web-1').namespace, link: GUEST_INTERFACE },
  ];
  for (const { what, namespaceOf, link } of ends) {
    test(`a link that is set down on ${what} takes its port down, and up again lets pings through again`, async () => {
      const guest = world().guest('web-1');
      const others = [world().guest('web-2'), world().guest('web-3')];
      for (const from of others) assertWhole(await pingGuest(from, guest), `${from.plan.name} before`);
      await namespaceOf().run(['ip', 'link', 'set', link, 'down']);
      await waitFor(async () => (await stateOf('web-1')) === 'down', { what: 'the port of web-1 to go down' });
      const { status } = await world().deployment.client.get('port', world().ids.of('web-1'));
      assert.match(status?.why ?? '', /web-1 has no carrier/);
      for (const from of others) {
        assert.equal((await pingGuest(from, guest, { waitMs: 300 })).received, 0, `${from.plan.name} while it is down`);
      }
      await namespaceOf().run(['ip', 'link', 'set', link, 'up']);
      await waitFor(async () => (await stateOf('web-1')) === 'up', { what: 'the port of web-1 to come up' });
      for (const from of others) {
        // A guest that was asked in vain remembers so for a while; it asks anew by itself.
        await waitFor(async () => (await pingGuest(from, guest, { count: 1, waitMs: 300 })).received === 1, {
          what: `an answer to ${from.plan.name}`,
        });
        assertWhole(await pingGuest(from, guest), `${from.plan.name} afterwards`);
      }
    });
  }

  test('bind --wait says why a port is not up, and comes back when it is; the interface is shown with its port', async () => {
    const { hypervisors } = world().deployment;
    const lost = await aya(world(), 'port', 'bind', 'web-1', 'host1:nothing', '--wait=3');
    assert.equal(lost.code, 10, lost.stderr);
    assert.match(
      lost.stderr,
      /port web-1 is not up at host1:nothing after 3 s, but down: no interface nothing on the host/,
    );
    const found = await aya(world(), 'port', 'bind', 'web-1', 'host1:web-1', '--wait');
    assert.equal(found.code, 0, found.stderr);
    assert.match(found.stdout, /port web-1 is up at host1:web-1\n$/);
    assert.equal(await stateOf('web-1'), 'up');
    assertWhole(await pingGuest(world().guest('web-2'), world().guest('web-1')));
    const shown = await waitFor(
      async () => {
        const answer = JSON.parse((await aya(world(), 'interface', 'show', 'host1:web-1', '--json')).stdout);
        return answer.portId !== undefined && answer;
      },
      { what: 'the interface to be told with its port' },
    );
    assert.deepEqual(
      [shown.hostId, shown.name, shown.up, shown.portId],
      [hypervisors.get('host1')!.id, 'web-1', true, world().ids.of('web-1')],
    );
  });

  test('a watch of status tells of an interface and its port as they go and come', async () => {
    const { client } = world().deployment;
    const hypervisor = world().deployment.hypervisor('host1');
    const guest = world().guest('web-1');
    const portId = world().ids.of('web-1');
    const { revision } = await client.statusPage({ limit: 1 });
    await world().lab.unplug(guest.vm);
    await waitFor(async () => (await stateOf('web-1')) !== 'up', { what: 'the port of web-1 to go down' });
    await world().lab.plug(guest.vm, hypervisor.host);
    await waitFor(async () => (await stateOf('web-1')) === 'up', { what: 'the port of web-1 to come up' });
    await world().lease(guest);
    const told: string[] = [];
    const comesAfter = (first: string, then: string): boolean =>
      told.includes(first) && told.lastIndexOf(then) > told.indexOf(first);
    const stop = new AbortController();
    for await (const frame of client.watchStatus(revision, { hostId: hypervisor.id }, stop.signal)) {
      if (!('put' in frame)) continue;
      for (const { kind, id } of frame.del) if (id === guest.vm.interfaceName) told.push(`${kind} gone`);
      for (const { status } of frame.put) {
        if (status.kind === 'interface' && status.portId === portId) told.push('interface there');
        if (status.kind === 'port' && status.id === portId) told.push(`port ${status.state}`);
      }
      if (comesAfter('interface gone', 'interface there') && comesAfter('port down', 'port up')) stop.abort();
    }
    assert.ok(stop.signal.aborted, `the watch ended by itself after: ${told.join(', ')}`);
  });

  test('a port that moves to another host is delivered there', async () => {
    const { client } = world().deployment;
    const [near, far, guest] = [world().guest('web-1'), world().guest('web-3'), world().guest('web-2')];
    const to = world().deployment.hypervisor('host2');
    assertWhole(await pingGuest(near, guest));
    await world().lab.unplug(guest.vm);
    await world().lab.plug(guest.vm, to.host);
    const { revision } = await client.update('port', world().ids.of('web-2'), { hostId: to.id });
    await world().deployment.live(revision);
    await waitFor(
      async () => {
        const { status } = await client.get('port', world().ids.of('web-2'));
        return status?.state === 'up' && status.hostId === to.id;
      },
      { what: 'web-2 to be up on host2' },
    );
    await world().lease(guest);
    assertWhole(await pingGuest(near, guest), 'from host1');
    assertWhole(await pingGuest(far, guest), 'from host2');
  });

  test('a MAC that appears behind another port is followed, without any configuration', async () => {
    const { ids, lab, deployment } = world();
    const places = { asker: 'host1', before: 'host1', after: 'host2' } as const;
    const vms = new Map<string, Awaited<ReturnType<typeof lab.vm>>>();
    for (const [name, host] of Object.entries(places)) {
      vms.set(name, await lab.vm(name, deployment.hypervisor(host).host));
    }
    await world().change([
      { op: 'create', kind: 'bridge', value: { id: ids.of('plain'), name: 'plain' } },
      ...Object.entries(places).map(
        ([name, host]) =>
          ({
            op: 'create',
            kind: 'port',
            value: {
              id: ids.of(name),
              name,
              deviceId: ids.of('plain'),
              hostId: deployment.hypervisor(host).id,
              interfaceName: name,
            },
          }) as const,
      ),
    ]);
    await deployment.portsUp(Object.keys(places).map((name) => ids.of(name)));
    const [asker, before, after] = ['asker', 'before', 'after'].map((name) => vms.get(name)!.namespace);
    await asker!.run(['ip', 'addr', 'add', '192.168.7.1/24', 'dev', GUEST_INTERFACE]);
    const wander = async (namespace: typeof asker) => {
      await namespace!.run(['ip', 'link', 'set', GUEST_INTERFACE, 'address', '02:00:00:00:77:77']);
      await namespace!.run(['ip', 'addr', 'add', '192.168.7.2/24', 'dev', GUEST_INTERFACE]);
    };
    await wander(before);
    assertWhole(await ping(asker!, '192.168.7.2', { count: 5, intervalMs: 20 }), 'at the first place');
    await before!.run(['ip', 'addr', 'flush', 'dev', GUEST_INTERFACE]);
    await before!.run(['ip', 'link', 'set', GUEST_INTERFACE, 'address', '02:00:00:00:77:01']);
    await wander(after);
    // Its first word from the new place tells the other host; what crosses on the way may still go to the old one.
    await waitFor(async () => (await ping(after!, '192.168.7.1', { count: 1, waitMs: 200 })).received === 1, {
      what: 'an answer at the second place',
      deadlineMs: 3_000,
    });
    assertWhole(await ping(after!, '192.168.7.1', { count: 5, intervalMs: 20 }), 'from the second place');
    assertWhole(await ping(asker!, '192.168.7.2', { count: 5, intervalMs: 20 }), 'to the second place');
  });
});
