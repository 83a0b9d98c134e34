import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatIp, formatMac, formatPrefix, type Ip } from '../packet/address.ts';
import type { Objects, Resource } from './kinds.ts';
import type { Change, Topology } from './nodes.ts';
import { applyChanges, emptyTopology, type TopologyChange } from './snapshot.ts';
import { ids, nodesOf, plainBridge, routesOf } from './testing/nodes.ts';
import { changesArbitrary, cpuMs, putAll, refOf, resourcesOf, sample, sampleId } from './testing/samples.ts';

const build = (...put: Resource[]): Topology => applyChanges(emptyTopology(), putAll(...put)).topology;
const change = (topology: Topology, ...put: Resource[]): { topology: Topology; changes: Change[] } =>
  applyChanges(topology, { revision: topology.revision + 1, put, del: [] });

const sequence = (changes: readonly TopologyChange[], topology = emptyTopology()): Topology =>
  changes.reduce((built, one) => applyChanges(built, one).topology, topology);

test('step by step, at once, one by one and backwards make the same nodes', () => {
  fc.assert(
    fc.property(changesArbitrary, (changes) => {
      const stepped = sequence(changes);
      const put = resourcesOf(stepped);
      const expected = nodesOf(build(...put));
      assert.deepEqual(nodesOf(stepped), expected);
      const single = put.map((one) => putAll(one));
      assert.deepEqual(nodesOf(sequence(single)), expected);
      assert.deepEqual(nodesOf(sequence(single.toReversed())), expected);
    }),
    { numRuns: 400 },
  );
});

test('a topology never changes, and nodes that say the same stay the same objects', () => {
  fc.assert(
    fc.property(changesArbitrary, changesArbitrary, (first, second) => {
      const before = sequence(first);
      const nodesBefore = nodesOf(before);
      sequence(second, before);
      assert.deepEqual(nodesOf(before), nodesBefore);
      // One step at a time: after several a node may have been another in between.
      const last = second.at(-1);
      if (last === undefined) return;
      const middle = sequence(second.slice(0, -1), before);
      const after = sequence([last], middle);
      const equal = (name: string) =>
        JSON.stringify(plain(nodesOf(middle).get(name))) === JSON.stringify(plain(nodesOf(after).get(name)));
      for (const id of ids('bridge', 4)) if (equal(`bridge ${id}`)) assert.equal(after.bridge(id), middle.bridge(id));
      for (const id of ids('router', 3)) if (equal(`router ${id}`)) assert.equal(after.router(id), middle.router(id));
      for (const id of ids('chain', 5)) if (equal(`chain ${id}`)) assert.equal(after.chain(id), middle.chain(id));
      for (const id of ids('addressSet', 3)) {
        if (equal(`addressSet ${id}`)) assert.equal(after.addressSet(id), middle.addressSet(id));
      }
      const touched = new Set(last.put.map(({ value }) => value.id));
      for (const id of ids('port', 9)) {
        if (equal(`port ${id}`) && !touched.has(id)) assert.equal(after.port(id), middle.port(id));
      }
    }),
    { numRuns: 200 },
  );
});

/** For JSON: no bigints, sets and maps. */
const plain = (value: unknown): unknown => {
  if (typeof value === 'bigint') return `${value}n`;
  if (value instanceof Set) return ['set', ...value].sort();
  if (value instanceof Map)
    return [...value]
      .map(plain)
      .map((item) => JSON.stringify(item))
      .sort();
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, below]) => [key, plain(below)]));
};
const text = (value: unknown): string => JSON.stringify(plain(value)) ?? 'undefined';

