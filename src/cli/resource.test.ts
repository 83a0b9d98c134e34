import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KIND_NAMES, KINDS } from '../topology/kinds.ts';
import { FakeServer, idOf, runAgainst } from './testing/fake-server.ts';

/** The body of the one write that the words lead to. */
async function bodyOf(server: FakeServer, ...words: string[]): Promise<unknown> {
  const { code, error } = await runAgainst(server, ...words);
  assert.equal(code, 0, error);
  assert.equal(server.writes.length, 1);
  return server.writes[0]?.body;
}

test('every noun has list, show, create, set and delete, each with an example in its help', async () => {
  for (const kind of KIND_NAMES) {
    for (const verb of ['list', 'show', 'create', 'set', 'delete']) {
      const { code, out } = await runAgainst(new FakeServer(), KINDS[kind].noun, verb, '--help');
      assert.equal(code, 0);
      assert.match(out, new RegExp(`Examples?:\n  aya ${KINDS[kind].noun} ${verb}`));
    }
  }
});

test('flags become properties of their types, references by name become ids', async () => {
  const server = new FakeServer()
    .add('bridge', { id: idOf(1), name: 'web' })
    .add('portGroup', { id: idOf(2), name: 'g' });
  const words = 'port create vm1 --device web --mac 02:00:00:00:00:01 --addresses 10.0.1.11/24,fd00::11/64';
  const more = '--vlan 7 --anti-spoofing --admin-up no --port-groups g --tags blue';
  assert.deepEqual(await bodyOf(server, ...words.split(' '), ...more.split(' ')), {
    name: 'vm1',
    deviceId: idOf(1),
    mac: '02:00:00:00:00:01',
    addresses: ['10.0.1.11/24', 'fd00::11/64'],
    vlan: 7,
    antiSpoofing: true,
    adminUp: false,
    portGroupIds: [idOf(2)],
    tags: ['blue'],
  });
});

test('lists of pairs, objects and records have a short form and take JSON', async () => {
  const server = () =>
    new FakeServer().add('bridge', { id: idOf(1), name: 'web' }).add('host', { id: idOf(2), name: 'h1' });
  const dhcp = ['dhcp', 'create', '--bridge', 'web', '--prefix', '10.0.1.0/24'];
  assert.deepEqual(
    await bodyOf(server(), ...dhcp, '--routes', '10.2.0.0/16=10.0.1.2,10.3.0.0/16=10.0.1.3', '--options', '26=05dc'),
    {
      bridgeId: idOf(1),
      prefix: '10.0.1.0/24',
      routes: [
        { destination: '10.2.0.0/16', gateway: '10.0.1.2' },
        { destination: '10.3.0.0/16', gateway: '10.0.1.3' },
      ],
      options: [{ code: 26, hex: '05dc' }],
    },
  );
  const zone = ['zone', 'create', 'z', '--members', 'h1=192.0.2.1', '--underlay-mtu-bytes', '1400'];
  assert.deepEqual(await bodyOf(server(), ...zone), {
    name: 'z',
    members: [{ hostId: idOf(2), address: '192.0.2.1' }],
    underlayMtuBytes: 1400,
  });
  assert.deepEqual(await bodyOf(server(), 'project', 'create', 'red', '--quotas', 'bridge=3,port=10'), {
    name: 'red',
    quotas: { bridge: 3, port: 10 },
  });
  const advertisement = ['port', 'create', '--device', idOf(9), '--router-advertisement'];
  const wanted = {
    deviceId: idOf(9),
    routerAdvertisement: { managed: true, lifetimeSeconds: 60, dnsServers: ['fd00::1', 'fd00::2'] },
  };
  const short = 'managed=yes,lifetime-seconds=60,dns-servers=fd00::1+fd00::2';
  assert.deepEqual(await bodyOf(server(), ...advertisement, short), wanted);
  assert.deepEqual(await bodyOf(server(), ...advertisement, JSON.stringify(wanted.routerAdvertisement)), wanted);
});

test('set sends a merge patch; none removes what is optional', async () => {
  const server = new FakeServer().add('bridge', { id: idOf(1), name: 'web', mtuBytes: 1400 });
  assert.deepEqual(await bodyOf(server, 'bridge', 'set', 'web', '--mtu-bytes', 'none', '--name', 'web2'), {
    mtuBytes: null,
    name: 'web2',
  });
});

