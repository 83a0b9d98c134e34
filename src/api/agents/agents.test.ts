import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { PortStatus, Status } from '../../topology/status.ts';
import type { ServerFrame } from '../../topology/wire.ts';
import { TestAgent } from '../testing/agent.ts';
import { openSite, type Site } from '../testing/site.ts';

const LIMIT = { timeout: 30_000 };

const mac = (bridgeId: string, last: string, portId: string): Status => ({
  kind: 'mac',
  id: `${bridgeId},0,02:00:00:00:00:${last}`,
  portId,
});
const claimed = (id: string): PortStatus => ({ kind: 'port', id, state: 'claimed' });
const up = (id: string): PortStatus => ({ kind: 'port', id, state: 'up' });

async function boundPort(site: Site, deviceId: string, hostId: string, more: object = {}) {
  const interfaceName = `vm${randomUUID().slice(0, 8)}`;
  return site.must('POST', '/v1/ports', { deviceId, hostId, interfaceName, ...more });
}

/** Waits for the store's side of what an agent said. */
async function settled(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

test('an agent gets what concerns its host, and then only what changes of it', LIMIT, async () => {
  const site = await openSite();
  const host = await site.host('one');
  const [mine, other] = [await site.must('POST', '/v1/bridges', {}), await site.must('POST', '/v1/bridges', {})];
  const port = await boundPort(site, mine.id, host.id);
  const agent = await site.agent(host);
  assert.deepEqual(
    [...agent.objects.keys()].sort(),
    [`bridge/${mine.id}`, `host/${host.id}`, `port/${port.id}`].sort(),
  );
  assert.equal(agent.revision, (await site.must('GET', '/v1/version')).revision);

  await site.must('PATCH', `/v1/bridges/${other.id}`, { name: 'not mine' });
  const changed = await site.must('PATCH', `/v1/bridges/${mine.id}`, { name: 'mine' });
  await agent.until(() => agent.revision === changed.revision);
  const change = agent.frames.findLast((frame) => frame.kind === 'change');
  assert.deepEqual(
    change?.put.map(({ kind, value }) => [kind, value.name]),
    [['bridge', 'mine']],
  );
  await site.must('DELETE', `/v1/ports/${port.id}`);
  await agent.until(() => !agent.objects.has(`port/${port.id}`));
  assert.deepEqual([...agent.objects.keys()], [`host/${host.id}`]);
  await site.close();
});

test('a device that an agent asks for is sent, and that all of it was sent is said', LIMIT, async () => {
  const site = await openSite();
  const host = await site.host('one');
  const bridge = await site.must('POST', '/v1/bridges', {});
  const router = await site.must('POST', '/v1/routers', {});
  const inside = await site.must('POST', '/v1/ports', { deviceId: router.id, addresses: ['10.0.0.1/24'] });
  await site.must('POST', '/v1/ports', { deviceId: bridge.id, peerId: inside.id });
  const agent = await site.agent(host);
  assert.equal(agent.objects.size, 1);
  const nothing = randomUUID();
  agent.send({ kind: 'subscribe', deviceIds: [bridge.id, nothing] });
  await agent.until(() => agent.frames.some((frame) => frame.kind === 'subscribed'));
  // The bridge, its port, and the port of the router one wire away; the router itself is a device of its own.
  assert.ok(agent.objects.has(`bridge/${bridge.id}`) && agent.objects.has(`port/${inside.id}`));
  assert.equal(agent.objects.has(`router/${router.id}`), false);
  const order = agent.frames.map(({ kind }) => kind).filter((kind) => kind === 'change' || kind === 'subscribed');
  assert.deepEqual(order, ['change', 'subscribed']);
  const subscribed = agent.frames.find((frame) => frame.kind === 'subscribed');
  assert.deepEqual(subscribed?.deviceIds, [bridge.id, nothing]);

  // What is asked for in hello is part of the snapshot.
  const again = await site.agent(host, [bridge.id, router.id]);
  assert.ok(again.objects.has(`router/${router.id}`));
  assert.deepEqual(again.objects.get(`port/${inside.id}`)?.id, inside.id);
  await site.close();
});

test('binding a port brings its device into scope, moving it away takes it out', LIMIT, async () => {
  const site = await openSite();
  const [one, two] = [await site.host('one'), await site.host('two')];
  const bridge = await site.must('POST', '/v1/bridges', {});
  const port = await site.must('POST', '/v1/ports', { deviceId: bridge.id });
  const agent = await site.agent(one);
  assert.equal(agent.objects.has(`bridge/${bridge.id}`), false);
  await site.must('PATCH', `/v1/ports/${port.id}`, { hostId: one.id, interfaceName: 'vm0' });
  await agent.until(() => agent.objects.has(`bridge/${bridge.id}`) && agent.objects.has(`port/${port.id}`));
  await site.must('PATCH', `/v1/ports/${port.id}`, { hostId: two.id });
  await agent.until(() => !agent.objects.has(`bridge/${bridge.id}`));
  assert.equal(agent.objects.has(`port/${port.id}`), false);
  await site.close();
});

test('snapshots and changes come in frames of at most 64 KiB', LIMIT, async () => {
  const site = await openSite();
  const host = await site.host('one');
  const chain = await site.must('POST', '/v1/chains', {});
  const bridge = await site.must('POST', '/v1/bridges', { inboundChainId: chain.id });
  await boundPort(site, bridge.id, host.id);
  const rules = (count: number) => ({
    operations: Array.from({ length: count }, () => ({
      op: 'create',
      kind: 'rule',
      value: { chainId: chain.id, action: 'drop', name: 'n'.repeat(200) },
    })),
  });
  await site.must('POST', '/v1/transaction', rules(600));
  const agent = await site.agent(host);
  assert.equal(agent.objects.size, 604);
  await site.must('POST', '/v1/transaction', rules(600));
  await agent.until(() => agent.objects.size === 1204);
  assert.ok(agent.frames.filter(({ kind }) => kind === 'snapshot').length > 2);
  assert.ok(agent.largestFrameBytes <= 64 * 1024, `${agent.largestFrameBytes} bytes`);
  await site.close();
});

test('whatever happens and in whatever order, an agent ends with what a new one gets', LIMIT, async () => {
  const site = await openSite();
  const host = await site.host('one');
  const agent = await site.agent(host);
  let seed = 7;
  const draw = (below: number): number => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return Math.floor((seed / 2 ** 31) * below);
  };
  const ids: Record<string, string[]> = { bridges: [], routers: [], ports: [], chains: [] };
  const pick = (plural: string): string | undefined => ids[plural]![draw(ids[plural]!.length)];
  const add = async (plural: string, body: object): Promise<void> => {
    const response = await site.call('POST', `/v1/${plural}`, body);
    if (response.ok) ids[plural]!.push(((await response.json()) as { id: string }).id);
  };
  for (let turn = 0; turn < 250; turn++) {
    const port = pick('ports');
    const device = pick(draw(2) === 0 ? 'bridges' : 'routers');
    const chain = pick('chains');
    const bound = draw(2) === 0 ? { hostId: host.id, interfaceName: `vm${turn}` } : {};
    const kind = draw(9);
    if (kind === 0) await add('bridges', {});
    else if (kind === 1) await add('routers', {});
    else if (kind === 2) await add('chains', {});
    else if (kind === 3 && chain) await site.call('POST', '/v1/rules', { chainId: chain, action: 'accept' });
    else if (kind <= 5 && device) await add('ports', { deviceId: device, addresses: [`10.${turn}.0.1/24`], ...bound });
    else if (kind === 6 && port) await site.call('PATCH', `/v1/ports/${port}`, { peerId: pick('ports') ?? null });
    else if (kind === 7 && port && chain) await site.call('PATCH', `/v1/ports/${port}`, { inboundChainId: chain });
    else if (kind === 8) {
      const plural = ['bridges', 'ports', 'chains'][draw(3)]!;
      await site.call('DELETE', `/v1/${plural}/${pick(plural) ?? 'none'}`);
    }
    if (device && draw(10) === 0) agent.send({ kind: 'subscribe', deviceIds: [device] });
  }
  const { revision } = await site.must('GET', '/v1/version');
  await agent.until(() => agent.frames.some((frame) => frame.kind === 'heartbeat' && frame.revision === revision));
  const subscribed = agent.frames.flatMap((frame) => (frame.kind === 'subscribed' ? frame.deviceIds : []));
  const kept = new Map(agent.objects);
  const fresh = await site.agent(host, subscribed);
  assert.ok(kept.size > 30, `${kept.size} objects`);
  assert.deepEqual(new Map([...kept].sort()), new Map([...fresh.objects].sort()));
  await site.close();
});

