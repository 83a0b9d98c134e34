import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyChanges, emptyTopology } from '../snapshot.ts';
import { putAll, refOf, sample, sampleId } from '../testing/samples.ts';

const zone = (n: number, underlayMtuBytes: number | undefined, address = '192.0.2.1') =>
  sample('tunnelZone', n, {
    members: [{ hostId: sampleId('host', 1), address }],
    ...(underlayMtuBytes === undefined ? {} : { underlayMtuBytes }),
  });
const ROUTER = sampleId('router', 1);
const WORLD = [
  sample('bridge', 1),
  sample('bridge', 2, { mtuBytes: 1300 }),
  sample('router', 1),
  sample('port', 1, { deviceId: ROUTER, peerId: sampleId('port', 9) }),
  sample('port', 2, { deviceId: ROUTER, mtuBytes: 1400 }),
  sample('port', 3, { deviceId: ROUTER, hostId: sampleId('host', 1), interfaceName: 'eth1' }),
  sample('port', 4, { deviceId: sampleId('bridge', 1) }),
];

/** Of bridges 1 and 2, then of ports 1 to 3. */
const mtus = (topology: ReturnType<typeof emptyTopology>) => [
  ...[1, 2].map((n) => topology.bridge(sampleId('bridge', n))?.mtuBytes),
  ...[1, 2, 3].map((n) => topology.port(sampleId('port', n))?.mtuBytes),
];
const withZones = (...zones: ReturnType<typeof zone>[]) =>
  mtus(applyChanges(emptyTopology(), putAll(...WORLD, ...zones)).topology);

test('bridges and router ports carry what their underlay leaves them, unless they say', () => {
  assert.deepEqual(withZones(), [undefined, 1300, 1500, 1400, 1500]);
  assert.deepEqual(withZones(zone(1, undefined)), [undefined, 1300, 1500, 1400, 1500]);
  assert.deepEqual(withZones(zone(1, 1500)), [1450, 1300, 1450, 1400, 1450]);
  assert.deepEqual(withZones(zone(1, 1500, 'fd00::1')), [1430, 1300, 1430, 1400, 1430]);
});

test('an uplink is on a network of its own: a larger underlay does not raise it', () => {
  assert.deepEqual(withZones(zone(1, 9000)), [8950, 1300, 8950, 1400, 1500]);
});

test('the smallest zone counts, down to what every link of IPv6 carries', () => {
  assert.deepEqual(withZones(zone(1, 9000), zone(2, 1500), zone(3, undefined)), [1450, 1300, 1450, 1400, 1450]);
  assert.deepEqual(withZones(zone(1, 1300)), [1280, 1300, 1280, 1400, 1280]);
});

test('a zone that comes, changes or goes changes the bridges and router ports that say nothing, and nothing else', () => {
  let topology = applyChanges(emptyTopology(), putAll(...WORLD)).topology;
  const bound = { kind: 'port', id: sampleId('port', 3), placed: false };
  const followers = [
    { kind: 'port', id: sampleId('port', 1), placed: false },
    { kind: 'bridge', id: sampleId('bridge', 1) },
  ];
  const step = (change: Parameters<typeof applyChanges>[1]) => {
    const next = applyChanges(topology, change);
    topology = next.topology;
    return new Set(next.changes.map((each) => JSON.stringify(each)));
  };
  const told = (...changes: object[]) => new Set(changes.map((each) => JSON.stringify(each)));
  assert.deepEqual(step(putAll(zone(1, 9000))), told(...followers));
  assert.deepEqual(step(putAll(zone(1, 1500))), told(...followers, bound));
  assert.deepEqual(step(putAll(zone(2, 1600))), told());
  assert.deepEqual(step({ revision: 2, put: [], del: [refOf(zone(1, 1500))] }), told(...followers, bound));
  assert.deepEqual(mtus(topology), [1550, 1300, 1550, 1400, 1500]);
});