test('a list is changed by parts on top of what it is', async () => {
  const server = new FakeServer().add('addressSet', {
    id: idOf(1),
    name: 's',
    addresses: ['10.0.0.0/8', '10.1.0.0/16'],
  });
  const words = [
    'address-set',
    'set',
    's',
    '--add-addresses',
    '192.0.2.0/24,10.0.0.0/8',
    '--remove-addresses',
    '10.1.0.0/16',
  ];
  assert.deepEqual(await bodyOf(server, ...words), { addresses: ['10.0.0.0/8', '192.0.2.0/24'] });
  const absent = await runAgainst(server, 'address-set', 'set', 's', '--remove-addresses', '1.1.1.1/32');
  assert.equal(absent.code, 2);
  assert.match(absent.error, /--remove-addresses: "1\.1\.1\.1\/32" is not in the list/);
});

test('a property that never changes has no flag in set', async () => {
  const server = new FakeServer().add('port', { id: idOf(1), name: 'p' });
  const { code, error } = await runAgainst(server, 'port', 'set', 'p', '--device', 'x');
  assert.equal(code, 2);
  assert.match(error, /unknown option '--device'/);
  assert.deepEqual(server.writes, []);
});

test('a set that changes nothing says so', async () => {
  const server = new FakeServer().add('port', { name: 'p' });
  const { code, error } = await runAgainst(server, 'port', 'set', 'p');
  assert.equal(code, 2);
  assert.match(error, /nothing to change; see aya port set --help/);
});

test('delete takes names and says the revision', async () => {
  const server = new FakeServer().add('bridge', { id: idOf(1), name: 'a' }).add('bridge', { id: idOf(2), name: 'b' });
  const { code, out } = await runAgainst(server, 'bridge', 'delete', 'a', idOf(2));
  assert.equal(code, 0);
  assert.equal(out, `deleted bridge a (revision 3)\ndeleted bridge ${idOf(2)} (revision 4)\n`);
  assert.deepEqual(
    server.writes.map((call) => `${call.method} ${call.path}`),
    [`DELETE /v1/bridges/${idOf(1)}`, `DELETE /v1/bridges/${idOf(2)}`],
  );
});

test('a route goes via a port, or is a blackhole, in one flag', async () => {
  const server = () =>
    new FakeServer().add('router', { id: idOf(1), name: 'r' }).add('port', { id: idOf(2), name: 'up' });
  const words = ['route', 'create', '--router', 'r', '--destination', '0.0.0.0/0'];
  assert.deepEqual(await bodyOf(server(), ...words, '--via', 'up', '--gateway', '192.0.2.1'), {
    routerId: idOf(1),
    destination: '0.0.0.0/0',
    gateway: '192.0.2.1',
    nextHop: 'port',
    portId: idOf(2),
  });
  assert.deepEqual(await bodyOf(server(), ...words, '--blackhole'), {
    routerId: idOf(1),
    destination: '0.0.0.0/0',
    nextHop: 'blackhole',
  });
});

test('what an object cannot be made without is asked for by its flags, before anything is sent', async () => {
  const server = new FakeServer().add('chain', { id: idOf(1), name: 'guard' });
  const { code, error } = await runAgainst(server, 'rule', 'create', '--protocol', 'tcp');
  assert.equal(code, 2);
  assert.equal(
    error,
    'aya: a rule needs --chain <name> and --action <accept|drop|reject|return|jump>; see aya rule create --help\n',
  );
  assert.deepEqual(server.writes, []);
  assert.equal((await runAgainst(server, 'rule', 'create', '--chain', 'guard', '--drop')).code, 0);
});

test('a list shows names for ids in columns, and everything as JSON', async () => {
  const server = new FakeServer()
    .add('bridge', { id: idOf(1), name: 'web' })
    .add('host', { id: idOf(2), name: 'h1' })
    .add('port', {
      id: idOf(3),
      name: 'vm1',
      deviceId: idOf(1),
      addresses: ['10.0.1.11/24'],
      hostId: idOf(2),
      interfaceName: 'tap0',
      status: { state: 'up' },
    })
    .add('port', { id: idOf(4), deviceId: idOf(1), peerId: idOf(3) });
  const { out } = await runAgainst(server, 'port', 'list');
  assert.deepEqual(out.split('\n'), [
    'NAME  ID                                    DEVICE  MAC  ADDRESSES     VLAN  WIRE      STATE',
    `-     ${idOf(4)}  web     -    -             -     peer vm1  -`,
    `vm1   ${idOf(3)}  web     -    10.0.1.11/24  -     h1:tap0   up`,
    '',
  ]);
  const listed = JSON.parse((await runAgainst(server, 'port', 'list', '--json')).out);
  assert.deepEqual(
    listed.map((port: { id: string }) => port.id),
    [idOf(3), idOf(4)],
  );
});

test('a list is filtered by the server, references by name', async () => {
  const server = new FakeServer().add('bridge', { id: idOf(1), name: 'web' });
  const { out } = await runAgainst(server, 'port', 'list', '--device', 'web', '--tag', 'blue', '--anti-spoofing');
  assert.equal(out, 'no ports\n');
  const { query } = server.calls.at(-1)!;
  assert.deepEqual(query, { limit: '1000', deviceId: idOf(1), tag: 'blue', antiSpoofing: 'true' });
});

