import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Draft, parseDocument, SERVER_ASSIGNED } from './document.ts';
import { KIND_NAMES, KINDS, type Kind, type Objects } from './kinds.ts';
import { sample, sampleId } from './testing/samples.ts';

const BRIDGE = sampleId('bridge', 1);

const create = <K extends Kind>(kind: K, json: unknown): Draft<K> => {
  const parsed = parseDocument(kind, json, 'create');
  assert.deepEqual(parsed.problems, undefined);
  return parsed.value!;
};
/** Path and message of each problem. */
const refused = (kind: Kind, json: unknown, before?: Objects[Kind]): string[] => {
  const parsed =
    before === undefined ? parseDocument(kind, json, 'create') : parseDocument(kind, json, 'patch', before);
  return (parsed.problems ?? []).map(({ path, message }) => `${path} ${message}`);
};
const patch = <K extends Kind>(kind: K, before: Objects[K], json: unknown): Draft<K> => {
  const parsed = parseDocument(kind, json, 'patch', before);
  assert.deepEqual(parsed.problems, undefined);
  return parsed.value!;
};

test('a created object has the defaults of its kind, at every depth', () => {
  assert.deepEqual(create('port', { deviceId: BRIDGE }), {
    deviceId: BRIDGE,
    name: '',
    tags: [],
    adminUp: true,
    addresses: [],
    antiSpoofing: false,
    portGroupIds: [],
  });
  const rule = create('rule', { chainId: sampleId('chain', 1), action: 'drop', match: { protocol: 6 } });
  assert.deepEqual(rule.match, { protocol: 6, not: [], invert: false });
  assert.equal(create('port', { deviceId: BRIDGE, routerAdvertisement: {} }).routerAdvertisement?.intervalSeconds, 600);
});

test('what is optional is absent unless it is given', () => {
  const rule = create('rule', { chainId: sampleId('chain', 1), action: 'drop' });
  assert.deepEqual(Object.keys(rule.match).sort(), ['invert', 'not']);
});

test('addresses come out in canonical text', () => {
  const port = create('port', {
    deviceId: BRIDGE,
    mac: '02:AB:00:00:00:01',
    addresses: ['FD00:0::0001/64', '10.0.0.1/24'],
  });
  assert.equal(port.mac, '02:ab:00:00:00:01');
  assert.deepEqual(port.addresses, ['fd00::1/64', '10.0.0.1/24']);
  const subnet = create('dhcpSubnet', {
    bridgeId: BRIDGE,
    prefix: 'FD00:1:0:0::/64',
    dnsServers: ['FD00::53'],
    routes: [{ destination: '10.0.0.0/8', gateway: '10.0.0.1' }],
  });
  assert.deepEqual([subnet.prefix, subnet.dnsServers], ['fd00:1::/64', ['fd00::53']]);
});

test('the same address in two texts is there twice', () => {
  assert.deepEqual(refused('port', { deviceId: BRIDGE, addresses: ['fd00::1/64', 'FD00:0::1/64'] }), [
    '/addresses/1 fd00::1/64 is in the list twice: leave one out',
  ]);
  assert.deepEqual(refused('portGroup', { tags: ['a', 'b', 'a'] }), [
    '/tags/2 "a" is in the list twice: leave one out',
  ]);
});

test('a list with more entries than any has use for is refused whole', () => {
  const many = Array.from({ length: 20_001 }, (_, at) => `t${at}`);
  const words = '20001 entries are more than the 20000 that a list or an object may have: split it';
  assert.deepEqual(refused('bridge', { tags: many }), [`/tags ${words}`]);
  assert.deepEqual(refused('rule', { chainId: BRIDGE, action: 'drop', match: { not: many } }), [`/match/not ${words}`]);
});

test('defaults belong to one object alone', () => {
  const [first, second] = [create('bridge', {}), create('bridge', {})];
  assert.notEqual(first.tags, second.tags);
});

