import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeServer, idOf, runAgainst } from './testing/fake-server.ts';

const cloud = (): FakeServer =>
  new FakeServer()
    .add('host', { id: idOf(1), name: 'h1', status: { alive: true, revision: 5, since: '2025-12-31T23:00:00Z' } })
    .add('host', { id: idOf(2), name: 'h2', status: { alive: false } })
    .add('bridge', { id: idOf(3), name: 'web' })
    .add('port', { id: idOf(4), name: 'vm1', deviceId: idOf(3) })
    .add('port', { id: idOf(5), name: 'vm2', deviceId: idOf(3) });

test('bind and unbind set and remove host and interface together', async () => {
  const server = cloud();
  assert.equal((await runAgainst(server, 'port', 'bind', 'vm1', 'h1:tap0')).code, 0);
  assert.equal((await runAgainst(server, 'port', 'unbind', 'vm1')).code, 0);
  assert.deepEqual(
    server.writes.map((call) => [call.path, call.body]),
    [
      [`/v1/ports/${idOf(4)}`, { hostId: idOf(1), interfaceName: 'tap0' }],
      [`/v1/ports/${idOf(4)}`, { hostId: null, interfaceName: null }],
    ],
  );
  const wrong = await runAgainst(server, 'port', 'bind', 'vm1', 'h1');
  assert.equal(wrong.code, 2);
  assert.match(wrong.error, /HOST:INTERFACE, like h1:tap0, not h1/);
});

test('peer and unpeer write one end', async () => {
  const server = cloud();
  await runAgainst(server, 'port', 'peer', 'vm1', 'vm2');
  await runAgainst(server, 'port', 'unpeer', 'vm2');
  assert.deepEqual(
    server.writes.map((call) => [call.path, call.body]),
    [
      [`/v1/ports/${idOf(4)}`, { peerId: idOf(5) }],
      [`/v1/ports/${idOf(5)}`, { peerId: null }],
    ],
  );
});

/** vm1 in tap0 of h1. */
const plugged = {
  ...{ hostId: idOf(1), name: 'tap0', mac: '02:00:00:00:00:01', mtuBytes: 1500, up: true, addresses: [] },
  portId: idOf(4),
};

const alive = { revision: 6, done: true, hosts: [{ id: idOf(1), name: 'h1', alive: true, revision: 6 }] };

test('bind --wait waits for the word of the host that the port is bound to', async () => {
  const words = [
    { state: 'up', hostId: idOf(2) },
    { state: 'claimed', hostId: idOf(1), why: 'still up on host h2' },
    { state: 'up', hostId: idOf(1) },
  ];
  const server = cloud()
    .answer('GET /v1/applied', alive)
    .answer('GET /v1/interfaces', { items: [plugged] });
  server.answers.set(`GET /v1/ports/${idOf(4)}`, () => Response.json({ id: idOf(4), status: words.shift() }));
  const { code, out } = await runAgainst(server, 'port', 'bind', 'vm1', 'h1:tap0', '--wait');
  assert.equal(code, 0);
  assert.equal(out, 'bound port vm1 to h1:tap0 (revision 6)\nlive on h1\nport vm1 is up at h1:tap0\n');
  assert.deepEqual(words, []);
  assert.deepEqual(server.calls.at(-1)?.query, { hostId: idOf(1), name: 'tap0', limit: '1000' });
});

test('bind --wait does not take the word about the interface that the port was in before', async () => {
  const status = { state: 'up', hostId: idOf(1) };
  const bind = async (...seen: object[]) => {
    const server = cloud()
      .answer('GET /v1/applied', alive)
      .answer(`GET /v1/ports/${idOf(4)}`, { id: idOf(4), status });
    server.answers.set('GET /v1/interfaces', () =>
      Response.json({ items: [seen.length > 1 ? seen.shift() : seen[0]].filter((one) => one !== undefined) }),
    );
    return runAgainst(server, 'port', 'bind', 'vm1', 'h1:tap0', '--wait=9');
  };
  const { portId: _, ...free } = plugged;
  assert.equal((await bind(free, { ...plugged, up: false }, plugged)).code, 0);
  for (const never of [[], [free], [{ ...plugged, portId: idOf(5) }], [{ ...plugged, up: false }]]) {
    const { code, error } = await bind(...never);
    assert.equal(code, 10);
    assert.equal(error, 'aya: port vm1 is not up at h1:tap0 after 9 s, but still up at another interface\n');
  }
});