test('show tells every property that has a value; a host also its interfaces', async () => {
  const server = new FakeServer().add('host', {
    id: idOf(1),
    name: 'h1',
    status: { alive: true, revision: 9, since: '2025-12-31T23:58:00Z' },
  });
  const status = { kind: 'interface', id: 'tap0', mac: '02:00:00:00:00:09', mtuBytes: 1500, up: true, addresses: [] };
  server.answer('GET /v1/status', { items: [{ hostId: idOf(1), status }] });
  const { out } = await runAgainst(server, 'host', 'show', 'h1');
  assert.match(out, /^kind +host\n/);
  assert.match(out, /\nname +h1\n/);
  assert.match(out, /\nalive +yes\n/);
  assert.match(out, /\nat +9\n/);
  assert.match(out, /\nage +12\d s|2 min\n/);
  assert.match(out, /INTERFACE +UP +MAC +MTU-BYTES +ADDRESSES +PORT\ntap0 +yes +02:00:00:00:00:09 +1500 +- +-\n/);
});

test('the state of a port says when it is up and drops everything', async () => {
  const port = { deviceId: idOf(1), status: { state: 'up' } };
  const server = new FakeServer()
    .add('bridge', { id: idOf(1), name: 'web' })
    .add('port', { ...port, name: 'vm1' })
    .add('port', { ...port, name: 'vm2', adminUp: false });
  const { out } = await runAgainst(server, 'port', 'list');
  assert.match(out, /\nvm1 .* up\nvm2 .* up, admin-up no\n$/);
});

test('a name that several have is refused with all of them', async () => {
  const server = new FakeServer()
    .add('bridge', { id: idOf(1), name: 'web' })
    .add('router', { id: idOf(2), name: 'edge' })
    .add('port', { id: idOf(3), name: 'up', deviceId: idOf(1), createdAt: '2026-01-01T00:00:00Z' })
    .add('port', { id: idOf(4), name: 'up', deviceId: idOf(2), createdAt: '2026-01-02T00:00:00Z' });
  const { code, error } = await runAgainst(server, 'port', 'show', 'up');
  assert.equal(code, 5);
  assert.equal(
    error,
    'aya: 2 are called up; name one by its id:\n' +
      `  ${idOf(3)}  port of web made 2026-01-01T00:00:00Z\n  ${idOf(4)}  port of edge made 2026-01-02T00:00:00Z\n`,
  );
});

test('a name that nobody has says where to look', async () => {
  const { code, error } = await runAgainst(new FakeServer(), 'port', 'create', 'p', '--device', 'web');
  assert.equal(code, 4);
  assert.equal(error, 'aya: no bridge or router is called web; see aya bridge list, aya router list\n');
});

test('a refusal names the flag that it points at and ends with the code of its status', async () => {
  const refused = (status: number, code: string) =>
    new FakeServer().answer('POST /v1/ports', { code, message: 'wanted: an address', path: '/addresses/0' }, status);
  const words = ['port', 'create', 'p', '--device', idOf(1), '--addresses', 'x'];
  for (const [status, exit] of [
    [400, 2],
    [403, 3],
    [404, 4],
    [409, 5],
    [412, 6],
    [422, 7],
    [429, 8],
    [503, 9],
    [500, 1],
  ] as const) {
    const { code, error } = await runAgainst(refused(status, 'invalid'), ...words);
    assert.equal(code, exit);
    assert.equal(error, 'aya: wanted: an address (--addresses)\n');
  }
});

test('a word where a number, a choice or a pair belongs is refused before anything is sent', async () => {
  const server = new FakeServer();
  const refusals: [string, RegExp][] = [
    ['bridge create --mtu-bytes big', /--mtu-bytes is a whole number, not big/],
    ['bridge create --admin-up maybe', /--admin-up is yes or no, not maybe/],
    ['rule create --action explode', /--action is one of accept, drop, reject, return, jump, not explode/],
    ['dhcp create --routes 10.0.0.0/8', /--routes wants DESTINATION=GATEWAY, not 10\.0\.0\.0\/8/],
    ['port create --router-advertisement speed=3', /--router-advertisement has no speed; there are managed, /],
    ['bridge list --wait soon', /--wait takes seconds, not soon/],
    ['bridge crate', /unknown command 'crate'/],
  ];
  for (const [words, said] of refusals) {
    const { code, error } = await runAgainst(server, ...words.split(' '));
    assert.equal(code, 2, words);
    assert.match(error, said);
  }
  assert.deepEqual(server.writes, []);
});
