// Packets that no well-behaved guest or host sends: counted drops, nothing else.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sendFrames } from '../../src/lab/frames.ts';
import { GUEST_INTERFACE, UNDERLAY_INTERFACE } from '../../src/lab/lab.ts';
import { ping } from '../../src/lab/ping.ts';
import { waitFor } from '../../src/lab/wait.ts';
import { assertWhole, captureAt, describeCloud, drops, pingGuest } from './cloud.ts';

const macHex = (text: string) => text.replaceAll(':', '');
const ip4Hex = (text: string) =>
  text
    .split('.')
    .map((octet) => Number(octet).toString(16).padStart(2, '0'))
    .join('');

/** An IPv4 datagram (RFC 791) with a right checksum: 20 bytes of header, then `payload`. */
function ip4(source: string, destination: string, protocol: number, payload: string): string {
  const length = (20 + payload.length / 2).toString(16).padStart(4, '0');
  const without = `4500${length}00000000 40${protocol.toString(16).padStart(2, '0')}`.replaceAll(' ', '');
  const addresses = `${ip4Hex(source)}${ip4Hex(destination)}`;
  const words = `${without}0000${addresses}`.match(/.{4}/g)!.map((word) => Number.parseInt(word, 16));
  let sum = words.reduce((total, word) => total + word, 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return `${without}${(~sum & 0xffff).toString(16).padStart(4, '0')}${addresses}${payload}`;
}

/** Type, code, checksum, id and sequence of an echo request, right for this one. */
const ECHO_REQUEST = '0800f7ff00000000';

describeCloud('hostile packets', (world) => {
  test('spoofed source MAC, IPv4 address and ARP sender are dropped and counted at the port that they enter', async () => {
    await world().addressAll();
    const [from, to] = [world().guest('web-1'), world().guest('web-3')];
    const capture = await captureAt(to, 'ether host 02:00:00:00:66:66 or host 10.1.1.99 or arp host 10.1.1.99');
    const before = await drops(world(), 'host1', 'spoofed');
    const [toMac, ownMac] = [macHex(to.plan.mac), macHex(from.plan.mac)];
    const frames = [
      `${toMac} 020000006666 0800 ${ip4(from.plan.address, to.plan.address, 1, ECHO_REQUEST)}`,
      `${toMac} ${ownMac} 0800 ${ip4('10.1.1.99', to.plan.address, 1, ECHO_REQUEST)}`,
      `ffffffffffff ${ownMac} 0806 0001080006040001 ${ownMac}${ip4Hex('10.1.1.99')} 000000000000${ip4Hex(to.plan.address)}`,
    ];
    assert.equal(await sendFrames(from.namespace, GUEST_INTERFACE, [...frames, ...frames]), 6);
    await waitFor(async () => (await drops(world(), 'host1', 'spoofed')) >= before + 6, { what: 'six counted drops' });
    assertWhole(await pingGuest(from, to), 'an honest ping');
    assert.deepEqual(await capture.stop(), []);
  });

  test('garbage from a guest is dropped, and neither its own nor other traffic suffers', async () => {
    const [from, to] = [world().guest('web-1'), world().guest('web-3')];
    const own = macHex(from.plan.mac);
    const frames: string[] = [];
    // A fixed sequence (numerical recipes' LCG), so that a failure can be repeated.
    let state = 0x5eed;
    const next = (below: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const bytes = (count: number) =>
      Array.from({ length: count }, () => next(256).toString(16).padStart(2, '0')).join('');
    const types = ['0800', '86dd', '0806', '8100', '88a8', '0000', '8847'];
    for (let at = 0; at < 400; at++) {
      const destination = [macHex(to.plan.mac), 'ffffffffffff', '333300000001', bytes(6)][next(4)]!;
      frames.push(`${destination}${next(2) ? own : bytes(6)}${types[next(types.length)]}${bytes(next(1400))}`);
    }
    // Truncated after each byte of a whole datagram's headers.
    const whole = `${macHex(to.plan.mac)}${own}0800${ip4(from.plan.address, to.plan.address, 6, bytes(20))}`;
    for (let length = 14; length * 2 <= whole.length; length++) frames.push(whole.slice(0, length * 2));
    await sendFrames(from.namespace, GUEST_INTERFACE, frames);
    assertWhole(await pingGuest(world().guest('web-2'), to), 'another guest');
    assertWhole(await pingGuest(from, to), 'the same guest');
    for (const { agent } of world().deployment.hypervisors.values()) assert.ok(agent.running);
  });

  test('a tunnel packet from an address that is no member of the zone is dropped and counted', async () => {
    const { client } = world().deployment;
    const to = world().guest('web-3');
    const { tunnelKey } = await client.get('port', world().ids.of('web-3'));
    const { host } = world().deployment.hypervisor('host2');
    const stranger = await world().lab.host('stranger');
    const inner = `${macHex(to.plan.mac)}0200000066660800${ip4('10.1.1.99', to.plan.address, 1, ECHO_REQUEST)}`;
    const vxlan = `08000000${tunnelKey.toString(16).padStart(6, '0')}00${inner}`;
    const program = `
      const socket = require('node:dgram').createSocket('udp4');
      const send = (left) => left === 0 ? socket.close() : socket.send(Buffer.from('${vxlan}', 'hex'), 6677, '${host.address}', () => send(left - 1));
      send(5);`;
    const capture = await captureAt(to, 'host 10.1.1.99');
    const before = await drops(world(), 'host2', 'noPeer');
    await stranger.namespace.run([process.execPath, '-e', program]);
    await waitFor(async () => (await drops(world(), 'host2', 'noPeer')) >= before + 5, { what: 'five counted drops' });
    assertWhole(await pingGuest(world().guest('web-1'), to), 'the tunnel of a member');
    assert.deepEqual(await capture.stop(), []);
  });

  test('a tunnel packet of a member for a number that is not here, or with reserved bits, is dropped and counted', async () => {
    const { client } = world().deployment;
    const { host: member } = world().deployment.hypervisor('host1');
    const { host: target } = world().deployment.hypervisor('host2');
    const { tunnelKey } = await client.get('port', world().ids.of('web-3'));
    const elsewhere = await client.get('port', world().ids.of('web-1'));
    const [STATE_FRAME, FORWARDED] = [0x400000, 0x800000];
    const stateKeys = [STATE_FRAME, STATE_FRAME | tunnelKey, STATE_FRAME | FORWARDED | tunnelKey];
    const strangeKeys = [0, 0x3fffff, FORWARDED, FORWARDED | 0x3fffff, FORWARDED | elsewhere.tunnelKey];
    const to = world().guest('web-3');
    const inner = `${macHex(to.plan.mac)}0200000066660800${ip4('10.1.1.99', to.plan.address, 1, ECHO_REQUEST)}`;
    const payloads = [...stateKeys, ...strangeKeys].map(
      (key) => `08000000${key.toString(16).padStart(6, '0')}00${inner}`,
    );
    const program = `
      const socket = require('node:dgram').createSocket('udp4');
      const payloads = ${JSON.stringify(payloads)};
      const send = () => payloads.length === 0 ? socket.close() : socket.send(Buffer.from(payloads.pop(), 'hex'), 6677, '${target.address}', send);
      send();`;
    const count = async () => [
      await drops(world(), 'host2', 'stateFrame'),
      await drops(world(), 'host2', 'noDelivery'),
    ];
    const [stateBefore, strangeBefore] = await count();
    const captures = await Promise.all([to, world().guest('web-1')].map((guest) => captureAt(guest, 'host 10.1.1.99')));
    await member.namespace.run([process.execPath, '-e', program]);
    await waitFor(
      async () => {
        const [state, strange] = await count();
        return state! >= stateBefore! + stateKeys.length && strange! >= strangeBefore! + strangeKeys.length;
      },
      { what: 'all of them to be counted' },
    );
    for (const capture of captures) assert.deepEqual(await capture.stop(), []);
    assertWhole(await pingGuest(world().guest('web-1'), to));
  });

  test('a guest that floods its bridge with new classes harms no neighbour, and gets nothing of it back', async () => {
    const [from, neighbour, to] = [world().guest('web-1'), world().guest('web-2'), world().guest('web-3')];
    const own = macHex(from.plan.mac);
    const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0');
    const frames = Array.from(
      { length: 20_000 },
      (_, at) => `0288${hex(at, 8)}${own}0800${ip4(from.plan.address, to.plan.address, 17, '0001000200080000')}`,
    );
    assertWhole(await pingGuest(neighbour, to));
    const reflected = await captureAt(from, 'ether[0:2] = 0x0288 and inbound');
    const before = await drops(world(), 'host1', 'missBudget');
    const flooding = sendFrames(from.namespace, GUEST_INTERFACE, frames);
    flooding.catch(() => {});
    assertWhole(await pingGuest(neighbour, to, { count: 100, intervalMs: 10 }), 'a flow that is known');
    assertWhole(await ping(neighbour.namespace, '10.1.1.1', { count: 5 }), 'answers of the agent');
    assert.equal(await flooding, frames.length);
    assertWhole(await pingGuest(from, to), 'the same guest');
    assert.ok((await drops(world(), 'host1', 'missBudget')) > before, 'more than a port may send up');
    assert.deepEqual(await reflected.stop(), []);
  });

  test('garbage on the tunnel port, from members and others, harms nothing', async () => {
    const { host: member } = world().deployment.hypervisor('host1');
    const { host: target } = world().deployment.hypervisor('host2');
    const program = `
      const socket = require('node:dgram').createSocket('udp4');
      const payloads = [];
      for (let length = 0; length < 64; length++) payloads.push(Buffer.alloc(length, 0xff), Buffer.alloc(length), Buffer.concat([Buffer.from('08000000ffffff00', 'hex'), Buffer.alloc(length, length)]));
      const send = () => payloads.length === 0 ? socket.close() : socket.send(payloads.pop(), 6677, '${target.address}', send);
      send();`;
    await member.namespace.run([process.execPath, '-e', program]);
    assertWhole(await pingGuest(world().guest('web-1'), world().guest('web-3')));
    const [underlay] = await target.namespace.ipJson<{ operstate: string }[]>('link', 'show', UNDERLAY_INTERFACE);
    assert.equal(underlay!.operstate, 'UP');
  });
});
