import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import { test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { memoryLog } from '../lib/log.ts';
import { MemoryStore } from '../store/memory.ts';
import { SqliteStore } from '../store/sqlite.ts';
import type { JoinToken } from '../topology/wire.ts';
import { startServer } from './server.ts';
import { encode, statusKey } from './state/keys.ts';
import { TestAgent } from './testing/agent.ts';
import { openSite } from './testing/site.ts';

const LIMIT = { timeout: 30_000 };
const tokenOf = (text: string): JoinToken => JSON.parse(Buffer.from(text, 'base64url').toString());

/** One call over TLS to a server that nobody vouches for, and whose certificate it showed. */
async function callTls(url: string, method: string, path: string, body?: unknown, token?: string) {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const call = request(url + path, { method, headers, rejectUnauthorized: false, agent: false });
  call.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = (await once(call, 'response')) as [IncomingMessage];
  const fingerprint = (response.socket as TLSSocket).getPeerX509Certificate()?.fingerprint256;
  const text = Buffer.concat(await response.toArray()).toString();
  return {
    fingerprint: fingerprint?.replaceAll(':', '').toLowerCase(),
    body: JSON.parse(text) as Record<string, string>,
  };
}

test('the first start makes an admin token that only its owner can read', LIMIT, async () => {
  const site = await openSite();
  const path = join(site.stateDirectory, 'admin.token');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(site.stateDirectory).mode & 0o777, 0o700);
  assert.ok(site.token.length > 40);
  const { entries } = await site.store.list('');
  const everything = entries.map(({ key, value }) => key + Buffer.from(value)).join();
  assert.equal(everything.includes(site.token), false, 'the store holds the token itself');
  assert.equal((await site.must('GET', '/v1/version')).name, 'ayatori');
  await site.close();
});

test('all is there after a restart on the same files, with the same token', LIMIT, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'ayatori-restart-'));
  const open = () =>
    openSite({ stateDirectory: directory, store: new SqliteStore({ path: join(directory, 'store.db') }) });
  const first = await open();
  const bridge = await first.must('POST', '/v1/bridges', { name: 'kept' });
  await first.close();
  await first.store.close();
  const second = await open();
  assert.equal(second.token, first.token);
  assert.deepEqual(await second.must('GET', `/v1/bridges/${bridge.id}`), bridge);
  await second.close();
  await second.store.close();
  rmSync(directory, { recursive: true });
});

test('off loopback a server speaks TLS only, and join tokens carry its fingerprint', LIMIT, async () => {
  const stateDirectory = mkdtempSync(join(tmpdir(), 'ayatori-tls-'));
  const log = memoryLog();
  const listen = { host: '0.0.0.0', port: 0 };
  const server = await startServer({ stateDirectory, store: new MemoryStore(), log, listen });
  const { port } = new URL(server.url);
  assert.ok(server.url.startsWith('https://'));
  const token = readFileSync(join(stateDirectory, 'admin.token'), 'utf8').trim();
  const url = `https://127.0.0.1:${port}`;
  const host = await callTls(url, 'POST', '/v1/hosts', { name: 'h' }, token);
  assert.equal(host.fingerprint, server.fingerprint);
  const answer = await callTls(url, 'POST', `/v1/hosts/${host.body.id}/join-token`, undefined, token);
  const { fingerprint, secret, servers } = tokenOf(answer.body.joinToken!);
  assert.equal(fingerprint, server.fingerprint);
  assert.ok(servers.every((each) => each.startsWith('https://') && each.endsWith(`:${port}`)));
  const { hostId, credential } = (await callTls(url, 'POST', '/v1/join', { secret })).body;
  assert.equal(hostId, host.body.id);

  const agent = await TestAgent.connect(url, credential!, { rejectUnauthorized: false });
  agent.hello();
  await agent.until(() => agent.frames.length > 0);
  await agent.close();

  await assert.rejects(fetch(`http://127.0.0.1:${port}/v1/version`), 'plain HTTP is not answered');
  const trusting = request(`${url}/v1/version`);
  const [error] = await once(trusting, 'error');
  assert.match(String(error), /self-signed/);
  await server.close();
  rmSync(stateDirectory, { recursive: true });
});

test('a join token is good for one host, once', LIMIT, async () => {
  const site = await openSite();
  const { id } = await site.must('POST', '/v1/hosts', { name: 'h' });
  const answer = await site.must('POST', `/v1/hosts/${id}/join-token`);
  assert.ok(Date.parse(answer.expiresAt) > Date.now());
  const { secret, servers, fingerprint } = tokenOf(answer.joinToken);
  assert.deepEqual([servers, fingerprint], [[site.server.url], undefined]);
  const join = (): Promise<Response> => site.call('POST', '/v1/join', { secret }, '');
  const first = await join();
  assert.equal(first.status, 200);
  const { hostId, credential } = (await first.json()) as { hostId: string; credential: string };
  assert.equal(hostId, id);
  assert.equal((await join()).status, 401);
  assert.equal((await site.call('POST', '/v1/join', { secret: 'x' }, '')).status, 401);
  assert.equal((await site.call('POST', '/v1/join', {}, '')).status, 400);
  assert.equal((await site.call('POST', '/v1/hosts/none/join-token')).status, 404);

  // The credential is a host's, for its own status and no more.
  const as = (path: string, method = 'GET'): Promise<number> =>
    site.call(method, path, undefined, credential).then((response) => response.status);
  assert.equal(await as('/v1/version'), 200);
  assert.equal(await as(`/v1/status?hostId=${id}`), 200);
  assert.equal(await as('/v1/status'), 403);
  assert.equal(await as(`/v1/status/watch?hostId=${id}`), 403);
  assert.equal(await as('/v1/bridges'), 403);
  assert.equal(await as('/v1/watch'), 403);
  assert.equal(await as(`/v1/hosts/${id}`, 'DELETE'), 403);

  // A host that joins again is another one; with the host goes its credential.
  const again = tokenOf((await site.must('POST', `/v1/hosts/${id}/join-token`)).joinToken);
  const { credential: newer } = await site.must('POST', '/v1/join', { secret: again.secret });
  assert.equal(await as('/v1/version'), 401);
  await site.must('DELETE', `/v1/hosts/${id}`);
  assert.equal((await site.call('GET', '/v1/version', undefined, newer)).status, 401);
  await site.close();
});

