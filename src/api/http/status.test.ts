import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { MemoryStore } from '../../store/memory.ts';
import type { Status } from '../../topology/status.ts';
import { encode, statusKey } from '../state/keys.ts';
import { type Bench, openBench } from '../testing/bench.ts';

const HOSTS = [randomUUID(), randomUUID()].sort() as [string, string];
const [BRIDGE, PORT, OTHER] = [randomUUID(), randomUUID(), randomUUID()];

const tap = (name: string, up: boolean, portId?: string): Status => ({
  ...{ kind: 'interface', id: name, mac: '02:00:00:00:00:0a', mtuBytes: 1500, up, addresses: [] },
  ...(portId === undefined ? {} : { portId }),
});
const port = (id: string, state: 'up' | 'down'): Status => ({ kind: 'port', id, state });
const mac = (last: string, portId: string): Status => ({
  kind: 'mac',
  id: `${BRIDGE},0,02:00:00:00:00:${last}`,
  portId,
});
const neighbour = (portId: string, last: number): Status => ({
  kind: 'neighbour',
  id: `${portId},10.0.0.${last}`,
  mac: '02:00:00:00:00:0b',
});

type Told = readonly [hostId: string, status: Status];

/** Writes as an agent's report does, in one transaction; answers its status revision. */
async function tell(bench: Bench, put: readonly Told[], del: readonly Told[] = []): Promise<number> {
  const { rev } = await bench.store.txn(
    [],
    [
      ...put.map(([hostId, status]) => ({ put: statusKey(hostId, status.kind, status.id), value: encode(status) })),
      ...del.map(([hostId, { kind, id }]) => ({ del: statusKey(hostId, kind, id) })),
    ],
  );
  await bench.parts.feed.through(rev);
  return Number(rev);
}

async function open(context: TestContext, store?: MemoryStore): Promise<Bench> {
  const bench = await openBench(store);
  context.after(() => bench.close());
  return bench;
}

const EVERYTHING: readonly Told[] = [
  [HOSTS[1], { kind: 'alive', id: '-', since: '2026-01-01T00:00:00Z', version: '1' }],
  [HOSTS[1], tap('eth0', true)],
  [HOSTS[1], port(OTHER, 'down')],
  [HOSTS[0], tap('tap0', false, PORT)],
  [HOSTS[0], port(PORT, 'up')],
  [HOSTS[0], mac('01', PORT)],
  [HOSTS[0], neighbour(PORT, 9)],
];

/** `host 0 port` for each, in the order of the answer. */
const briefly = (items: readonly { hostId: string; status: Status }[]): string[] =>
  items.map(({ hostId, status }) => `${HOSTS.indexOf(hostId)} ${status.kind}`);

test('status is listed by host, kind and id, with the number to watch from', async (t) => {
  const bench = await open(t);
  const revision = await tell(bench, EVERYTHING);
  const answer = await bench.must('GET', '/v1/status');
  assert.deepEqual(Object.keys(answer).sort(), ['items', 'revision']);
  assert.equal(answer.revision, revision);
  assert.deepEqual(briefly(answer.items), [
    ...['0 interface', '0 mac', '0 neighbour', '0 port'],
    ...['1 alive', '1 interface', '1 port'],
  ]);
  assert.deepEqual(answer.items[3], { hostId: HOSTS[0], status: port(PORT, 'up') });
});

test('status is filtered by what it says and by what it is about', async (t) => {
  const bench = await open(t);
  await tell(bench, EVERYTHING);
  const found = async (query: string): Promise<string[]> =>
    briefly((await bench.must('GET', `/v1/status?${query}`)).items);
  assert.deepEqual(await found('kind=interface'), ['0 interface', '1 interface']);
  assert.deepEqual(await found(`hostId=${HOSTS[1]}`), ['1 alive', '1 interface', '1 port']);
  assert.deepEqual(await found(`portId=${PORT}`), ['0 interface', '0 mac', '0 neighbour', '0 port']);
  assert.deepEqual(await found(`kind=port&portId=${OTHER}`), ['1 port']);
  assert.deepEqual(await found(`bridgeId=${BRIDGE}`), ['0 mac']);
  assert.deepEqual(await found('mac=02:00:00:00:00:01'), ['0 mac']);
  assert.deepEqual(await found('mac=02:00:00:00:00:0b'), ['0 neighbour']);
  assert.deepEqual(await found('state=down'), ['1 port']);
  assert.deepEqual(await found('up=true'), ['1 interface']);
  assert.deepEqual(await found('id=tap0'), ['0 interface']);
  assert.deepEqual(await found(`hostId=${randomUUID()}`), []);
});

