import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { PREFIX } from '../state/keys.ts';
import { type Bench, openBench } from '../testing/bench.ts';
import { openSite } from '../testing/site.ts';

async function open(context: TestContext): Promise<Bench> {
  const bench = await openBench();
  context.after(() => bench.close());
  return bench;
}
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const inMs = (milliseconds: number): string => new Date(Date.now() + milliseconds).toISOString();

test('a token is told once, and stored as a hash alone', async (t) => {
  const { call, must, store } = await open(t);
  const made = await call('POST', '/v1/tokens', { name: 'ci', role: 'admin' });
  assert.equal(made.status, 201);
  const { token, ...shown } = made.body;
  assert.match(token, /^aya_[\w-]{43}$/);
  assert.deepEqual(Object.keys(shown), ['id', 'role', 'name', 'createdAt']);
  assert.equal(made.headers.get('location'), `/v1/tokens/${shown.id}`);
  assert.equal((await call('GET', '/v1/version', undefined, bearer(token))).status, 200);
  const { lastUsedAt, ...read } = await must('GET', `/v1/tokens/${shown.id}`);
  assert.deepEqual(read, shown);
  assert.ok(Date.parse(lastUsedAt) >= Date.parse(shown.createdAt));
  const { entries } = await store.list(PREFIX.token);
  const hash = createHash('sha256').update(token).digest('hex');
  assert.deepEqual(entries.filter(({ key }) => key.includes(hash)).length, 1);
  assert.ok(!JSON.stringify(entries.map(({ key, value }) => [key, String(value)])).includes(token.slice(4)));
});

test('tokens are listed in pages and found by name and role, hosts with theirs', async (t) => {
  const site = await openSite();
  t.after(() => site.close());
  const host = await site.host('h1');
  for (const name of ['a', 'b']) await site.must('POST', '/v1/tokens', { name, role: 'admin' });
  const { items } = await site.must('GET', '/v1/tokens');
  assert.deepEqual(items.map((one: { name?: string; hostId?: string }) => one.name ?? one.hostId).sort(), [
    ...[host.id, 'a', 'b', 'first'].sort(),
  ]);
  assert.ok(!JSON.stringify(items).includes('aya_'));
  assert.equal((await site.must('GET', '/v1/tokens?name=a&role=admin')).items.length, 1);
  const first = await site.must('GET', '/v1/tokens?limit=3');
  const rest = await site.must('GET', `/v1/tokens?pageToken=${first.pageToken}`);
  assert.deepEqual(
    [...first.items, ...rest.items].map(({ id }) => id),
    items.map(({ id }: { id: string }) => id),
  );
});

test('a revoked token is refused at once, and what it had open ends', async (t) => {
  const { app, call, must } = await open(t);
  const { id, token } = await must('POST', '/v1/tokens', { name: 'x', role: 'admin' });
  const headers = bearer(token);
  const watches = await Promise.all(
    ['/v1/watch', '/v1/status/watch'].map(async (path) => app.request(path, { headers })),
  );
  const waiting = app.request('/v1/applied?revision=9&timeoutSeconds=300', { headers });
  assert.equal((await call('DELETE', `/v1/tokens/${id}`)).status, 204);
  assert.equal((await call('GET', '/v1/version', undefined, headers)).body.code, 'unauthorized');
  // Each ends by itself; one that did not would run into the time limit of the test.
  for (const watch of watches) await watch.text();
  assert.equal((await waiting).status, 401);
  assert.equal((await call('DELETE', `/v1/tokens/${id}`)).status, 404);
  assert.equal((await call('GET', `/v1/tokens/${id}`)).status, 404);
});

test('a token ends when its time is over, and a watch under it too', async (t) => {
  const { app, call, must } = await open(t);
  const { id, token } = await must('POST', '/v1/tokens', { name: 'x', role: 'admin', expiresAt: inMs(1500) });
  const watch = await app.request('/v1/watch', { headers: bearer(token) });
  assert.equal(watch.status, 200);
  await watch.text();
  assert.equal((await call('GET', '/v1/version', undefined, bearer(token))).status, 401);
  assert.equal((await must('GET', `/v1/tokens/${id}`)).id, id);
});

test('the credential of a host is revoked like any other token, and its agent is cut', async (t) => {
  const site = await openSite();
  t.after(() => site.close());
  const agent = await site.agent(await site.host('h1'));
  const { items } = await site.must('GET', '/v1/tokens?role=host');
  assert.equal(items.length, 1);
  assert.equal((await site.call('DELETE', `/v1/tokens/${items[0].id}`)).status, 204);
  await agent.until(() => agent.closeCode !== undefined);
  assert.equal(agent.closeCode, 4401);
});

test('the last admin token that lasts is not revoked', async (t) => {
  const { call, must } = await open(t);
  const [{ id }] = (await must('GET', '/v1/tokens')).items;
  await must('POST', '/v1/tokens', { name: 'short', role: 'admin', expiresAt: inMs(60_000) });
  assert.equal((await call('DELETE', `/v1/tokens/${id}`)).body.code, 'conflict');
  const other = await must('POST', '/v1/tokens', { name: 'other', role: 'admin' });
  assert.equal((await call('DELETE', `/v1/tokens/${id}`)).status, 204);
  assert.equal((await call('GET', '/v1/tokens')).status, 401);
  assert.equal((await call('DELETE', `/v1/tokens/${other.id}`, undefined, bearer(other.token))).status, 409);
});

test('what makes no token is refused with its place', async (t) => {
  const { call } = await open(t);
  const cases = [
    [{ role: 'admin' }, 400, '/name'],
    [{ name: '', role: 'admin' }, 400, '/name'],
    [{ name: 'x'.repeat(256), role: 'admin' }, 400, '/name'],
    [{ name: 'x' }, 400, '/role'],
    [{ name: 'x', role: 'host' }, 400, '/role'],
    [{ name: 'x', role: 'admin', token: 'mine' }, 400, '/token'],
    [{ name: 'x', role: 'admin', expiresAt: 'tomorrow' }, 400, '/expiresAt'],
    [{ name: 'x', role: 'admin', expiresAt: '2030-13-01T00:00:00Z' }, 400, '/expiresAt'],
    [{ name: 'x', role: 'admin', expiresAt: inMs(-1000) }, 422, '/expiresAt'],
  ] as const;
  for (const [body, status, path] of cases) {
    const answer = await call('POST', '/v1/tokens', body);
    assert.deepEqual([answer.status, answer.body.path], [status, path], JSON.stringify(body));
  }
  assert.equal((await call('PATCH', '/v1/tokens/x', {})).status, 405);
});
