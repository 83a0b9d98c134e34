import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { ApiError, Client, type Fetch, type FetchInit, type StatusFrame, type WatchFrame } from './client.ts';
import { ndjson } from './ndjson.ts';

interface Seen extends FetchInit {
  readonly url: string;
}

/** A client whose requests are recorded and answered in turn. */
function clientOf(...answers: (() => Response)[]): { client: Client; seen: Seen[] } {
  const seen: Seen[] = [];
  const fetch: Fetch = async (url, init) => {
    seen.push({ url, ...init });
    const answer = answers[seen.length - 1];
    assert.ok(answer !== undefined, `request ${seen.length} was not expected: ${init.method} ${url}`);
    return answer();
  };
  return { client: new Client({ url: 'http://server:1/', token: 't0', fetch }), seen };
}

const json =
  (body: unknown, status = 200, headers: Record<string, string> = {}) =>
  () =>
    Response.json(body, { status, headers });

test('every call carries the token and goes below the address', async () => {
  const { client, seen } = clientOf(json({ name: 'aya', version: '1', revision: 3 }));
  assert.equal((await client.version()).revision, 3);
  assert.equal(seen[0]?.url, 'http://server:1/v1/version');
  assert.equal(seen[0]?.headers.authorization, 'Bearer t0');
});

test('a list follows its page tokens and leaves out filters without a value', async () => {
  const { client, seen } = clientOf(
    json({ items: [{ id: 'a' }], revision: 5, pageToken: 'next' }),
    json({ items: [{ id: 'b' }], revision: 5 }),
  );
  const ids: string[] = [];
  for await (const port of client.list('port', { deviceId: 'd', name: undefined })) ids.push(port.id);
  assert.deepEqual(ids, ['a', 'b']);
  assert.equal(seen[0]?.url, 'http://server:1/v1/ports?limit=1000&deviceId=d');
  assert.equal(seen[1]?.url, 'http://server:1/v1/ports?limit=1000&deviceId=d&pageToken=next');
});

test('create posts, update patches with the revision, remove answers the revision of the deletion', async () => {
  const { client, seen } = clientOf(
    json({ id: 'x', revision: 7 }, 201),
    json({ id: 'x', revision: 8 }),
    () => new Response(null, { status: 204, headers: { 'Ayatori-Revision': '9' } }),
  );
  assert.equal((await client.create('addressSet', { name: 's', addresses: ['10.0.0.0/8'] })).revision, 7);
  assert.equal((await client.update('port', 'x', { hostId: null }, 7)).revision, 8);
  assert.equal(await client.remove('port', 'x'), 9);
  assert.deepEqual(
    seen.map((call) => [call.method, call.url, call.body, call.headers['if-match']]),
    [
      ['POST', 'http://server:1/v1/address-sets', '{"name":"s","addresses":["10.0.0.0/8"]}', undefined],
      ['PATCH', 'http://server:1/v1/ports/x', '{"hostId":null}', '7'],
      ['DELETE', 'http://server:1/v1/ports/x', undefined, undefined],
    ],
  );
});

test('an id is escaped, so that it cannot name another path', async () => {
  const { client, seen } = clientOf(json({ code: 'notFound', message: 'no' }, 404));
  await assert.rejects(client.get('port', '../hosts'));
  assert.equal(seen[0]?.url, 'http://server:1/v1/ports/..%2Fhosts');
});

test('a refusal is an ApiError with status, code, message and path of the answer', async () => {
  const { client } = clientOf(json({ code: 'overlap', message: 'overlaps port p', path: '/addresses/0' }, 422));
  await assert.rejects(client.create('port', {}), (error) => {
    assert.ok(error instanceof ApiError);
    assert.deepEqual(
      [error.status, error.code, error.message, error.path],
      [422, 'overlap', 'overlaps port p', '/addresses/0'],
    );
    return true;
  });
});

test('an answer that is not ours says so', async () => {
  const { client } = clientOf(() => new Response('<html>bad gateway', { status: 502 }));
  await assert.rejects(client.version(), { status: 502, code: 'foreign', message: /no aya server: <html>bad gateway/ });
});

test('a server that cannot be reached is an ApiError of status 0 that names the address', async () => {
  const client = new Client({ url: 'http://127.0.0.1:1', token: 't' });
  await assert.rejects(client.version(), {
    status: 0,
    code: 'unreachable',
    message: /no answer from http:\/\/127\.0\.0\.1:1/,
  });
});