test('status goes up, and down to the agents whose devices it is about', LIMIT, async () => {
  const site = await openSite();
  const [one, two, three] = [await site.host('one'), await site.host('two'), await site.host('three')];
  const bridge = await site.must('POST', '/v1/bridges', {});
  const [p1, p2] = [await boundPort(site, bridge.id, one.id), await boundPort(site, bridge.id, two.id)];
  const [a1, a2, a3] = [await site.agent(one), await site.agent(two), await site.agent(three)];
  a1.say([up(p1.id), mac(bridge.id, '01', p1.id)], [], true);
  await a2.until(() => a2.statuses.size === 2);
  assert.deepEqual(a2.port(one.id, p1.id), up(p1.id));
  assert.equal((await site.must('GET', `/v1/ports/${p1.id}`)).status.state, 'up');
  assert.deepEqual((await site.must('GET', '/v1/status?kind=mac')).items, [
    { hostId: one.id, status: mac(bridge.id, '01', p1.id) },
  ]);
  a1.say([], [{ kind: 'mac', id: mac(bridge.id, '01', p1.id).id }]);
  await a2.until(() => a2.statuses.size === 1);
  // A host is told what became of its words about ports and of no others, a host without the bridge nothing.
  assert.deepEqual([...a1.statuses.values()], [up(p1.id)]);
  assert.equal(a3.statuses.size, 0);
  // Who comes later is told with the snapshot.
  const late = await site.agent(two);
  assert.deepEqual(late.port(one.id, p1.id), up(p1.id));
  // A new life of the agent says all there is; the rest is forgotten.
  a1.say([], [], true);
  await late.until(() => late.statuses.size === 0);
  assert.equal((await site.must('GET', `/v1/ports/${p2.id}`)).status.state, 'down');
  await site.close();
});