test('bind --wait fails after its time and says why the port is not up', async () => {
  const cases = [
    [
      { state: 'refused', hostId: idOf(1), why: 'interface tap0 carries port x already' },
      /refused: interface tap0 carries/,
    ],
    [
      { state: 'down', hostId: idOf(1), why: 'no interface tap0 on the host' },
      /but down: no interface tap0 on the host\n$/,
    ],
    [{ state: 'claimed', hostId: idOf(1), why: 'still up on host h2' }, /but claimed: still up on host h2\n$/],
    [{ state: 'up', hostId: idOf(2) }, /but still up on h2\n$/],
  ] as const;
  for (const [status, sentence] of cases) {
    const server = cloud().answer('GET /v1/applied', alive);
    server.answer(`GET /v1/ports/${idOf(4)}`, { id: idOf(4), status });
    const { code, error } = await runAgainst(server, 'port', 'bind', 'vm1', 'h1:tap0', '--wait=2');
    assert.equal(code, 10, status.state);
    assert.match(error, /^aya: port vm1 is not up at h1:tap0 after 2 s, /);
    assert.match(error, sentence);
  }
});

test('what bind is refused for is told in its words', async () => {
  const refused = async (path: string, status: number) => {
    const body = { code: 'invalid', message: 'it cannot be', path };
    const server = cloud().answer(`PATCH /v1/ports/${idOf(4)}`, body, status);
    const { code, error } = await runAgainst(server, 'port', 'bind', 'vm1', 'h1:tap0');
    return [code, error];
  };
  assert.deepEqual(await refused('/interfaceName', 409), [5, 'aya: it cannot be (h1:tap0)\n']);
  const unpeer = 'aya: port vm1 is peered: aya port unpeer vm1 before it is bound\n';
  assert.deepEqual(await refused('/peerId', 422), [7, unpeer]);
});

test('bind without --wait does not look at the port', async () => {
  const server = cloud();
  await runAgainst(server, 'port', 'bind', 'vm1', 'h1:tap0');
  assert.equal(server.calls.at(-1)?.method, 'PATCH');
});

const interfaces = [
  { hostId: idOf(2), name: 'eth0', mac: '02:00:00:00:00:02', mtuBytes: 1600, up: true, addresses: ['192.0.2.2/24'] },
  {
    hostId: idOf(1),
    name: 'tap0',
    mac: '02:00:00:00:00:01',
    mtuBytes: 1500,
    up: false,
    addresses: [],
    portId: idOf(4),
  },
];

test('interfaces are a table with the names of hosts and ports', async () => {
  const server = cloud().answer('GET /v1/interfaces', { items: interfaces });
  const { code, out } = await runAgainst(server, 'interface', 'list');
  assert.equal(code, 0);
  assert.deepEqual(
    out.split('\n').map((line) => line.split(/ {2,}/)),
    [
      ['HOST', 'NAME', 'UP', 'MAC', 'MTU-BYTES', 'ADDRESSES', 'PORT'],
      ['h1', 'tap0', 'no', '02:00:00:00:00:01', '1500', '-', 'vm1'],
      ['h2', 'eth0', 'yes', '02:00:00:00:00:02', '1600', '192.0.2.2/24', '-'],
      [''],
    ],
  );
  assert.deepEqual(JSON.parse((await runAgainst(server, 'interface', 'list', '--json')).out), interfaces);
});

test('interfaces are asked for by host, name, state and port', async () => {
  const server = cloud().answer('GET /v1/interfaces', { items: [] });
  const { out } = await runAgainst(
    ...([server, 'interface', 'list', '--host', 'h1', '--name', 'tap0', '--up', 'no', '--port', 'vm1'] as const),
  );
  assert.equal(out, 'no interfaces\n');
  assert.deepEqual(server.calls.at(-1)?.query, {
    ...{ hostId: idOf(1), name: 'tap0', up: 'false', portId: idOf(4), limit: '1000' },
  });
  await runAgainst(server, 'interface', 'list', '--up');
  assert.equal(server.calls.at(-1)?.query.up, 'true');
  assert.equal((await runAgainst(server, 'interface', 'list', '--up', 'perhaps')).code, 2);
});

