import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type WebSocket, WebSocketServer } from 'ws';
import { type Fields, memoryLog } from '../lib/log.ts';
import type { AgentFrame, ServerFrame } from '../topology/wire.ts';
import { AgentStream, type StreamOptions } from './stream.ts';
import { CERTIFICATE, FINGERPRINT, KEY } from './testing/certificate.ts';

const HELLO: AgentFrame = { kind: 'hello', wireVersion: 1, version: 'test', deviceIds: [] };

/** A queue that can be waited on. */
class Inbox<T> {
  readonly #items: T[] = [];
  #wake: () => void = () => undefined;
  push(item: T): void {
    this.#items.push(item);
    this.#wake();
  }
  async next(): Promise<T> {
    while (this.#items.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#items.shift()!;
  }
}

interface Connection {
  readonly socket: WebSocket;
  readonly authorization: string | undefined;
  readonly path: string | undefined;
  readonly frames: Inbox<AgentFrame>;
}

async function serve(t: TestContext, port = 0) {
  const server = new WebSocketServer({ host: '127.0.0.1', port });
  await once(server, 'listening');
  const connections = new Inbox<Connection>();
  server.on('connection', (socket, request) => {
    const frames = new Inbox<AgentFrame>();
    socket.on('message', (data) => frames.push(JSON.parse(String(data))));
    connections.push({ socket, authorization: request.headers.authorization, path: request.url, frames });
  });
  const close = () => {
    for (const client of server.clients) client.terminate();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  };
  t.after(close);
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, connections, close };
}

function streamTo(t: TestContext, servers: string[], options: Partial<StreamOptions> = {}) {
  const frames = new Inbox<ServerFrame>();
  const closed = new Inbox<true>();
  const log = memoryLog();
  const stream = new AgentStream({
    servers,
    credential: 'secret',
    log,
    onOpen: () => [HELLO],
    onFrame: (frame) => frames.push(frame),
    onClose: () => closed.push(true),
    ...options,
  });
  t.after(() => stream.close());
  return { stream, frames, closed, log };
}

async function closedPort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

test('a connection starts with a hello and carries frames both ways', async (t) => {
  const { url, connections } = await serve(t);
  const { stream, frames } = streamTo(t, [url]);
  const connection = await connections.next();
  assert.equal(connection.authorization, 'Bearer secret');
  assert.equal(connection.path, '/v1/agent');
  assert.deepEqual(await connection.frames.next(), HELLO);
  connection.socket.send(JSON.stringify({ kind: 'heartbeat', revision: 7 }));
  assert.deepEqual(await frames.next(), { kind: 'heartbeat', revision: 7 });
  assert.equal(stream.send({ kind: 'done', revision: 7 }), true);
  assert.deepEqual(await connection.frames.next(), { kind: 'done', revision: 7 });
});

test('a lost connection is told, and the next one starts with a hello again', async (t) => {
  const { url, connections } = await serve(t);
  const { stream, closed } = streamTo(t, [url]);
  (await connections.next()).socket.terminate();
  await closed.next();
  assert.equal(stream.send({ kind: 'done', revision: 1 }), false);
  assert.deepEqual(await (await connections.next()).frames.next(), HELLO);
});

test('when a server does not answer the next one is tried', async (t) => {
  const { url, connections } = await serve(t);
  const { log } = streamTo(t, [`http://127.0.0.1:${await closedPort()}`, url]);
  assert.deepEqual(await (await connections.next()).frames.next(), HELLO);
  assert.deepEqual(
    log.lines.map(({ level }) => level),
    ['warn', 'info'],
  );
});

test('a server that comes later is found', async (t) => {
  const port = await closedPort();
  streamTo(t, [`http://127.0.0.1:${port}`]);
  const { connections } = await serve(t, port);
  assert.deepEqual(await (await connections.next()).frames.next(), HELLO);
});

test('a silent server is left', async (t) => {
  const { url, connections } = await serve(t);
  const { closed } = streamTo(t, [url], { silenceMs: 30 });
  await connections.next();
  await closed.next();
  await connections.next();
});