/** What must be told, by the plainest comparison of the two topologies. */
function differences(before: Topology, after: Topology): Set<string> {
  const found = new Set<string>();
  const bare = (object: Objects['port'] | Objects['dhcpSubnet'] | Objects['dhcpHost'] | undefined) =>
    object && { ...object, revision: 0, createdAt: '', updatedAt: '', tags: [], projectId: '' };
  for (const id of ids('port', 9)) {
    const [a, b] = [before.port(id), after.port(id)];
    if (text(a && { ...a, object: bare(a.object) }) !== text(b && { ...b, object: bare(b.object) }))
      found.add(`port ${id}`);
    for (const group of [1, 2, 3].map((n) => sampleId('portGroup', n))) {
      if ((a?.groupIds.includes(group) ?? false) !== (b?.groupIds.includes(group) ?? false))
        found.add(`portGroup ${group} ${id}`);
    }
  }
  for (const id of ids('bridge', 4)) {
    const [a, b] = [before.bridge(id), after.bridge(id)];
    for (const field of [
      'name',
      'adminUp',
      'inboundChainId',
      'outboundChainId',
      'mtuBytes',
      'macExpirySeconds',
      'flood',
    ] as const) {
      if (a?.[field] !== b?.[field]) found.add(`bridge ${id}`);
    }
    for (const field of ['members', 'ingressDecided', 'peered'] as const) {
      if (text(a?.[field] ?? []) !== text(b?.[field] ?? [])) found.add(`members ${id}`);
    }
    for (const key of new Set([...(a?.macs.keys() ?? []), ...(b?.macs.keys() ?? [])])) {
      if (a?.macs.get(key) !== b?.macs.get(key)) found.add(`configuredMac ${id} ${key}`);
    }
    for (const ip of new Set<Ip>([...(a?.neighbours.keys() ?? []), ...(b?.neighbours.keys() ?? [])])) {
      if (text(a?.neighbours.get(ip)) !== text(b?.neighbours.get(ip)))
        found.add(`configuredNeighbour ${id} ${formatIp(ip)}`);
    }
    const dhcp = (topology: Topology) =>
      topology.bridge(id)?.dhcp.map((node) => [bare(node.subnet), [...node.hosts.values()].map(bare)]) ?? [];
    if (text(dhcp(before)) !== text(dhcp(after))) found.add(`dhcp ${id}`);
  }
  for (const id of ids('router', 3)) {
    const [a, b] = [before.router(id), after.router(id)];
    for (const field of ['name', 'adminUp', 'inboundChainId', 'outboundChainId'] as const) {
      if (a?.[field] !== b?.[field]) found.add(`router ${id}`);
    }
    for (const [prefix] of [...routesOf(a), ...routesOf(b)]) {
      const destination = prefix as Parameters<typeof formatPrefix>[0];
      if (text(a?.routes.get(prefix)) !== text(b?.routes.get(prefix)))
        found.add(`routes ${id} ${formatPrefix(destination)}`);
    }
  }
  for (const id of ids('chain', 5)) {
    const [a, b] = [before.chain(id), after.chain(id)];
    if (a?.name !== b?.name) found.add(`chain ${id}`);
    for (let position = 1; position < 5; position++) {
      const at = (node: typeof a) => node?.rules.filter((rule) => rule.position === position) ?? [];
      if (text(at(a)) !== text(at(b))) found.add(`rule ${id} ${position}`);
    }
  }
  for (const id of ids('addressSet', 3)) {
    const [a, b] = [before.addressSet(id), after.addressSet(id)];
    if (a?.name !== b?.name) found.add(`addressSet ${id} 0.0.0.0/0`).add(`addressSet ${id} ::/0`);
    else {
      for (const [prefix] of [...(a?.prefixes.entries() ?? []), ...(b?.prefixes.entries() ?? [])]) {
        const member = prefix as Parameters<typeof formatPrefix>[0];
        if (a?.prefixes.get(prefix) !== b?.prefixes.get(prefix)) found.add(`addressSet ${id} ${formatPrefix(member)}`);
      }
    }
  }
  return found;
}

function told(change: Change): string {
  switch (change.kind) {
    case 'portGroup':
      return `portGroup ${change.id} ${change.portId}`;
    case 'members':
    case 'dhcp':
      return `${change.kind} ${change.bridgeId}`;
    case 'configuredMac':
      return `configuredMac ${change.bridgeId} ${change.vlan}/${change.mac}`;
    case 'configuredNeighbour':
      return `configuredNeighbour ${change.bridgeId} ${formatIp(change.ip)}`;
    case 'routes':
      return `routes ${change.routerId} ${formatPrefix(change.destination)}`;
    case 'rule':
      return `rule ${change.chainId} ${change.position}`;
    case 'addressSet':
      return `addressSet ${change.id} ${formatPrefix(change.prefix)}`;
    default:
      return `${change.kind} ${change.id}`;
  }
}

test('changes tell every difference between two topologies, and nothing else', () => {
  fc.assert(
    fc.property(changesArbitrary, (batches) => {
      let before = emptyTopology();
      for (const batch of batches) {
        const { topology: after, changes } = applyChanges(before, batch);
        assert.deepEqual([...new Set(changes.map(told))].sort(), [...differences(before, after)].sort());
        before = after;
      }
    }),
    { numRuns: 400 },
  );
});