test('one interface is shown by host and name', async () => {
  const server = cloud().answer(`GET /v1/interfaces/${idOf(1)}/tap0`, interfaces[1]);
  const { code, out } = await runAgainst(server, 'interface', 'show', 'h1:tap0');
  assert.equal(code, 0);
  assert.match(out, /^host {7}h1\nname {7}tap0\nup {9}no\n/);
  const wrong = await runAgainst(server, 'interface', 'show', 'tap0');
  assert.equal(wrong.code, 2);
  assert.match(wrong.error, /HOST:INTERFACE, like h1:tap0, not tap0/);
});

test('host add prints the join token alone on standard output, and both ways to use it beside', async () => {
  const server = new FakeServer();
  server.answers.set('POST /v1/hosts', () => Response.json({ id: idOf(1), name: 'h1', revision: 1 }, { status: 201 }));
  server.answer(`POST /v1/hosts/${idOf(1)}/join-token`, { joinToken: 'abc', expiresAt: '2026-01-01T01:00:00Z' });
  const { out, error } = await runAgainst(server, 'host', 'add', 'h1');
  assert.equal(out, 'abc\n');
  assert.deepEqual(error.split('\n'), [
    'On h1, as root, once and before 2026-01-01T01:00:00Z, with this token; one of:',
    '  export AYATORI_JOIN_TOKEN=…; aya agent   it stays out of the process list',
    '  aya agent --join-token …                 all users of h1 can see it while the agent runs',
    '',
  ]);
  const json = JSON.parse((await runAgainst(server, 'host', 'add', 'h1', '--json')).out);
  assert.equal(json.joinToken, 'abc');
});

test('a host that is added twice is one that is to join again', async () => {
  const server = cloud();
  const { code, out, error } = await runAgainst(server, 'host', 'add', 'h1');
  assert.equal(code, 5);
  assert.equal(out, '');
  assert.match(
    error,
    /^aya: there is a host h1 already \(.*1\): aya host join-token h1 prints another token for it\n$/,
  );
  assert.deepEqual(server.writes, []);
});

const applied = (done: boolean, h2: object) => ({
  revision: 6,
  done,
  hosts: [
    { id: idOf(1), name: 'h1', alive: true, revision: 9 },
    { id: idOf(2), name: 'h2', ...h2 },
  ],
});

test('--wait asks for the revision of the write and names the hosts that forward by it', async () => {
  const server = cloud().answer('GET /v1/applied', applied(true, { alive: true, revision: 6 }));
  const { code, out } = await runAgainst(server, 'port', 'peer', 'vm1', 'vm2', '--wait');
  assert.equal(code, 0);
  assert.equal(out, 'peered port vm1 with vm2 (revision 6)\nlive on h1, h2\n');
  assert.equal(server.calls.at(-1)?.query.revision, '6');
});

test('--wait fails after its time and names the hosts that are behind, and why', async () => {
  const behind = cloud().answer('GET /v1/applied', applied(false, { alive: false, revision: 3 }));
  const { code, error } = await runAgainst(behind, 'port', 'peer', 'vm1', 'vm2', '--wait=7');
  assert.equal(code, 10);
  assert.equal(error, 'aya: revision 6 is not live everywhere after 7 s: h2 is at revision 3 and is not alive\n');
  assert.ok(
    behind.calls.filter((call) => call.path === '/v1/applied').length > 1,
    'it asks again until the time is over',
  );
  const silent = cloud().answer('GET /v1/applied', applied(false, { alive: true }));
  assert.match(
    (await runAgainst(silent, 'port', 'unpeer', 'vm1', '--wait', '1')).error,
    /h2 has not told its revision\n/,
  );
});

const report = (differences: readonly object[]) => ({ hostId: idOf(1), revision: 5, flows: 12, differences });

