import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { loadIdentity, parseJoinToken } from './identity.ts';

const tokenOf = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'ayatori-identity-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

/** Takes each secret once, as the server does. */
async function serve(t: TestContext) {
  const secrets: string[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const { secret } = JSON.parse(body) as { secret: string };
    const known = secrets.includes(secret);
    secrets.push(secret);
    response.writeHead(known ? 401 : 200, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify(known ? { code: 'unauthorized', message: 'was used' } : { hostId: 'h1', credential: 'aya_x' }),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, secrets };
}

test('a join token buys an identity once, and it is kept for its owner only', async (t) => {
  const path = directory(t);
  const { url, secrets } = await serve(t);
  const token = tokenOf({ servers: [url], secret: 's3' });
  const identity = await loadIdentity(path, token);
  assert.deepEqual(identity, { hostId: 'h1', credential: 'aya_x', servers: [url] });
  assert.equal(statSync(join(path, 'identity.json')).mode & 0o777, 0o600);
  assert.deepEqual(await loadIdentity(path, token), identity);
  assert.deepEqual(secrets, ['s3']);
});

test('the next server is asked when one does not answer', async (t) => {
  const { url } = await serve(t);
  const gone = 'http://127.0.0.1:1';
  const { servers } = await loadIdentity(directory(t), tokenOf({ servers: [gone, url], secret: 's' }));
  assert.deepEqual(servers, [gone, url]);
});

test('a token that is not taken says why', async (t) => {
  const { url } = await serve(t);
  const token = tokenOf({ servers: [url], secret: 's' });
  await loadIdentity(directory(t), token);
  await assert.rejects(loadIdentity(directory(t), token), /joining failed: was used/);
});

test('without identity and token the sentence says what to do', async (t) => {
  await assert.rejects(
    loadIdentity(directory(t), undefined),
    /has not joined; get a join token with "aya host add NAME"/,
  );
});

test('a damaged identity is not taken for none', async (t) => {
  const path = directory(t);
  writeFileSync(join(path, 'identity.json'), '{"hostId":');
  await assert.rejects(loadIdentity(path, 'whatever'), /identity\.json is damaged/);
});

test('a join token must be whole', () => {
  assert.deepEqual(parseJoinToken(` ${tokenOf({ servers: ['u'], secret: 's', fingerprint: 'f' })}\n`), {
    servers: ['u'],
    secret: 's',
    fingerprint: 'f',
  });
  for (const text of [
    '',
    'garbage',
    tokenOf(null),
    tokenOf({ servers: [], secret: 's' }),
    tokenOf({ servers: ['u'] }),
  ]) {
    assert.throws(() => parseJoinToken(text), /join token is damaged/, text);
  }
});
