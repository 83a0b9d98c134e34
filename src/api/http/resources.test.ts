import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { KIND_NAMES, KINDS } from '../../topology/kinds.ts';
import { type Bench, openBench } from '../testing/bench.ts';

async function open(context: TestContext): Promise<Bench> {
  const bench = await openBench();
  context.after(() => bench.close());
  return bench;
}

test('an object is created, read, changed and deleted', async (t) => {
  const { call } = await open(t);
  const created = await call('POST', '/v1/bridges', { name: 'web', tags: ['blue'] });
  assert.equal(created.status, 201);
  const { id } = created.body;
  assert.equal(created.headers.get('location'), `/v1/bridges/${id}`);
  assert.deepEqual([created.body.adminUp, created.body.macExpirySeconds, created.body.revision], [true, 300, 1]);
  assert.equal(created.headers.get('ayatori-revision'), '1');
  assert.equal(created.body.floodKey, 1);
  assert.equal(created.body.createdAt, created.body.updatedAt);

  const read = await call('GET', `/v1/bridges/${id}`);
  assert.deepEqual([read.status, read.body, read.headers.get('etag')], [200, created.body, '"1"']);

  const changed = await call('PATCH', `/v1/bridges/${id}`, { mtuBytes: 1400, tags: ['red'] });
  assert.equal(changed.status, 200);
  assert.deepEqual([changed.body.mtuBytes, changed.body.tags, changed.body.name], [1400, ['red'], 'web']);
  assert.deepEqual([changed.body.revision, changed.headers.get('ayatori-revision')], [2, '2']);
  const removed = await call('PATCH', `/v1/bridges/${id}`, { mtuBytes: null });
  assert.equal('mtuBytes' in removed.body, false);

  const gone = await call('DELETE', `/v1/bridges/${id}`);
  assert.deepEqual([gone.status, gone.headers.get('ayatori-revision'), gone.body], [204, '4', '']);
  assert.equal((await call('GET', `/v1/bridges/${id}`)).status, 404);
  assert.equal((await call('DELETE', `/v1/bridges/${id}`)).status, 404);
});

test('every kind has its paths', async (t) => {
  const { call } = await open(t);
  for (const kind of KIND_NAMES) {
    const path = `/v1/${KINDS[kind].plural}`;
    assert.deepEqual((await call('GET', path)).body, { items: [], revision: 0 }, kind);
    assert.equal((await call('GET', `${path}/${randomUUID()}`)).body.code, 'notFound', kind);
    assert.equal((await call('PUT', path)).body.code, 'methodNotAllowed', kind);
  }
  assert.equal((await call('GET', '/v1/nothing')).body.code, 'notFound');
});

test('a change that changes nothing takes no revision', async (t) => {
  const { call, must } = await open(t);
  const { id } = await must('POST', '/v1/bridges', { name: 'web' });
  const again = await call('PATCH', `/v1/bridges/${id}`, { name: 'web' });
  assert.deepEqual([again.status, again.body.revision, again.headers.get('ayatori-revision')], [200, 1, '1']);
});

test('a create that is sent twice is done once', async (t) => {
  const { call, must } = await open(t);
  const id = randomUUID();
  const router = await must('POST', '/v1/routers', { name: 'r' });
  const body = { id, deviceId: router.id, addresses: ['10.0.0.1/24'] };
  assert.equal((await call('POST', '/v1/ports', body)).status, 201);
  const again = await call('POST', '/v1/ports', body);
  assert.deepEqual([again.status, again.headers.get('ayatori-revision')], [200, '2']);
  const other = await call('POST', '/v1/ports', { ...body, addresses: ['10.0.0.2/24'] });
  assert.deepEqual([other.status, other.body.code, other.body.path], [409, 'exists', '/id']);
  const less = await call('POST', '/v1/ports', { id, deviceId: router.id });
  assert.equal(less.status, 409);
});