test('garbage ends the connection and nothing else', async (t) => {
  const { url, connections } = await serve(t);
  const { frames, log } = streamTo(t, [url]);
  (await connections.next()).socket.send('{"kind":');
  const again = await connections.next();
  again.socket.send(JSON.stringify({ kind: 'heartbeat', revision: 1 }));
  assert.deepEqual(await frames.next(), { kind: 'heartbeat', revision: 1 });
  assert.ok(log.lines.some(({ level, why }) => level === 'error' && /not JSON/.test(why)));
});

test('a frame that makes no sense ends the connection and nothing else', async (t) => {
  const { url, connections } = await serve(t);
  const seen = new Inbox<ServerFrame>();
  const onFrame = (frame: ServerFrame) => {
    if (frame.kind !== 'heartbeat') throw new TypeError('no such frame');
    seen.push(frame);
  };
  const { log } = streamTo(t, [url], { onFrame });
  (await connections.next()).socket.send('null');
  (await connections.next()).socket.send('{"kind":"snapshot"}');
  (await connections.next()).socket.send(JSON.stringify({ kind: 'heartbeat', revision: 1 }));
  assert.deepEqual(await seen.next(), { kind: 'heartbeat', revision: 1 });
  assert.equal(log.lines.filter(({ why }) => /makes no sense/.test(why)).length, 2);
});

test('an object as large as a server may store comes through', async (t) => {
  const { url, connections } = await serve(t);
  const { frames } = streamTo(t, [url]);
  const tags = Array.from({ length: 7500 }, (_, at) => String(at).padStart(63, 'x'));
  const large = { kind: 'change', revision: 1, put: [{ kind: 'bridge', value: { tags } }], del: [], more: false };
  const text = JSON.stringify(large);
  assert.ok(text.length > 490_000 && text.length < 500_256);
  (await connections.next()).socket.send(text);
  assert.deepEqual(await frames.next(), large);
});

test('a server that takes agents in only to send them away is asked less and less often', async (t) => {
  const { url, connections } = await serve(t);
  streamTo(t, [url]);
  const times: number[] = [];
  for (let turn = 0; turn < 4; turn++) {
    (await connections.next()).socket.close(4426, 'another version');
    times.push(performance.now());
  }
  const pauses = times.slice(1).map((time, at) => time - times[at]!);
  assert.ok(pauses[2]! > 2 * pauses[0]!, `${pauses}`);
});

test('why a server ended the connection is told', async (t) => {
  const { url, connections } = await serve(t);
  const { closed, log } = streamTo(t, [url]);
  (await connections.next()).socket.close(4401, 'the credential of this host is not valid any more');
  await closed.next();
  await connections.next();
  const warnings = log.lines.filter(({ level }) => level === 'warn');
  assert.deepEqual(
    warnings.map(({ fields }) => fields.cause),
    ['the credential of this host is not valid any more'],
  );
});

test('a closed stream stays closed', async (t) => {
  const { url, connections } = await serve(t);
  const { stream } = streamTo(t, [url]);
  const connection = await connections.next();
  stream.close();
  await once(connection.socket, 'close');
  assert.equal(stream.send({ kind: 'done', revision: 1 }), false);
});

test('the credential goes to the server with the pinned certificate and to no other', async (t) => {
  const https = createTlsServer({ cert: CERTIFICATE, key: KEY });
  const sockets = new WebSocketServer({ server: https });
  const seen = new Inbox<string | undefined>();
  const warnings = new Inbox<string>();
  const log = { ...memoryLog(), warn: (_: string, fields?: Fields) => warnings.push(String(fields?.cause)) };
  https.on('upgrade', (request) => seen.push(request.headers.authorization));
  https.listen(0, '127.0.0.1');
  await once(https, 'listening');
  t.after(() => {
    for (const client of sockets.clients) client.terminate();
    https.close();
  });
  const url = `https://127.0.0.1:${(https.address() as AddressInfo).port}`;

  const wrong = streamTo(t, [url], { fingerprint: `00${FINGERPRINT.slice(2)}`, credential: 'not for you', log });
  assert.match(await warnings.next(), /fingerprint/);
  wrong.stream.close();
  streamTo(t, [url], { fingerprint: FINGERPRINT });
  assert.equal(await seen.next(), 'Bearer secret');
});