test('of two hosts that learned one address, the later is right', LIMIT, async () => {
  const site = await openSite();
  const [one, two] = [await site.host('one'), await site.host('two')];
  const bridge = await site.must('POST', '/v1/bridges', {});
  const [p1, p2] = [await boundPort(site, bridge.id, one.id), await boundPort(site, bridge.id, two.id)];
  const [a1, a2] = [await site.agent(one), await site.agent(two)];
  const { liveStatus } = site.server.parts;
  const where = () => liveStatus.macPort(bridge.id, 0, 0x020000000001 as never);
  a1.say([mac(bridge.id, '01', p1.id)]);
  await settled(() => where() === p1.id);
  a2.say([mac(bridge.id, '01', p2.id)]);
  await settled(() => where() === p2.id);
  const three = await site.host('three');
  await boundPort(site, bridge.id, three.id);
  const snapshot = (await site.agent(three)).frames.find((frame) => frame.kind === 'snapshot');
  assert.deepEqual(
    snapshot?.status.map(({ hostId }) => hostId),
    [one.id, two.id],
  );
  await site.close();
});

test('a port is held by one host; the next one gets it when that one lets go', LIMIT, async () => {
  const site = await openSite();
  const [one, two] = [await site.host('one'), await site.host('two')];
  const bridge = await site.must('POST', '/v1/bridges', {});
  const port = await boundPort(site, bridge.id, one.id);
  const [a1, a2] = [await site.agent(one), await site.agent(two, [bridge.id])];
  a1.say([claimed(port.id)]);
  await a2.until(() => a2.port(one.id, port.id)?.state === 'claimed');

  // Not bound to it at all.
  a2.say([claimed(port.id)]);
  await a2.until(() => a2.port(two.id, port.id)?.state === 'refused');
  assert.match(a2.port(two.id, port.id)!.why!, /not bound to this host/);

  // Bound to it now, and still held by the other.
  a1.say([up(port.id)]);
  await site.must('PATCH', `/v1/ports/${port.id}`, { hostId: two.id });
  a2.say([claimed(port.id)]);
  await a2.until(() => /host one still holds it/.test(a2.port(two.id, port.id)?.why ?? ''));
  assert.equal((await site.must('GET', `/v1/ports/${port.id}`)).status.hostId, one.id);

  a1.say([], [{ kind: 'port', id: port.id }]);
  await a2.until(() => a2.port(two.id, port.id)?.state === 'claimed');
  a2.say([up(port.id)]);
  await settled(() => site.server.parts.liveStatus.claim(port.id)?.hostId === two.id);
  await settled(() => site.server.parts.liveStatus.ofPort(port).state === 'up');
  const { status } = await site.must('GET', `/v1/ports/${port.id}`);
  assert.deepEqual(status, { state: 'up', hostId: two.id });
  await site.close();
});

