// What nobody who means well sends: each is answered or cut at once, and nobody else notices.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { Status } from '../topology/status.ts';
import type { JoinToken } from '../topology/wire.ts';
import { openBench } from './testing/bench.ts';
import { openSite, type Site } from './testing/site.ts';

const LIMIT = { timeout: 30_000 };

async function opened(t: TestContext): Promise<Site> {
  const site = await openSite();
  t.after(() => site.close());
  return site;
}

/** What the server says to these bytes before it closes the connection. */
async function raw(site: Site, bytes: string | Buffer): Promise<string> {
  const { hostname, port } = new URL(site.server.url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  socket.end(bytes);
  const parts: Buffer[] = [];
  socket.on('data', (part) => parts.push(part));
  await once(socket, 'close');
  return Buffer.concat(parts).toString('latin1');
}

test('what is no proper HTTP gets an error body like everything else', LIMIT, async (t) => {
  const site = await opened(t);
  const authorization = `Authorization: Bearer ${site.token}`;
  const cases: readonly (readonly [what: string, bytes: string | Buffer, status: number, code: string])[] = [
    ['garbage', '\0garbage\r\n\r\n', 400, 'malformed'],
    ['the start of TLS', Buffer.from('16030100c8010000c40303', 'hex'), 400, 'malformed'],
    ['a host that is none', `GET /v1/version HTTP/1.1\r\nHost: ]]]\r\n${authorization}\r\n\r\n`, 400, 'malformed'],
    ['an address that is none', `GET http://[ HTTP/1.1\r\nHost: x\r\n${authorization}\r\n\r\n`, 400, 'malformed'],
    ['a long address', `GET /v1/bridges?name=${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 413, 'tooLarge'],
    [
      'two lengths',
      `POST /v1/bridges HTTP/1.1\r\nHost: x\r\n${authorization}\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
      400,
      'malformed',
    ],
    [
      'an upgrade to nowhere',
      'GET // HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
      404,
      'notFound',
    ],
  ];
  for (const [what, bytes, status, code] of cases) {
    const answer = await raw(site, bytes);
    assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), `${what}: ${answer}`);
    assert.match(answer, new RegExp(`\\{"code":"${code}","message":"[^"]+"\\}`), `${what}: ${answer}`);
  }
  assert.deepEqual(
    site.log.lines.filter(({ level }) => level === 'error'),
    [],
  );
});

test('a client that goes away in the middle of a body is no failure of the server', LIMIT, async (t) => {
  const site = await opened(t);
  const { hostname, port } = new URL(site.server.url);
  const socket = connect(Number(port), hostname);
  const head = `POST /v1/bridges HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${site.token}\r\n`;
  socket.write(`${head}Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n{"na`);
  await once(socket, 'data');
  socket.resetAndDestroy();
  const measured = async (): Promise<string> => (await site.call('GET', '/metrics')).text();
  // The request was counted as answered: nothing more will be said of it.
  while (!/method="POST".*status="400"/.test(await measured())) await new Promise(setImmediate);
  assert.deepEqual(
    site.log.lines.filter(({ level }) => level === 'error'),
    [],
  );
});

test('what costs much to check is refused before it is checked', LIMIT, async (t) => {
  const bench = await openBench();
  t.after(() => bench.close());
  const { call, must } = bench;
  const router = await must('POST', '/v1/routers', {});
  const many = <T>(count: number, item: (at: number) => T): T[] => Array.from({ length: count }, (_, at) => item(at));
  const operations = (count: number, kind: string, value: (at: number) => unknown) => ({
    operations: many(count, (at) => ({ op: 'create', kind, value: value(at) })),
  });
  const id = (at: number): string => `00000000-0000-4000-8000-${String(at).padStart(12, '0')}`;
  const strangers = Object.fromEntries(many(14_000, (at) => [String(at).padStart(64, 'x'), 0]));
  const chains = operations(3000, 'chain', (at) => ({ id: id(at) })).operations;
  const jumps = operations(2999, 'rule', (at) => ({ chainId: id(at), action: 'jump', jumpChainId: id(at + 1) }));
  const cases: readonly (readonly [what: string, path: string, body: unknown, status: number, message: RegExp])[] = [
    ['equal items', '/v1/bridges', { tags: many(300_000, () => 1) }, 400, /300000 entries are more than/],
    ['unknown fields', '/v1/dhcp-subnets', strangers, 400, /there is no field x{57}\.\.\.: .* \(and 13999 more\)/],
    [
      'networks in one place',
      '/v1/transaction',
      operations(5000, 'port', () => ({ deviceId: router.id, addresses: ['10.0.0.1/8'] })),
      409,
      /overlaps/,
    ],
    [
      'jumps from chain to chain',
      '/v1/transaction',
      { operations: [...chains, ...jumps.operations] },
      422,
      /nested deeper than 64 chains/,
    ],
    [
      'letters of three bytes',
      '/v1/transaction',
      operations(1, 'bridge', () => ({ tags: many(7000, (at) => String(at).padStart(60, '漢')) })),
      413,
      /larger than 500000 bytes/,
    ],
  ];
  for (const [what, path, body, status, message] of cases) {
    const start = process.cpuUsage();
    const answer = await call('POST', path, body);
    const { user, system } = process.cpuUsage(start);
    assert.deepEqual([answer.status, message.test(answer.body.message)], [status, true], JSON.stringify(answer.body));
    assert.ok(answer.body.message.length < 1100, what);
    assert.ok(user + system < 5_000_000, `${what} took ${(user + system) / 1e6} s`);
  }
  assert.equal((await must('GET', '/v1/version')).revision, 1);
});

