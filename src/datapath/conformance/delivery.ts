// Conformance: plugging, places, floods, tunnels, and what the agent injects.

import assert from 'node:assert/strict';
import { portOf } from '../../flow/fields.ts';
import { DROP, UP } from '../../flow/reasons.ts';
import { NUMBERS } from '../contract.ts';
import { type Bed, FLOOD, HOSTS, NO_PORT, type Open, output, PORTS, REMOTE_PORT, withBed } from './bed.ts';
import { arp, classOf, keyFor, MACS, udp4, udp6 } from './frames.ts';

const [A, B, C, D] = PORTS;
const { KEY_FORWARDED, KEY_STATE_FRAME } = NUMBERS;

export function deliveryCases(open: Open): void {
  const it = (name: string, body: (bed: Bed) => Promise<void>) => withBed(open, name, body);
  const flood = { kind: 'flood' as const, flood: FLOOD };

  it('an interface that no port is plugged into is dropped, and plugged ports are listed', async (bed) => {
    const { datapath } = bed;
    const byPort = () => datapath.plugged().sort((a, b) => a.port - b.port);
    assert.deepEqual(
      byPort(),
      PORTS.map((port) => ({ port, interfaceName: bed.guest(port) })),
    );
    bed.flow(udp4(), A, [output(B)]);
    datapath.unplug(A);
    assert.deepEqual(
      byPort().map(({ port }) => port),
      [B, C, D],
    );
    await bed.sends(A, udp4());
    await bed.dropped('unknownInterface', 0);
    await bed.receives(B, 0);
    datapath.plug(A, bed.guest(A), { tap: bed.harness.taps.has(bed.guest(A)) });
    await bed.sends(A, udp4());
    await bed.receives(B, 1);
  });

  it('what was counted for a port goes with it, but for the sums of its drops and of what came up', async (bed) => {
    const drop = { kind: 'drop' as const, reason: DROP.policy };
    const { PORT_GONE } = NUMBERS;
    const ofPort = (wanted: number) =>
      bed.datapath
        .counters()
        .filter(({ kind, id, port }) => port === wanted || (/^port/.test(kind) && id === wanted))
        .map(({ kind, id, packets, bytes }) => [kind, id, packets, bytes]);
    bed.flow(udp4(), A, [drop]);
    bed.flow(udp4(), B, [drop]);
    for (const port of [A, B]) {
      await bed.sends(port, udp4());
      await bed.sends(port, udp6());
      await bed.receives(port, 0);
      await bed.counted('up', UP.miss, port, 1);
      assert.equal(ofPort(port).length, 4);
    }
    bed.datapath.unplug(A);
    bed.datapath.setDelivery(A, undefined);
    assert.deepEqual(ofPort(A), []);
    assert.equal(ofPort(B).length, 4);
    bed.datapath.unplug(B);
    bed.datapath.setDelivery(B, undefined);
    assert.deepEqual(
      ofPort(PORT_GONE).sort(),
      [
        ['drop', DROP.policy, 2, 2 * udp4().length],
        ['up', UP.miss, 2, 2 * udp6().length],
      ].sort(),
    );
  });

  it('a port that moves to another interface leaves the old one', async (bed) => {
    bed.flow(udp4(), A, [output(C)]);
    bed.datapath.unplug(B);
    bed.datapath.plug(A, bed.guest(B), { tap: bed.harness.taps.has(bed.guest(B)) });
    await bed.harness.guestSends(bed.guest(A), udp4());
    await bed.dropped('unknownInterface', 0);
    await bed.harness.guestSends(bed.guest(B), udp4());
    await bed.receives(C, 1);
  });

  it('an output to a port on another host is a tunnel packet with the port as key', async (bed) => {
    for (const frame of [udp4(), udp6(), arp()]) bed.flow(frame, A, [output(REMOTE_PORT)]);
    for (const frame of [udp4(), udp6(), arp(), udp4({ payloadBytes: 1300 })]) await bed.sends(A, frame);
    const { remote } = bed.harness.peers[0];
    assert.deepEqual(
      await bed.tunnels(4),
      [udp4(), udp6(), arp(), udp4({ payloadBytes: 1300 })].map((frame) => ({ remote, key: REMOTE_PORT, frame })),
    );
    // The marker is one more.
    await bed.counted('tunnelTx', HOSTS[0], 0, 5);
  });

  it('an output to a port that is nowhere, or on an unknown host, is dropped', async (bed) => {
    bed.flow(udp4(), A, [output(NO_PORT)]);
    await bed.sends(A, udp4());
    await bed.dropped('noDelivery', A);
    bed.datapath.setDelivery(NO_PORT, { kind: 'remote', host: 99 });
    await bed.sends(A, udp4());
    await bed.dropped('noUnderlay', A);
    bed.datapath.setDelivery(NO_PORT, { kind: 'local', interfaceName: bed.guest(B) });
    await bed.sends(A, udp4());
    await bed.receives(B, 1);
    bed.datapath.setDelivery(NO_PORT, undefined);
    await bed.sends(A, udp4());
    await bed.dropped('noDelivery', A, 2);
  });

  it('an output that fails does not keep the others from going out', async (bed) => {
    bed.flow(udp4(), A, [output(NO_PORT), output(B), output(C)]);
    await bed.sends(A, udp4());
    await bed.receives(B, 1);
    await bed.receives(C, 1);
    await bed.dropped('noDelivery', A);
  });

  it('a flood is looked up for each member but the ingress port, and goes once to each host', async (bed) => {
    bed.datapath.setFlood(FLOOD, { members: [A, B, C, D], hosts: [HOSTS[0], HOSTS[1]] });
    bed.flow(arp(), A, [flood]);
    bed.flow(arp(), B, [output(B)], [], FLOOD);
    bed.flow(arp(), C, [{ kind: 'drop', reason: DROP.policy }], [], FLOOD);
    await bed.sends(A, arp());
    assert.deepEqual(await bed.receives(B, 1), [arp()]);
    await bed.receives(A, 0);
    await bed.receives(C, 0);
    await bed.dropped('policy', C);
    const [miss] = await bed.comesUp(1);
    assert.deepEqual([miss!.cause, miss!.frame, miss!.key], [UP.memberMiss, arp(), keyFor(arp(), D, FLOOD)]);
    await bed.counted('up', UP.memberMiss, D, 1);
    const sent = await bed.tunnels(2);
    assert.deepEqual(new Set(sent.map(({ remote }) => remote)), new Set(bed.harness.peers.map(({ remote }) => remote)));
    for (const { key, frame } of sent) assert.deepEqual([key, frame], [FLOOD, arp()]);
  });

  it('an ordinary flow of a member does not decide for what is flooded to it', async (bed) => {
    bed.datapath.setFlood(FLOOD, { members: [A, B], hosts: [] });
    bed.flow(arp(), A, [flood]);
    bed.flow(arp(), B, [output(C)]);
    await bed.sends(A, arp());
    await bed.comesUp(1);
    await bed.receives(C, 0);
  });

  it('a flood goes on after itself, and one that is gone reaches nobody', async (bed) => {
    bed.datapath.setFlood(FLOOD, { members: [A, B], hosts: [HOSTS[1]] });
    bed.flow(arp(), B, [output(B)], [], FLOOD);
    bed.flow(arp(), A, [flood, output(C)]);
    await bed.sends(A, arp());
    await bed.receives(B, 1);
    await bed.receives(C, 1);
    await bed.tunnels(1);
    bed.datapath.setFlood(FLOOD, undefined);
    await bed.sends(A, arp());
    await bed.receives(C, 1);
    await bed.receives(B, 0);
    await bed.tunnels(0);
  });

  it('a flood of many members and hosts reaches all of them', async (bed) => {
    const { datapath } = bed;
    const many = Array.from({ length: 150 }, (_, at) => 1000 + at);
    for (const port of many) datapath.setDelivery(port, { kind: 'local', interfaceName: bed.guest(B) });
    datapath.setFlood(FLOOD, { members: many, hosts: [HOSTS[0], HOSTS[1]] });
    datapath.install(many.map((port) => ({ ...classOf(arp(), port, [], FLOOD), actions: [output(port)] })));
    bed.flow(arp(), A, [flood]);
    await bed.sends(A, arp());
    await bed.receives(B, 150);
    await bed.tunnels(2);
    datapath.setFlood(FLOOD, { members: many.slice(0, 3), hosts: [] });
    await bed.sends(A, arp());
    await bed.receives(B, 3);
  });

  it('a tunnel packet is delivered by its key, without a flow', async (bed) => {
    const { harness } = bed;
    await harness.tunnelSends(harness.peers[0].remote, B, udp4());
    await harness.tunnelSends(harness.peers[1].remote, B, arp());
    assert.deepEqual(await bed.receives(B, 2), [udp4(), arp()]);
    await bed.counted('tunnelRx', HOSTS[0], 0, 1);
    await bed.counted('tunnelRx', HOSTS[1], 0, 1);
  });

  it('a tunnel packet for a flood is looked up for the members here and goes to no host', async (bed) => {
    const { harness } = bed;
    bed.datapath.setFlood(FLOOD, { members: [A, B], hosts: [HOSTS[0], HOSTS[1]] });
    bed.flow(arp(), B, [output(B)], [], FLOOD);
    await harness.tunnelSends(harness.peers[0].remote, FLOOD, arp());
    assert.deepEqual(await bed.receives(B, 1), [arp()]);
    const [miss] = await bed.comesUp(1);
    assert.deepEqual([miss!.cause, miss!.key], [UP.memberMiss, keyFor(arp(), A, FLOOD)]);
    await bed.tunnels(0);
  });

  it('a tunnel packet from no peer, with reserved key bits, or for nobody is dropped', async (bed) => {
    const { harness } = bed;
    await harness.tunnelSends(harness.stranger, B, udp4());
    await bed.dropped('noPeer', 0);
    await harness.tunnelSends(harness.peers[0].remote, B | KEY_STATE_FRAME, udp4());
    await bed.dropped('stateFrame', 0);
    await harness.tunnelSends(harness.peers[0].remote, NO_PORT, udp4());
    await bed.dropped('noDelivery', 0);
    bed.datapath.setHost(HOSTS[0], undefined);
    await harness.tunnelSends(harness.peers[0].remote, B, udp4());
    await bed.dropped('noPeer', 0, 2);
    await bed.receives(B, 0);
  });

  it('a port that has moved away is forwarded to its host, once', async (bed) => {
    const { harness } = bed;
    bed.datapath.setDelivery(B, { kind: 'remote', host: HOSTS[1] });
    await harness.tunnelSends(harness.peers[0].remote, B, udp4());
    assert.deepEqual(await bed.tunnels(1), [
      { remote: harness.peers[1].remote, key: B | KEY_FORWARDED, frame: udp4() },
    ]);
    await harness.tunnelSends(harness.peers[0].remote, B | KEY_FORWARDED, udp4());
    await bed.dropped('noDelivery', 0);
    await bed.tunnels(0);
    await harness.tunnelSends(harness.peers[0].remote, C | KEY_FORWARDED, udp4());
    await bed.receives(C, 1);
  });

  it('a packet injected from a port is treated as if it had entered there', async (bed) => {
    bed.flow(udp4(), A, [{ kind: 'setEthernet', destination: MACS[2], source: MACS[1] }, output(B)]);
    bed.datapath.inject([
      { sense: 'from', number: A, frame: udp4() },
      { sense: 'from', number: A, frame: udp4({ id: 2 }) },
    ]);
    assert.equal((await bed.receives(B, 2))[0]![5], 0xfe);
    bed.flow(arp(), A, [{ kind: 'answerNeighbour', mac: MACS[2], router: false }]);
    bed.datapath.inject([{ sense: 'from', number: A, frame: arp() }]);
    await bed.receives(A, 1);
  });

  it('an injected packet never comes up: without a flow, or sent to the agent, it is dropped', async (bed) => {
    bed.flow(udp6(), A, [{ kind: 'toAgent', cause: UP.service }]);
    bed.flow(arp(), A, [{ kind: 'decrementTtl', by: 1 }, output(B)]);
    bed.datapath.setFlood(FLOOD, { members: [C], hosts: [] });
    bed.datapath.inject([
      { sense: 'from', number: A, frame: udp4() },
      { sense: 'from', number: A, frame: udp6() },
      { sense: 'member', number: C, frame: arp() },
    ]);
    await bed.dropped('injectedMiss', A, 2);
    await bed.dropped('injectedMiss', C);
    await bed.comesUp(0);
  });

  it('a packet injected for delivery needs no flow at a port, wherever that is; to a flood each member is looked up', async (bed) => {
    const { datapath, harness } = bed;
    datapath.inject([
      { sense: 'deliver', number: B, frame: udp4() },
      { sense: 'deliver', number: REMOTE_PORT, frame: udp6() },
      { sense: 'deliver', number: NO_PORT, frame: udp6() },
    ]);
    assert.deepEqual(await bed.receives(B, 1), [udp4()]);
    assert.deepEqual(await bed.tunnels(1), [{ remote: harness.peers[0].remote, key: REMOTE_PORT, frame: udp6() }]);
    await bed.dropped('noDelivery', 0);
    datapath.setFlood(FLOOD, { members: [A, B], hosts: [HOSTS[1]] });
    bed.flow(arp(), A, [output(A)], [], FLOOD);
    datapath.inject([{ sense: 'deliver', number: FLOOD, frame: arp() }]);
    assert.deepEqual(await bed.receives(A, 1), [arp()]);
    assert.deepEqual(await bed.tunnels(1), [{ remote: harness.peers[1].remote, key: FLOOD, frame: arp() }]);
    const [miss] = await bed.comesUp(1);
    assert.equal(miss?.cause, UP.memberMiss);
    assert.equal(portOf(miss.key), B);
  });

  it('a packet injected for a member is looked up as flooded to it', async (bed) => {
    bed.datapath.setFlood(FLOOD, { members: [A, B], hosts: [] });
    bed.flow(arp(), B, [output(B)], [], FLOOD);
    bed.datapath.inject([{ sense: 'member', number: B, frame: arp() }]);
    assert.deepEqual(await bed.receives(B, 1), [arp()]);
    bed.datapath.inject([{ sense: 'member', number: D, frame: arp() }]);
    await bed.dropped('noDelivery', D);
  });
}