test('a claim is confirmed to the host that made it, whenever it is made', LIMIT, async () => {
  const site = await openSite();
  const one = await site.host('one');
  const bridge = await site.must('POST', '/v1/bridges', {});
  const port = await boundPort(site, bridge.id, one.id);
  const agent = await site.agent(one);
  const confirmations = (): number =>
    agent.frames.filter(
      (frame) =>
        frame.kind === 'status' && frame.put.some(({ hostId, status }) => hostId === one.id && status.id === port.id),
    ).length;
  agent.say([claimed(port.id)]);
  await agent.until(() => confirmations() === 1);
  assert.equal(site.server.parts.liveStatus.claim(port.id)?.hostId, one.id);
  // The agent has forgotten, and asks again: for the store nothing changes.
  agent.say([claimed(port.id)]);
  await agent.until(() => confirmations() === 2);
  // A connection that comes later has it from the snapshot.
  const later = await site.agent(one);
  await later.until(() => later.port(one.id, port.id)?.state === 'claimed');
  await site.close();
});

test('a host keeps a port whose interface is away, and lets go of one that it says nothing of', LIMIT, async () => {
  const site = await openSite();
  const one = await site.host('one');
  const bridge = await site.must('POST', '/v1/bridges', {});
  const port = await boundPort(site, bridge.id, one.id);
  const agent = await site.agent(one);
  const down: PortStatus = { kind: 'port', id: port.id, state: 'down', why: 'no interface' };
  const holder = () => site.server.parts.liveStatus.claim(port.id)?.hostId;
  agent.say([down]);
  await agent.until(() => agent.port(one.id, port.id)?.state === 'down');
  assert.equal(holder(), one.id);
  agent.say([up(port.id)]);
  await agent.until(() => agent.port(one.id, port.id)?.state === 'up');
  agent.say([down]);
  await agent.until(() => agent.port(one.id, port.id)?.state === 'down');
  assert.equal(holder(), one.id);
  agent.say([], [{ kind: 'port', id: port.id }]);
  await settled(() => holder() === undefined);
  await site.close();
});

test('a host that is gone for good is given up, and its ports are free', LIMIT, async () => {
  const site = await openSite({ leaseSeconds: 1, expireMs: 100 });
  const [one, two] = [await site.host('one'), await site.host('two')];
  const bridge = await site.must('POST', '/v1/bridges', {});
  const port = await boundPort(site, bridge.id, one.id);
  const a1 = await site.agent(one);
  a1.say([up(port.id), mac(bridge.id, '01', port.id)]);
  const { liveStatus } = site.server.parts;
  await settled(() => liveStatus.ofHost(one.id).size === 3);
  const whole = (await site.must('GET', '/v1/status')).revision;
  const a2 = await site.agent(two, [bridge.id]);
  assert.equal(a2.statuses.size, 2);
  assert.equal((await site.must('GET', `/v1/hosts/${one.id}`)).status.alive, true);
  await a1.close();
  // What it left stays while its lease runs, and goes a grace later.
  assert.equal((await site.must('GET', `/v1/hosts/${one.id}`)).status.alive, true);
  await site.must('PATCH', `/v1/ports/${port.id}`, { hostId: two.id });
  a2.say([claimed(port.id)]);
  await a2.until(() => a2.port(two.id, port.id)?.state === 'refused');
  await a2.until(() => a2.port(two.id, port.id)?.state === 'claimed');
  assert.equal(liveStatus.ofHost(one.id).size, 0);
  assert.equal((await site.must('GET', `/v1/hosts/${one.id}`)).status.alive, false);
  // Who watches status is told of each, its life first.
  const { statusHistory } = site.server.parts;
  const gone = statusHistory
    .since(whole)!
    .flatMap(({ changes }) =>
      changes.flatMap(({ hostId, kind, status }) => (hostId === one.id && status === undefined ? [kind] : [])),
    );
  assert.deepEqual([gone[0], gone.slice(1).sort()], ['alive', ['mac', 'port']]);
  await site.close();
});