test('If-Match holds a write to the revision that was read', async (t) => {
  const { call, must } = await open(t);
  const { id } = await must('POST', '/v1/bridges', {});
  await must('PATCH', `/v1/bridges/${id}`, { name: 'two' });
  const path = `/v1/bridges/${id}`;
  assert.equal((await call('PATCH', path, { name: 'three' }, { 'if-match': '"1"' })).body.code, 'stale');
  assert.equal((await call('DELETE', path, undefined, { 'if-match': '1' })).status, 412);
  assert.equal((await call('DELETE', path, undefined, { 'if-match': 'x' })).status, 400);
  assert.equal((await call('PATCH', path, { name: 'three' }, { 'if-match': '2' })).status, 200);
  assert.equal((await call('DELETE', path, undefined, { 'if-match': '"3"' })).status, 204);
});

test('lists filter on scalar fields and tags, and page', async (t) => {
  const { must } = await open(t);
  const project = await must('POST', '/v1/projects', { name: 'p' });
  for (let at = 0; at < 5; at++) {
    await must('POST', '/v1/bridges', { name: `b${at % 2}`, projectId: project.id, tags: [`t${at % 2}`] });
  }
  await must('POST', '/v1/bridges', { name: 'b0', adminUp: false });
  const count = async (query: string): Promise<number> => (await must('GET', `/v1/bridges?${query}`)).items.length;
  assert.equal(await count('name=b0'), 4);
  assert.equal(await count(`name=b0&projectId=${project.id}`), 3);
  assert.equal(await count('adminUp=false'), 1);
  assert.equal(await count('tag=t1'), 2);
  assert.equal(await count('floodKey=3'), 1);
  const seen = new Set<string>();
  let pageToken = '';
  for (let page = 0; page < 3; page++) {
    const answer = await must('GET', `/v1/bridges?limit=2${pageToken}`);
    for (const { id } of answer.items) seen.add(id);
    assert.equal(answer.items.length, 2);
    assert.equal(answer.revision, 7);
    assert.equal(answer.pageToken === undefined, page === 2);
    pageToken = `&pageToken=${answer.pageToken}`;
  }
  assert.equal(seen.size, 6);
});

test('what a list does not know is refused', async (t) => {
  const { call } = await open(t);
  for (const query of ['color=red', 'limit=0', 'limit=1001', 'limit=x', 'pageToken=zz', 'name=a&name=b', 'tags=a']) {
    const answer = await call('GET', `/v1/bridges?${query}`);
    assert.deepEqual([answer.status, answer.body.code], [400, 'malformed'], query);
  }
});

test('bad bodies are refused in words, and nothing is written', async (t) => {
  const { call, parts } = await open(t);
  const cases: [string, unknown, number, string, RegExp, string?][] = [
    ['/v1/bridges', '{"name":', 400, 'badJson', /no JSON/],
    ['/v1/bridges', '', 400, 'badJson', /empty/],
    ['/v1/bridges', '[]', 400, 'malformed', /JSON object/, ''],
    ['/v1/bridges', { name: 7 }, 400, 'malformed', /name/, '/name'],
    ['/v1/bridges', { nmae: 'x' }, 400, 'malformed', /did you mean name/, '/nmae'],
    ['/v1/bridges', { floodKey: 3 }, 400, 'malformed', /assigned by the server/, '/floodKey'],
    ['/v1/address-sets', { addresses: ['10.0.0.1/24'] }, 400, 'malformed', /host bits/, '/addresses/0'],
    ['/v1/address-sets', { addresses: ['10.0.0.300/32'] }, 400, 'malformed', /prefix/, '/addresses/0'],
    ['/v1/ports', {}, 400, 'malformed', /deviceId is missing/, '/deviceId'],
    ['/v1/ports', { deviceId: randomUUID() }, 422, 'invalid', /./, '/deviceId'],
    ['/v1/bridges', `{"a":${'['.repeat(1000)}`, 400, 'badJson', /nested deeper/],
    ['/v1/bridges', { name: 'x'.repeat(1024 * 1024) }, 413, 'tooLarge', /larger than 1048576/],
    ['/v1/transaction', { operations: 'x' }, 400, 'malformed', /operations/, '/operations'],
    ['/v1/transaction', { operations: [], more: 1 }, 400, 'malformed', /more/, '/more'],
    ['/v1/transaction', { operations: [{ op: 'make' }] }, 400, 'malformed', /create, update/, '/operations/0/op'],
    [
      '/v1/transaction',
      { operations: [{ op: 'create', kind: 'x' }] },
      400,
      'malformed',
      /bridge/,
      '/operations/0/kind',
    ],
  ];
  for (const [path, body, status, code, message, pointer] of cases) {
    const answer = await call('POST', path, body);
    assert.deepEqual([answer.status, answer.body.code], [status, code], `${path} ${JSON.stringify(body).slice(0, 80)}`);
    assert.match(answer.body.message, message);
    assert.equal(answer.body.path, pointer);
  }
  assert.equal(parts.config.revision, 0);
  assert.equal((await parts.store.list('config/')).entries.length, 0);
});

