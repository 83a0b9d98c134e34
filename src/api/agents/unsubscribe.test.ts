import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { Status } from '../../topology/status.ts';
import type { TestAgent } from '../testing/agent.ts';
import { openSite, type Site } from '../testing/site.ts';

const LIMIT = { timeout: 30_000 };

/** A wire between two devices: their ports, of which the scope of each device holds both. */
async function wired(site: Site, a: string, b: string): Promise<[string, string]> {
  const one = await site.must('POST', '/v1/ports', { deviceId: a });
  const two = await site.must('POST', '/v1/ports', { deviceId: b, peerId: one.id });
  return [one.id, two.id];
}

const subscribedTimes = (agent: TestAgent): number => agent.frames.filter(({ kind }) => kind === 'subscribed').length;

async function subscribe(agent: TestAgent, ...deviceIds: string[]): Promise<void> {
  const before = subscribedTimes(agent);
  agent.send({ kind: 'subscribe', deviceIds });
  await agent.until(() => subscribedTimes(agent) > before);
}

test('what is in scope for no other reason leaves, and changes of it are not told any more', LIMIT, async () => {
  const site = await openSite();
  const host = await site.host('one');
  const chain = await site.must('POST', '/v1/chains', {});
  const [kept, left] = [
    await site.must('POST', '/v1/routers', { inboundChainId: chain.id }),
    await site.must('POST', '/v1/routers', { inboundChainId: chain.id }),
  ];
  const ends = await wired(site, kept.id, left.id);
  const own = await site.must('POST', '/v1/ports', { deviceId: left.id });
  const agent = await site.agent(host, [kept.id, left.id]);
  const { revision } = agent;
  agent.send({ kind: 'unsubscribe', deviceIds: [left.id, randomUUID()] });
  await agent.until(() => !agent.objects.has(`router/${left.id}`));
  assert.equal(agent.objects.has(`port/${own.id}`), false);
  // Both ends of the wire and the chain are in the other router's scope too.
  for (const id of ends) assert.ok(agent.objects.has(`port/${id}`));
  assert.ok(agent.objects.has(`chain/${chain.id}`) && agent.objects.has(`router/${kept.id}`));
  const change = agent.frames.findLast((frame) => frame.kind === 'change');
  assert.deepEqual([change?.revision, change?.put, change?.del.length], [revision, [], 2]);

  const frames = agent.frames.length;
  await site.must('PATCH', `/v1/ports/${own.id}`, { name: 'not told' });
  const told = await site.must('PATCH', `/v1/routers/${kept.id}`, { name: 'told' });
  await agent.until(() => agent.revision === told.revision);
  const puts = agent.frames.slice(frames).flatMap((frame) => (frame.kind === 'change' ? frame.put : []));
  assert.deepEqual(
    puts.map(({ value }) => value.name),
    ['told'],
  );
  // Asked for again, it comes as it is now.
  await subscribe(agent, left.id);
  assert.equal(agent.objects.get(`port/${own.id}`)?.name, 'not told');
  await site.close();
});

test('a device of the host’s own ports stays, and status of what left is taken back', LIMIT, async () => {
  const site = await openSite();
  const [one, two] = [await site.host('one'), await site.host('two')];
  const [mine, far] = [await site.must('POST', '/v1/bridges', {}), await site.must('POST', '/v1/bridges', {})];
  const bind = (deviceId: string, hostId: string) =>
    site.must('POST', '/v1/ports', { deviceId, hostId, interfaceName: `vm${randomUUID().slice(0, 8)}` });
  await bind(mine.id, one.id);
  const port = await bind(far.id, two.id);
  const other = await site.agent(two);
  const status: Status = { kind: 'mac', id: `${far.id},0,02:00:00:00:00:01`, portId: port.id };
  other.say([status], [], true);
  const agent = await site.agent(one, [mine.id, far.id]);
  await agent.until(() => agent.statuses.size === 1);
  agent.send({ kind: 'unsubscribe', deviceIds: [mine.id, far.id] });
  await agent.until(() => !agent.objects.has(`bridge/${far.id}`) && agent.statuses.size === 0);
  assert.ok(agent.objects.has(`bridge/${mine.id}`));
  // What is said of it later is not told either; the next word of the other host about a device in scope is.
  other.say([{ ...status, id: `${far.id},0,02:00:00:00:00:02` }]);
  await subscribe(agent, far.id);
  await agent.until(() => agent.statuses.size === 2);
  await site.close();
});