test('an agent that falls silent is cut, and counts as gone when its lease is over', LIMIT, async () => {
  const site = await openSite({ leaseSeconds: 1 });
  const host = await site.host('one');
  const agent = await site.agent(host);
  const { liveStatus, agents } = site.server.parts;
  await settled(() => liveStatus.alive(host.id) !== undefined);
  // A stopped process: its socket stays open, and nothing is answered.
  agent.pause();
  await settled(() => agents.connected === 0);
  await settled(() => liveStatus.alive(host.id) === undefined);
  assert.ok(site.log.lines.some(({ why }) => why === 'cut an agent: it is silent'));
  await site.close();
});

test('status of a host is as it says, whatever else it sends', LIMIT, async () => {
  const site = await openSite();
  const host = await site.host('one');
  const cases = [
    'not json',
    '{"kind":"hello"}',
    '{"kind":"status","put":[{"kind":"port","id":"x","state":"up"}],"del":[],"reset":false}',
    '{"kind":"status","put":[],"del":[{"kind":"mac","id":"../../config/revision"}],"reset":false}',
    '{"kind":"done","revision":-1}',
  ];
  for (const text of cases) {
    const agent = await site.agent(host);
    agent.sendText(text);
    await agent.until(() => agent.closeCode !== undefined);
    assert.equal(agent.closeCode, 4400, text);
  }
  const early = await TestAgent.connect(site.server.url, host.credential);
  early.say([]);
  await early.until(() => early.closeCode !== undefined);
  assert.equal(early.closeCode, 4400);
  const old = await TestAgent.connect(site.server.url, host.credential);
  old.hello([], 0);
  await old.until(() => old.closeCode !== undefined);
  assert.equal(old.closeCode, 4426);
  await site.close();
});

test('one host has one agent: the newer stays, and a revoked one goes', LIMIT, async () => {
  const site = await openSite();
  const host = await site.host('one');
  const first = await site.agent(host);
  const second = await site.agent(host);
  await first.until(() => first.closeCode !== undefined);
  assert.equal(first.closeCode, 4409);
  assert.equal(second.closeCode, undefined);
  await site.must('DELETE', `/v1/hosts/${host.id}`);
  await second.until(() => second.closeCode !== undefined);
  assert.equal(second.closeCode, 4401);
  await assert.rejects(TestAgent.connect(site.server.url, host.credential), /401/);
  await assert.rejects(TestAgent.connect(site.server.url, site.token), /403/);
  await site.close();
});

test('agents are asked and answer; without an agent the answer is 503', LIMIT, async () => {
  const site = await openSite();
  const host = await site.host('one');
  const path = `/v1/hosts/${host.id}`;
  assert.equal((await site.call('GET', `${path}/flows`)).status, 503);
  assert.equal((await site.call('GET', `/v1/hosts/${randomUUID()}/audit`)).status, 404);
  const agent = await site.agent(host);
  const asked = site.call('GET', `${path}/audit`);
  await agent.until(() => agent.frames.some((frame) => frame.kind === 'request'));
  const request = agent.frames.find((frame) => frame.kind === 'request')!;
  assert.equal(request.method, 'audit');
  agent.send({ kind: 'answer', id: request.id, result: { flows: 3, differences: [] } });
  assert.deepEqual(await (await asked).json(), { flows: 3, differences: [] });

  const failing = site.call('GET', `${path}/flows`);
  await agent.until(() => agent.frames.some((frame) => frame.kind === 'request' && frame.method === 'flows'));
  agent.send({ kind: 'answer', id: request.id + 1, error: 'no data path' });
  const refused = await failing;
  assert.equal(refused.status, 503);
  assert.match(((await refused.json()) as { message: string }).message, /no data path/);

  assert.equal((await site.call('GET', `${path}/flows?portId=${host.id}`)).status, 400);
  const lost = site.call('GET', `${path}/counters?portId=${host.id}`);
  const ofPort = (frame: ServerFrame) => frame.kind === 'request' && frame.method === 'counters' && frame.parameters;
  await agent.until(() => agent.frames.some(ofPort));
  assert.deepEqual(agent.frames.map(ofPort).find(Boolean), { portId: host.id });
  await agent.close();
  assert.equal((await lost).status, 503);
  await site.close();
});