test('wrong join secrets are counted and then refused', LIMIT, async () => {
  const site = await openSite();
  const statuses = new Set<number>();
  for (let turn = 0; turn < 70; turn++) statuses.add((await site.call('POST', '/v1/join', { secret: 'x' }, '')).status);
  assert.deepEqual([...statuses], [401, 429]);
  await site.close();
});

test('a watch over a socket tells changes as they happen, and ends with the server', LIMIT, async () => {
  const site = await openSite();
  const response = await site.call('GET', '/v1/watch?from=0');
  const seen: unknown[] = [];
  const both = Promise.withResolvers<void>();
  const watching = (async () => {
    for await (const line of createInterface({ input: Readable.fromWeb(response.body as ReadableStream) })) {
      const frame = JSON.parse(line);
      seen.push('put' in frame ? [frame.rev, frame.put.length] : frame);
      if (frame.rev === 2) both.resolve();
    }
  })();
  await site.must('POST', '/v1/bridges', {});
  await site.must('POST', '/v1/bridges', {});
  await both.promise;
  await site.close();
  await watching.catch(() => {});
  assert.deepEqual(seen, [{ rev: 0 }, [1, 1], [2, 1]]);
});

test('a watcher that goes away leaves nothing behind', LIMIT, async () => {
  const site = await openSite();
  const { config } = site.server.parts;
  let listeners = 0;
  const gone = Promise.withResolvers<void>();
  const onStep = config.onStep.bind(config);
  config.onStep = (listener) => {
    listeners++;
    const undo = onStep(listener);
    return () => {
      undo();
      if (--listeners === 0) gone.resolve();
    };
  };
  const response = await site.call('GET', '/v1/watch');
  const reader = response.body!.getReader();
  await reader.read();
  assert.equal(listeners, 1);
  await reader.cancel();
  await gone.promise;
  await site.close();
});

test('the connection of a watcher that takes nothing is cut', LIMIT, async (t) => {
  const site = await openSite();
  const { feed, statusHistory } = site.server.parts;
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let listeners = 0;
  const onStep = statusHistory.onStep.bind(statusHistory);
  statusHistory.onStep = (listener) => {
    listeners++;
    const undo = onStep(listener);
    return () => {
      listeners--;
      return undo();
    };
  };
  const { hostname, port } = new URL(site.server.url);
  const socket = connect(Number(port), hostname);
  const head = `GET /v1/status/watch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${site.token}\r\n\r\n`;
  socket.write(head);
  // It stands, and from here on nothing is taken: the next lines are more than both ends of the connection hold.
  await once(socket, 'readable');
  const put = statusKey(randomUUID(), 'port', randomUUID());
  const value = encode({ kind: 'port', id: '', state: 'down', why: 'x'.repeat(900_000) });
  for (let turn = 0; turn < 30; turn++) await feed.through((await site.store.txn([], [{ put, value }])).rev);
  while (listeners > 0) {
    t.mock.timers.tick(1000);
    await new Promise(setImmediate);
  }
  socket.resume();
  await once(socket, 'close');
  await site.close();
});

test('an address that is taken is said in words', LIMIT, async () => {
  const site = await openSite();
  const port = Number(new URL(site.server.url).port);
  await assert.rejects(openSite({ listen: { host: '127.0.0.1', port } }), /port \d+: another program listens there/);
  await site.close();
});

test('a store that goes away is 503, and the server still stops', LIMIT, async () => {
  const site = await openSite();
  await site.store.close();
  const response = await site.call('POST', '/v1/bridges', {});
  assert.deepEqual([response.status, ((await response.json()) as { code: string }).code], [503, 'unavailable']);
  assert.equal((await site.must('GET', '/v1/bridges')).items.length, 0);
  await site.close();
});

test('garbage on the socket harms nobody', LIMIT, async () => {
  const site = await openSite();
  const { port } = new URL(site.server.url);
  const lines = [
    'nonsense\r\n\r\n',
    '\0\x16\x03\x01garbage',
    'GET /v1/agent HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    'GET /elsewhere HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    `POST /v1/bridges HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${site.token}\r\nContent-Length: 99999999999\r\n\r\n{}`,
  ];
  const answers: string[] = [];
  for (const line of lines) {
    const socket = connect(Number(port), '127.0.0.1');
    socket.on('error', () => {});
    socket.write(line);
    let text = '';
    socket.on('data', (data) => {
      text += data;
      socket.end();
    });
    await once(socket, 'close');
    answers.push(text.split('\r\n')[0]!);
  }
  assert.deepEqual(answers, [
    'HTTP/1.1 400 Bad Request',
    'HTTP/1.1 400 Bad Request',
    'HTTP/1.1 401 Unauthorized',
    'HTTP/1.1 404 Not Found',
    'HTTP/1.1 413 Payload Too Large',
  ]);
  assert.equal((await site.must('GET', '/v1/version')).revision, 0);
  assert.deepEqual(
    site.log.lines.filter(({ level }) => level === 'error'),
    [],
  );
  await site.close();
});