test('an audit without differences ends with 0, and asks every host', async () => {
  const server = cloud()
    .answer(`GET /v1/hosts/${idOf(1)}/audit`, report([]))
    .answer(`GET /v1/hosts/${idOf(2)}/audit`, { ...report([]), flows: 1 });
  const { code, out } = await runAgainst(server, 'host', 'audit');
  assert.equal(code, 0);
  assert.equal(out, 'h1: 12 flows at revision 5, no difference\nh2: 1 flow at revision 5, no difference\n');
});

test('an audit shows each difference and ends with its own code', async () => {
  const difference = { flow: 'port 5', installed: 'drop', expected: 'to port 6' };
  const server = cloud().answer(`GET /v1/hosts/${idOf(1)}/audit`, report([difference]));
  const { code, out, error } = await runAgainst(server, 'host', 'audit', 'h1');
  assert.equal(code, 11);
  assert.match(
    out,
    /12 flows at revision 5, 1 difference\n {2}port 5\n {4}installed {2}drop\n {4}expected {3}to port 6\n/,
  );
  assert.match(error, /1 flow in the kernel differ/);
});

test('an audit goes on past a host that is away, and is not a success', async () => {
  const server = cloud()
    .answer(`GET /v1/hosts/${idOf(1)}/audit`, { code: 'unavailable', message: 'the agent of h1 is not connected' }, 503)
    .answer(`GET /v1/hosts/${idOf(2)}/audit`, report([]));
  const { code, out, error } = await runAgainst(server, 'host', 'audit');
  assert.equal(code, 9);
  assert.match(out, /^h2: 12 flows/);
  assert.match(error, /^h1: the agent of h1 is not connected\n/);
});

test('flows are a table of the busiest', async () => {
  const flow = { match: 'port 5', actions: 'to port 6', why: 'forwarded', packets: 7, bytes: 700, idleMs: 3500 };
  const server = cloud().answer(`GET /v1/hosts/${idOf(1)}/flows`, { total: 1, masks: 2, flows: [flow] });
  const { out } = await runAgainst(server, 'host', 'flows', 'h1');
  assert.match(
    out,
    /^1 flow under 2 masks\nPACKETS {2}BYTES {2}IDLE {2}MATCH .*\n7 +700 +3 s +port 5 +to port 6 +forwarded\n$/,
  );
});

const noCounters = { drops: [], misses: 0, lost: 0, total: 0, counters: [], agent: {} };
const drop = (reason: string, words: string, packets: number) => ({ reason, words, packets, bytes: packets * 100 });

test('counters name reasons in words, ports and hosts, then come sums of drops and the counts of the agent', async () => {
  const counters = [
    { kind: 'portRx', id: 1, packets: 9, bytes: 900, portId: idOf(4) },
    { kind: 'drop', id: 6, packets: 3, bytes: 300, name: 'noRoute', portId: idOf(5) },
    { kind: 'drop', id: 6, packets: 2, bytes: 200, name: 'noRoute', at: 'ports that are gone' },
    { kind: 'tunnelRx', id: 2, packets: 1, bytes: 60, hostId: idOf(2) },
    { kind: 'tunnelTx', id: 3, packets: 1, bytes: 60 },
  ];
  const report = { ...noCounters, drops: [drop('noRoute', 'no route', 5)], total: 5, counters, agent: { flows: 12 } };
  const server = cloud().answer(`GET /v1/hosts/${idOf(1)}/counters`, report);
  const { out } = await runAgainst(server, 'host', 'counters', 'h1');
  assert.deepEqual(
    out.split('\n').map((line) => line.replace(/ {2,}/g, ' | ')),
    [
      'KIND | WHAT | PORT | PACKETS | BYTES',
      'portRx | - | vm1 | 9 | 900',
      'drop | noRoute (no route) | vm2 | 3 | 300',
      'drop | noRoute (no route) | ports that are gone | 2 | 200',
      'tunnelRx | h2 | - | 1 | 60',
      'tunnelTx | 3 | - | 1 | 60',
      '',
      'dropped 5 packets: no route (noRoute)',
      '',
      'flows | 12',
      '',
    ],
  );
});

