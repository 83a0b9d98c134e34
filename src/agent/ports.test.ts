import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UnderlayHost } from '../datapath/datapath.ts';
import { memoryLog } from '../lib/log.ts';
import { parseIp } from '../packet/address.ts';
import type { Resource } from '../topology/kinds.ts';
import type { Topology } from '../topology/nodes.ts';
import { applyChanges, emptyTopology } from '../topology/snapshot.ts';
import type { PortStatus } from '../topology/status.ts';
import { putAll, sample, sampleId } from '../topology/testing/samples.ts';
import type { InterfaceInfo } from './host/interfaces.ts';
import { desiredWiring, diffWiring, formatOperation, NO_WIRING, Ports, type Surroundings } from './ports.ts';
import { FakeDatapath } from './testing/fake-datapath.ts';

const ME = sampleId('host', 1);
const PEER = sampleId('host', 2);
const THIRD = sampleId('host', 3);
const BRIDGE = sampleId('bridge', 1);

const bound = (n: number, hostId: string, interfaceName: string): Resource =>
  sample('port', n, { deviceId: BRIDGE, hostId, interfaceName });
const network = (...ports: Resource[]): Topology => {
  const hosts = [1, 2, 3].map((n) => sample('host', n, { name: `host${n}` }));
  return applyChanges(emptyTopology(), putAll(sample('bridge', 1), ...hosts, ...ports)).topology;
};

const found = (name: string, ifindex: number, fields: Partial<InterfaceInfo> = {}): [string, InterfaceInfo] => {
  const info = { name, ifindex, mac: '02:00:00:00:00:99', mtuBytes: 1500, raised: true, up: true, addresses: [] };
  return [name, { ...info, tap: false, ...fields }];
};
const underlayTo = (last: number): UnderlayHost => ({
  local: parseIp('192.0.2.1')!,
  remote: parseIp(`192.0.2.${last}`)!,
  interfaceName: 'underlay',
  mtuBytes: 1600,
});

interface Around {
  interfaces?: [string, InterfaceInfo][];
  /** `host/port` pairs that are up. */
  up?: [string, number][];
  down?: [string, number][];
  hosts?: number[];
  /** The server's about every port. */
  word?: PortStatus['state'] | undefined;
  /** Of what the host itself needs. */
  reserved?: string;
}

function surroundings(
  topology: Topology,
  { interfaces = [], up = [], down = [], hosts = [2, 3], reserved, ...rest }: Around = {},
): Surroundings {
  return {
    hostId: ME,
    topology,
    interfaces: new Map(interfaces),
    underlay: new Map(hosts.map((n) => [sampleId('host', n), underlayTo(n)])),
    indexOf: (hostId) => [ME, PEER, THIRD].indexOf(hostId),
    stateAt: (hostId, portId) => {
      const isIn = (list: [string, number][]) =>
        list.some(([host, n]) => host === hostId && sampleId('port', n) === portId);
      return isIn(up) ? 'up' : isIn(down) ? 'down' : undefined;
    },
    reserved: ({ name }) => (name === reserved ? 'the host needs it' : undefined),
    word: (id) => {
      const state = 'word' in rest ? rest.word : 'claimed';
      return state && { kind: 'port', id, state, ...(state === 'refused' ? { why: 'host h2 still holds it' } : {}) };
    },
  };
}

/** The operations from one state of the world to another, one a line. */
function way(to: Surroundings, from?: Surroundings): string[] {
  const actual = from === undefined ? NO_WIRING : desiredWiring(from, NO_WIRING).wiring;
  return diffWiring(desiredWiring(to, actual).wiring, actual).map(formatOperation);
}
const statuses = (around: Surroundings) => desiredWiring(around, NO_WIRING).statuses;
const states = (around: Surroundings) => statuses(around).map(({ state, why }) => why ?? state);

const TAP0 = found('tap0', 10, { tap: true });
const HOST_LINES = [
  'host 1 192.0.2.1 > 192.0.2.2 on underlay mtu 1600',
  'host 2 192.0.2.1 > 192.0.2.3 on underlay mtu 1600',
];

test('a port whose interface exists is plugged last, after everything that its packets need', () => {
  const topology = network(bound(5, ME, 'tap0'), bound(6, PEER, 'tap0'));
  const around = surroundings(topology, { interfaces: [TAP0], up: [[PEER, 6]] });
  assert.deepEqual(way(around), [
    ...HOST_LINES,
    'port 5 at tap0',
    'port 6 at host 1',
    'flood 100001 ports [5] hosts [1]',
    'plug 5 tap0 tap',
  ]);
  assert.deepEqual(states(around), ['up']);
});

test('nothing changes when nothing has changed', () => {
  const around = surroundings(network(bound(5, ME, 'tap0')), { interfaces: [TAP0] });
  assert.deepEqual(way(around, around), []);
});