const bridge = sample('bridge', 1);
const router = sample('router', 1);
const host = sampleId('host', 1);
const bound = (n: number, fields: Partial<Objects['port']> = {}) =>
  sample('port', n, { deviceId: bridge.value.id, hostId: host, interfaceName: `tap${n}`, ...fields });
/** A router port with a bridge port at its other end. */
const joined = (routerPort: number, bridgePort: number, fields: Partial<Objects['port']> = {}) => [
  sample('port', routerPort, { deviceId: router.value.id, peerId: sampleId('port', bridgePort), ...fields }),
  sample('port', bridgePort, { deviceId: bridge.value.id, peerId: sampleId('port', routerPort) }),
];
const table = (topology: Topology) =>
  routesOf(topology.router(router.value.id)).flatMap(([prefix, routes]) =>
    routes.map(
      (route) =>
        `${formatPrefix(prefix as Parameters<typeof formatPrefix>[0])} ${route.nextHop} ${route.gateway === undefined ? '' : formatIp(route.gateway)} ${route.weight}`,
    ),
  );

test('an up and plugged router port brings its addresses and networks to the table', () => {
  const fields = { mac: '02:00:00:00:00:01', addresses: ['10.0.1.1/24', '10.0.1.2/24', 'fd00:1::1/64'] };
  assert.deepEqual(table(build(router, bridge, ...joined(1, 2, fields))), [
    '10.0.1.0/24 port  0',
    '10.0.1.1/32 local  0',
    '10.0.1.2/32 local  0',
    'fd00:1::/64 port  0',
    'fd00:1::1/128 local  0',
    'fe80::ff:fe00:1/128 local  0',
  ]);
  assert.deepEqual(table(build(router, bridge, ...joined(1, 2, { ...fields, adminUp: false }))), []);
  assert.deepEqual(table(build(router, sample('port', 1, { deviceId: router.value.id, ...fields }))), []);
});

test('routes of one destination stand by rising weight, implied ones first, and leave with their port', () => {
  const route = (n: number, fields: Partial<Objects['route']>) =>
    sample('route', n, { routerId: router.value.id, destination: '10.0.1.0/24', nextHop: 'port', ...fields });
  const via = { portId: sampleId('port', 1), gateway: '10.0.1.9' };
  const routes = [
    route(1, { ...via, weight: 20 }),
    route(2, { ...via, weight: 10 }),
    route(3, { nextHop: 'blackhole', weight: 15 }),
  ];
  const topology = build(router, bridge, ...joined(1, 2, { addresses: ['10.0.1.1/24'] }), ...routes);
  assert.deepEqual(table(topology), [
    '10.0.1.0/24 port  0',
    '10.0.1.0/24 port 10.0.1.9 10',
    '10.0.1.0/24 blackhole  15',
    '10.0.1.0/24 port 10.0.1.9 20',
    '10.0.1.1/32 local  0',
  ]);
  const [down] = joined(1, 2, { addresses: ['10.0.1.1/24'], adminUp: false });
  const { topology: after, changes } = change(topology, down!);
  assert.deepEqual(table(after), ['10.0.1.0/24 blackhole  15']);
  assert.deepEqual(
    changes
      .map(told)
      .filter((line) => line.startsWith('routes'))
      .sort(),
    [`routes ${router.value.id} 10.0.1.0/24`, `routes ${router.value.id} 10.0.1.1/32`],
  );
});

test('a bridge knows guests by their ports and routers by the ports of their peers', () => {
  const topology = build(
    bridge,
    router,
    bound(3, { mac: '02:00:00:00:00:03', addresses: ['10.0.1.3/24'], vlan: 7 }),
    ...joined(1, 2, { mac: '02:00:00:00:00:01', addresses: ['10.0.1.1/24'] }),
    sample('port', 4, { deviceId: bridge.value.id, mac: '02:00:00:00:00:04' }),
  );
  const node = topology.bridge(bridge.value.id)!;
  assert.deepEqual(
    node.portIds,
    [2, 3, 4].map((n) => sampleId('port', n)),
  );
  assert.deepEqual([node.members, node.peered], [[sampleId('port', 3)], [sampleId('port', 2)]]);
  assert.deepEqual(
    [...node.macs].map(([key, id]) => [formatVlanMac(key), id]),
    [
      ['0/02:00:00:00:00:01', sampleId('port', 2)],
      ['7/02:00:00:00:00:03', sampleId('port', 3)],
    ],
  );
  assert.deepEqual(
    [...node.neighbours].map(
      ([ip, to]) => `${formatIp(ip)} ${formatMac(to.mac)} ${to.router ? 'router' : 'guest'} ${to.portId}`,
    ),
    [
      `10.0.1.1 02:00:00:00:00:01 router ${sampleId('port', 2)}`,
      `fe80::ff:fe00:1 02:00:00:00:00:01 router ${sampleId('port', 2)}`,
      `10.0.1.3 02:00:00:00:00:03 guest ${sampleId('port', 3)}`,
      `fe80::ff:fe00:3 02:00:00:00:00:03 guest ${sampleId('port', 3)}`,
    ],
  );
});

