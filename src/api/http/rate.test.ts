import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '../errors.ts';
import { Credentials, type Token } from '../state/credentials.ts';
import { openBench } from '../testing/bench.ts';
import { RateLimits } from './rate.ts';

const token = (hash: string, role: 'admin' | 'reader' = 'reader'): Token => {
  const credential = { role, name: hash, projectIds: [], createdAt: '2026-01-01T00:00:00Z' };
  return { id: hash, hash, credential };
};

function limits() {
  const clock = { nowMs: 0 };
  return { clock, limits: new RateLimits({ admin: 10, others: 2 }, new Credentials(), () => clock.nowMs) };
}

/** How many calls are let through, and in how many seconds the next may come. */
function burst(rates: RateLimits, of: Token): [number, number] {
  for (let calls = 0; ; calls++) {
    try {
      rates.take(of);
    } catch (error) {
      assert.ok(error instanceof ApiError && error.code === 'tooMany');
      return [calls, error.retryAfterSeconds];
    }
  }
}

test('a token that rested has ten seconds of its rate at once, then its rate', () => {
  const { clock, limits: rates } = limits();
  assert.deepEqual(burst(rates, token('a')), [20, 1]);
  clock.nowMs += 1500;
  assert.deepEqual(burst(rates, token('a')), [3, 1]);
  clock.nowMs += 3_600_000;
  assert.deepEqual(burst(rates, token('a')), [20, 1]);
});

test('each token has its own, and an admin more', () => {
  const { limits: rates } = limits();
  assert.deepEqual(burst(rates, token('a')), [20, 1]);
  assert.deepEqual(burst(rates, token('b')), [20, 1]);
  assert.deepEqual(burst(rates, token('c', 'admin')), [100, 1]);
});

test('a call that costs much is let through once and paid for afterwards', () => {
  const { clock, limits: rates } = limits();
  rates.take(token('a'));
  rates.charge(token('a'), 99);
  // 20 were there, 100 were used: 81 more until there is one again, at 2 a second.
  assert.deepEqual(burst(rates, token('a')), [0, 41]);
  clock.nowMs += 40_500;
  assert.deepEqual(burst(rates, token('a')), [1, 1]);
});

test('a token has a bounded number of watches open, and each that ends makes room', async (t) => {
  const bench = await openBench();
  t.after(() => bench.close());
  const headers = { authorization: `Bearer ${bench.token}` };
  const open = () => bench.app.request('/v1/watch', { headers });
  const watches: Response[] = [];
  for (let count = 0; count < 100; count++) watches.push(await open());
  assert.deepEqual([...new Set(watches.map(({ status }) => status))], [200]);
  const refused = await open();
  assert.deepEqual([refused.status, refused.headers.get('retry-after')], [429, '1']);
  assert.equal((await bench.call('GET', '/v1/applied?revision=9&timeoutSeconds=1')).status, 429);
  await watches.pop()!.body!.cancel();
  const again = await open();
  assert.equal(again.status, 200);
  for (const watch of [...watches, again]) await watch.body!.cancel();
});

test('too many calls are answered 429 with the time to wait, whatever they ask for', async (t) => {
  const bench = await openBench(undefined, { admin: 1000, others: 1 });
  t.after(() => bench.close());
  const { id } = await bench.must('POST', '/v1/projects', {});
  const make = async () =>
    (await bench.must('POST', '/v1/tokens', { name: 'x', role: 'member', projectIds: [id] })).token as string;
  const [one, other] = [await make(), await make()];
  const get = (path: string, of: string) => bench.call('GET', path, undefined, { authorization: `Bearer ${of}` });
  const statuses = new Map<number, number>();
  for (let calls = 0; calls < 30; calls++) {
    const { status } = await get('/v1/bridges', one);
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
  }
  assert.deepEqual([...statuses.keys()], [200, 429]);
  assert.ok(statuses.get(200)! >= 10);
  const refused = await get('/v1/nothing', one);
  assert.equal(refused.body.code, 'tooMany');
  assert.match(refused.headers.get('retry-after')!, /^[1-9]\d*$/);
  assert.equal((await get('/v1/bridges', other)).status, 200);
  const operations = Array.from({ length: 300 }, () => ({ op: 'create', kind: 'chain', value: {} }));
  const large = await bench.call('POST', '/v1/transaction', { operations }, { authorization: `Bearer ${other}` });
  assert.equal(large.status, 200);
  assert.ok(Number((await get('/v1/bridges', other)).headers.get('retry-after')) >= 15);
});
