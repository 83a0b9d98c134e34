import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeServer, idOf, runAgainst } from './testing/fake-server.ts';

const made = { id: idOf(7), name: 'ci', role: 'admin', createdAt: '2026-01-01T00:00:00.000Z', token: 'aya_secret' };
const { token: _, ...listed } = made;

test('a token is printed alone, for a script to take', async () => {
  const server = new FakeServer().answer('POST /v1/tokens', made, 201);
  const { code, out, error } = await runAgainst(server, 'token', 'create', 'ci', '--expires', '2d');
  assert.deepEqual([code, out], [0, 'aya_secret\n']);
  assert.match(error, /shown this once/);
  assert.deepEqual(server.writes[0]?.body, { name: 'ci', role: 'admin', expiresAt: '2026-01-03T00:00:01.000Z' });
  await runAgainst(server, 'token', 'create', 'ci', '--expires', '2030-01-31T12:00:00Z');
  assert.deepEqual(server.writes[1]?.body, { name: 'ci', role: 'admin', expiresAt: '2030-01-31T12:00:00.000Z' });
  const wrong = await runAgainst(server, 'token', 'create', 'ci', '--expires', 'soon');
  assert.equal(wrong.code, 2);
  assert.match(wrong.error, /90d/);
});

test('tokens are a table, those of hosts under the name of the host', async () => {
  const ofHost = { id: idOf(8), role: 'host', hostId: idOf(1), createdAt: '2026-01-01T00:00:00.000Z' };
  const server = new FakeServer()
    .add('host', { id: idOf(1), name: 'h1' })
    .answer('GET /v1/tokens', { items: [listed, ofHost] });
  const { out } = await runAgainst(server, 'token', 'list');
  assert.match(out, /^ID +NAME +ROLE +PROJECTS +CREATED +EXPIRES +LAST-USED\n/);
  assert.match(out, /ci +admin/);
  assert.match(out, /h1 +host/);
  assert.deepEqual(JSON.parse((await runAgainst(server, 'token', 'list', '--json')).out), [listed, ofHost]);
});

test('a token of projects names them', async () => {
  const server = new FakeServer().add('project', { id: idOf(1), name: 'red' }).answer('POST /v1/tokens', made, 201);
  await runAgainst(server, 'token', 'create', 'ci', '--role', 'member', '--project', `red,${idOf(2)}`);
  assert.deepEqual(server.writes[0]?.body, { name: 'ci', role: 'member', projectIds: [idOf(1), idOf(2)] });
  server.answer('GET /v1/tokens', { items: [{ ...listed, role: 'reader', projectIds: [idOf(1)] }] });
  assert.match((await runAgainst(server, 'token', 'list')).out, /ci +reader +red/);
});

test('a token is revoked by its name or id, and a name that two have by neither', async () => {
  const server = new FakeServer().answer('GET /v1/tokens', { items: [listed] });
  server.answers.set(`DELETE /v1/tokens/${idOf(7)}`, () => new Response(null, { status: 204 }));
  assert.equal((await runAgainst(server, 'token', 'revoke', 'ci')).code, 0);
  assert.equal((await runAgainst(server, 'token', 'revoke', idOf(7))).code, 0);
  assert.equal(server.writes.length, 2);
  server.answer('GET /v1/tokens', { items: [listed, { ...listed, id: idOf(9) }] });
  const two = await runAgainst(server, 'token', 'revoke', 'ci');
  assert.equal(two.code, 5);
  assert.match(two.error, new RegExp(`${idOf(7)}[^]*${idOf(9)}`));
  server.answer('GET /v1/tokens', { items: [] });
  assert.equal((await runAgainst(server, 'token', 'revoke', 'ci')).code, 4);
});