test('pages of status go on where the last one ended, also between hosts and under a filter', async (t) => {
  const bench = await open(t);
  await tell(bench, EVERYTHING);
  for (const [filter, wanted] of [
    ['', 7],
    ['&kind=port', 2],
  ] as const) {
    const seen: string[] = [];
    let token: string | undefined = '';
    while (token !== undefined) {
      const page = await bench.must('GET', `/v1/status?limit=1${filter}${token}`);
      assert.equal(page.items.length, 1);
      seen.push(`${page.items[0].hostId}/${page.items[0].status.kind}/${page.items[0].status.id}`);
      token = page.pageToken === undefined ? undefined : `&pageToken=${page.pageToken}`;
    }
    assert.equal(new Set(seen).size, wanted);
    assert.deepEqual(seen, seen.toSorted());
  }
});

test('a page goes on where it was although what it ended with is gone', async (t) => {
  const bench = await open(t);
  const ports = [randomUUID(), randomUUID(), randomUUID()].sort();
  const told = ports.map((id): Told => [HOSTS[0], port(id, 'up')]);
  await tell(bench, told);
  const { items, pageToken } = await bench.must('GET', '/v1/status?limit=2');
  assert.deepEqual(items.at(-1).status, told[1]![1]);
  await tell(bench, [], [told[1]!]);
  const rest = await bench.must('GET', `/v1/status?limit=2&pageToken=${pageToken}`);
  assert.deepEqual(
    rest.items.map(({ status }: { status: Status }) => status),
    [told[2]![1]],
  );
});

test('what status cannot be asked is refused', async (t) => {
  const bench = await open(t);
  for (const path of [
    ...['kind=color', 'up=yes', 'limit=0', 'limit=1001', 'pageToken=zz', 'color=red', 'state=up&state=down'].map(
      (query) => `/v1/status?${query}`,
    ),
    ...['from=-1', 'from=x', 'kind=color', 'portId=x', 'limit=1'].map((query) => `/v1/status/watch?${query}`),
  ]) {
    const { status, body } = await bench.call('GET', path);
    assert.deepEqual([status, body.code], [400, 'malformed'], path);
  }
  for (const path of ['/v1/status', '/v1/status/watch']) {
    assert.equal((await bench.call('POST', path, {})).body.code, 'methodNotAllowed', path);
    assert.equal((await bench.call('GET', path, undefined, { authorization: 'Bearer x' })).status, 401, path);
  }
});

/** Reads lines of a watch; a line that does not come makes the test run into its time limit. */
async function watch(bench: Bench, query = '', env?: object) {
  const headers = { authorization: `Bearer ${bench.token}` };
  const response = await bench.app.request(`/v1/status/watch${query}`, { headers }, env);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'application/x-ndjson');
  const reader = response.body!.getReader();
  let text = '';
  return {
    async next(): Promise<unknown> {
      while (!text.includes('\n')) {
        const { value, done } = await reader.read();
        if (done) return undefined;
        text += Buffer.from(value).toString();
      }
      const at = text.indexOf('\n');
      const line = JSON.parse(text.slice(0, at));
      text = text.slice(at + 1);
      return line;
    },
    cancel: () => reader.cancel(),
  };
}

test('a status watch tells each change of status as one line, and no change of the configuration', async (t) => {
  const bench = await open(t);
  const first = await tell(bench, [[HOSTS[0], port(PORT, 'down')]]);
  const lines = await watch(bench, `?from=${first}`);
  assert.deepEqual(await lines.next(), { rev: first });
  await bench.must('POST', '/v1/bridges', {});
  const second = await tell(bench, [[HOSTS[0], port(PORT, 'up')]], [[HOSTS[0], port(OTHER, 'up')]]);
  assert.deepEqual(await lines.next(), {
    ...{ rev: second, put: [{ hostId: HOSTS[0], status: port(PORT, 'up') }], del: [] },
  });
  const third = await tell(bench, [], [[HOSTS[0], port(PORT, 'up')]]);
  assert.deepEqual(await lines.next(), {
    ...{ rev: third, put: [], del: [{ hostId: HOSTS[0], kind: 'port', id: PORT }] },
  });
  assert.equal((await bench.must('GET', '/v1/status')).revision, third);
  await lines.cancel();
});

test('a status watch without a number begins now', async (t) => {
  const bench = await open(t);
  const first = await tell(bench, [[HOSTS[0], port(PORT, 'up')]]);
  const lines = await watch(bench);
  assert.deepEqual(await lines.next(), { rev: first });
  const second = await tell(bench, [[HOSTS[0], port(PORT, 'down')]]);
  assert.equal(((await lines.next()) as { rev: number }).rev, second);
  await lines.cancel();
});

test('a list and the changes after its number are what a later list is', async (t) => {
  const bench = await open(t);
  await tell(bench, EVERYTHING);
  const { items, revision } = await bench.must('GET', '/v1/status');
  const lines = await watch(bench, `?from=${revision}`);
  await tell(bench, [[HOSTS[1], port(OTHER, 'up')]], [EVERYTHING[5]!]);
  const last = await tell(bench, [[HOSTS[1], mac('02', OTHER)]], [EVERYTHING[3]!]);
  const key = (hostId: string, kind: string, id: string): string => `${hostId}/${kind}/${id}`;
  const known = new Map<string, unknown>();
  for (const item of items) known.set(key(item.hostId, item.status.kind, item.status.id), item);
  for (;;) {
    const { rev, put, del } = (await lines.next()) as {
      rev: number;
      put?: { hostId: string; status: Status }[];
      del?: { hostId: string; kind: string; id: string }[];
    };
    for (const item of put ?? []) known.set(key(item.hostId, item.status.kind, item.status.id), item);
    for (const { hostId, kind, id } of del ?? []) known.delete(key(hostId, kind, id));
    if (rev === last) break;
  }
  const now = await bench.must('GET', '/v1/status');
  assert.deepEqual(
    [...known].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, item]) => item),
    now.items,
  );
  await lines.cancel();
});