test('when there are more counters than one answer holds that is said, and those of one port can be asked for', async () => {
  const counters = [{ kind: 'portRx', id: 1, packets: 9, bytes: 900, portId: idOf(4) }];
  const report = { ...noCounters, lost: 7, total: 900, counters };
  const server = cloud().answer(`GET /v1/hosts/${idOf(1)}/counters`, report);
  const { out } = await runAgainst(server, 'host', 'counters', 'h1');
  assert.match(out, /\nthe largest 1 of 900 counters; --port PORT shows those of one port\n7 packets found no room/);
  await runAgainst(server, 'host', 'counters', 'h1', '--port', 'vm1');
  assert.equal(
    server.calls.find(({ path, query }) => path.endsWith('/counters') && query.portId)?.query.portId,
    idOf(4),
  );
});

const TRACE = {
  verdict: 'forward',
  why: 'to vm2',
  actions: ['output 2'],
  mask: 'port 1',
  tags: [],
  born: [],
  steps: [
    { depth: 0, at: 'port vm1', text: 'enters' },
    { depth: 1, at: 'bridge web', text: 'MAC known' },
  ],
};

const tracedBy = (server: FakeServer): unknown => server.calls.find(({ path }) => path === '/v1/trace')?.body;

test('a trace sends the frame that the words mean and prints steps by depth, verdict, why and actions', async () => {
  const server = cloud().answer('POST /v1/trace', TRACE);
  const words = 'eth(02:00:00:00:00:01, 02:00:00:00:00:02) ip(10.0.1.11, 10.0.1.12) udp(1, 2)';
  const { code, out, error } = await runAgainst(server, 'trace', '--port', 'vm1', words);
  assert.equal(code, 0, error);
  const { portId, frame } = tracedBy(server) as { portId: string; frame: string };
  assert.equal(portId, idOf(4));
  assert.match(frame, /^020000000002020000000001080045/);
  assert.equal(
    out,
    'port vm1: enters\n  bridge web: MAC known\n\nforward: to vm2\n  output 2\nthe same holds for all packets with port 1\n',
  );
});

test('a trace has names for the numbers of ports and bridges, and packets that are born in words', async () => {
  const numbered = { actions: ['output 2', 'flood 3', 'output 9'], mask: 'port=2 eth=ip4' };
  const frame = '020000000002020000000001080045000014000000004001000000000000000000000000';
  const born = [
    { to: 2, frame },
    { to: 9, frame },
  ];
  const server = cloud()
    .add('port', { id: idOf(6), name: 'vm3', deviceId: idOf(3), tunnelKey: 2 })
    .add('bridge', { id: idOf(7), name: 'db', floodKey: 3 })
    .answer('POST /v1/trace', { ...TRACE, ...numbered, born });
  const { out } = await runAgainst(server, 'trace', '--port', 'vm1', 'eth(02:00:00:00:00:01, 02:00:00:00:00:02)');
  const [actions, sends] = [out.match(/^ {2}(?:output|flood) .*$/gm), out.match(/^ {2}sends .*$/gm)];
  assert.deepEqual(actions, ['  output vm3', '  flood db', '  output 9']);
  assert.match(sends![0]!, /^ {2}sends 02:00:00:00:00:01 > 02:00:00:00:00:02 .*\(\d+ bytes\) to port vm3$/);
  assert.match(sends![1]!, / to number 9$/);
  assert.match(out, /\nthe same holds for all packets with port=vm3 eth=ip4\n$/);
});

test('a first fragment that is refused is named by its flag', async () => {
  const server = cloud().answer('POST /v1/trace', { code: 'invalid', message: 'no first', path: '/first' }, 422);
  const words = 'eth(02:00:00:00:00:01, 02:00:00:00:00:02)';
  const { error } = await runAgainst(server, 'trace', '--port', 'vm1', '--first', words, words);
  assert.equal(error, 'aya: no first (--first)\n');
});

