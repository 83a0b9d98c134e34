import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { MemoryStore } from '../../store/memory.ts';
import { OutcomeUnknown, type Store } from '../../store/store.ts';
import { check } from '../../topology/check.ts';
import { KIND_NAMES, type Resource } from '../../topology/kinds.ts';
import type { Topology } from '../../topology/nodes.ts';
import { applyChanges, emptyTopology } from '../../topology/snapshot.ts';
import { REVISION_KEY } from '../state/keys.ts';
import { type Answer, openBench } from '../testing/bench.ts';

const id = (letter: string, number: number): string =>
  `0000000${number}-0000-4000-8000-${letter.charCodeAt(0).toString(16).padStart(12, '0')}`;

const all = (topology: Topology): Resource[] =>
  KIND_NAMES.flatMap((kind) => [...topology.objects(kind).values()].map((value) => ({ kind, value }) as Resource)).sort(
    (a, b) => (a.value.id < b.value.id ? -1 : 1),
  );

/** Everything at once into nothing: whatever the order of writes was, the outcome stands on its own. */
function problemsOf(topology: Topology): readonly string[] {
  const put = all(topology);
  const whole = applyChanges(emptyTopology(), { revision: 1, put, del: [] }).topology;
  return check({ put, del: [] }, emptyTopology(), whole).map(
    ({ kind, id: of, message }) => `${kind} ${of}: ${message}`,
  );
}

/** Writes that get in each other's way: few objects, names of each other, deletions. */
const small = fc.integer({ min: 0, max: 2 });
const call = fc.oneof(
  fc.record({
    method: fc.constant('POST'),
    path: fc.constant('/v1/bridges'),
    body: small.map((n) => ({ id: id('b', n) })),
  }),
  fc.record({
    method: fc.constant('POST'),
    path: fc.constant('/v1/routers'),
    body: small.map((n) => ({ id: id('r', n) })),
  }),
  fc.record({
    method: fc.constant('POST'),
    path: fc.constant('/v1/ports'),
    body: fc.tuple(small, small, fc.boolean(), fc.option(small)).map(([n, device, onBridge, peer]) => ({
      id: id('p', n),
      deviceId: id(onBridge ? 'b' : 'r', device),
      ...(onBridge ? {} : { addresses: [`10.0.${n}.1/24`] }),
      ...(peer === null ? {} : { peerId: id('p', peer) }),
    })),
  }),
  fc.record({
    method: fc.constant('POST'),
    path: fc.constant('/v1/routes'),
    body: fc.tuple(small, small, small).map(([n, router, port]) => ({
      id: id('t', n),
      routerId: id('r', router),
      destination: '0.0.0.0/0',
      nextHop: 'port',
      portId: id('p', port),
      gateway: `10.0.${port}.254`,
    })),
  }),
  fc.record({
    method: fc.constant('POST'),
    path: fc.constant('/v1/chains'),
    body: small.map((n) => ({ id: id('c', n) })),
  }),
  fc.record({
    method: fc.constant('POST'),
    path: fc.constant('/v1/rules'),
    body: fc.tuple(small, small, small).map(([n, chain, jump]) => ({
      id: id('u', n),
      chainId: id('c', chain),
      action: 'jump',
      jumpChainId: id('c', jump),
    })),
  }),
  fc.record({
    method: fc.constant('PATCH'),
    path: small.map((n) => `/v1/ports/${id('p', n)}`),
    body: fc.oneof(
      small.map((n) => ({ peerId: id('p', n) })),
      fc.constant({ peerId: null }),
      small.map((n) => ({ inboundChainId: id('c', n) })),
    ),
  }),
  fc.record({
    method: fc.constant('DELETE'),
    path: fc
      .tuple(
        fc.constantFrom(['bridges', 'b'], ['routers', 'r'], ['ports', 'p'], ['chains', 'c'], ['routes', 't']),
        small,
      )
      .map(([[plural, letter], n]) => `/v1/${plural}/${id(letter!, n)}`),
    body: fc.constant(undefined),
  }),
);