test('a status watch of one host or kind is told of nothing else', async (t) => {
  const bench = await open(t);
  const from = await tell(bench, [[HOSTS[0], port(PORT, 'up')]]);
  const ofHost = await watch(bench, `?from=${from}&hostId=${HOSTS[1]}`);
  const ofKind = await watch(bench, `?from=${from}&kind=mac`);
  await tell(bench, [[HOSTS[0], port(PORT, 'down')]]);
  const last = await tell(bench, [
    [HOSTS[0], mac('01', PORT)],
    [HOSTS[1], port(OTHER, 'up')],
  ]);
  await ofHost.next();
  await ofKind.next();
  assert.deepEqual(await ofHost.next(), {
    ...{ rev: last, put: [{ hostId: HOSTS[1], status: port(OTHER, 'up') }], del: [] },
  });
  assert.deepEqual(await ofKind.next(), {
    ...{ rev: last, put: [{ hostId: HOSTS[0], status: mac('01', PORT) }], del: [] },
  });
  await ofHost.cancel();
  await ofKind.cancel();
});

test('a status watch goes on at another server, as far back as the store remembers', async (t) => {
  const store = new MemoryStore({ keepRevisions: 8 });
  const first = await open(t, store);
  const revisions: number[] = [];
  for (let at = 0; at < 20; at++) revisions.push(await tell(first, [[HOSTS[0], port(PORT, at % 2 ? 'up' : 'down')]]));
  const { revision } = await first.must('GET', '/v1/status');
  assert.equal(revision, revisions.at(-1));
  const second = await open(t, store);
  assert.equal((await second.must('GET', '/v1/status')).revision, revision);
  const recent = await watch(second, `?from=${revisions.at(-4)}`);
  await recent.next();
  for (const rev of revisions.slice(-3)) assert.equal(((await recent.next()) as { rev: number }).rev, rev);
  await recent.cancel();
  const old = await watch(second, `?from=${revisions[1]}`);
  await old.next();
  assert.deepEqual([await old.next(), await old.next()], [{ reset: true }, undefined]);
});

test('a list is always a place to watch from, also when nothing is known of how it came to be', async (t) => {
  const store = new MemoryStore({ keepRevisions: 2 });
  const first = await open(t, store);
  await tell(first, [
    [HOSTS[0], port(PORT, 'up')],
    [HOSTS[0], port(OTHER, 'up')],
  ]);
  await tell(first, [], [[HOSTS[0], port(OTHER, 'up')]]);
  for (let at = 0; at < 5; at++) await first.must('POST', '/v1/bridges', {});
  const second = await open(t, store);
  const { revision } = await second.must('GET', '/v1/status');
  const lines = await watch(second, `?from=${revision}`);
  assert.deepEqual(await lines.next(), { rev: revision });
  const next = await tell(second, [[HOSTS[0], port(PORT, 'down')]]);
  assert.equal(((await lines.next()) as { rev: number }).rev, next);
  await lines.cancel();
});

test('a status watch from a number that is still to come is told to list again', async (t) => {
  const bench = await open(t);
  const { revision } = await bench.must('GET', '/v1/status');
  const lines = await watch(bench, `?from=${revision + 5}`);
  assert.deepEqual(await lines.next(), { rev: revision });
  assert.deepEqual([await lines.next(), await lines.next()], [{ reset: true }, undefined]);
});

test('a watcher that takes nothing is cut, and nothing of it is left', async (t) => {
  const bench = await open(t);
  await tell(bench, [[HOSTS[0], port(PORT, 'up')]]);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let cut = 0;
  const outgoing = { destroy: () => cut++ };
  const { statusHistory } = bench.parts;
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
  const lines = await watch(bench, '', { outgoing });
  await lines.next();
  assert.equal(listeners, 1);
  // The stream has one line ready that nobody fetches; heartbeats of a reader that does fetch are no reason.
  for (let beat = 0; beat < 10; beat++) {
    const heard = lines.next();
    await new Promise(setImmediate);
    t.mock.timers.tick(5000);
    await heard;
  }
  assert.equal(cut, 0);
  await tell(bench, [[HOSTS[0], port(PORT, 'down')]]);
  await new Promise(setImmediate);
  t.mock.timers.tick(19_000);
  assert.equal(cut, 0);
  t.mock.timers.tick(1000);
  assert.deepEqual([cut, listeners], [1, 0]);
});
