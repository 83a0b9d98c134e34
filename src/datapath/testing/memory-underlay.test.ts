import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatIp, parseIp4 } from '../../packet/address.ts';
import { arp, classOf, udp4 } from '../conformance/frames.ts';
import { MemoryUnderlay } from './memory-underlay.ts';

const [H1, H2, H3] = ['192.0.2.1', '192.0.2.2', '192.0.2.3'].map((text) => parseIp4(text)!) as [never, never, never];
const now = () => 0;

/** Three hosts that know each other by the last byte of their address; ports 10, 20, 30 at their interfaces. */
function cloud() {
  const underlay = new MemoryUnderlay();
  const hosts = [H1, H2, H3].map((address) => underlay.host(address, { now }));
  for (const [at, host] of hosts.entries()) {
    const local = [H1, H2, H3][at]!;
    host.plug((at + 1) * 10, 'g', { tap: false });
    host.setDelivery((at + 1) * 10, { kind: 'local', interfaceName: 'g' });
    for (const [index, remote] of [H1, H2, H3].entries()) {
      if (index === at) continue;
      host.setHost(index + 1, { local, remote, interfaceName: 'u', mtuBytes: 1600 });
      host.setDelivery((index + 1) * 10, { kind: 'remote', host: index + 1 });
    }
  }
  const told = () =>
    underlay.take().map((event) => {
      const to = event.kind === 'guest' ? `port ${event.port}` : `${formatIp(event.remote)} key ${event.key}`;
      return `${formatIp(event.host)} to ${to}`;
    });
  return { underlay, hosts, told };
}

test('a packet crosses from the guest of one host to that of another', () => {
  const { hosts, told } = cloud();
  hosts[0]!.install([{ ...classOf(udp4(), 10), actions: [{ kind: 'output', port: 30 }] }]);
  hosts[0]!.receive('g', udp4());
  assert.deepEqual(told(), ['192.0.2.1 to 192.0.2.3 key 30', '192.0.2.3 to port 30']);
  assert.deepEqual(told(), []);
});

test('a flood reaches the members of every host once', () => {
  const { hosts, told } = cloud();
  for (const [at, host] of hosts.entries()) {
    host.setFlood(41, { members: [(at + 1) * 10], hosts: [1, 2, 3].filter((index) => index !== at + 1) });
    const output = { kind: 'output' as const, port: (at + 1) * 10 };
    host.install([{ ...classOf(arp(), (at + 1) * 10, [], 41), actions: [output] }]);
  }
  hosts[0]!.install([{ ...classOf(arp(), 10), actions: [{ kind: 'flood', flood: 41 }] }]);
  hosts[0]!.receive('g', arp());
  assert.deepEqual(
    told().filter((line) => line.includes('port')),
    ['192.0.2.2 to port 20', '192.0.2.3 to port 30'],
  );
});

test('two hosts that name each other as the place of a port do not play with its packets', () => {
  const { hosts, told } = cloud();
  hosts[1]!.setDelivery(50, { kind: 'remote', host: 3 });
  hosts[2]!.setDelivery(50, { kind: 'remote', host: 2 });
  hosts[0]!.setDelivery(50, { kind: 'remote', host: 2 });
  hosts[0]!.inject([{ sense: 'deliver', number: 50, frame: udp4() }]);
  assert.deepEqual(told(), ['192.0.2.1 to 192.0.2.2 key 50', `192.0.2.2 to 192.0.2.3 key ${50 + 0x800000}`]);
});

test('a host that is cut off neither gets nor is heard', () => {
  const { underlay, hosts, told } = cloud();
  underlay.setReachable(H3, false);
  hosts[0]!.inject([{ sense: 'deliver', number: 30, frame: udp4() }]);
  hosts[2]!.inject([{ sense: 'deliver', number: 10, frame: udp4() }]);
  assert.deepEqual(told(), ['192.0.2.1 to 192.0.2.3 key 30', '192.0.2.3 to 192.0.2.1 key 10']);
  underlay.setReachable(H3, true);
  hosts[0]!.inject([{ sense: 'deliver', number: 30, frame: udp4() }]);
  assert.equal(told().at(-1), '192.0.2.3 to port 30');
});

test('an underlay address belongs to one host', () => {
  const { underlay } = cloud();
  assert.throws(() => underlay.host(H1, { now }), /192\.0\.2\.1 is the address of another host/);
});