test('a trace that needs a neighbour says whose address at which port', async () => {
  const needs = [{ kind: 'neighbour', portId: idOf(5), ip: '10.0.1.12' }];
  const server = cloud().answer('POST /v1/trace', { ...TRACE, verdict: 'needs', needs });
  const { out } = await runAgainst(server, 'trace', '--port', 'vm1', 'eth(02:00:00:00:00:01, 02:00:00:00:00:02)');
  assert.match(out, /\nneeds: to vm2\n {2}must first know who has 10\.0\.1\.12 at port vm2\n/);
});

test('a trace of a later fragment brings its first, by its own words or as told', async () => {
  const network = 'eth(02:00:00:00:00:01, 02:00:00:00:00:02) ip(10.0.1.11, 10.0.1.12';
  const sent = async (...words: string[]) => {
    const server = cloud().answer('POST /v1/trace', TRACE);
    const { code, error } = await runAgainst(server, 'trace', '--port', 'vm1', ...words);
    assert.equal(code, 0, error);
    return (tracedBy(server) as { first?: string }).first;
  };
  const first = await sent(`${network}, frag=later) udp(5000, 53)`);
  assert.match(first!, /13880035/);
  const told = `${network}, frag=first) udp(1, 2)`;
  assert.match((await sent('--first', told, `${network}, frag=later, protocol=17) bytes(8)`))!, /00010002/);
  assert.equal(await sent(`${network}, frag=first) udp(5000, 53)`), undefined);
  const bad = await runAgainst(cloud(), 'trace', '--port', 'vm1', '--first', 'eht(1)', told);
  assert.match(bad.error, /^aya: --first: .*eht/);
});

test('a trace of words that make no packet says which word', async () => {
  const { code, error } = await runAgainst(cloud(), 'trace', '--port', 'vm1', 'eht(1)');
  assert.equal(code, 2);
  assert.match(error, /^aya: the packet: .*eht/);
});

test('status is server, hosts, ports by state and drops by reason', async () => {
  const drops = [drop('localOnly', 'never forwarded', 1), drop('noRoute', 'no route', 3)];
  const server = cloud()
    .add('port', {
      id: idOf(6),
      name: 'vm3',
      deviceId: idOf(3),
      hostId: idOf(1),
      interfaceName: 't',
      status: { state: 'up' },
    })
    .answer('GET /v1/version', { name: 'ayatori', version: '0.1.0', revision: 6 })
    .answer('GET /v1/status', { items: [], revision: 70 })
    .answer(`GET /v1/hosts/${idOf(1)}/counters`, { ...noCounters, drops, lost: 2 })
    .answer(`GET /v1/hosts/${idOf(2)}/counters`, { code: 'unavailable', message: 'away' }, 503);
  const { code, out } = await runAgainst(server, 'status');
  assert.equal(code, 0);
  assert.match(out, /^ayatori 0\.1\.0 at http:\/\/fake, revision 6\n/);
  assert.match(out, /\nh1 .* yes +5 +60 min\nh2 .* no +- +-\n/);
  assert.match(out, /\n3 ports: 2 unplugged, 1 up\n/);
  assert.match(out, /\ndropped 3 packets: no route \(noRoute\)\ndropped 1 packet: never forwarded \(localOnly\)\n/);
  assert.match(out, /\nthe counters are full, so sums are too low: h1\n/);
  assert.match(out, /\nnot asked for drops, since away: h2\n$/);
  const { statusRevision, ports } = JSON.parse((await runAgainst(server, 'status', '--json')).out);
  assert.deepEqual([statusRevision, ports], [70, { unplugged: 2, up: 1 }]);
});

const frames =
  (...lines: object[]) =>
  () =>
    new Response(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));