test('a body without a length is bounded too', async (t) => {
  const { app, token } = await open(t);
  const body = new ReadableStream({
    pull(controller) {
      controller.enqueue(new Uint8Array(65536).fill(0x20));
    },
  });
  const init = { method: 'POST', headers: { authorization: `Bearer ${token}` }, body, duplex: 'half' };
  const response = await app.request('/v1/bridges', init as RequestInit);
  assert.equal(response.status, 413);
});

test('what is in use cannot be deleted, and the answer names its users', async (t) => {
  const { call, must } = await open(t);
  const bridge = await must('POST', '/v1/bridges', { name: 'web' });
  const port = await must('POST', '/v1/ports', { name: 'vm', deviceId: bridge.id });
  const refused = await call('DELETE', `/v1/bridges/${bridge.id}`);
  assert.deepEqual([refused.status, refused.body.code], [409, 'inUse']);
  assert.match(refused.body.message, new RegExp(port.id.slice(0, 8)));
  await must('DELETE', `/v1/ports/${port.id}`);
  assert.equal((await call('DELETE', `/v1/bridges/${bridge.id}`)).status, 204);
});

test('what an object owns goes with it', async (t) => {
  const { must, parts } = await open(t);
  const bridge = await must('POST', '/v1/bridges', {});
  const subnet = await must('POST', '/v1/dhcp-subnets', {
    bridgeId: bridge.id,
    prefix: '10.0.0.0/24',
    gateway: '10.0.0.1',
  });
  await must('POST', '/v1/dhcp-hosts', { subnetId: subnet.id, mac: '02:00:00:00:00:01', address: '10.0.0.5' });
  const chain = await must('POST', '/v1/chains', {});
  await must('POST', '/v1/rules', { chainId: chain.id, action: 'drop' });
  await must('DELETE', `/v1/bridges/${bridge.id}`);
  await must('DELETE', `/v1/chains/${chain.id}`);
  for (const kind of ['dhcpSubnet', 'dhcpHost', 'rule'] as const) {
    assert.equal(parts.config.topology.objects(kind).size, 0, kind);
  }
  assert.deepEqual(
    (await parts.store.list('config/')).entries.map(({ key }) => key),
    ['config/revision'],
  );
});

test('a router port without a MAC is given one, and a bridge port is not', async (t) => {
  const { must } = await open(t);
  const router = await must('POST', '/v1/routers', {});
  const bridge = await must('POST', '/v1/bridges', {});
  const onRouter = await must('POST', '/v1/ports', { deviceId: router.id, addresses: ['10.0.0.1/24'] });
  const second = await must('POST', '/v1/ports', { deviceId: router.id, addresses: ['10.0.1.1/24'] });
  const onBridge = await must('POST', '/v1/ports', { deviceId: bridge.id });
  assert.match(onRouter.mac, /^02:/);
  assert.notEqual(onRouter.mac, second.mac);
  assert.equal(onBridge.mac, undefined);
  assert.deepEqual([onRouter.deviceKind, onBridge.deviceKind], ['router', 'bridge']);
  const own = await must('PATCH', `/v1/ports/${onRouter.id}`, { mac: '02:00:00:00:00:aa' });
  assert.equal(own.mac, '02:00:00:00:00:aa');
  assert.equal((await must('PATCH', `/v1/ports/${onRouter.id}`, { mac: null })).mac, onRouter.mac);
});

