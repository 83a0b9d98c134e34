import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Kind, Objects, Resource } from './kinds.ts';
import type { Topology } from './nodes.ts';
import type { Id } from './resource.ts';
import { devicesOf, devicesTouched, scopeOf } from './scope.ts';
import { applyChanges, emptyTopology } from './snapshot.ts';
import { changesArbitrary, putAll, refOf, sample, sampleId } from './testing/samples.ts';

const id = sampleId;
const build = (...put: Resource[]): Topology => applyChanges(emptyTopology(), putAll(...put)).topology;
const port = (n: number, fields: Partial<Objects['port']>) => sample('port', n, fields);
const rule = (
  n: number,
  chain: number,
  fields: Partial<Objects['rule']>,
  match: Partial<Objects['rule']['match']> = {},
) =>
  sample('rule', n, {
    chainId: id('chain', chain),
    action: 'accept',
    match: { not: [], invert: false, ...match },
    ...fields,
  });

const WORLD = [
  sample('bridge', 1, { outboundChainId: id('chain', 1) }),
  sample('bridge', 2),
  sample('router', 1),
  sample('router', 2),
  port(1, {
    deviceId: id('bridge', 1),
    hostId: id('host', 1),
    interfaceName: 'tap1',
    portGroupIds: [id('portGroup', 1)],
  }),
  port(2, { deviceId: id('bridge', 1), peerId: id('port', 3) }),
  port(3, { deviceId: id('router', 1), peerId: id('port', 2), inboundChainId: id('chain', 3) }),
  port(4, { deviceId: id('router', 1), peerId: id('port', 5) }),
  port(5, { deviceId: id('router', 2), peerId: id('port', 4) }),
  port(6, { deviceId: id('bridge', 2), hostId: id('host', 2), interfaceName: 'tap1' }),
  sample('route', 1, { routerId: id('router', 1), destination: '0.0.0.0/0', nextHop: 'reject' }),
  sample('dhcpSubnet', 1, { bridgeId: id('bridge', 1), prefix: '10.0.0.0/24' }),
  sample('dhcpHost', 1, { subnetId: id('dhcpSubnet', 1), mac: '02:00:00:00:00:01', address: '10.0.0.1' }),
  sample('chain', 1),
  sample('chain', 2),
  sample('chain', 3),
  rule(1, 1, { action: 'jump', jumpChainId: id('chain', 2) }),
  rule(2, 2, {}, { sourceSetId: id('addressSet', 1), inPortGroupId: id('portGroup', 2) }),
  rule(3, 3, {}),
  sample('addressSet', 1),
  sample('addressSet', 2),
  sample('portGroup', 1),
  sample('portGroup', 2),
  sample('host', 1),
  sample('project', 1),
];
const world = build(...WORLD);

const short = (refs: Iterable<{ readonly kind: Kind; readonly id: Id }>): string =>
  [...refs]
    .map(({ kind, id: one }) => `${kind} ${Number.parseInt(one.slice(-12), 16)}`)
    .sort()
    .join(', ');

test('the scope of a bridge ends at the ports one wire away', () => {
  assert.equal(
    short(scopeOf(world, id('bridge', 1))),
    'addressSet 1, bridge 1, chain 1, chain 2, chain 3, dhcpHost 1, dhcpSubnet 1, port 1, port 2, port 3, portGroup 1, portGroup 2, rule 1, rule 2, rule 3',
  );
});

test('the scope of a router has its routes', () => {
  assert.equal(
    short(scopeOf(world, id('router', 1))),
    'chain 3, port 2, port 3, port 4, port 5, route 1, router 1, rule 3',
  );
});

test('a device that is not there has no scope', () => {
  assert.deepEqual(scopeOf(world, id('bridge', 9)), []);
});

test('a host has the devices of its ports and their neighbours, no further', () => {
  assert.deepEqual([...devicesOf(world, id('host', 1))].sort(), [id('bridge', 1), id('router', 1)].sort());
  assert.deepEqual([...devicesOf(world, id('host', 2))], [id('bridge', 2)]);
  assert.deepEqual([...devicesOf(world, id('host', 3))], []);
});

test('with its scope alone a device is compiled as with everything', () => {
  for (const deviceId of [id('bridge', 1), id('router', 1)]) {
    const refs = scopeOf(world, deviceId).map(({ id: one }) => one);
    // A port of an unknown device says itself of which kind that is.
    const told = WORLD.filter(({ value }) => refs.includes(value.id)).map((resource): Resource => {
      if (resource.kind !== 'port') return resource;
      const deviceKind = resource.value.deviceId.startsWith(id('bridge', 1).slice(0, 8)) ? 'bridge' : 'router';
      return { kind: 'port', value: { ...resource.value, deviceKind } };
    });
    const part = build(...told);
    const bridge = (topology: Topology) => {
      const node = topology.bridge(deviceId);
      return node && { ...node, macs: new Map(node.macs), neighbours: new Map(node.neighbours) };
    };
    assert.deepEqual(bridge(part), bridge(world));
    assert.deepEqual(
      [...(part.router(deviceId)?.routes.entries() ?? [])],
      [...(world.router(deviceId)?.routes.entries() ?? [])],
    );
  }
});

test('a change in a set concerns the devices whose chains lead to it', () => {
  const touched = (resource: Resource) => {
    const after = applyChanges(world, { revision: 2, put: [resource], del: [] }).topology;
    return [...devicesTouched(world, after, [refOf(resource)])].sort();
  };
  assert.deepEqual(touched(sample('addressSet', 1, { addresses: ['10.0.0.0/8'] })), [id('bridge', 1)]);
  assert.deepEqual(touched(sample('addressSet', 2, { addresses: ['10.0.0.0/8'] })), []);
  assert.deepEqual(touched(rule(3, 3, { action: 'drop' })), [id('bridge', 1), id('router', 1)].sort());
  assert.deepEqual(touched(sample('host', 1, { name: 'h' })), []);
  assert.deepEqual(touched(port(5, { deviceId: id('router', 2), peerId: id('port', 4), name: 'x' })), [
    id('router', 1),
    id('router', 2),
  ]);
});

test('every device whose scope differs is touched', () => {
  const devices = [1, 2, 3].flatMap((n) => [id('bridge', n), id('router', n)]);
  fc.assert(
    fc.property(changesArbitrary, (batches) => {
      let before = emptyTopology();
      for (const batch of batches) {
        const { topology: after } = applyChanges(before, batch);
        const touched = devicesTouched(before, after, [...batch.put.map(refOf), ...batch.del]);
        for (const deviceId of devices) {
          const held = (topology: Topology) =>
            new Map(scopeOf(topology, deviceId).map((ref) => [ref.id, topology.object(ref.kind, ref.id)]));
          const [was, is] = [held(before), held(after)];
          const differs = was.size !== is.size || [...was].some(([one, object]) => is.get(one) !== object);
          if (differs) assert.ok(touched.has(deviceId), `${deviceId} differs and is not told`);
        }
        before = after;
      }
    }),
    { numRuns: 300 },
  );
});
