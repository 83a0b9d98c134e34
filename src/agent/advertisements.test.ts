import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatPacket } from '../packet/packet.ts';
import type { Port } from '../topology/port.ts';
import { sample, sampleId } from '../topology/testing/samples.ts';
import { ELSEWHERE, HERE, TestHost } from './testing/test-host.ts';

const LAN = sampleId('bridge', 1);
const ROUTER = sampleId('router', 1);
const A = '02:00:00:00:00:0a';
const GATEWAY = '02:00:00:00:00:01';
const SETTINGS = {
  managed: false,
  otherConfiguration: false,
  lifetimeSeconds: 1800,
  intervalSeconds: 100,
  autonomous: true,
  dnsServers: [],
  prefixes: [],
};

const guest = (n: number, fields: object = {}) =>
  sample('port', n, { deviceId: LAN, hostId: HERE, interfaceName: `tap${n}`, ...fields });
const NETWORK = [
  sample('bridge', 1),
  sample('router', 1),
  guest(5, { mac: A, addresses: ['10.0.0.5/24', 'fd00::5/64'] }),
  guest(6, { vlan: 7 }),
  guest(4, { hostId: ELSEWHERE }),
  sample('port', 7, {
    deviceId: ROUTER,
    mac: GATEWAY,
    addresses: ['10.0.0.1/24', 'fd00::1/64'],
    peerId: sampleId('port', 8),
    routerAdvertisement: SETTINGS,
  }),
  sample('port', 8, { deviceId: LAN, peerId: sampleId('port', 7) }),
  sample('port', 9, { deviceId: ROUTER, mac: '02:00:00:00:00:02', hostId: HERE, interfaceName: 'eth1' }),
];

/** A host on which a router has been advertising itself for long. */
function settled(): TestHost {
  const host = fresh();
  for (let n = 0; n < 3; n++) pass(host, 16_000);
  host.takeInjected();
  return host;
}

function fresh(): TestHost {
  const host = new TestHost();
  host.load(...NETWORK);
  host.settle();
  return host;
}

/** Time goes on in ticks; what was sent in it, and how long after its beginning. */
function pass(host: TestHost, ms: number): string[] {
  const sent: string[] = [];
  const until = host.now + ms;
  for (const begin = host.now; host.now <= until; host.now += 100) {
    host.advertisements.turn(host.now);
    sent.push(...host.takeInjected().map((text) => `${host.now - begin} ms: ${text}`));
  }
  host.now = until;
  return sent;
}

function setPort(host: TestHost, n: number, fields: Partial<Port>): void {
  const value = { ...host.replica.topology.object('port', sampleId('port', n))!, ...fields };
  host.change([{ kind: 'port', value }]);
  host.settle();
  host.takeInjected();
}

test('a router speaks when there is somebody to hear it: nothing goes to ports that are not plugged yet', () => {
  const host = fresh();
  for (const port of [5, 6]) host.unplugged.add(port);
  assert.deepEqual(pass(host, 40_000), []);
  host.unplugged.delete(5);
  const sent = pass(host, 48_000);
  assert.equal(sent.length, 3, 'all of the first ones are still to be said');
  assert.ok(
    sent.every((line) => line.includes('deliver 5')),
    sent.join(),
  );
});

test('a router that begins advertises itself three times within 16 seconds of each other, then at its interval', () => {
  const host = fresh();
  host.chance = 0;
  assert.deepEqual(pass(host, 100_000), [
    '0 ms: deliver 5',
    '16000 ms: deliver 5',
    '32000 ms: deliver 5',
    '65000 ms: deliver 5',
    '98000 ms: deliver 5',
  ]);
});

test('intervals are anything between a third of the largest and the largest', () => {
  const host = settled();
  const gaps = [1, 0.5, 0, 0].map((chance) => {
    host.chance = chance;
    const begin = host.now;
    while (host.datapath.injected.length === 0) {
      host.now += 100;
      host.advertisements.turn(host.now);
    }
    host.takeInjected();
    return host.now - begin;
  });
  assert.deepEqual(gaps.slice(1), [100_000, 66_500, 33_000]);
});

test('the shortest interval is three seconds', () => {
  const host = new TestHost();
  const quick = { ...SETTINGS, intervalSeconds: 4 };
  host.load(...NETWORK, sample('port', 7, { ...portSeven(), routerAdvertisement: quick }));
  assert.deepEqual(pass(host, 6100), ['0 ms: deliver 5', '3000 ms: deliver 5', '6000 ms: deliver 5']);
});

