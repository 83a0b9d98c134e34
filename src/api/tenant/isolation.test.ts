import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { KIND_NAMES, KINDS, type Kind } from '../../topology/kinds.ts';
import { CALLS } from '../openapi/calls.ts';
import { encode, statusKey } from '../state/keys.ts';
import { type Answer, type Bench, openBench } from '../testing/bench.ts';
import { UNTOLD } from './status.ts';
import { View } from './view.ts';

type Ids = Partial<Record<Kind, string>>;
type Caller = (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>;
interface Cloud {
  readonly bench: Bench;
  /** Ids of objects by kind: of two tenants and of the operator. */
  readonly red: Ids;
  readonly blue: Ids;
  readonly operator: Ids;
  as(role: string, projectIds: readonly string[]): Promise<Caller>;
}

/** One object of each kind that a tenant may have, named after the tenant. */
async function tenant({ must }: Bench, name: string, network: string): Promise<Ids> {
  const project = (await must('POST', '/v1/projects', { name, quotas: { addressSet: 2 } })).id;
  const make = async (kind: Kind, value: object): Promise<string> =>
    (await must('POST', `/v1/${KINDS[kind].plural}`, { name: `${name}-${kind}`, projectId: project, ...value })).id;
  const chain = await make('chain', {});
  const addressSet = await make('addressSet', { addresses: [`${network}.0/24`] });
  const portGroup = await make('portGroup', {});
  const bridge = await make('bridge', {});
  const router = await make('router', {});
  const port = await make('port', {
    deviceId: bridge,
    mac: '02:00:00:00:00:01',
    addresses: [`${network}.2/24`],
    inboundChainId: chain,
    portGroupIds: [portGroup],
  });
  const leg = await make('port', { deviceId: router, addresses: [`${network}.1/24`] });
  const wire = await make('port', { deviceId: bridge, peerId: leg });
  assert.ok(wire);
  const rule = await make('rule', { chainId: chain, action: 'accept', match: { sourceSetId: addressSet } });
  const route = await make('route', { routerId: router, destination: '10.99.0.0/16', nextHop: 'blackhole' });
  const dhcpSubnet = await make('dhcpSubnet', { bridgeId: bridge, prefix: `${network}.0/24`, gateway: `${network}.1` });
  const dhcpHost = await make('dhcpHost', { subnetId: dhcpSubnet, mac: '02:00:00:00:00:01', address: `${network}.2` });
  return { project, chain, addressSet, portGroup, bridge, router, port, rule, route, dhcpSubnet, dhcpHost };
}

async function open(context: TestContext): Promise<Cloud> {
  const bench = await openBench(undefined, { admin: 1_000_000, others: 1_000_000 });
  context.after(() => bench.close());
  const red = await tenant(bench, 'red', '10.0.1');
  const blue = await tenant(bench, 'blue', '10.0.2');
  const { must } = bench;
  const host = (await must('POST', '/v1/hosts', { name: 'h1' })).id;
  const tunnelZone = (await must('POST', '/v1/tunnel-zones', { members: [{ hostId: host, address: '192.0.2.1' }] })).id;
  const router = (await must('POST', '/v1/routers', { name: 'provider' })).id;
  const bridge = (await must('POST', '/v1/bridges', { name: 'external' })).id;
  const port = (await must('POST', '/v1/ports', { name: 'uplink', deviceId: router, addresses: ['10.9.0.1/24'] })).id;
  const chain = (await must('POST', '/v1/chains', { name: 'guard' })).id;
  await must('PATCH', `/v1/ports/${red.port}`, { hostId: host, interfaceName: 'tap0' });
  await must('PATCH', `/v1/ports/${blue.port}`, { hostId: host, interfaceName: 'tap1' });
  await bench.store.txn(
    [],
    [red, blue].flatMap(({ port: id, bridge: lan }) => [
      { put: statusKey(host, 'port', id!), value: encode({ kind: 'port', id, state: 'down', why: 'host h1 is busy' }) },
      {
        put: statusKey(host, 'mac', `${lan},0,02:00:00:00:00:01`),
        value: encode({ kind: 'mac', id: `${lan},0,02:00:00:00:00:01`, portId: id }),
      },
    ]),
  );
  await must('POST', '/v1/bridges', {});
  return {
    ...{ bench, red, blue },
    operator: { host, tunnelZone, router, bridge, port, chain },
    async as(role, projectIds) {
      const { token } = await must('POST', '/v1/tokens', { name: role, role, projectIds });
      return (method, path, body, headers = {}) =>
        bench.call(method, path, body, { authorization: `Bearer ${token}`, ...headers });
    },
  };
}

const FIELDS = KIND_NAMES.flatMap((kind) => {
  const { properties } = KINDS[kind].schema as unknown as { properties: Record<string, { references?: string }> };
  return Object.entries(properties).flatMap(([name, { references }]) =>
    references === undefined ? [] : [{ kind, name, isList: 'items' in properties[name]! }],
  );
});
/** What a create needs besides the reference that is tried. */
const BODIES: Partial<Record<Kind, (own: Ids) => Record<string, unknown>>> = {
  port: ({ bridge }) => ({ deviceId: bridge }),
  route: ({ router }) => ({ routerId: router, destination: '10.5.0.0/24', nextHop: 'blackhole' }),
  rule: ({ chain }) => ({ chainId: chain, action: 'accept' }),
  dhcpSubnet: ({ bridge }) => ({ bridgeId: bridge, prefix: '10.7.0.0/24', gateway: '10.7.0.1' }),
  dhcpHost: ({ dhcpSubnet }) => ({ subnetId: dhcpSubnet, mac: '02:00:00:00:00:07', address: '10.0.1.7' }),
};
const MATCHES = [
  'inPortIds',
  'outPortIds',
  'ingressPortGroupId',
  'sourceSetId',
  'destinationSetId',
  'traversedDeviceId',
];

interface Try {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
}

/** Every call of the API with an id in every place that takes one, save for the id of what is created. */
function* callsWith(id: string, own: Ids): Generator<Try> {
  for (const kind of KIND_NAMES) {
    const path = `/v1/${KINDS[kind].plural}`;
    yield { method: 'GET', path: `${path}/${id}` };
    yield { method: 'PATCH', path: `${path}/${id}`, body: { name: 'mine' } };
    yield { method: 'PATCH', path: `${path}/${id}`, body: {} };
    yield { method: 'DELETE', path: `${path}/${id}` };
    yield { method: 'GET', path: `${path}?id=${id}` };
    yield { method: 'GET', path: `${path}?projectId=${id}` };
    for (const op of ['update', 'delete']) {
      const operation = { op, kind, id, ...(op === 'update' ? { value: { name: 'mine' } } : {}) };
      yield { method: 'POST', path: '/v1/transaction', body: { operations: [operation] } };
      yield { method: 'POST', path: '/v1/transaction', body: { operations: [{ ...operation, ifMatch: 1 }] } };
    }
  }
  for (const { kind, name, isList } of FIELDS) {
    const path = `/v1/${KINDS[kind].plural}`;
    const value = isList ? [id] : id;
    yield { method: 'POST', path, body: { ...BODIES[kind]?.(own), [name]: value } };
    yield { method: 'PATCH', path: `${path}/${own[kind]}`, body: { [name]: value } };
    if (!isList) yield { method: 'GET', path: `${path}?${name}=${id}` };
  }
  for (const name of MATCHES) {
    const match = { [name]: name.endsWith('Ids') ? [id] : id };
    yield { method: 'POST', path: '/v1/rules', body: { chainId: own.chain, action: 'accept', match } };
    yield { method: 'PATCH', path: `/v1/rules/${own.rule}`, body: { match } };
  }
  for (const name of ['hostId', 'id', 'portId', 'bridgeId']) yield { method: 'GET', path: `/v1/status?${name}=${id}` };
  yield { method: 'GET', path: `/v1/interfaces?hostId=${id}` };
  yield { method: 'GET', path: `/v1/interfaces?portId=${id}` };
  yield { method: 'GET', path: `/v1/interfaces/${id}/tap1` };
  yield { method: 'POST', path: '/v1/trace', body: { portId: id, frame: 'ff'.repeat(60) } };
  yield { method: 'POST', path: `/v1/hosts/${id}/join-token` };
  for (const name of ['flows', 'audit', 'counters', `counters?portId=${id}`]) {
    yield { method: 'GET', path: `/v1/hosts/${id}/${name}` };
  }
  yield { method: 'GET', path: `/v1/tokens/${id}` };
  yield { method: 'DELETE', path: `/v1/tokens/${id}` };
  yield { method: 'POST', path: '/v1/tokens', body: { name: 'x', role: 'reader', projectIds: [id] } };
}

test('the calls that are tried are all that take an id', () => {
  const tried = [...callsWith('ID', { rule: 'OWN' })].map(
    ({ method, path }) => `${method} ${path.replace(/\?.*/, '')}`,
  );
  // These take no id.
  const without = new Set(['/v1/join', '/v1/watch', '/v1/status/watch', '/v1/applied', '/v1/agent', '/v1/version']);
  for (const open of ['/v1/openapi.json', '/docs', '/metrics', '/v1/tokens']) without.add(open);
  for (const { method, path } of CALLS) {
    if (without.has(path)) continue;
    const pattern = new RegExp(`^${method.toUpperCase()} ${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`);
    assert.ok(
      tried.some((one) => pattern.test(one)),
      `${method} ${path}`,
    );
  }
});

for (const role of ['member', 'reader']) {
  test(`to a ${role} an id of another is as an id of nothing, in every call`, async (t) => {
    const { bench, red, blue, operator, as } = await open(t);
    const call = await as(role, [red.project!]);
    const before = JSON.stringify(await everything(bench));
    const nowhere = randomUUID();
    const answers = async (id: string) => {
      const told: string[] = [];
      for (const { method, path, body } of callsWith(id, red)) {
        const answer = await call(method, path, body);
        assert.ok(answer.status >= 400 || method === 'GET', `${method} ${path} was done: ${JSON.stringify(body)}`);
        const headers = ['etag', 'location', 'ayatori-revision'].map((name) => answer.headers.get(name));
        const said = `${answer.status} ${JSON.stringify(answer.body)} ${headers}`;
        told.push(`${method} ${path} ${JSON.stringify(body)}: ${said}`.replaceAll(id, 'ID'));
      }
      return told;
    };
    const expected = await answers(nowhere);
    assert.ok(expected.length > 150);
    for (const id of [...Object.values(blue), ...Object.values(operator)]) {
      assert.deepEqual(await answers(id), expected);
    }
    assert.equal(JSON.stringify(await everything(bench)), before);
  });
}

async function everything({ must }: Bench): Promise<unknown> {
  return Promise.all(KIND_NAMES.map((kind) => must('GET', `/v1/${KINDS[kind].plural}?limit=1000`)));
}

test('an id that is taken is refused in one way, whoever has it and whatever it names', async (t) => {
  const { red, blue, operator, as } = await open(t);
  const call = await as('member', [red.project!]);
  for (const id of [...Object.values(blue), ...Object.values(operator)]) {
    for (const kind of ['bridge', 'chain', 'port'] as const) {
      const answer = await call('POST', `/v1/${KINDS[kind].plural}`, { id, ...BODIES[kind]?.(red) });
      const message = `${id} cannot be chosen: choose another id`;
      assert.deepEqual([answer.status, answer.body], [409, { code: 'exists', message, path: '/id' }]);
    }
  }
});

test('lists, gets and status hold what is of the project, and name nothing else', async (t) => {
  const { bench, red, blue, operator, as } = await open(t);
  const foreign = [...Object.values(blue), ...Object.values(operator), 'blue', 'h1', 'tap0'];
  for (const role of ['member', 'reader']) {
    const call = await as(role, [red.project!]);
    for (const kind of KIND_NAMES) {
      const { body } = await call('GET', `/v1/${KINDS[kind].plural}`);
      const text = JSON.stringify(body);
      for (const word of foreign) assert.ok(!text.includes(word), `${kind}: ${word} in ${text}`);
      const id = red[kind];
      if (id === undefined) assert.deepEqual(body.items, []);
      else
        assert.ok(
          body.items.some((item: { id: string }) => item.id === id),
          kind,
        );
    }
    const { body: port } = await call('GET', `/v1/ports/${red.port}`);
    assert.deepEqual(port.status, { state: 'down' });
    assert.equal('hostId' in port || 'interfaceName' in port, false);
    const { items } = (await call('GET', '/v1/status')).body;
    assert.deepEqual(
      items.map(({ status }: { status: { kind: string } }) => status.kind),
      ['mac', 'port'],
    );
    for (const word of foreign) assert.ok(!JSON.stringify(items).includes(word), word);
    const applied = (await call('GET', '/v1/applied?timeoutSeconds=0')).body;
    assert.deepEqual(applied, { revision: bench.parts.config.revision, done: false, hosts: [] });
    assert.equal((await call('GET', '/metrics')).status, 403);
    assert.equal((await call('GET', '/v1/tokens')).status, 403);
  }
});

test('a member creates, changes and deletes in its project, which need not be named', async (t) => {
  const { bench, red, as } = await open(t);
  const call = await as('member', [red.project!]);
  const made = await call('POST', '/v1/bridges', { name: 'lan' });
  assert.deepEqual([made.status, made.body.projectId], [201, red.project]);
  const again = await call('POST', '/v1/bridges', { id: made.body.id, name: 'lan' });
  assert.equal(again.status, 200);
  assert.equal((await call('PATCH', `/v1/bridges/${made.body.id}`, { name: 'x' })).body.name, 'x');
  assert.equal((await call('PATCH', `/v1/ports/${red.port}`, { adminUp: false })).status, 200);
  const { hostId, interfaceName } = bench.parts.config.topology.object('port', red.port!)!;
  assert.deepEqual([typeof hostId, interfaceName], ['string', 'tap0']);
  const operations = [
    { op: 'create', kind: 'chain', value: { id: randomUUID(), name: 'c' } },
    { op: 'delete', kind: 'bridge', id: made.body.id },
  ];
  const done = await call('POST', '/v1/transaction', { operations });
  assert.deepEqual([done.status, done.body.objects[0].projectId], [200, red.project]);
  assert.equal((await call('GET', `/v1/bridges/${made.body.id}`)).status, 404);
  const full = [1, 2].map(() => call('POST', '/v1/address-sets', {}));
  assert.deepEqual((await Promise.all(full)).map(({ status }) => status).sort(), [201, 409]);
});

test("what is the operator's a member does not do", async (t) => {
  const { red, operator, as } = await open(t);
  const call = await as('member', [red.project!]);
  const cases: [string, string, unknown, number, string?][] = [
    ['POST', '/v1/projects', { name: 'mine' }, 403],
    ['PATCH', `/v1/projects/${red.project}`, { quotas: {} }, 403],
    ['DELETE', `/v1/projects/${red.project}`, undefined, 403],
    ['POST', '/v1/hosts', { name: 'mine' }, 403],
    ['POST', '/v1/tunnel-zones', {}, 403],
    ['PATCH', `/v1/ports/${red.port}`, { hostId: operator.host, interfaceName: 'eth0' }, 403, '/hostId'],
    ['PATCH', `/v1/ports/${red.port}`, { hostId: null, interfaceName: null }, 403, '/hostId'],
    ['PATCH', `/v1/bridges/${red.bridge}`, { projectId: null }, 403, '/projectId'],
    ['POST', '/v1/tokens', { name: 'x', role: 'admin' }, 403],
  ];
  for (const [method, path, body, status, at] of cases) {
    const answer = await call(method, path, body);
    assert.deepEqual([answer.status, answer.body.path], [status, at], `${method} ${path}`);
  }
  const reader = await as('reader', [red.project!]);
  assert.equal((await reader('POST', '/v1/bridges', {})).status, 403);
  assert.equal((await reader('DELETE', `/v1/bridges/${red.bridge}`)).status, 403);
});

test("what the operator put to a tenant's objects stays, and is not named", async (t) => {
  const { bench, red, operator, as } = await open(t);
  const { must } = bench;
  const call = await as('member', [red.project!]);
  const secret = (
    await must('POST', '/v1/ports', { name: 'secret', deviceId: operator.router, addresses: ['10.0.1.254/24'] })
  ).id;
  const plug = await call('POST', '/v1/ports', { deviceId: red.bridge, name: 'plug' });
  await must('PATCH', `/v1/ports/${plug.body.id}`, { peerId: secret });
  await must('PATCH', `/v1/ports/${red.port}`, { outboundChainId: operator.chain });
  const own = await must('POST', '/v1/ports', { name: 'secret', deviceId: red.bridge });
  const tries: [string, string, unknown][] = [
    ['DELETE', `/v1/ports/${plug.body.id}`, undefined],
    ['PATCH', `/v1/ports/${plug.body.id}`, { peerId: null }],
    ['PATCH', `/v1/ports/${red.port}`, { outboundChainId: null }],
    ['PATCH', `/v1/ports/${red.port}`, { outboundChainId: red.chain }],
  ];
  for (const [method, path, body] of tries) {
    const { status, body: said } = await call(method, path, body);
    assert.equal(said.code, method === 'DELETE' ? 'inUse' : 'conflict');
    assert.equal(status, 409, `${method} ${path} ${JSON.stringify(body)}`);
    for (const word of [secret, own.id, 'secret', operator.chain!]) assert.ok(!JSON.stringify(said).includes(word));
  }
  const { topology } = bench.parts.config;
  assert.equal(topology.object('port', secret)!.peerId, plug.body.id);
  assert.equal(topology.object('port', red.port!)!.outboundChainId, operator.chain);
  // What is seen of the users is named, and nothing of the others.
  const inUse = await call('DELETE', `/v1/bridges/${red.bridge}`);
  assert.equal(inUse.body.code, 'inUse');
  assert.match(inUse.body.message, /red-port/);
  assert.ok(!inUse.body.message.includes('secret'));
  const { body: seen } = await call('GET', `/v1/ports/${plug.body.id}`);
  assert.deepEqual(['peerId' in seen, seen.status], [false, { state: 'up' }]);
});

test('a watch tells a tenant what changes of what it sees, and when something leaves its sight', async (t) => {
  const { bench, red, blue } = await open(t);
  const { must, parts } = bench;
  const { token } = await must('POST', '/v1/tokens', { name: 'w', role: 'reader', projectIds: [red.project] });
  const headers = { authorization: `Bearer ${token}` };
  const from = (await bench.call('GET', '/v1/bridges', undefined, headers)).body.revision;
  await must('PATCH', `/v1/bridges/${blue.bridge}`, { name: 'blue-new' });
  await must('PATCH', `/v1/bridges/${red.bridge}`, { name: 'red-new' });
  const moved = await must('POST', '/v1/chains', { name: 'moved' });
  await must('PATCH', `/v1/chains/${moved.id}`, { projectId: red.project });
  await must('PATCH', `/v1/ports/${red.port}`, { outboundChainId: moved.id });
  await must('PATCH', `/v1/chains/${moved.id}`, { projectId: blue.project });
  const gone = await must('POST', '/v1/bridges', { projectId: blue.project });
  await bench.call('DELETE', `/v1/bridges/${gone.id}`);
  const response = await bench.app.request(`/v1/watch?from=${from}`, { headers });
  const reader = response.body!.getReader();
  let text = '';
  while (text.split('\n').length < 6) text += Buffer.from((await reader.read()).value!).toString();
  await reader.cancel();
  const lines = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  type Put = { kind: string; value: { id: string; outboundChainId?: string } };
  const told = lines
    .slice(1)
    .map(({ rev, put, del }: { rev: number; put: Put[]; del: object[] }) => [
      rev - from,
      put.map(({ kind, value }) => `${kind} ${value.id} ${value.outboundChainId}`),
      del,
    ]);
  assert.deepEqual(told, [
    [2, [`bridge ${red.bridge} undefined`], []],
    [4, [`chain ${moved.id} undefined`], []],
    [5, [`port ${red.port} ${moved.id}`], []],
    [6, [`port ${red.port} undefined`], [{ kind: 'chain', id: moved.id }]],
  ]);
  // What is kept from change to change is what a fresh look would find.
  const view = parts.views.of([red.project!]);
  const fresh = new View(new Set([red.project!]), parts.config);
  for (const kind of KIND_NAMES) {
    assert.deepEqual(new Map(view.topology.objects(kind)), new Map(fresh.topology.objects(kind)), kind);
  }
});

test('a trace tells its own part of the way, and sums up the rest', async (t) => {
  const { bench, red, operator, as } = await open(t);
  const { must } = bench;
  const call = await as('reader', [red.project!]);
  // An ARP request floods the bridge, then meets the leg of the tenant's own router.
  const frame = `${'ff'.repeat(6)}0200000000010806000108000604000102000000000 10a0001020000000000000a000101`.replaceAll(
    ' ',
    '',
  );
  const own = await call('POST', '/v1/trace', { portId: red.port, frame });
  assert.equal(own.status, 200);
  assert.ok(own.body.steps.length > 0 && own.body.tags.length > 0, JSON.stringify(own.body));
  const secret = (await must('POST', '/v1/chains', { name: 'secret' })).id;
  await must('POST', '/v1/rules', { name: 'secret', chainId: secret, action: 'drop' });
  await must('PATCH', `/v1/bridges/${red.bridge}`, { inboundChainId: secret });
  const summed = await call('POST', '/v1/trace', { portId: red.port, frame });
  const text = JSON.stringify(summed.body);
  for (const word of ['secret', secret, operator.host!]) assert.ok(!text.includes(word), text);
  assert.deepEqual(
    [summed.body.verdict, summed.body.tags, summed.body.actions, summed.body.mask],
    ['drop', [], [], ''],
  );
  assert.equal(summed.body.steps.at(-1).at, 'elsewhere');
});

test('a token goes with the project that it is of', async (t) => {
  const { bench, as } = await open(t);
  const { id } = await bench.must('POST', '/v1/projects', { name: 'short' });
  const call = await as('member', [id]);
  assert.equal((await call('GET', '/v1/projects')).body.items.length, 1);
  await bench.must('DELETE', `/v1/projects/${id}`);
  assert.equal((await call('GET', '/v1/projects')).status, 401);
});

test('a watch of status tells a tenant of its own ports, and not where they are', async (t) => {
  const { bench, red, blue, operator } = await open(t);
  const { token } = await bench.must('POST', '/v1/tokens', { name: 'w', role: 'reader', projectIds: [red.project] });
  const headers = { authorization: `Bearer ${token}` };
  const { revision } = (await bench.call('GET', '/v1/status', undefined, headers)).body;
  for (const { port: id } of [blue, red]) {
    const value = encode({ kind: 'port', id, state: 'claimed', why: `moves to host ${operator.host}` });
    await bench.store.txn([], [{ put: statusKey(operator.host!, 'port', id!), value }]);
  }
  const response = await bench.app.request(`/v1/status/watch?from=${revision}`, { headers });
  const reader = response.body!.getReader();
  let text = '';
  while (text.split('\n').length < 3) text += Buffer.from((await reader.read()).value!).toString();
  await reader.cancel();
  const { put } = JSON.parse(text.split('\n')[1]!);
  assert.deepEqual(put, [{ hostId: UNTOLD, status: { kind: 'port', id: red.port, state: 'claimed' } }]);
  assert.ok(!text.includes(blue.port!) && !text.includes(operator.host!));
});