// Each row: what is sent, and what is said about it.
const MALFORMED: readonly (readonly [what: string, kind: Kind, json: unknown, expected: readonly string[]])[] = [
  ['a list', 'bridge', [], [' a bridge is a JSON object']],
  ['nothing', 'addressSet', null, [' an addressSet is a JSON object']],
  ['an unknown field', 'bridge', { nam: 'lan' }, ['/nam there is no field nam: did you mean name?']],
  [
    'an unknown field that is like none',
    'project',
    { colour: 'red' },
    ['/colour there is no field colour: there are id, name, projectId, tags, revision, createdAt, updatedAt, quotas'],
  ],
  [
    'an unknown field further down',
    'rule',
    { chainId: BRIDGE, action: 'drop', match: { dstPorts: {} } },
    [
      '/match/dstPorts there is no field dstPorts: there are fragments, inPortIds, outPortIds, ingressPortGroupId, inPortGroupId, outPortGroupId, sourceSetId, destinationSetId, etherType, etherSource, etherDestination, untagged, vlan, trafficClass, protocol, source, destination, sourcePorts, destinationPorts, icmpType, icmpCode, tcpFlags, traversedDeviceId, not, invert',
    ],
  ],
  ['a field that is missing', 'port', {}, ['/deviceId deviceId is missing: a UUID in lower case']],
  [
    'a field that is missing in a list',
    'tunnelZone',
    { members: [{ hostId: BRIDGE }] },
    ['/members/0/address address is missing: an IPv4 or IPv6 address'],
  ],
  ['a wrong type', 'bridge', { adminUp: 'yes' }, ['/adminUp adminUp must be true or false, not "yes"']],
  [
    'a number outside',
    'bridge',
    { mtuBytes: 70_000 },
    ['/mtuBytes mtuBytes must be a whole number from 576 to 65535, not 70000'],
  ],
  [
    'a fraction',
    'bridge',
    { mtuBytes: 1400.5 },
    ['/mtuBytes mtuBytes must be a whole number from 576 to 65535, not 1400.5'],
  ],
  ['a null', 'bridge', { name: null }, ['/name name must be a text of at most 255 characters, not null']],
  [
    'a word that is none of the words',
    'rule',
    { chainId: BRIDGE, action: 'allow' },
    ['/action action must be one of accept, drop, reject, return, jump, not "allow"'],
  ],
  [
    'a bad MAC and a bad VLAN',
    'port',
    { deviceId: BRIDGE, mac: '02:00', vlan: 0 },
    [
      '/mac mac must be a MAC address like 02:00:00:00:00:01, not "02:00"',
      '/vlan vlan must be a whole number from 1 to 4094, not 0',
    ],
  ],
  [
    'host bits in a prefix',
    'dhcpSubnet',
    { bridgeId: BRIDGE, prefix: '10.0.0.1/24' },
    ['/prefix prefix must be a prefix without host bits, like 10.0.1.0/24 or fd00:1::/64, not "10.0.0.1/24"'],
  ],
  [
    'an address without its length',
    'port',
    { deviceId: BRIDGE, addresses: ['10.0.0.1'] },
    [
      '/addresses/0 each of addresses must be an address with its prefix length, like 10.0.1.1/24 or fd00:1::1/64, not "10.0.0.1"',
    ],
  ],
  [
    'a negative quota',
    'project',
    { quotas: { port: -1 } },
    ['/quotas/port port must be a whole number not below 0, not -1'],
  ],
  [
    'what the server assigns',
    'port',
    { deviceId: BRIDGE, tunnelKey: 7 },
    ['/tunnelKey tunnelKey is assigned by the server: leave it out'],
  ],
  [
    'a name that would reach behind the object',
    'project',
    JSON.parse('{"quotas": {"__proto__": 1}}'),
    ['/quotas/__proto__ __proto__ cannot be used as a name'],
  ],
  [
    'a field that would reach behind the object',
    'host',
    JSON.parse('{"__proto__": {"name": "x"}}'),
    ['/__proto__ there is no field __proto__: there are id, name, projectId, tags, revision, createdAt, updatedAt'],
  ],
  [
    'a pointer with its signs escaped',
    'project',
    { quotas: { 'a/b~c': 'x' } },
    ['/quotas/a~1b~0c a~1b~0c must be a whole number not below 0, not "x"'],
  ],
];