test('of two with one address the port of the lower number has it, whichever came first', () => {
  const twin = { mac: '02:00:00:00:00:01', addresses: ['10.0.1.1/24'] };
  const late = build(bridge, bound(2, { ...twin, tunnelKey: 7 }));
  const { topology, changes } = change(late, bound(1, { ...twin, tunnelKey: 5 }));
  assert.ok(changes.some((one) => one.kind === 'configuredNeighbour'));
  const node = topology.bridge(bridge.value.id)!;
  assert.deepEqual([...node.macs.values()], [sampleId('port', 1)]);
  assert.deepEqual(
    [...node.neighbours.values()].map(({ portId }) => portId),
    [1, 1].map((n) => sampleId('port', n)),
  );
});

test('a port that is renamed leaves its bridge the very same', () => {
  const fields = { mac: '02:00:00:00:00:01', addresses: ['10.0.1.1/24'] };
  const topology = build(bridge, bound(1, fields), bound(2));
  const renamed = change(topology, bound(1, { ...fields, name: 'web' })).topology;
  assert.equal(renamed.bridge(bridge.value.id), topology.bridge(bridge.value.id));
});

test('many ports at once are as many ports one by one', () => {
  const ports = Array.from({ length: 60 }, (_, n) => bound(n + 1, { portGroupIds: [sampleId('portGroup', 1)] }));
  const once = build(bridge, ...ports.toReversed());
  const stepped = sequence([bridge, ...ports].map((one) => putAll(one)));
  assert.deepEqual(plainBridge(stepped, bridge.value.id), plainBridge(once, bridge.value.id));
  const half = ports.filter((_, n) => n % 2 === 0).map(refOf);
  const without = applyChanges(once, { revision: 2, put: [], del: half }).topology;
  assert.equal(without.bridge(bridge.value.id)!.members.length, 30);
  const unplugged = sequence(
    half.map((ref) => ({ revision: 2, put: [], del: [ref] })),
    once,
  );
  assert.deepEqual(plainBridge(unplugged, bridge.value.id), plainBridge(without, bridge.value.id));
});

test('ten thousand ports are compiled in under a second, and one of them is changed in under two milliseconds', () => {
  const bridges = Array.from({ length: 500 }, (_, n) => sample('bridge', n + 1));
  const port = (n: number, name = '') =>
    sample('port', n, {
      name,
      deviceId: sampleId('bridge', 1 + (n % 500)),
      mac: `02:00:00:00:${n
        .toString(16)
        .padStart(4, '0')
        .replace(/..(?=.)/, '$&:')}`,
      addresses: [`10.${n >> 8}.${n & 255}.1/16`],
      hostId: sampleId('host', 1 + (n % 100)),
      interfaceName: `tap${n}`,
      projectId: sampleId('project', 1),
    });
  const objects = [...bridges, ...Array.from({ length: 10_000 }, (_, n) => port(n + 1))];
  let topology = emptyTopology();
  const whole = cpuMs(() => {
    topology = build(...objects);
  });
  assert.ok(whole < 1000, `${whole} ms`);
  const times = Array.from({ length: 101 }, (_, n) => {
    const renamed = port(1 + n * 37, `renamed ${n}`);
    return cpuMs(() => {
      topology = change(topology, renamed).topology;
    });
  });
  const median = times.sort((a, b) => a - b)[50]!;
  assert.ok(median < 2, `${median} ms`);
});

const formatVlanMac = (key: string): string => {
  const [vlan, mac] = key.split('/').map(Number);
  return `${vlan}/${formatMac(mac as Parameters<typeof formatMac>[0])}`;
};

