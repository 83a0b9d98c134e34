// Addresses and services of a guest, with the clients that guests have; broadcast and path MTU.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BridgePlan } from '../../src/demo/cloud.ts';
import type { Guest } from '../../src/demo/world.ts';
import { Capture } from '../../src/lab/capture.ts';
import { dhclient, releaseLease } from '../../src/lab/dhcp.ts';
import { sendFrames } from '../../src/lab/frames.ts';
import { iperf } from '../../src/lab/iperf.ts';
import { GUEST_INTERFACE, UNDERLAY_INTERFACE } from '../../src/lab/lab.ts';
import { ping } from '../../src/lab/ping.ts';
import { waitFor } from '../../src/lab/wait.ts';
import { assertWhole, captureAt, describeCloud, pingGuest, SMALL_CLOUD } from './cloud.ts';

const [WEB, DB] = SMALL_CLOUD.tenants[0]!.bridges as readonly [BridgePlan, BridgePlan];

describeCloud('services', (world) => {
  test('every guest gets its IPv4 address by DHCP and its IPv6 address by router advertisement', async () => {
    await world().addressAll();
    for (const { namespace, plan } of world().guests.values()) {
      const addresses = await namespace.addresses(GUEST_INTERFACE);
      assert.deepEqual(addresses.toSorted(), [plan.address, plan.address6].toSorted(), plan.name);
    }
  });

  test('a lease carries what the subnet says, raw options included', async () => {
    const { client } = world().deployment;
    const guest = world().guest('web-2');
    const [subnet] = (await client.page('dhcpSubnet', { bridgeId: world().ids.of('web') })).items;
    const { revision } = await client.update('dhcpSubnet', subnet!.id, {
      dnsServers: ['10.1.1.53', '10.1.1.54'],
      domainName: 'web.example',
      ntpServers: ['10.1.1.123'],
      mtuBytes: 1442,
      routes: [{ destination: '192.0.2.0/25', gateway: '10.1.1.11' }],
      leaseSeconds: 600,
    });
    await world().deployment.live(revision);
    await releaseLease(guest.namespace, GUEST_INTERFACE, 4);
    const lease = await dhclient(guest.namespace, GUEST_INTERFACE, 4);
    assert.equal(lease.ip_address, guest.plan.address);
    assert.equal(lease.subnet_mask, '255.255.255.0');
    assert.equal(lease.domain_name_servers, '10.1.1.53 10.1.1.54');
    assert.equal(lease.domain_name, 'web.example');
    assert.equal(lease.ntp_servers, '10.1.1.123');
    assert.equal(lease.interface_mtu, '1442');
    assert.equal(lease.dhcp_lease_time, '600');
    const routes = await guest.namespace.ipJson<{ dst: string; gateway: string }[]>('route', 'show');
    assert.equal(routes.find(({ dst }) => dst === '192.0.2.0/25')?.gateway, '10.1.1.11');
    assert.equal(routes.find(({ dst }) => dst === 'default')?.gateway, WEB.gateway, 'RFC 3442: the list holds it, too');
  });

  test('a guest gets an address by DHCPv6 when its router says so', async () => {
    const { client } = world().deployment;
    const guest = world().guest('db-1');
    await world().change([
      {
        op: 'update',
        kind: 'port',
        id: world().ids.of('db gateway'),
        value: { routerAdvertisement: { managed: true } },
      },
      {
        op: 'create',
        kind: 'dhcpSubnet',
        value: { bridgeId: world().ids.of('db'), prefix: DB.network6, dnsServers: ['fd00:1:2::53'] },
      },
    ]);
    assert.ok(await client.get('port', world().ids.of('db gateway')));
    const lease = await dhclient(guest.namespace, GUEST_INTERFACE, 6);
    assert.equal(lease.ip6_address, guest.plan.address6);
    assert.equal(lease.dhcp6_name_servers, 'fd00:1:2::53');
  });

  test('packets pass within a bridge, across hosts and through the router, IPv4 and IPv6', async () => {
    const from = world().guest('web-1');
    for (const name of ['web-2', 'web-3', 'db-1']) {
      const to = world().guest(name);
      assertWhole(await pingGuest(from, to), name);
      assertWhole(await ping(from.namespace, to.plan.address6, { count: 5, intervalMs: 20 }), `${name} v6`);
    }
  });

  test('a router answers pings to its own addresses', async () => {
    const { namespace } = world().guest('web-1');
    for (const address of [WEB.gateway, DB.gateway, WEB.gateway6]) assertWhole(await ping(namespace, address), address);
  });

  test('fragments pass, within a bridge and routed, from the first packet on', async () => {
    const from = world().guest('web-1');
    for (const name of ['web-3', 'db-1']) {
      const { plan } = world().guest(name);
      for (const address of [plan.address, plan.address6]) {
        // Four fragments: as many packets of one class as may wait for its verdict.
        for (const payloadBytes of [5_000, 20_000]) {
          const what = `${payloadBytes} bytes to ${name}, ${address}`;
          assertWhole(await ping(from.namespace, address, { count: 3, payloadBytes }), what);
        }
      }
    }
  });

  test('UDP at 50 Mbit/s between hosts loses nothing', async () => {
    const [from, to] = [world().guest('web-1'), world().guest('web-3')];
    const result = await iperf(from.namespace, to.namespace, to.plan.address, { seconds: 1, udpBitsPerSecond: 50e6 });
    assert.ok(result.packets > 1000);
    assert.equal(result.lostPackets, 0);
  });

  test('a broadcast frame crosses the underlay once and reaches every other member once', async () => {
    const [from, near, far] = ['web-1', 'web-2', 'web-3'].map((name) => world().guest(name)) as [Guest, Guest, Guest];
    const marker = 'ether proto 0x88b5';
    const { namespace } = world().deployment.hypervisor('host2').host;
    const captures = await Promise.all([captureAt(near, marker), captureAt(far, marker), captureAt(from, marker)]);
    // 14 + 200 bytes, and 50 of Ethernet, IPv4, UDP and VXLAN: a length that nothing else has.
    const tunnel = await Capture.start(namespace, UNDERLAY_INTERFACE, 'udp dst port 6677 and len == 264');
    const frame = `ffffffffffff ${from.plan.mac.replaceAll(':', '')} 88b5 ${'5a'.repeat(200)}`;
    assert.equal(await sendFrames(from.namespace, GUEST_INTERFACE, [frame]), 1);
    for (const capture of captures) {
      await waitFor(async () => (await capture.lines()).length > 0, { what: 'the frame at a member' });
    }
    // Pings behind it: whatever copies there are have arrived by then.
    assertWhole(await pingGuest(from, near));
    assertWhole(await pingGuest(from, far));
    const counts = [];
    for (const capture of [...captures, tunnel]) counts.push((await capture.stop()).length);
    assert.deepEqual(counts, [1, 1, 1, 1], 'at web-2, web-3, web-1 (its own), on the underlay');
  });
});