test('an https URL of a server without TLS is told as that', async () => {
  const server = createServer((_, response) => response.end()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await assert.rejects(new Client({ url: `https://127.0.0.1:${port}`, token: 't' }).version(), {
    code: 'unreachable',
    message: `no answer from https://127.0.0.1:${port}: it does not speak TLS: the URL should be http`,
  });
  server.close();
});

test('a transaction, a trace, an applied and a join have the bodies and queries of the contract', async () => {
  const { client, seen } = clientOf(json({}), json({}), json({}), json({}), json({}), json({ items: [] }));
  await client.transaction([{ op: 'delete', kind: 'port', id: 'p', ifMatch: 7 }]);
  await client.trace('p', new Uint8Array([0, 255, 16]));
  await client.applied(12, 5);
  await client.join('secret');
  await client.joinToken('h');
  await client.status({ kind: 'port' });
  assert.deepEqual(
    seen.map((call) => `${call.method} ${call.url.slice('http://server:1'.length)} ${call.body ?? ''}`),
    [
      'POST /v1/transaction {"operations":[{"op":"delete","kind":"port","id":"p","ifMatch":7}]}',
      'POST /v1/trace {"portId":"p","frame":"00ff10"}',
      'GET /v1/applied?revision=12&timeoutSeconds=5 ',
      'POST /v1/join {"secret":"secret"}',
      'POST /v1/hosts/h/join-token ',
      'GET /v1/status?limit=1000&kind=port ',
    ],
  );
});

test('interfaces come page by page, and one by host and name', async () => {
  const { client, seen } = clientOf(
    json({ items: [{ name: 'a' }], pageToken: 't' }),
    json({ items: [{ name: 'b' }] }),
    json({ name: 'c' }),
  );
  const names: string[] = [];
  for await (const { name } of client.interfaces({ up: false })) names.push(name);
  assert.deepEqual(names, ['a', 'b']);
  assert.equal((await client.interface('h', 'eth0.5')).name, 'c');
  assert.deepEqual(
    seen.map((call) => call.url.slice('http://server:1'.length)),
    ['/v1/interfaces?limit=1000&up=false', '/v1/interfaces?limit=1000&up=false&pageToken=t', '/v1/interfaces/h/eth0.5'],
  );
});

function streamed(chunks: readonly (string | Uint8Array)[]): Response {
  const encoder = new TextEncoder();
  return new Response(
    new ReadableStream({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(typeof chunk === 'string' ? encoder.encode(chunk) : chunk);
        controller.close();
      },
    }),
  );
}

test('a watch gives one frame a line, whatever the chunks', async () => {
  const { client, seen } = clientOf(() =>
    streamed(['{"rev":4}\n{"re', 'v":5,"put":[],"del":[]}', '\n{"reset":true}\n']),
  );
  const frames: WatchFrame[] = [];
  for await (const frame of client.watch(3)) frames.push(frame);
  assert.deepEqual(frames, [{ rev: 4 }, { rev: 5, put: [], del: [] }, { reset: true }]);
  assert.equal(seen[0]?.url, 'http://server:1/v1/watch?from=3');
});

test('status comes page by page', async () => {
  const { client, seen } = clientOf(
    json({ items: [{ hostId: 'a' }], revision: 9, pageToken: 't' }),
    json({ items: [{ hostId: 'b' }], revision: 12 }),
    json({ items: [], revision: 12 }),
  );
  const all = await client.status({ portId: 'p', up: true });
  assert.deepEqual(
    all.map(({ hostId }) => hostId),
    ['a', 'b'],
  );
  assert.equal((await client.statusPage({ limit: 1 })).revision, 12);
  assert.deepEqual(
    seen.map(({ url }) => url.slice('http://server:1'.length)),
    [
      '/v1/status?limit=1000&portId=p&up=true',
      '/v1/status?limit=1000&portId=p&up=true&pageToken=t',
      '/v1/status?limit=1',
    ],
  );
});

test('a watch of status begins where it is told to, or now, and ends when it is told to', async () => {
  const line = '{"rev":70,"put":[],"del":[{"hostId":"h","kind":"port","id":"p"}]}\n';
  const stop = new AbortController();
  const endless = (): Response =>
    new Response(
      new ReadableStream({
        start(controller) {
          controller.enqueue(new TextEncoder().encode(line));
          stop.signal.addEventListener('abort', () => controller.error(stop.signal.reason));
        },
      }),
    );
  const { client, seen } = clientOf(() => streamed([line]), endless);
  const frames: StatusFrame[] = [];
  for await (const frame of client.watchStatus(68, { hostId: 'h', kind: undefined })) frames.push(frame);
  for await (const frame of client.watchStatus(undefined, {}, stop.signal)) {
    frames.push(frame);
    stop.abort();
  }
  const whole = { rev: 70, put: [], del: [{ hostId: 'h', kind: 'port', id: 'p' }] };
  assert.deepEqual(frames, [whole, whole]);
  assert.deepEqual(
    seen.map(({ url, signal }) => [url.slice('http://server:1'.length), signal === stop.signal]),
    [
      ['/v1/status/watch?from=68&hostId=h', false],
      ['/v1/status/watch', true],
    ],
  );
});

test('ndjson joins characters that chunks cut and drops an unfinished line', async () => {
  const bytes = new TextEncoder().encode('"綾取り"\n"cut');
  const values: unknown[] = [];
  for await (const value of ndjson(streamed([bytes.slice(0, 3), bytes.slice(3, 5), bytes.slice(5)])))
    values.push(value);
  assert.deepEqual(values, ['綾取り']);
});