for (const [what, kind, json, expected] of MALFORMED) {
  test(`malformed: ${what}`, () => {
    assert.deepEqual(refused(kind, json), expected);
  });
}

test('a patch changes what it names, and null removes or gives back the default', () => {
  const { value: before } = sample('port', 1, {
    deviceId: BRIDGE,
    mac: '02:00:00:00:00:01',
    vlan: 5,
    tags: ['a'],
    adminUp: false,
  });
  const after = patch('port', before, { vlan: null, adminUp: null, tags: null, name: 'web' });
  const { vlan, ...rest } = before;
  assert.equal(vlan, 5);
  assert.deepEqual(after, { ...rest, adminUp: true, tags: [], name: 'web' });
});

test('a patch merges objects and replaces lists', () => {
  const { value: before } = sample('rule', 1, {
    chainId: sampleId('chain', 1),
    action: 'drop',
    match: { protocol: 6, destinationPorts: { from: 80, to: 90 }, not: ['protocol'], invert: false },
  });
  const after = patch('rule', before, { match: { destinationPorts: { to: 81 }, not: [], protocol: null } });
  assert.deepEqual(after.match, { destinationPorts: { from: 80, to: 81 }, not: [], invert: false });
  const { value: project } = sample('project', 1, { quotas: { port: 3, bridge: 1 } });
  assert.deepEqual(patch('project', project, { quotas: { port: null, router: 2 } }).quotas, { bridge: 1, router: 2 });
});

test('an object may be sent back as it was read, status and all', () => {
  const { value: before } = sample('port', 1, { deviceId: BRIDGE });
  assert.deepEqual(patch('port', before, { ...before, status: { state: 'up' } }), before);
  assert.deepEqual(refused('port', { tunnelKey: 99 }, before), [
    '/tunnelKey tunnelKey is assigned by the server, it is 1: leave it out',
  ]);
  assert.deepEqual(refused('port', { id: sampleId('port', 2) }, before).length, 1);
  assert.match(refused('bridge', { status: {} })[0]!, /^\/status there is no field status/);
});

test('a patch leaves the object that it changes as it was', () => {
  const { value: before } = sample('project', 1, { quotas: { port: 3 } });
  const copy = structuredClone(before);
  patch('project', before, { quotas: { port: 4 } });
  assert.deepEqual(before, copy);
});

test('a patch that removes what must be there is refused', () => {
  const { value: before } = sample('port', 1, { deviceId: BRIDGE });
  assert.deepEqual(refused('port', { deviceId: null }, before), [
    '/deviceId deviceId is missing: a UUID in lower case',
  ]);
});

test('a patch as deep as it likes is refused, not followed', () => {
  const { value: before } = sample('rule', 1, { chainId: sampleId('chain', 1), action: 'drop' });
  const deep = JSON.parse(`${'{"match":'.repeat(2000)}1${'}'.repeat(2000)}`);
  assert.match(refused('rule', deep, before)[0]!, /^\/match\/match there is no field match/);
});

test('every required or read-only field that a client cannot give is assigned by the server', () => {
  for (const kind of KIND_NAMES) {
    const assigned = new Set<string>(SERVER_ASSIGNED[kind].map(({ field }) => field));
    for (const [name, property] of Object.entries(KINDS[kind].schema.properties)) {
      if ((property as { readOnly?: boolean }).readOnly) assert.ok(assigned.has(name), `${kind}.${name}`);
    }
    for (const name of assigned) assert.ok(name in KINDS[kind].schema.properties, `${kind}.${name}`);
  }
});