test('both ends of a peering name each other', async (t) => {
  const { call, must } = await open(t);
  const bridge = await must('POST', '/v1/bridges', {});
  const router = await must('POST', '/v1/routers', {});
  const make = (deviceId: string, more = {}) => must('POST', '/v1/ports', { deviceId, ...more });
  const a = await make(bridge.id);
  const b = await make(router.id, { addresses: ['10.0.0.1/24'], peerId: a.id });
  const peerOf = async (id: string): Promise<string | undefined> => (await must('GET', `/v1/ports/${id}`)).peerId;
  assert.equal(await peerOf(a.id), b.id);

  const c = await make(bridge.id);
  const taken = await call('PATCH', `/v1/ports/${c.id}`, { peerId: b.id });
  assert.deepEqual([taken.status, taken.body.code, taken.body.path], [409, 'conflict', '/peerId']);

  await must('PATCH', `/v1/ports/${b.id}`, { peerId: null });
  assert.equal(await peerOf(a.id), undefined);
  await must('PATCH', `/v1/ports/${c.id}`, { peerId: b.id });
  assert.equal(await peerOf(b.id), c.id);

  await must('POST', '/v1/transaction', {
    operations: [
      { op: 'update', kind: 'port', id: b.id, value: { peerId: a.id } },
      { op: 'update', kind: 'port', id: c.id, value: { name: 'free' } },
    ],
  });
  assert.deepEqual([await peerOf(a.id), await peerOf(b.id), await peerOf(c.id)], [b.id, a.id, undefined]);

  await must('DELETE', `/v1/ports/${a.id}`);
  assert.equal(await peerOf(b.id), undefined);
});

test('rules are numbered in sequence, anew when they say something else, and put at the end', async (t) => {
  const { must } = await open(t);
  const chain = await must('POST', '/v1/chains', {});
  const first = await must('POST', '/v1/rules', { chainId: chain.id, action: 'drop' });
  const second = await must('POST', '/v1/rules', { chainId: chain.id, action: 'accept' });
  assert.deepEqual([first.position, second.position, first.number, second.number], [10, 20, 1, 2]);
  const renamed = await must('PATCH', `/v1/rules/${first.id}`, { name: 'x', position: 15 });
  assert.equal(renamed.number, 1);
  const changed = await must('PATCH', `/v1/rules/${first.id}`, { match: { protocol: 6 } });
  assert.equal(changed.number, 3);
  const { objects } = await must('POST', '/v1/transaction', {
    operations: [1, 2].map(() => ({ op: 'create', kind: 'rule', value: { chainId: chain.id, action: 'drop' } })),
  });
  assert.deepEqual(
    objects.map((rule: { position: number }) => rule.position),
    [30, 40],
  );
});

test('ports and bridges share one space of numbers, none is given twice', async (t) => {
  const { must } = await open(t);
  const bridge = await must('POST', '/v1/bridges', {});
  const port = await must('POST', '/v1/ports', { deviceId: bridge.id });
  await must('DELETE', `/v1/ports/${port.id}`);
  const next = await must('POST', '/v1/ports', { deviceId: bridge.id });
  assert.deepEqual([bridge.floodKey, port.tunnelKey, next.tunnelKey], [1, 2, 3]);
});

test('a transaction is all or nothing, and says which operation is wrong', async (t) => {
  const { call, parts } = await open(t);
  const id = randomUUID();
  const good = { op: 'create', kind: 'bridge', value: { id, name: 'b' } };
  const bad = await call('POST', '/v1/transaction', {
    operations: [good, { op: 'create', kind: 'port', value: { deviceId: id, vlan: 5000 } }],
  });
  assert.deepEqual([bad.status, bad.body.path], [400, '/operations/1/value/vlan']);
  const dangling = await call('POST', '/v1/transaction', {
    operations: [good, { op: 'create', kind: 'port', value: { deviceId: randomUUID() } }],
  });
  assert.deepEqual([dangling.status, dangling.body.path], [422, '/operations/1/value/deviceId']);
  const missing = await call('POST', '/v1/transaction', {
    operations: [good, { op: 'delete', kind: 'port', id: randomUUID() }],
  });
  assert.deepEqual([missing.status, missing.body.path], [404, '/operations/1/id']);
  assert.equal(parts.config.revision, 0);
  assert.equal(parts.config.topology.objects('bridge').size, 0);
});

