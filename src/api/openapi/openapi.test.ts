import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { Script } from 'node:vm';
import { Compile } from 'typebox/schema';
import { KIND_NAMES, KINDS } from '../../topology/kinds.ts';
import { ERROR_CODES, statusOf } from '../errors.ts';
import { type Answer, type Bench, openBench } from '../testing/bench.ts';
import { PAGE, PAGE_SCRIPT } from './page.ts';

type Json = Record<string, unknown>;
interface Operation {
  readonly operationId: string;
  readonly parameters: readonly { readonly name: string; readonly in: string }[];
  readonly requestBody?: { readonly content: Record<string, { readonly schema: Json }> };
  readonly responses: Record<string, Json>;
}
interface Api {
  readonly openapi: string;
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: Record<string, Record<string, Json>>;
}

async function open(context: TestContext): Promise<Bench & { readonly api: Api }> {
  const bench = await openBench();
  context.after(() => bench.close());
  const response = await bench.app.request('/v1/openapi.json');
  assert.equal(response.status, 200);
  return { ...bench, api: (await response.json()) as Api };
}

/** With the schemas that it refers to put in. */
function whole(api: Api, given: unknown): unknown {
  if (Array.isArray(given)) return given.map((one) => whole(api, one));
  if (typeof given !== 'object' || given === null) return given;
  const { $ref, ...rest } = given as Json;
  if (typeof $ref === 'string')
    return whole(
      api,
      $ref
        .split('/')
        .slice(1)
        .reduce((at: never, name) => at[name], api as never),
    );
  return Object.fromEntries(Object.entries(rest).map(([name, below]) => [name, whole(api, below)]));
}

const operationsOf = (api: Api) =>
  Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  );

/** Fails unless the document tells of an answer like this. */
function checkTold(api: Api, method: string, path: string, { status, body }: Answer): void {
  const operation = api.paths[path]?.[method.toLowerCase()];
  const told = whole(api, operation?.responses[status]) as { content?: Record<string, { schema: Json }> } | undefined;
  assert.ok(told !== undefined, `${method} ${path} is not said to answer ${status}: ${JSON.stringify(body)}`);
  const schema = told.content?.['application/json']?.schema;
  if (schema === undefined) return;
  const validator = Compile(schema);
  const [isValid, errors] = validator.Errors(body);
  assert.ok(isValid, `${method} ${path} ${status}: ${JSON.stringify(errors)} in ${JSON.stringify(body)}`);
}

