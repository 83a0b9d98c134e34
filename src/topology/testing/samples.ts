// Objects and random worlds for tests. Ids are few and chosen, so that references meet, dangle and collide.

import fc from 'fast-check';
import { filled } from '../document.ts';
import { KIND_NAMES, type Kind, type Objects, type Resource, type ResourceRef } from '../kinds.ts';
import type { Id } from '../resource.ts';
import type { TopologyChange } from '../snapshot.ts';

export const sampleId = (kind: Kind, n: number): Id =>
  `${KIND_NAMES.indexOf(kind).toString(16).padStart(8, '0')}-0000-4000-8000-${n.toString(16).padStart(12, '0')}`;

/** An object with defaults and server-assigned fields; numbers are `n`. */
export function sample<K extends Kind>(kind: K, n: number, fields: Partial<Objects[K]> = {}): Resource & { kind: K } {
  const assigned = { revision: 1, createdAt: '2026-01-01T00:00:00Z', updatedAt: '2026-01-01T00:00:00Z' };
  const numbers: Partial<Record<Kind, object>> = {
    port: { tunnelKey: n },
    bridge: { floodKey: 100_000 + n },
    rule: { number: n, position: n },
  };
  const value = filled(kind, { id: sampleId(kind, n), ...assigned, ...numbers[kind], ...fields });
  return { kind, value } as unknown as Resource & { kind: K };
}

export const putAll = (...put: Resource[]): TopologyChange => ({ revision: 1, put, del: [] });
export const refOf = ({ kind, value }: Resource): ResourceRef => ({ kind, id: value.id });

const idOf = (kind: Kind, most: number) => fc.nat(most - 1).map((n) => sampleId(kind, n + 1));
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 4 });
const mac = fc.nat(2).map((n) => `02:00:00:00:00:0${n}`);
const address = fc.constantFrom(
  '10.0.1.1/24',
  '10.0.1.2/24',
  '10.0.2.1/24',
  '10.0.2.1/32',
  'fd00:1::1/64',
  'fe80::9/64',
);
const network = fc.constantFrom('0.0.0.0/0', '10.0.1.0/24', '10.0.1.1/32', '10.0.0.0/8', '::/0', 'fd00:1::/64');
const few = <T>(arbitrary: fc.Arbitrary<T>) => fc.uniqueArray(arbitrary, { maxLength: 3 });
// Crowded: so that ports of one device meet in their addresses.
const device = fc.oneof(
  { arbitrary: fc.constant(sampleId('bridge', 1)), weight: 4 },
  { arbitrary: idOf('bridge', 3), weight: 1 },
  { arbitrary: idOf('router', 2), weight: 3 },
);