test('an interface that goes is unplugged first', () => {
  const topology = network(bound(5, ME, 'tap0'));
  const before = surroundings(topology, { interfaces: [TAP0] });
  const after = surroundings(topology);
  assert.deepEqual(way(after, before), ['unplug 5', 'port 5 nowhere', 'flood 100001 ports [] hosts []']);
  assert.deepEqual(states(after), ['no interface tap0 on the host']);
});

test('a new interface of the same name is plugged anew', () => {
  const topology = network(bound(5, ME, 'tap0'));
  const before = surroundings(topology, { interfaces: [TAP0] });
  const after = surroundings(topology, { interfaces: [found('tap0', 11, { tap: true })] });
  assert.deepEqual(way(after, before), ['unplug 5', 'port 5 at tap0', 'plug 5 tap0 tap']);
});

test('a port on another host is sent to only after that host said it is up', () => {
  const topology = network(bound(6, PEER, 'tap0'));
  const before = surroundings(topology);
  const after = surroundings(topology, { up: [[PEER, 6]] });
  assert.deepEqual(way(before), [...HOST_LINES, 'flood 100001 ports [] hosts []']);
  assert.deepEqual(way(after, before), ['port 6 at host 1', 'flood 100001 ports [] hosts [1]']);
});

test('a port that moves between other hosts is sent to its old host until the new one is up', () => {
  const before = surroundings(network(bound(6, PEER, 'tap0')), { up: [[PEER, 6]] });
  const moved = network(bound(6, THIRD, 'tap0'));
  assert.deepEqual(way(surroundings(moved), before), []);
  assert.deepEqual(way(surroundings(moved, { up: [[THIRD, 6]] }), before), [
    'port 6 at host 2',
    'flood 100001 ports [] hosts [2]',
  ]);
  // Not when one of them cannot be reached any more, nor when it is bound to nobody.
  for (const hosts of [[2], [3]]) assert.ok(way(surroundings(moved, { hosts }), before).includes('port 6 nowhere'));
  const unbound = network(sample('port', 6, { deviceId: BRIDGE }));
  assert.ok(way(surroundings(unbound), before).includes('port 6 nowhere'));
});

test('a port that goes down is still sent to its host, which may have to send it on; one of which nothing is said is not', () => {
  const topology = network(bound(6, PEER, 'tap0'));
  const before = surroundings(topology, { up: [[PEER, 6]] });
  const down = surroundings(topology, { down: [[PEER, 6]] });
  assert.deepEqual(way(down, before), []);
  assert.ok(!way(down).some((line) => line.startsWith('port 6')), 'it never was up');
  assert.ok(way(surroundings(topology), before).includes('port 6 nowhere'));
});

test('a flood goes once to each host, however many members it has', () => {
  const topology = network(bound(6, PEER, 'a'), bound(7, PEER, 'b'), bound(8, THIRD, 'a'));
  const around = surroundings(topology, {
    up: [
      [PEER, 6],
      [PEER, 7],
      [THIRD, 8],
    ],
  });
  assert.equal(way(around).at(-1), 'flood 100001 ports [] hosts [1 2]');
});

test('a port that moved away is unplugged and sent on to its new host', () => {
  const before = surroundings(network(bound(5, ME, 'tap0')), { interfaces: [TAP0] });
  const after = surroundings(network(bound(5, PEER, 'tap0')), { interfaces: [TAP0], up: [[PEER, 5]] });
  assert.deepEqual(way(after, before), ['unplug 5', 'port 5 at host 1', 'flood 100001 ports [] hosts [1]']);
});

test('a port is claimed first, and plugged when the server has confirmed it', () => {
  const topology = network(bound(5, ME, 'tap0'));
  const claiming = surroundings(topology, { interfaces: [TAP0], word: undefined });
  const confirmed = surroundings(topology, { interfaces: [TAP0], word: 'claimed' });
  assert.deepEqual(statuses(claiming), [
    { kind: 'port', id: sampleId('port', 5), state: 'claimed', why: 'no server has confirmed it yet' },
  ]);
  assert.deepEqual(way(claiming), [...HOST_LINES, 'flood 100001 ports [] hosts []']);
  assert.deepEqual(way(confirmed, claiming), ['port 5 at tap0', 'flood 100001 ports [5] hosts []', 'plug 5 tap0 tap']);
  assert.deepEqual(states(confirmed), ['up']);
});

test('what is plugged stays so while no server says otherwise', () => {
  const topology = network(bound(5, ME, 'tap0'));
  const before = surroundings(topology, { interfaces: [TAP0] });
  assert.deepEqual(way(surroundings(topology, { interfaces: [TAP0], word: undefined }), before), []);
  assert.deepEqual(way(surroundings(topology, { interfaces: [TAP0], word: 'refused' }), before), [
    'unplug 5',
    'port 5 nowhere',
    'flood 100001 ports [] hosts []',
  ]);
});

