// What filters tell real clients, and VLANs as frames on the wire: trunks and access ports on two hosts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Operation } from '../../src/client/client.ts';
import { Capture } from '../../src/lab/capture.ts';
import { sendFrames } from '../../src/lab/frames.ts';
import { GUEST_INTERFACE } from '../../src/lab/lab.ts';
import type { Namespace } from '../../src/lab/namespace.ts';
import { ping } from '../../src/lab/ping.ts';
import { waitFor } from '../../src/lab/wait.ts';
import { assertWhole, captureAt, describeCloud, pingGuest } from './cloud.ts';

const HTTP_PORT = 80;
/** A client sends its SYN anew after 1 s (RFC 6298): what comes earlier is an answer to the first. */
const AT_ONCE_MS = 500;

/** Connects and tells how that ended, `connected` or the error's code, and how long it took. */
async function connect(from: Namespace, address: string): Promise<{ readonly end: string; readonly tookMs: number }> {
  const program = `
    const start = performance.now();
    const socket = require('node:net').connect({ host: '${address}', port: ${HTTP_PORT} });
    const tell = (end) => { console.log(JSON.stringify({ end, tookMs: performance.now() - start })); socket.destroy(); };
    socket.on('connect', () => tell('connected')).on('error', (error) => tell(error.code));
    socket.setTimeout(4000, () => tell('nothing came'));`;
  return JSON.parse((await from.run([process.execPath, '-e', program])).stdout);
}

const hexOf = (macOrIp: string): string =>
  macOrIp.includes(':')
    ? macOrIp.replaceAll(':', '')
    : macOrIp
        .split('.')
        .map((octet) => Number(octet).toString(16).padStart(2, '0'))
        .join('');