const FIELDS: { readonly [K in Kind]?: fc.Arbitrary<Record<string, unknown>> } = {
  bridge: fc.record({
    name: fc.constantFrom('', 'lan'),
    adminUp: fc.boolean(),
    inboundChainId: maybe(idOf('chain', 4)),
    outboundChainId: maybe(idOf('chain', 4)),
    mtuBytes: maybe(fc.constantFrom(1400, 9000)),
  }),
  router: fc.record({ adminUp: fc.boolean(), inboundChainId: maybe(idOf('chain', 4)) }),
  port: fc.record({
    deviceId: device,
    adminUp: fc.nat(4).map((n) => n > 0),
    mac: maybe(mac),
    addresses: few(address),
    vlan: maybe(fc.constantFrom(1, 2)),
    outboundChainId: maybe(idOf('chain', 4)),
    portGroupIds: few(idOf('portGroup', 3)),
    peerId: maybe(idOf('port', 8)),
    hostId: maybe(idOf('host', 2)),
    interfaceName: fc.constantFrom('eth0', 'eth1'),
    tags: few(fc.constantFrom('a', 'b')),
    tunnelKey: fc.integer({ min: 1, max: 9 }),
  }),
  route: fc.record({
    routerId: idOf('router', 2),
    destination: network,
    source: maybe(network),
    nextHop: fc.constantFrom('port', 'blackhole', 'reject', 'local'),
    portId: maybe(idOf('port', 8)),
    gateway: maybe(fc.constantFrom('10.0.1.9', 'fd00:1::9')),
    weight: fc.constantFrom(0, 1, 100),
  }),
  chain: fc.record({ name: fc.constantFrom('', 'in') }),
  rule: fc.record({
    chainId: idOf('chain', 4),
    position: fc.integer({ min: 1, max: 4 }),
    action: fc.constantFrom('accept', 'drop', 'jump', 'jump'),
    jumpChainId: maybe(idOf('chain', 4)),
    number: fc.nat(3),
    match: fc.record({
      inPortIds: maybe(few(idOf('port', 8))),
      ingressPortGroupId: maybe(idOf('portGroup', 3)),
      sourceSetId: maybe(idOf('addressSet', 2)),
      destination: maybe(network),
      destinationPorts: maybe(fc.constant({ from: 80, to: 90 })),
      etherSource: maybe(mac.map((text) => ({ mac: text }))),
    }),
  }),
  addressSet: fc.record({ name: fc.constantFrom('', 's'), addresses: few(network) }),
  portGroup: fc.record({ stateful: fc.boolean() }),
  dhcpSubnet: fc.record({ bridgeId: idOf('bridge', 3), prefix: network, enabled: fc.boolean() }),
  tunnelZone: fc.record({
    members: fc.constantFrom([], [{ hostId: sampleId('host', 1), address: 'fd00::1' }]),
    underlayMtuBytes: maybe(fc.constantFrom(1400, 1500, 9000)),
  }),
  dhcpHost: fc.record({ subnetId: idOf('dhcpSubnet', 2), mac, address: fc.constantFrom('10.0.1.5', '10.0.1.6') }),
};
const HOW_MANY: Partial<Record<Kind, number>> = {
  bridge: 3,
  router: 2,
  port: 8,
  route: 4,
  chain: 4,
  rule: 6,
  addressSet: 2,
  portGroup: 3,
  dhcpSubnet: 2,
  dhcpHost: 3,
  tunnelZone: 2,
};

const defined = (fields: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

type Step = { readonly put: Resource } | { readonly del: ResourceRef };

const stepOf = (kind: Kind): fc.Arbitrary<Step> =>
  fc.tuple(fc.integer({ min: 1, max: HOW_MANY[kind]! }), fc.nat(4), FIELDS[kind]!).map(([n, chance, fields]): Step => {
    if (chance === 0) return { del: { kind, id: sampleId(kind, n) } };
    // Wires between neighbours by number, mostly: so that both ends meet.
    if (kind === 'port' && chance > 1 && fields.peerId !== undefined)
      fields.peerId = sampleId('port', ((n - 1) ^ 1) + 1);
    const match = fields.match === undefined ? {} : { match: defined(fields.match as Record<string, unknown>) };
    return { put: sample(kind, n, { ...defined(fields), ...match } as Partial<Objects[typeof kind]>) };
  });

// Ports are what most nodes are made of.
const step = fc.oneof(
  { arbitrary: stepOf('port'), weight: 6 },
  ...(Object.keys(FIELDS) as Kind[]).map((kind) => ({ arbitrary: stepOf(kind), weight: 1 })),
);

/** Changes as they might arrive: nothing says that they make sense, or in which order. */
export const changesArbitrary: fc.Arbitrary<TopologyChange[]> = fc
  .array(fc.array(step, { maxLength: 6 }), { maxLength: 12 })
  .map((batches) =>
    batches.map((steps, index) => {
      // Of several steps with one object the last counts.
      const last = new Map(steps.map((one) => ['put' in one ? one.put.value.id : one.del.id, one]));
      return {
        revision: index + 1,
        put: [...last.values()].flatMap((one) => ('put' in one ? [one.put] : [])),
        del: [...last.values()].flatMap((one) => ('del' in one ? [one.del] : [])),
      };
    }),
  );

/** All objects of a topology, as one change would put them. */
export function resourcesOf(topology: { objects<K extends Kind>(kind: K): ReadonlyMap<Id, Objects[K]> }): Resource[] {
  return KIND_NAMES.flatMap((kind) =>
    [...topology.objects(kind).values()].map((value) => ({ kind, value }) as Resource),
  );
}

/** Time that this thread computed for, whoever else was busy on the machine. */
export function cpuMs(work: () => void): number {
  const start = process.threadCpuUsage();
  work();
  const { user, system } = process.threadCpuUsage(start);
  return (user + system) / 1000;
}
