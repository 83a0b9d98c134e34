import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import type { InterfaceStatus } from '../../topology/status.ts';
import { encode, statusKey } from '../state/keys.ts';
import { type Bench, openBench } from '../testing/bench.ts';

const HOSTS = [randomUUID(), randomUUID()].sort() as [string, string];
const PORT = randomUUID();

const status = (name: string, up: boolean, portId?: string): InterfaceStatus => ({
  kind: 'interface',
  id: name,
  mac: '02:00:00:00:00:01',
  mtuBytes: 1500,
  up,
  addresses: ['192.0.2.1/24'],
  ...(portId === undefined ? {} : { portId }),
});

/** A server that two hosts have told of their interfaces. */
async function open(context: TestContext): Promise<Bench> {
  const bench = await openBench();
  context.after(() => bench.close());
  const told: [string, InterfaceStatus][] = [
    [HOSTS[1], status('eth0', true)],
    [HOSTS[0], status('tap1', false)],
    [HOSTS[0], status('eth0', true)],
    [HOSTS[0], status('tap0', true, PORT)],
  ];
  const events = told.map(([hostId, value]) => ({
    kind: 'put' as const,
    entry: { key: statusKey(hostId, 'interface', value.id), value: encode(value), createRev: 1n, modRev: 1n },
  }));
  bench.parts.liveStatus.apply({ rev: 1n, events });
  return bench;
}

test('interfaces are told by host and name, without the form of their status', async (t) => {
  const { must } = await open(t);
  const { items, pageToken } = await must('GET', '/v1/interfaces');
  assert.deepEqual(
    items.map(({ hostId, name }: { hostId: string; name: string }) => [hostId, name]),
    [
      [HOSTS[0], 'eth0'],
      [HOSTS[0], 'tap0'],
      [HOSTS[0], 'tap1'],
      [HOSTS[1], 'eth0'],
    ],
  );
  assert.equal(pageToken, undefined);
  const tap0 = {
    ...{ hostId: HOSTS[0], name: 'tap0', mac: '02:00:00:00:00:01', mtuBytes: 1500, up: true },
    ...{ addresses: ['192.0.2.1/24'], portId: PORT },
  };
  assert.deepEqual(items[1], tap0);
  assert.deepEqual(await must('GET', `/v1/interfaces/${HOSTS[0]}/tap0`), tap0);
});

test('interfaces are filtered by host, name, state and port', async (t) => {
  const { must } = await open(t);
  const names = async (query: string): Promise<string[]> =>
    (await must('GET', `/v1/interfaces?${query}`)).items.map(({ name }: { name: string }) => name);
  assert.deepEqual(await names(`hostId=${HOSTS[0]}`), ['eth0', 'tap0', 'tap1']);
  assert.deepEqual(await names('name=eth0'), ['eth0', 'eth0']);
  assert.deepEqual(await names('up=false'), ['tap1']);
  assert.deepEqual(await names(`up=true&hostId=${HOSTS[0]}`), ['eth0', 'tap0']);
  assert.deepEqual(await names(`portId=${PORT}`), ['tap0']);
  assert.deepEqual(await names(`hostId=${randomUUID()}`), []);
});

test('pages go on where the last one ended, also between hosts and under a filter', async (t) => {
  const { must } = await open(t);
  for (const [filter, count] of [
    ['', 4],
    ['&up=true', 3],
  ] as const) {
    const seen: string[] = [];
    let token = '';
    for (;;) {
      const { items, pageToken } = await must('GET', `/v1/interfaces?limit=1${filter}${token}`);
      assert.equal(items.length, 1);
      seen.push(`${items[0].hostId}/${items[0].name}`);
      if (pageToken === undefined) break;
      token = `&pageToken=${pageToken}`;
    }
    assert.equal(new Set(seen).size, count);
    assert.deepEqual(seen, seen.toSorted());
  }
});

test('what interfaces cannot be asked, or are not, is refused', async (t) => {
  const { call } = await open(t);
  for (const query of ['up=yes', 'limit=0', 'limit=1001', 'pageToken=zz', 'color=red', 'name=a&name=b', 'mac=x']) {
    const answer = await call('GET', `/v1/interfaces?${query}`);
    assert.deepEqual([answer.status, answer.body.code], [400, 'malformed'], query);
  }
  const missing = await call('GET', `/v1/interfaces/${HOSTS[1]}/tap0`);
  assert.deepEqual([missing.status, missing.body.code], [404, 'notFound']);
  for (const path of ['/v1/interfaces', `/v1/interfaces/${HOSTS[0]}/tap0`]) {
    assert.equal((await call('POST', path, {})).body.code, 'methodNotAllowed', path);
  }
  assert.equal((await call('GET', '/v1/interfaces', undefined, { authorization: 'Bearer x' })).status, 401);
});