test('every route of the server is in the document, and nothing else', async (t) => {
  const { app, api } = await open(t);
  const routes = app.routes.filter(({ method }) => method !== 'ALL');
  const there = routes.map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`);
  const told = operationsOf(api).map(({ method, path }) => `${method} ${path}`);
  assert.deepEqual(told.toSorted(), [...new Set(there)].sort());
  const ids = operationsOf(api).map(({ operation }) => operation.operationId);
  assert.equal(new Set(ids).size, ids.length);
});

test('every reference leads somewhere, and every path names its parameters', async (t) => {
  const { api } = await open(t);
  assert.equal(api.openapi, '3.1.0');
  assert.doesNotThrow(() => whole(api, api.paths));
  for (const { path, operation } of operationsOf(api)) {
    const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    const told = operation.parameters.filter((one) => one.in === 'path').map(({ name }) => name);
    assert.deepEqual(told, named, path);
  }
});

test('every error code is told with its status', async (t) => {
  const { api } = await open(t);
  for (const code of ERROR_CODES) {
    const told = JSON.stringify(whole(api, api.components.responses![`E${statusOf(code)}`]));
    assert.ok(told.includes(`"${code}"`), code);
  }
});

const VALUES: Readonly<Record<string, string>> = {
  ...{ limit: '5', from: '0', timeoutSeconds: '0', revision: '0', up: 'true', kind: 'port' },
  pageToken: Buffer.from(randomUUID()).toString('base64url'),
};

test('every parameter that is told is taken, and no other', async (t) => {
  const { app, api, token } = await open(t);
  const headers = { authorization: `Bearer ${token}` };
  for (const { path, method, operation } of operationsOf(api)) {
    if (method !== 'GET' || path === '/v1/agent' || path === '/docs' || path.includes('{')) continue;
    if (path === '/v1/openapi.json' || path === '/metrics' || path === '/v1/version') continue;
    for (const { name } of operation.parameters.filter((one) => one.in === 'query')) {
      const response = await app.request(`${path}?${name}=${VALUES[name] ?? 'x'}`, { headers });
      const isWatch = response.headers.get('content-type') === 'application/x-ndjson';
      const said = isWatch ? '' : await response.text();
      await response.body?.cancel().catch(() => {});
      assert.ok(!said.includes('there is no query parameter'), `${path}: ${name}`);
    }
    const other = await app.request(`${path}?nonsense=1`, { headers });
    assert.match(await other.text(), /there is no query parameter nonsense/, path);
  }
});

test('answers are as the document tells them', async (t) => {
  const { call, api } = await open(t);
  const did = async (method: string, path: string, at: string, body?: unknown, headers = {}): Promise<Answer> => {
    const answer = await call(method, at, body, headers);
    checkTold(api, method, path, answer);
    return answer;
  };
  const ids: Json = {};
  const bodies: Json[] = [
    { kind: 'project', body: { name: 'p', quotas: { port: 9 } } },
    { kind: 'chain', body: {} },
    { kind: 'addressSet', body: { addresses: ['10.0.0.0/8'] } },
    { kind: 'portGroup', body: {} },
    { kind: 'bridge', body: { mtuBytes: 1400 } },
    { kind: 'router', body: {} },
    { kind: 'host', body: { name: 'h' } },
    { kind: 'tunnelZone', body: {} },
  ];
  const make = async (kind: keyof typeof KINDS, body: Json): Promise<void> => {
    const path = `/v1/${KINDS[kind].plural}`;
    const draft = api.paths[path]!.post!.requestBody!.content['application/json']!.schema;
    const [isValid, errors] = Compile(whole(api, draft) as Json).Errors(body);
    assert.ok(isValid, `${kind}: ${JSON.stringify(errors)}`);
    ids[kind] = (await did('POST', path, path, body)).body.id;
    assert.equal(typeof ids[kind], 'string', kind);
  };
  for (const { kind, body } of bodies) await make(kind as keyof typeof KINDS, body as Json);
  await make('port', {
    deviceId: ids.bridge,
    mac: '02:00:00:00:00:01',
    hostId: ids.host,
    interfaceName: 'eth0',
    portGroupIds: [ids.portGroup],
  });
  await make('rule', {
    chainId: ids.chain,
    action: 'accept',
    match: { protocol: 6, destinationPorts: { from: 1, to: 2 } },
  });
  await make('route', { routerId: ids.router, destination: '10.0.0.0/8', nextHop: 'blackhole' });
  await make('dhcpSubnet', { bridgeId: ids.bridge, prefix: '10.0.0.0/24', gateway: '10.0.0.1' });
  await make('dhcpHost', { subnetId: ids.dhcpSubnet, mac: '02:00:00:00:00:01', address: '10.0.0.2' });
  for (const kind of KIND_NAMES) {
    const path = `/v1/${KINDS[kind].plural}`;
    const one = `${path}/${ids[kind]}`;
    await did('GET', path, path);
    await did('GET', path, `${path}?limit=0`);
    await did('GET', `${path}/{id}`, one);
    await did('GET', `${path}/{id}`, `${path}/${randomUUID()}`);
    const patch = whole(
      api,
      api.paths[`${path}/{id}`]!.patch!.requestBody!.content['application/json']!.schema,
    ) as Json;
    assert.ok(Compile(patch).Check({ name: 'x', tags: null }), kind);
    await did('PATCH', `${path}/{id}`, one, { name: 'x' });
    await did('PATCH', `${path}/{id}`, one, { nonsense: 1 });
    await did('PATCH', `${path}/{id}`, one, { name: 'y' }, { 'if-match': '0' });
    await did('POST', path, path, '{');
  }
  await did('DELETE', '/v1/bridges/{id}', `/v1/bridges/${ids.bridge}`);
  await did('DELETE', '/v1/address-sets/{id}', `/v1/address-sets/${ids.addressSet}`);
  const operations = [{ op: 'create', kind: 'bridge', value: {} }];
  await did('POST', '/v1/transaction', '/v1/transaction', { operations });
  await did('POST', '/v1/transaction', '/v1/transaction', { operations: 1 });
  const plain = ['applied?timeoutSeconds=0', 'status', 'interfaces', 'tokens', 'version', 'openapi.json'];
  for (const path of plain) await did('GET', `/v1/${path.replace(/\?.*/, '')}`, `/v1/${path}`);
  const made = await did('POST', '/v1/tokens', '/v1/tokens', { name: 'x', role: 'reader', projectIds: [ids.project] });
  await did('GET', '/v1/tokens/{id}', `/v1/tokens/${made.body.id}`);
  await did('DELETE', '/v1/tokens/{id}', `/v1/tokens/${made.body.id}`);
  await did('GET', '/v1/tokens/{id}', `/v1/tokens/${made.body.id}`);
  await did('POST', '/v1/trace', '/v1/trace', { portId: ids.port, frame: 'ff'.repeat(60) });
  await did('POST', '/v1/trace', '/v1/trace', { portId: ids.port, frame: 'x' });
  await did('GET', '/v1/interfaces/{hostId}/{name}', `/v1/interfaces/${ids.host}/eth0`);
  await did('GET', '/v1/hosts/{id}/flows', `/v1/hosts/${ids.host}/flows`);
  const offer = await did('POST', '/v1/hosts/{id}/join-token', `/v1/hosts/${ids.host}/join-token`);
  const { secret } = JSON.parse(Buffer.from(offer.body.joinToken, 'base64url').toString());
  await did('POST', '/v1/join', '/v1/join', { secret });
  await did('POST', '/v1/join', '/v1/join', { secret });
  await did('GET', '/metrics', '/metrics');
  await did('GET', '/v1/agent', '/v1/agent');
  await did('GET', '/v1/version', '/v1/version', undefined, { authorization: 'Bearer no' });
});

/** As much of a document as the page's script makes use of. */
class FakeElement {
  readonly children: (FakeElement | string)[] = [];
  textContent = '';
  open = false;
  ontoggle?: () => void;
  append(...more: (FakeElement | string)[]): void {
    this.children.push(...more);
  }
  replaceChildren(...more: (FakeElement | string)[]): void {
    this.children.splice(0, this.children.length, ...more);
  }
  get text(): string {
    return this.textContent + this.children.map((one) => (typeof one === 'string' ? one : one.text)).join(' ');
  }
}

test('the page shows every call with its body and answers', async (t) => {
  const { app, api } = await open(t);
  const main = new FakeElement();
  const made: FakeElement[] = [];
  const document = {
    createElement: () => {
      made.push(new FakeElement());
      return made.at(-1);
    },
    getElementById: () => new FakeElement(),
    querySelector: (name: string) => (name === 'main' ? main : new FakeElement()),
  };
  let asked: Promise<unknown> = Promise.resolve();
  const fetched = (path: string) => {
    asked = Promise.resolve(app.request(path));
    return asked;
  };
  new Script(PAGE_SCRIPT).runInNewContext({
    document,
    fetch: fetched,
    URL,
    TextDecoder,
    location: { origin: 'http://x' },
  });
  await asked;
  while (main.children.length === 0) await new Promise(setImmediate);
  for (const element of made.filter(({ ontoggle }) => ontoggle !== undefined)) {
    element.open = true;
    element.ontoggle!();
  }
  const shown = main.text;
  for (const { path, method } of operationsOf(api)) assert.ok(shown.includes(`${method} ${path}`), `${method} ${path}`);
  assert.match(shown, /macExpirySeconds\?: integer/);
  assert.match(shown, /code outcomeUnknown|unavailable or outcomeUnknown/);
});

test('the page is whole, asks nobody else, and its script is the one that it may run', async (t) => {
  const { app } = await open(t);
  const response = await app.request('/docs');
  assert.equal(response.status, 200);
  assert.equal(await response.text(), PAGE);
  assert.ok(!/(?:src|href)="(?!\/v1\/)|https?:\/\//.test(PAGE));
  assert.doesNotThrow(() => new Script(PAGE_SCRIPT));
  assert.ok(PAGE.includes(`<script>${PAGE_SCRIPT}</script>`));
  assert.match(response.headers.get('content-security-policy')!, /default-src 'none'; script-src 'sha256-/);
});