test('status --watch prints what hosts say as it changes, with names', async () => {
  const said = [
    { kind: 'alive', id: '-', since: '2026-01-01T00:00:00Z', version: '0.1.0' },
    {
      kind: 'interface',
      id: 'tap0',
      mac: '02:00:00:00:00:01',
      mtuBytes: 1500,
      up: true,
      addresses: [],
      portId: idOf(4),
    },
    { kind: 'interface', id: 'eth0', mac: '02:00:00:00:00:02', mtuBytes: 1500, up: false, addresses: [] },
    { kind: 'port', id: idOf(4), state: 'up' },
    { kind: 'port', id: idOf(5), state: 'refused', why: 'host h2 still holds it' },
    { kind: 'mac', id: `${idOf(3)},7,02:00:00:00:00:09`, portId: idOf(4) },
    { kind: 'neighbour', id: `${idOf(5)},10.0.0.9`, mac: '02:00:00:00:00:0b' },
  ];
  const put = said.map((status) => ({ hostId: idOf(1), status }));
  const del = said.slice(3).map(({ kind, id }) => ({ hostId: idOf(2), kind, id }));
  const server = cloud();
  server.answers.set('GET /v1/status/watch', frames({ rev: 70 }, { rev: 71, put, del: [] }, { rev: 79, put: [], del }));
  const { code, out, error } = await runAgainst(server, 'status', '--watch');
  assert.deepEqual(out.split('\n'), [
    '71  set      h1  alive  since 2026-01-01T00:00:00Z, version 0.1.0',
    '71  set      h1  interface  tap0  up, port vm1',
    '71  set      h1  interface  eth0  down',
    '71  set      h1  port  vm1  up',
    '71  set      h1  port  vm2  refused: host h2 still holds it',
    '71  set      h1  mac  02:00:00:00:00:09 vlan 7 on web  at port vm1',
    '71  set      h1  neighbour  10.0.0.9 of vm2  02:00:00:00:00:0b',
    '79  deleted  h2  port  vm1',
    '79  deleted  h2  port  vm2',
    '79  deleted  h2  mac  02:00:00:00:00:09 vlan 7 on web',
    '79  deleted  h2  neighbour  10.0.0.9 of vm2',
    '',
  ]);
  assert.equal(code, 9);
  assert.match(error, /ended the watch/);
  const json = await runAgainst(server, 'status', '--watch', '--json');
  assert.deepEqual(
    json.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
    [
      { rev: 71, put, del: [] },
      { rev: 79, put: [], del },
    ],
  );
});

test('status --watch asks for host, kind and where to begin, and says when that is too long ago', async () => {
  const server = cloud();
  server.answers.set('GET /v1/status/watch', frames({ rev: 5 }, { reset: true }));
  const { code, error } = await runAgainst(
    ...([server, 'status', '--watch', '--from', '5', '--host', 'h1', '--kind', 'port'] as const),
  );
  assert.equal(code, 4);
  assert.match(error, /the changes after status revision 5 are no longer kept/);
  assert.deepEqual(server.calls.at(-1)?.query, { from: '5', hostId: idOf(1), kind: 'port' });
  for (const words of [
    ['--watch', '--from', 'x'],
    ['--from', '5'],
    ['--host', 'h1'],
  ]) {
    const wrong = await runAgainst(cloud(), 'status', ...words);
    assert.equal(wrong.code, 2, words.join(' '));
  }
  assert.match((await runAgainst(cloud(), 'status', '--kind', 'port')).error, /--kind goes with --watch/);
});

test('watch prints what is set and deleted, and says when the past is gone', async () => {
  const frames = [
    { rev: 7 },
    { rev: 8, put: [{ kind: 'bridge', value: { id: idOf(3), name: 'web' } }], del: [{ kind: 'port', id: idOf(4) }] },
    { reset: true },
  ];
  const server = cloud();
  server.answers.set('GET /v1/watch', () => new Response(frames.map((frame) => `${JSON.stringify(frame)}\n`).join('')));
  const { code, out, error } = await runAgainst(server, 'watch', '--from', '6');
  assert.equal(code, 4);
  assert.equal(out, `8  set      bridge  web  ${idOf(3)}\n8  deleted  port  ${idOf(4)}\n`);
  assert.match(error, /the changes after revision 6 are no longer kept/);
});

test('help is no error; a noun without a verb and an unknown noun are', async () => {
  assert.equal((await runAgainst(cloud(), '--help')).code, 0);
  assert.equal((await runAgainst(cloud(), '--version')).out, '0.0.0\n');
  assert.equal((await runAgainst(cloud(), 'bridge')).code, 2);
  const { code, error } = await runAgainst(cloud(), 'brige', 'list');
  assert.equal(code, 2);
  assert.match(error, /unknown command 'brige'/);
});