test('a hello after it brings what is named there, and nothing else', LIMIT, async () => {
  const site = await openSite();
  const host = await site.host('one');
  const [a, b] = [await site.must('POST', '/v1/bridges', {}), await site.must('POST', '/v1/bridges', {})];
  const agent = await site.agent(host, [a.id, b.id]);
  agent.send({ kind: 'unsubscribe', deviceIds: [a.id] });
  const again = await site.agent(host, [b.id]);
  assert.deepEqual(
    [...again.objects.keys()].filter((key) => key.startsWith('bridge/')),
    [`bridge/${b.id}`],
  );
  await site.close();
});

test('who takes it back at once is told that all was sent, and has it', LIMIT, async () => {
  const site = await openSite();
  const host = await site.host('one');
  const bridge = await site.must('POST', '/v1/bridges', {});
  const agent = await site.agent(host, [bridge.id]);
  for (let n = 0; n < 20; n++) {
    agent.send({ kind: 'unsubscribe', deviceIds: [bridge.id] });
    await subscribe(agent, bridge.id);
    assert.ok(agent.objects.has(`bridge/${bridge.id}`));
  }
  await site.close();
});

test('a host that still may forward by what left is not past a change of it', LIMIT, async () => {
  const site = await openSite();
  const host = await site.host('one');
  const chain = await site.must('POST', '/v1/chains', {});
  const router = await site.must('POST', '/v1/routers', { inboundChainId: chain.id });
  const agent = await site.agent(host, [router.id]);
  const applied = (revision: number, seconds: number) =>
    site.must('GET', `/v1/applied?revision=${revision}&timeoutSeconds=${seconds}`);
  const { revision } = await site.must('GET', '/v1/version');
  assert.equal((await applied(revision, 10)).done, true);
  agent.prompt = false;
  agent.send({ kind: 'unsubscribe', deviceIds: [router.id] });
  await agent.until(() => !agent.objects.has(`router/${router.id}`));
  // It has been told, and has not said that it is through with it.
  const denial = await site.must('POST', '/v1/rules', { chainId: chain.id, action: 'drop' });
  assert.equal((await applied(denial.revision, 0)).done, false);
  await agent.until(() => agent.revision === denial.revision);
  assert.equal(agent.objects.has(`rule/${denial.id}`), false);
  assert.equal((await applied(denial.revision, 0)).done, false);
  // A word about an earlier revision may have been on its way.
  agent.send({ kind: 'done', revision });
  assert.equal((await applied(denial.revision, 0)).done, false);
  agent.send({ kind: 'done', revision: denial.revision });
  assert.equal((await applied(denial.revision, 10)).done, true);
  // From then on nothing of it concerns the host.
  const next = await site.must('POST', '/v1/rules', { chainId: chain.id, action: 'accept' });
  assert.equal((await applied(next.revision, 0)).done, true);
  await site.close();
});

test(
  'whatever is asked for and released, in whatever order, an agent ends with what a new one gets',
  LIMIT,
  async () => {
    const site = await openSite();
    const host = await site.host('one');
    let seed = 11;
    const draw = (below: number): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    const devices: string[] = [];
    for (let n = 0; n < 12; n++) devices.push((await site.must('POST', `/v1/${n % 2 ? 'bridges' : 'routers'}`, {})).id);
    const pick = (): string => devices[draw(devices.length)]!;
    const chains = [await site.must('POST', '/v1/chains', {}), await site.must('POST', '/v1/chains', {})];
    const agent = await site.agent(host);
    const wanted = new Set<string>();
    for (let turn = 0; turn < 200; turn++) {
      const kind = draw(8);
      const id = pick();
      if (kind === 0) await site.call('POST', '/v1/ports', { deviceId: id, inboundChainId: chains[draw(2)].id });
      else if (kind === 1 && id !== devices[0]) await wired(site, devices[0]!, id);
      else if (kind === 2) await site.call('POST', '/v1/rules', { chainId: chains[draw(2)].id, action: 'accept' });
      else if (kind <= 5) {
        wanted.add(id);
        agent.send({ kind: 'subscribe', deviceIds: [id] });
      } else {
        const some = [id, pick()];
        for (const each of some) wanted.delete(each);
        agent.send({ kind: 'unsubscribe', deviceIds: some });
      }
    }
    // Its answer comes after all that went before it.
    await subscribe(agent, randomUUID());
    const kept = new Map(agent.objects);
    assert.ok(wanted.size > 0 && wanted.size < devices.length, `${wanted.size} devices`);
    const fresh = await site.agent(host, [...wanted]);
    assert.deepEqual(new Map([...kept].sort()), new Map([...fresh.objects].sort()));
    await site.close();
  },
);