test('metrics hold what hosts count, and do not wait for one that is silent', LIMIT, async () => {
  const site = await openSite();
  const [one, two] = [await site.host('one'), await site.host('two')];
  const [talks] = [await site.agent(one), await site.agent(two)];
  const asking = (frame: ServerFrame) => frame.kind === 'request' && frame.method === 'counters';
  const scrape = async (): Promise<string> => (await site.call('GET', '/metrics')).text();
  const metrics = scrape();
  await talks.until(() => talks.frames.some(asking));
  const { id } = talks.frames.find(asking) as Extract<ServerFrame, { kind: 'request' }>;
  const drops = [{ reason: 'noRoute', words: 'no route', packets: 3, bytes: 300 }];
  talks.send({
    kind: 'answer',
    id,
    result: { drops, misses: 7, lost: 0, total: 0, counters: [], agent: { flows: 5 } },
  });
  const text = await metrics;
  assert.match(text, /\nayatori_drops_total\{host="one",reason="noRoute"\} 3\n/);
  assert.match(text, /\nayatori_misses_total\{host="one"\} 7\n/);
  assert.match(text, /\nayatori_flows\{host="one"\} 5\n/);
  assert.doesNotMatch(text, /host="two"/);
  // What a host no longer tells is not told for it.
  await talks.close();
  assert.doesNotMatch(await scrape(), /host="one"/);
  await site.close();
});

test('applied waits until every host that a change concerns forwards by it', LIMIT, async () => {
  const site = await openSite();
  const [one, two] = [await site.host('one'), await site.host('two')];
  const never = await site.must('POST', '/v1/hosts', { name: 'never joined' });
  const bridge = await site.must('POST', '/v1/bridges', {});
  await boundPort(site, bridge.id, one.id);
  const [a1] = [await site.agent(one), await site.agent(two)];
  const applied = (revision: number, seconds: number) =>
    site.must('GET', `/v1/applied?revision=${revision}&timeoutSeconds=${seconds}`);
  const now = await applied((await site.must('GET', '/v1/version')).revision, 10);
  assert.equal(now.done, true);
  assert.deepEqual(now.hosts.map((host: { name: string }) => host.name).sort(), ['one', 'two']);
  assert.equal(JSON.stringify(now).includes(never.id), false);

  a1.prompt = false;
  const { revision } = await site.must('PATCH', `/v1/bridges/${bridge.id}`, { name: 'x' });
  await a1.until(() => a1.revision === revision);
  const late = await applied(revision, 0);
  assert.equal(late.done, false);
  const byName = (name: string) => late.hosts.find((host: { name: string }) => host.name === name);
  assert.ok(byName('one').revision < revision);
  assert.equal(byName('two').revision, revision);

  const waiting = applied(revision, 10);
  a1.send({ kind: 'done', revision });
  assert.equal((await waiting).done, true);

  // A host with ports that is not there is named, and not done.
  await a1.close();
  const missing = await applied(revision, 0);
  assert.equal(missing.done, false);
  assert.deepEqual(
    missing.hosts.find((host: { name: string }) => host.name === 'one'),
    {
      id: one.id,
      name: 'one',
      alive: true,
    },
  );
  await site.close();
});