test('a port says itself what its device is while that is not known', () => {
  const alone = sample('port', 1, { deviceId: router.value.id, deviceKind: 'router', mac: '02:00:00:00:00:01' });
  const topology = build(bridge, alone, sample('port', 2, { deviceId: bridge.value.id, peerId: alone.value.id }));
  assert.equal(topology.port(alone.value.id)?.deviceKind, 'router');
  assert.deepEqual([...topology.bridge(bridge.value.id)!.macs.values()], [sampleId('port', 2)]);
  assert.equal(topology.router(router.value.id), undefined);
});

test('members whose outbound filters ask for the ingress, through any jump, are decided there', () => {
  const chain = (n: number) => sample('chain', n);
  const jump = (n: number, from: number, to: number) =>
    sample('rule', n, { chainId: sampleId('chain', from), action: 'jump', jumpChainId: sampleId('chain', to) });
  const asks = sample('rule', 9, {
    chainId: sampleId('chain', 3),
    action: 'drop',
    match: { ingressPortGroupId: sampleId('portGroup', 1), not: [], invert: false },
  });
  // Jumps in a ring, as bad input could have left them: 1 → 2 → 3 → 1.
  const quiet = build(
    bridge,
    chain(1),
    chain(2),
    chain(3),
    jump(1, 1, 2),
    jump(2, 2, 3),
    jump(3, 3, 1),
    bound(1, { outboundChainId: sampleId('chain', 1) }),
    bound(2),
  );
  assert.deepEqual(quiet.bridge(bridge.value.id)!.ingressDecided, []);
  const { topology, changes } = change(quiet, asks);
  assert.deepEqual(topology.bridge(bridge.value.id)!.ingressDecided, [sampleId('port', 1)]);
  assert.deepEqual(topology.bridge(bridge.value.id)!.members, [sampleId('port', 2)]);
  assert.ok(changes.some((one) => one.kind === 'members'));
  const whole = change(topology, sample('bridge', 1, { outboundChainId: sampleId('chain', 2) })).topology;
  assert.deepEqual(
    whole.bridge(bridge.value.id)!.ingressDecided,
    [1, 2].map((n) => sampleId('port', n)),
  );
});

test('a port that is bound elsewhere is told as placed, whatever else it may be told as', () => {
  const topology = build(bridge, bound(1, { mac: '02:00:00:00:00:01' }));
  const moved = bound(1, { mac: '02:00:00:00:00:01', hostId: sampleId('host', 2) });
  assert.deepEqual(change(topology, moved).changes, [{ kind: 'port', id: moved.value.id, placed: true }]);
  const renamed = bound(1, { mac: '02:00:00:00:00:01', hostId: sampleId('host', 2), name: 'web' });
  assert.deepEqual(change(topology, renamed).changes, [{ kind: 'port', id: moved.value.id, placed: false }]);
  const tagged = bound(1, { mac: '02:00:00:00:00:01', tags: ['a'], revision: 9 });
  assert.deepEqual(change(topology, tagged).changes, []);
});

test('a rule that is put between others touches its own position alone', () => {
  const rule = (n: number, position: number) =>
    sample('rule', n, { chainId: sampleId('chain', 1), position, action: 'accept' });
  const topology = build(sample('chain', 1), rule(1, 10), rule(2, 30));
  assert.deepEqual(change(topology, rule(3, 20)).changes, [
    { kind: 'rule', chainId: sampleId('chain', 1), position: 20 },
  ]);
  assert.deepEqual(applyChanges(topology, { revision: 2, put: [], del: [refOf(rule(1, 10))] }).changes, [
    { kind: 'rule', chainId: sampleId('chain', 1), position: 10 },
  ]);
});

test('fragments default to any, whatever else is looked at', () => {
  const rule = (n: number, match: Partial<Objects['rule']['match']>) =>
    sample('rule', n, { chainId: sampleId('chain', 1), action: 'accept', match: { not: [], invert: false, ...match } });
  const topology = build(
    sample('chain', 1),
    rule(1, {}),
    rule(2, { destinationPorts: { from: 80, to: 80 } }),
    rule(3, { icmpType: 8 }),
    rule(4, { destinationPorts: { from: 80, to: 80 }, fragments: 'unfragmented' }),
  );
  assert.deepEqual(
    topology.chain(sampleId('chain', 1))!.rules.map(({ match }) => match.fragments),
    ['any', 'any', 'any', 'unfragmented'],
  );
});