describeCloud('filters', (world) => {
  test('clients of what a chain rejects hear so at once: connection refused by reset, ping prohibited', async () => {
    await world().addressAll();
    const { ids } = world();
    const from = world().guest('web-1');
    // Over the bridge to another host, and through the router.
    const targets = [world().guest('web-3'), world().guest('db-1')];
    for (const { namespace } of targets) {
      const listener = `require('node:net').createServer((socket) => socket.end()).listen(${HTTP_PORT}, '::', () => console.log('listening'))`;
      await (await namespace.spawn('listener', [process.execPath, '-e', listener])).says(/listening/);
    }
    const pairs = targets.flatMap(({ plan }) => [plan.address, plan.address6]);
    for (const address of pairs) assert.equal((await connect(from.namespace, address)).end, 'connected', address);
    await world().change([
      { op: 'create', kind: 'chain', value: { id: ids.of('guard'), name: 'guard' } },
      ...[6, 1, 58].map(
        (protocol): Operation => ({
          op: 'create',
          kind: 'rule',
          value: {
            chainId: ids.of('guard'),
            action: 'reject',
            match: {
              protocol,
              ...(protocol === 6 ? { destinationPorts: { from: HTTP_PORT, to: HTTP_PORT } } : {}),
              // Echo requests alone: neighbour discovery is ICMPv6, too.
              ...(protocol === 1 ? { icmpType: 8 } : {}),
              ...(protocol === 58 ? { icmpType: 128 } : {}),
            },
          },
        }),
      ),
      { op: 'update', kind: 'port', id: ids.of('web-1'), value: { inboundChainId: ids.of('guard') } },
    ]);
    const captures = await Promise.all(
      targets.map((guest) => captureAt(guest, `tcp port ${HTTP_PORT} or icmp[0] == 8 or icmp6[0] == 128`)),
    );
    for (const address of pairs) {
      const { end, tookMs } = await connect(from.namespace, address);
      assert.equal(end, 'ECONNREFUSED', address);
      assert.ok(tookMs < AT_ONCE_MS, `${address}: refused after ${tookMs} ms`);
      const { received, errors } = await ping(from.namespace, address, { count: 1 });
      assert.equal(received, 0, address);
      // ping's words for ICMP type 3 code 13, and for ICMPv6 type 1 code 1.
      assert.match(errors[0]?.text ?? '', /^Packet filtered|Administratively prohibited/i, address);
    }
    for (const capture of captures) assert.deepEqual(await capture.stop(), [], 'what was rejected did not arrive');
    await world().change([{ op: 'update', kind: 'port', id: ids.of('web-1'), value: { inboundChainId: null } }]);
    for (const address of pairs) assert.equal((await connect(from.namespace, address)).end, 'connected', address);
    for (const guest of targets) assertWhole(await pingGuest(from, guest));
  });

  test('a trunk and access ports on two hosts: tags on the trunk, none on access ports, each VLAN for itself', async () => {
    const { deployment, ids, lab } = world();
    const places = {
      trunk: { host: 'host1' },
      far: { host: 'host2' },
      ten: { host: 'host2', vlan: 10 },
      twenty: { host: 'host2', vlan: 20 },
      near: { host: 'host1', vlan: 10 },
    } as const;
    const vms = new Map<string, Awaited<ReturnType<typeof lab.vm>>>();
    for (const [name, { host }] of Object.entries(places)) {
      vms.set(name, await lab.vm(name, deployment.hypervisor(host).host));
    }
    await world().change([
      { op: 'create', kind: 'bridge', value: { id: ids.of('vlans'), name: 'vlans' } },
      ...Object.entries(places).map(
        ([name, place]): Operation => ({
          op: 'create',
          kind: 'port',
          value: {
            id: ids.of(name),
            name,
            deviceId: ids.of('vlans'),
            ...('vlan' in place ? { vlan: place.vlan } : {}),
            hostId: deployment.hypervisor(place.host).id,
            interfaceName: name,
          },
        }),
      ),
    ]);
    await deployment.portsUp(Object.keys(places).map((name) => ids.of(name)));
    // The guest in VLAN 10 is a real one: its kernel answers ARP and echo requests, untagged.
    const answerer = { ip: '192.168.10.2', mac: vms.get('ten')!.mac };
    await vms.get('ten')!.namespace.run(['ip', 'addr', 'add', `${answerer.ip}/24`, 'dev', GUEST_INTERFACE]);

    const station = { ip: '192.168.10.9', mac: '02:00:00:00:99:09' };
    const tag = (vlan: number) => `8100${vlan.toString(16).padStart(4, '0')}`;
    const probe = (marker: string) => `88b5${marker.padEnd(92, '0')}`;
    const send = (name: string, ...frames: string[]) => sendFrames(vms.get(name)!.namespace, GUEST_INTERFACE, frames);
    const captures = new Map<string, Capture>();
    for (const [name, { namespace }] of vms) {
      captures.set(name, await Capture.start(namespace, GUEST_INTERFACE));
    }
    const seen = async (name: string, pattern: RegExp) =>
      (await captures.get(name)!.lines()).filter((line) => pattern.test(line));
    const arrives = (name: string, pattern: RegExp) =>
      waitFor(async () => (await seen(name, pattern)).length > 0, { what: `${pattern} at ${name}` });

    const from = hexOf(station.mac);
    const arp = `0806 0001080006040001${from}${hexOf(station.ip)}000000000000${hexOf(answerer.ip)}`;
    await send('trunk', `ffffffffffff${from}${tag(10)}${arp}`, `ffffffffffff${from}${tag(20)}${probe('20')}`);
    await arrives('far', /vlan 10, .*Request who-has 192\.168\.10\.2/);
    await arrives('far', /vlan 20, .*0x88b5/);
    await arrives('near', /ethertype ARP .*Request who-has 192\.168\.10\.2/);
    await arrives('twenty', /ethertype Unknown \(0x88b5\)/);
    await arrives('trunk', /vlan 10, .*Reply 192\.168\.10\.2 is-at/);
    await waitFor(
      async () =>
        (await deployment.client.status({ kind: 'mac', hostId: deployment.hypervisor('host1').id })).some(
          ({ status }) => status.id === `${ids.of('vlans')},10,${station.mac}`,
        ),
      { what: 'the station to be learned in VLAN 10' },
    );

    // ICMP echo request with id and sequence 0 and no data, in an IPv4 header (RFC 791, RFC 792) with right checksums.
    const echo = `08004500001c0000000040 01e585 ${hexOf(station.ip)}${hexOf(answerer.ip)}0800f7ff00000000`;
    await send('trunk', `${hexOf(answerer.mac)}${from}${tag(10)}${echo}`);
    await arrives('ten', /ethertype IPv4 .*ICMP echo request/);
    await arrives('trunk', /vlan 10, .*ICMP echo reply/);
    // The same address in the other VLAN is nobody's: flooded there, and not to that guest.
    await send('trunk', `${hexOf(answerer.mac)}${from}${tag(20)}${probe('21')}`);
    await arrives('twenty', new RegExp(`> ${answerer.mac}, ethertype Unknown`));

    // From an access port: untagged there, tagged on both trunks, bare at the other access port of the VLAN.
    const mark = '02:00:00:00:99:10';
    await send('near', `ffffffffffff${hexOf(mark)}${probe('10')}`);
    for (const name of ['trunk', 'far']) await arrives(name, new RegExp(`${mark} > .*vlan 10, .*0x88b5`));
    await arrives('ten', new RegExp(`${mark} > .*ethertype Unknown \\(0x88b5\\)`));
    // A tag that an access port is sent is cargo: the frame stays in the port's VLAN and keeps it within.
    const inner = '02:00:00:00:99:11';
    await send('near', `ffffffffffff${hexOf(inner)}${tag(20)}${probe('22')}`);
    for (const name of ['trunk', 'far']) await arrives(name, new RegExp(`${inner} > .*vlan 10, .*vlan 20, .*0x88b5`));
    await arrives('ten', new RegExp(`${inner} > .*vlan 20, .*0x88b5`));

    assert.deepEqual(
      await seen('twenty', /vlan|who-has|ICMP echo|02:00:00:00:99:1/),
      [],
      'VLAN 10 at an access port of 20',
    );
    const strange = (await seen('ten', /vlan|0x88b5/)).filter((line) => !line.startsWith('02:00:00:00:99:1'));
    assert.deepEqual(strange, [], 'VLAN 20, or a tag, at an access port of 10');
    assert.deepEqual(await seen('far', /echo/), [], 'what goes to a station that was learned');
    for (const capture of captures.values()) await capture.stop();
  });
});