test('concurrent writes that conflict, over two servers on one store, end in a state that every check passes', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(call, { minLength: 10, maxLength: 60 }), fc.array(fc.boolean()), async (calls, sides) => {
      const store = new MemoryStore();
      const servers = [await openBench(store), await openBench(store)] as const;
      const answers = await Promise.all(
        calls.map(({ method, path, body }, at) => servers[sides[at] ? 1 : 0].call(method, path, body)),
      );
      const strange = answers.filter(({ status }) => ![200, 201, 204, 400, 404, 409, 422].includes(status));
      assert.deepEqual(strange, []);
      const { rev } = await store.get(REVISION_KEY);
      for (const { parts } of servers) await parts.feed.through(rev);
      const [one, two] = servers.map(({ parts }) => parts.config);
      assert.deepEqual(problemsOf(one!.topology), []);
      assert.deepEqual(all(two!.topology), all(one!.topology));
      assert.equal(two!.revision, one!.revision);
      const numbers = [
        ...[...one!.topology.objects('port').values()].map((port) => port.tunnelKey),
        ...[...one!.topology.objects('bridge').values()].map((bridge) => bridge.floodKey),
      ];
      assert.equal(new Set(numbers).size, numbers.length, 'a number was given twice');
      for (const port of one!.topology.objects('port').values()) {
        if (port.peerId !== undefined) assert.equal(one!.topology.object('port', port.peerId)?.peerId, port.id);
      }
      for (const server of servers) await server.close();
    }),
    { numRuns: 25 },
  );
});

test('requests that wait together share revisions, and each gets its own answer', async () => {
  const bench = await openBench();
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, at) =>
      bench.call('POST', '/v1/bridges', at % 10 === 9 ? { name: 9 } : { name: 'b' }),
    ),
  );
  const ok = (answer: Answer): boolean => answer.status === 201;
  assert.equal(answers.filter(ok).length, 90);
  assert.equal(answers.filter((answer) => answer.status === 400).length, 10);
  assert.equal(bench.parts.config.topology.objects('bridge').size, 90);
  assert.ok(bench.parts.transactor.commits < 20, `${bench.parts.transactor.commits} commits`);
  await bench.close();
});

/** A store whose next commit is done but answered with "unknown", or not done and answered so. */
function forgetful(store: Store): { readonly store: Store; next: 'done' | 'lost' | 'overtaken' | undefined } {
  const state: { store: Store; next: 'done' | 'lost' | 'overtaken' | undefined } = { store, next: undefined };
  state.store = new Proxy(store, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (name !== 'txn') return typeof value === 'function' ? value.bind(target) : value;
      return async (...args: Parameters<Store['txn']>) => {
        const { next } = state;
        if (next === undefined || !args[1].some((write) => 'put' in write && write.put === REVISION_KEY)) {
          return target.txn(...args);
        }
        state.next = undefined;
        if (next !== 'lost') await target.txn(...args);
        throw new OutcomeUnknown('the answer was lost');
      };
    },
  });
  return state;
}

test('a commit whose answer was lost is done once, whether it had happened or not', async () => {
  for (const next of ['done', 'lost'] as const) {
    const state = forgetful(new MemoryStore());
    const bench = await openBench(state.store);
    state.next = next;
    const answer = await bench.call('POST', '/v1/bridges', { id: randomUUID() });
    assert.equal(answer.status, 201, next);
    assert.equal(bench.parts.config.revision, 1);
    assert.equal(bench.parts.config.topology.objects('bridge').size, 1);
    await bench.close();
  }
});

test('a server that starts on a store that is in use goes on where it was', async () => {
  const store = new MemoryStore();
  const first = await openBench(store);
  const bridge = await first.must('POST', '/v1/bridges', { name: 'b' });
  const port = await first.must('POST', '/v1/ports', { deviceId: bridge.id });
  await first.close();
  const second = await openBench(store);
  assert.equal(second.parts.config.revision, 2);
  assert.equal(second.parts.config.topology.port(port.id)?.number, port.tunnelKey);
  assert.equal(second.parts.config.since(0)?.length, 2);
  await second.close();
});