test('an agent that reads slowly is sent less often, and ends with the same', LIMIT, async () => {
  const site = await openSite();
  const host = await site.host('one');
  const bridge = await site.must('POST', '/v1/bridges', {});
  const port = await boundPort(site, bridge.id, host.id);
  const agent = await site.agent(host);
  agent.pause();
  const tags = (turn: number): string[] => Array.from({ length: 700 }, (_, at) => `${turn} ${at}`.padEnd(64, 'x'));
  let revision = 0;
  const turns = 300;
  for (let turn = 0; turn < turns; turn++) {
    ({ revision } = await site.must('PATCH', `/v1/ports/${port.id}`, { tags: tags(turn) }));
  }
  const before = agent.frames.length;
  agent.resume();
  await agent.until(() => agent.revision === revision);
  const frames = agent.frames.slice(before).filter(({ kind }) => kind === 'change').length;
  assert.ok(frames < turns, `${frames} frames for ${turns} changes`);
  assert.equal((agent.objects.get(`port/${port.id}`) as { tags: string[] }).tags[0], tags(turns - 1)[0]);
  await site.close();
});

test('where a port is up is told before the port itself', LIMIT, async () => {
  const site = await openSite();
  const [one, two] = [await site.host('one'), await site.host('two')];
  const bridge = await site.must('POST', '/v1/bridges', {});
  const port = await boundPort(site, bridge.id, two.id);
  const [a1, a2] = [await site.agent(one), await site.agent(two)];
  a2.say([up(port.id), mac(bridge.id, '01', port.id)]);
  await settled(() => site.server.parts.liveStatus.ofHost(two.id).size === 3);
  a1.send({ kind: 'subscribe', deviceIds: [bridge.id] });
  await a1.until(() => a1.frames.some(({ kind }) => kind === 'subscribed'));
  assert.deepEqual(
    a1.frames.map(({ kind }) => kind).filter((kind) => kind !== 'heartbeat'),
    ['snapshot', 'status', 'change', 'subscribed'],
  );
  assert.deepEqual(a1.port(two.id, port.id), up(port.id));
  await site.close();
});

test('status about a device goes with the device, and comes back with it', LIMIT, async () => {
  const site = await openSite();
  const [one, two] = [await site.host('one'), await site.host('two')];
  const bridge = await site.must('POST', '/v1/bridges', {});
  const port = await boundPort(site, bridge.id, two.id);
  const other = await boundPort(site, bridge.id, two.id);
  const mine = await boundPort(site, bridge.id, one.id);
  const [a1, a2] = [await site.agent(one), await site.agent(two)];
  a2.say([up(port.id), up(other.id), mac(bridge.id, '01', port.id)]);
  await a1.until(() => a1.statuses.size === 3);
  await site.must('PATCH', `/v1/ports/${mine.id}`, { hostId: two.id });
  await a1.until(() => a1.statuses.size === 0);
  assert.equal(a1.objects.has(`bridge/${bridge.id}`), false);
  // What is said meanwhile does not reach it, and is not missed.
  a2.say([], [{ kind: 'port', id: port.id }]);
  await settled(() => site.server.parts.liveStatus.ofHost(two.id).size === 3);
  await site.must('PATCH', `/v1/ports/${mine.id}`, { hostId: one.id });
  await a1.until(() => a1.objects.has(`bridge/${bridge.id}`));
  assert.deepEqual(
    [...a1.statuses.keys()].sort(),
    [`${two.id}/mac/${mac(bridge.id, '01', port.id).id}`, `${two.id}/port/${other.id}`].sort(),
  );
  await site.close();
});

test('status about a port that is deleted goes with it', LIMIT, async () => {
  const site = await openSite();
  const [one, two] = [await site.host('one'), await site.host('two')];
  const bridge = await site.must('POST', '/v1/bridges', {});
  await boundPort(site, bridge.id, one.id);
  const port = await boundPort(site, bridge.id, two.id);
  const [a1, a2] = [await site.agent(one), await site.agent(two)];
  a2.say([up(port.id)]);
  await a1.until(() => a1.statuses.size === 1);
  await site.must('DELETE', `/v1/ports/${port.id}`);
  await a1.until(() => a1.statuses.size === 0);
  a2.say([], [{ kind: 'port', id: port.id }]);
  await settled(() => site.server.parts.liveStatus.ofHost(two.id).size === 1);
  assert.equal(a1.objects.has(`port/${port.id}`), false);
  await site.close();
});