const portSeven = () => NETWORK.find(({ value }) => value.id === sampleId('port', 7))!.value as Port;

test('an advertisement goes to the guests of its bridge that are here and in its VLAN', () => {
  const host = fresh();
  host.advertisements.turn(host.now);
  assert.match(formatPacket(host.datapath.injected[0]!.frame), /router-advertisement lifetime 1800/);
  assert.deepEqual(host.takeInjected(), ['deliver 5']);
});

test('a router whose settings change says so soon, three times, and not before three seconds have passed', () => {
  const host = settled();
  setPort(host, 7, { routerAdvertisement: { ...SETTINGS, managed: true } });
  assert.deepEqual(pass(host, 100), ['0 ms: deliver 5']);
  setPort(host, 7, { routerAdvertisement: SETTINGS });
  assert.deepEqual(pass(host, 36_000), ['2900 ms: deliver 5', '18900 ms: deliver 5', '34900 ms: deliver 5']);
});

test('a guest that solicits is answered within half a second, alone', () => {
  for (const [chance, delay] of [
    [0, '0'],
    [0.5, '300'],
    [0.999, '500'],
  ] as const) {
    const host = settled();
    host.chance = chance;
    host.send(5, `rs(${A})`);
    assert.doesNotMatch(host.takeInjected().join(), /deliver/);
    assert.deepEqual(pass(host, 600), [`${delay} ms: deliver 5`]);
  }
});

const UNADDRESSED = `eth(${A}, 33:33:00:00:00:02) ip6(::, ff02::2, hop=255) icmp6(type=133)`;

test('guests without an address that solicit bring the next advertisement forward, three seconds after the last', () => {
  const host = settled();
  host.chance = 0.5;
  host.send(5, UNADDRESSED);
  host.takeInjected();
  assert.deepEqual(pass(host, 1000), ['300 ms: deliver 5']);
  for (let n = 0; n < 4; n++) {
    host.send(5, UNADDRESSED);
    host.takeInjected();
  }
  assert.deepEqual(pass(host, 10_000), ['2300 ms: deliver 5']);
});

test('a router that ceases says so once, with a lifetime of 0', () => {
  const { routerAdvertisement, ...silent } = portSeven();
  const { peerId, ...unpeered } = portSeven();
  const down = { ...portSeven(), adminUp: false };
  const put = (value: Port) => ({ put: [{ kind: 'port' as const, value }], del: [] });
  const changes = [
    put(silent),
    put(unpeered),
    put(down),
    { put: [sample('router', 1, { adminUp: false })], del: [] },
    { put: [], del: [{ kind: 'port' as const, id: sampleId('port', 7) }] },
  ];
  for (const { put, del } of changes) {
    const host = settled();
    host.change(put, del);
    host.advertisements.follow(host.now);
    assert.match(formatPacket(host.datapath.injected[0]!.frame), /router-advertisement lifetime 0/);
    assert.deepEqual(host.takeInjected(), ['deliver 5']);
    host.settle();
    host.takeInjected();
    assert.deepEqual(pass(host, 200_000), []);
  }
});

test('a router port that is unbound takes leave of what is behind its interface', () => {
  const host = settled();
  setPort(host, 9, { routerAdvertisement: SETTINGS });
  assert.deepEqual(pass(host, 0), ['0 ms: deliver 9']);
  const { hostId, interfaceName, ...unbound } = host.replica.topology.object('port', sampleId('port', 9))!;
  host.change([{ kind: 'port', value: unbound }]);
  host.advertisements.follow(host.now);
  assert.deepEqual(host.takeInjected(), ['deliver 9']);
});

test('what was no default router has nothing to take back, and a bridge that is gone nobody to tell', () => {
  const host = settled();
  setPort(host, 7, { routerAdvertisement: { ...SETTINGS, lifetimeSeconds: 0 } });
  pass(host, 1000);
  host.change([], [{ kind: 'port', id: sampleId('port', 7) }]);
  host.advertisements.follow(host.now);
  assert.deepEqual(host.takeInjected(), []);

  const other = settled();
  const ports = [4, 5, 6, 7, 8].map((n) => ({ kind: 'port' as const, id: sampleId('port', n) }));
  other.change([], [...ports, { kind: 'bridge', id: LAN }]);
  other.advertisements.follow(other.now);
  assert.deepEqual(other.takeInjected(), []);
});