test('operations of a transaction are held to the revisions that were read', async (t) => {
  const { must, call } = await open(t);
  const [one, two] = [await must('POST', '/v1/bridges', {}), await must('POST', '/v1/bridges', {})];
  const update = (ifMatch: unknown) => ({ op: 'update', kind: 'bridge', id: one.id, value: { name: 'x' }, ifMatch });
  const remove = (ifMatch: unknown) => ({ op: 'delete', kind: 'bridge', id: two.id, ifMatch });
  const transaction = (...operations: object[]) => call('POST', '/v1/transaction', { operations });
  for (const [operations, path] of [
    [[update(one.revision), remove(two.revision - 1)], '/operations/1'],
    [[update(one.revision + 1), remove(two.revision)], '/operations/0'],
  ] as const) {
    const { status, body } = await transaction(...operations);
    assert.deepEqual([status, body.code, body.path], [412, 'stale', path]);
  }
  assert.equal((await must('GET', `/v1/bridges/${one.id}`)).name, '', 'nothing of it was done');
  for (const wrong of ['3', -1, 1.5, null, '*']) {
    const { status, body } = await transaction(update(wrong));
    assert.deepEqual([status, body.code, body.path], [400, 'malformed', '/operations/0/ifMatch'], String(wrong));
  }
  const create = await transaction({ op: 'create', kind: 'bridge', value: {}, ifMatch: 1 });
  assert.deepEqual([create.status, create.body.path], [400, '/operations/0/ifMatch']);

  // The revision is that of before the transaction, whatever stands before the operation.
  const id = '00000000-0000-4000-8000-000000000001';
  const made = { op: 'create', kind: 'bridge', value: { id } };
  const late = await transaction(made, { op: 'delete', kind: 'bridge', id, ifMatch: 1 });
  assert.deepEqual([late.status, late.body.path], [412, '/operations/1']);
  assert.match(late.body.message, /not there before this transaction/);
  assert.equal((await transaction(update(one.revision), update(one.revision), remove(two.revision))).status, 200);
  assert.equal((await transaction(update(one.revision))).status, 412);
});

test('operations of a transaction may name each other in any order', async (t) => {
  const { must } = await open(t);
  const [bridge, port] = [randomUUID(), randomUUID()];
  const { revision, objects } = await must('POST', '/v1/transaction', {
    operations: [
      { op: 'create', kind: 'port', value: { id: port, deviceId: bridge } },
      { op: 'create', kind: 'bridge', value: { id: bridge } },
      { op: 'update', kind: 'port', id: port, value: { name: 'late' } },
    ],
  });
  assert.equal(revision, 1);
  assert.deepEqual(
    objects.map((object: { id: string; name: string }) => [object.id, object.name]),
    [
      [port, 'late'],
      [bridge, ''],
      [port, 'late'],
    ],
  );
});

test('answers carry the live status of ports and hosts, and it may be sent back', async (t) => {
  const { call, must } = await open(t);
  const host = await must('POST', '/v1/hosts', { name: 'h' });
  assert.deepEqual(host.status, { alive: false });
  const bridge = await must('POST', '/v1/bridges', {});
  const port = await must('POST', '/v1/ports', { deviceId: bridge.id });
  assert.equal(port.status.state, 'down');
  const back = await call('PATCH', `/v1/ports/${port.id}`, { ...port, name: 'renamed' });
  assert.deepEqual([back.status, back.body.name], [200, 'renamed']);
  const bound = await must('PATCH', `/v1/ports/${port.id}`, { hostId: host.id, interfaceName: 'eth0' });
  assert.deepEqual([bound.status.state, bound.status.hostId], ['down', host.id]);
});

test('there is no way in without a valid token', async (t) => {
  const { app, call } = await open(t);
  for (const authorization of ['', 'Bearer', 'Bearer wrong', 'Basic abc']) {
    const response = await app.request('/v1/bridges', { headers: authorization === '' ? {} : { authorization } });
    assert.equal(response.status, 401, authorization);
    assert.equal(response.headers.get('www-authenticate'), 'Bearer');
    assert.equal(((await response.json()) as { code: string }).code, 'unauthorized');
  }
  assert.equal((await app.request('/metrics')).status, 401);
  assert.match((await call('GET', '/metrics')).body, /ayatori_config_revision 0/);
});