test('a port that the server refused is not plugged, and claimed on', () => {
  const around = surroundings(network(bound(5, ME, 'tap0')), { interfaces: [TAP0], word: 'refused' });
  assert.deepEqual(statuses(around), [
    { kind: 'port', id: sampleId('port', 5), state: 'claimed', why: 'host h2 still holds it' },
  ]);
  assert.equal(
    way(around).some((line) => line.startsWith('plug')),
    false,
  );
});

test('the second port on one interface stays down', () => {
  const around = surroundings(network(bound(5, ME, 'tap0'), bound(6, ME, 'tap0')), { interfaces: [TAP0] });
  assert.deepEqual(states(around), ['up', `interface tap0 carries port ${sampleId('port', 5)} already`]);
  assert.deepEqual(statuses(around)[1]?.state, 'down');
});

test('an interface without carrier is plugged but its port is down', () => {
  const around = surroundings(network(bound(5, ME, 'tap0')), { interfaces: [found('tap0', 10, { up: false })] });
  assert.deepEqual(states(around), ['interface tap0 has no carrier']);
  assert.equal(way(around).at(-1), 'plug 5 tap0');
});

test('a host that left the zone goes after everything that led to it', () => {
  const topology = network(bound(6, PEER, 'tap0'));
  const before = surroundings(topology, { up: [[PEER, 6]] });
  const after = surroundings(topology, { up: [[PEER, 6]], hosts: [3] });
  assert.deepEqual(way(after, before), ['port 6 nowhere', 'flood 100001 ports [] hosts []', 'host 1 gone']);
});

function portsOver(datapath: FakeDatapath) {
  let now = 0;
  const told: (readonly PortStatus[])[] = [];
  const raised: string[] = [];
  const ports = new Ports({
    datapath,
    log: memoryLog(),
    now: () => now,
    raise: (name) => raised.push(name),
    onStatuses: (some) => told.push(some),
  });
  return { ports, told, raised, pass: (ms: number) => (now += ms) };
}

test('a port whose wiring fails is down, tried again later, and told when it works', () => {
  const datapath = new FakeDatapath();
  const { ports, told, raised, pass } = portsOver(datapath);
  const around = surroundings(network(bound(5, ME, 'tap0')), { interfaces: [TAP0] });
  datapath.failPlug = 'the interface is busy';
  ports.wire(around);
  assert.deepEqual(told.at(-1), [
    { kind: 'port', id: sampleId('port', 5), state: 'down', why: 'the interface is busy' },
  ]);
  const first = ports.retryAt;
  ports.wire(around);
  assert.ok(ports.retryAt > first);
  datapath.failPlug = undefined;
  pass(1000);
  ports.wire(around);
  assert.deepEqual(told.at(-1), [{ kind: 'port', id: sampleId('port', 5), state: 'up' }]);
  assert.equal(ports.retryAt, Number.POSITIVE_INFINITY);
  assert.deepEqual(raised, ['tap0']);
});

test('what a predecessor plugged stays plugged where it is wanted and is unplugged where not', () => {
  const datapath = new FakeDatapath();
  datapath.plug(5, 'tap0', { tap: true });
  datapath.plug(9, 'tap9', { tap: true });
  datapath.log.length = 0;
  const { ports } = portsOver(datapath);
  const around = surroundings(network(bound(5, ME, 'tap0')), { interfaces: [TAP0] });
  ports.adopt(around.interfaces);
  ports.wire(around);
  assert.deepEqual(
    datapath.log.filter((line) => line.includes('plug')),
    ['unplug 9'],
  );
});

test('of the places, floods and hosts of a predecessor those stay that are wanted', () => {
  const datapath = new FakeDatapath();
  const wanted = surroundings(network(bound(5, ME, 'tap0'), bound(6, PEER, 'tap0')), {
    interfaces: [TAP0],
    up: [[PEER, 6]],
  });
  const before = surroundings(network(bound(5, ME, 'tap0'), bound(6, PEER, 'tap0'), bound(7, THIRD, 'tap0')), {
    interfaces: [TAP0],
    up: [
      [PEER, 6],
      [THIRD, 7],
    ],
    hosts: [2, 3],
  });
  portsOver(datapath).ports.wire(before);
  datapath.log.length = 0;
  const { ports } = portsOver(datapath);
  ports.adopt(wanted.interfaces);
  ports.wire({ ...wanted, underlay: new Map([[PEER, underlayTo(2)]]) });
  assert.deepEqual(datapath.log, ['delivery 7 nowhere', 'flood 100001 5', 'host 2 gone']);
});

test('an interface that the host needs for itself is not plugged, and unplugged when it turns out to be one', () => {
  const topology = network(bound(5, ME, 'tap0'));
  const before = surroundings(topology, { interfaces: [TAP0] });
  const after = surroundings(topology, { interfaces: [TAP0], reserved: 'tap0' });
  assert.deepEqual(way(after, before), ['unplug 5', 'port 5 nowhere', 'flood 100001 ports [] hosts []']);
  assert.deepEqual(statuses(after)[0], {
    kind: 'port',
    id: sampleId('port', 5),
    state: 'down',
    why: 'the host needs it',
  });
});