test('a host cannot speak for ports of others, nor tell of addresses without end', LIMIT, async (t) => {
  const site = await opened(t);
  const [thief, victim] = [await site.host('thief'), await site.host('victim')];
  const bridge = await site.must('POST', '/v1/bridges', {});
  const router = await site.must('POST', '/v1/routers', {});
  const bound = (deviceId: string, hostId: string, interfaceName: string, more = {}) =>
    site.must('POST', '/v1/ports', { deviceId, hostId, interfaceName, ...more });
  const own = await bound(bridge.id, thief.id, 'a');
  const theirs = await bound(bridge.id, victim.id, 'b');
  const uplink = await bound(router.id, victim.id, 'c', { addresses: ['10.0.0.1/24'] });
  const elsewhere = await site.must('POST', '/v1/bridges', {});
  const mac = (bridgeId: string, portId: string, address: string): Status => ({
    kind: 'mac',
    id: `${bridgeId},0,${address}`,
    portId,
  });
  const agent = await site.agent(thief);
  const address = (at: number): string =>
    `02:00:00:00:${(at >> 8).toString(16).padStart(2, '0')}:${(at & 0xff).toString(16).padStart(2, '0')}`;
  const right = mac(bridge.id, own.id, '02:00:00:ff:00:01');
  agent.say([
    mac(bridge.id, theirs.id, '02:00:00:00:00:01'),
    mac(elsewhere.id, own.id, '02:00:00:00:00:02'),
    mac(bridge.id, own.id, 'ff:ff:ff:ff:ff:ff'),
    mac(bridge.id, own.id, ':::::::::::::::::'),
    { kind: 'neighbour', id: `${uplink.id},10.0.0.9`, mac: '02:00:00:00:00:66' },
    { kind: 'neighbour', id: `${own.id},10.0.0.9`, mac: '02:00:00:00:00:66' },
    right,
  ]);
  for (let at = 0; at < 3000; at += 1000) {
    agent.say(Array.from({ length: 1000 }, (_, more) => mac(bridge.id, own.id, address(at + more))));
  }
  agent.say([{ kind: 'port', id: own.id, state: 'up' }]);
  const { liveStatus } = site.server.parts;
  const said = () => [...liveStatus.ofHost(thief.id).values()].map(({ status }) => status);
  // Its last word: all before it was taken or passed over.
  while (!said().some(({ kind }) => kind === 'port')) await new Promise(setImmediate);
  const addresses = said().filter(({ kind }) => kind === 'mac' || kind === 'neighbour');
  assert.equal(addresses.length, 1024);
  assert.ok(addresses.every((status) => status.kind === 'mac' && status.portId === own.id));
  assert.ok(addresses.some(({ id }) => id === right.id));
  const warnings = site.log.lines.filter(({ why }) => /cannot have learned/.test(why));
  assert.equal(warnings.length, 1);
});

test('one address that guesses join secrets keeps no other from joining', LIMIT, async (t) => {
  const site = await opened(t);
  const { id } = await site.must('POST', '/v1/hosts', { name: 'one' });
  const { joinToken } = await site.must('POST', `/v1/hosts/${id}/join-token`);
  const { secret } = JSON.parse(Buffer.from(joinToken, 'base64url').toString()) as JoinToken;
  const guess = async (): Promise<number | undefined> => {
    const call = request(`${site.server.url}/v1/join`, { method: 'POST', localAddress: '127.0.0.2' });
    call.end('{"secret":"x"}');
    const [response] = (await once(call, 'response')) as [IncomingMessage];
    response.resume();
    return response.statusCode;
  };
  const statuses = new Set<number | undefined>();
  for (let turn = 0; turn < 70; turn++) statuses.add(await guess());
  assert.deepEqual([...statuses], [401, 429]);
  assert.equal((await site.call('POST', '/v1/join', { secret }, '')).status, 200);
});

test('a deep or endless frame of an agent is read without its depth being walked', LIMIT, async (t) => {
  const site = await opened(t);
  const host = await site.host('one');
  const agent = await site.agent(host);
  const deep = 3_000_000;
  const start = process.cpuUsage();
  agent.sendText(`{"kind":"answer","id":1,"result":${'['.repeat(deep)}${']'.repeat(deep)}}`);
  await agent.until(() => agent.closeCode !== undefined);
  assert.equal(agent.closeCode, 4400);
  const { user, system } = process.cpuUsage(start);
  assert.ok(user + system < 1_500_000, `${(user + system) / 1e6} s`);
});

test('an agent that subscribes without end is cut', LIMIT, async (t) => {
  const site = await opened(t);
  const agent = await site.agent(await site.host('one'));
  for (let turn = 0; turn < 5 && agent.closeCode === undefined; turn++) {
    const deviceIds = Array.from({ length: 5000 }, () => crypto.randomUUID());
    agent.send({ kind: 'subscribe', deviceIds });
  }
  await agent.until(() => agent.closeCode !== undefined);
  assert.ok(site.log.lines.some(({ why }) => why === 'cut an agent: it subscribes to more than is kept'));
});

test('a host is never further than what it was sent', LIMIT, async (t) => {
  const site = await opened(t);
  const host = await site.host('one');
  const bridge = await site.must('POST', '/v1/bridges', {});
  await site.must('POST', '/v1/ports', { deviceId: bridge.id, hostId: host.id, interfaceName: 'a' });
  const agent = await site.agent(host);
  agent.prompt = false;
  agent.send({ kind: 'done', revision: Number.MAX_SAFE_INTEGER });
  const { revision } = await site.must('PATCH', `/v1/bridges/${bridge.id}`, { name: 'x' });
  await agent.until(() => agent.revision === revision);
  assert.equal((await site.must('GET', `/v1/applied?revision=${revision}&timeoutSeconds=0`)).done, false);
});
