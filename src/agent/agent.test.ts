// Whole agents in one process: real loops, real simulation, the data path in memory, an underlay between them.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextTick } from 'node:timers/promises';
import type { UnderlayHost } from '../datapath/datapath.ts';
import type { MemoryDatapath } from '../datapath/memory.ts';
import { MemoryUnderlay } from '../datapath/testing/memory-underlay.ts';
import { memoryLog } from '../lib/log.ts';
import { parseIp } from '../packet/address.ts';
import { frameOf } from '../packet/words.ts';
import type { Resource } from '../topology/kinds.ts';
import type { PortStatus } from '../topology/status.ts';
import { sample, sampleId } from '../topology/testing/samples.ts';
import type { AuditReport } from '../topology/wire.ts';
import { type Agent, type AgentOptions, startAgent } from './agent.ts';
import type { InterfaceInfo, Machine } from './host/interfaces.ts';
import { FakeServer } from './testing/fake-server.ts';

const LAN = sampleId('bridge', 1);
const macOf = (n: number): string => `02:00:00:00:00:${n.toString(16).padStart(2, '0')}`;
const addressOf = (host: number): string => `192.0.2.${host}`;

const guest = (n: number, host: number, fields: object = {}): Resource =>
  sample('port', n, {
    deviceId: LAN,
    hostId: sampleId('host', host),
    interfaceName: `tap${n}`,
    mac: macOf(n),
    addresses: [`10.0.0.${n}/24`],
    ...fields,
  });
const NETWORK: Resource[] = [
  sample('bridge', 1),
  ...[1, 2].map((n) => sample('host', n, { name: `host${n}` })),
  sample('tunnelZone', 1, { members: [1, 2].map((n) => ({ hostId: sampleId('host', n), address: addressOf(n) })) }),
  guest(5, 1),
  guest(6, 2),
];
const onRouter = { deviceId: sampleId('router', 1) };
const upStatus = (n: number): PortStatus => ({ kind: 'port', id: sampleId('port', n), state: 'up' });
const underlayTo = (local: number, remote: number): UnderlayHost => ({
  ...{ local: parseIp(addressOf(local))!, remote: parseIp(addressOf(remote))! },
  ...{ interfaceName: 'underlay', mtuBytes: 1600 },
});
const packet = (from: number, to: number): string =>
  `eth(${macOf(from)}, ${macOf(to)}) ip(10.0.0.${from}, 10.0.0.${to}) udp(1000, 53)`;

/** Interfaces that tests add and take away; the underlay is reached through `underlay`. */
class FakeMachine implements Machine {
  readonly #found = new Map<string, InterfaceInfo>();
  #onChange: () => void = () => undefined;
  #nextIndex = 1;

  constructor(...names: string[]) {
    this.add('underlay');
    for (const name of names) this.add(name);
  }

  add(name: string): void {
    const info = { name, mac: macOf(0xfe), mtuBytes: 1600, raised: true, up: true, addresses: [], tap: true };
    this.#found.set(name, { ...info, ifindex: this.#nextIndex++ });
    this.#onChange();
  }

  remove(name: string): void {
    this.#found.delete(name);
    this.#onChange();
  }

  interfaces = async () => new Map(this.#found);
  routes: Machine['routes'] = async (ends) =>
    new Map(ends.map((end) => [end.hostId, { ...end, interfaceName: 'underlay' }]));
  interfacesTo = async () => new Set(['management']);
  raise = async () => undefined;
  watch = (onChange: () => void) => {
    this.#onChange = onChange;
    return () => undefined;
  };
}

/** Two hosts, their guests, and who got what. */
class Site {
  readonly underlay = new MemoryUnderlay();
  readonly log = memoryLog();
  readonly received: string[] = [];
  readonly #t: TestContext;
  readonly #datapaths = new Map<number, MemoryDatapath>();
  readonly #directories = new Map<number, string>();
  readonly machines = new Map<number, FakeMachine>();
  readonly agents = new Map<number, Agent>();

  constructor(t: TestContext, machines: readonly FakeMachine[]) {
    this.#t = t;
    machines.forEach((machine, at) => {
      const host = at + 1;
      this.machines.set(host, machine);
      this.#datapaths.set(host, this.underlay.host(parseIp(addressOf(host))!, { now: () => performance.now() }));
      const directory = mkdtempSync(join(tmpdir(), 'ayatori-agent-'));
      this.#directories.set(host, directory);
      t.after(() => rmSync(directory, { recursive: true }));
    });
  }

  datapath(host: number): MemoryDatapath {
    return this.#datapaths.get(host)!;
  }
  directory(host: number): string {
    return this.#directories.get(host)!;
  }

  async startAgent(host: number, server: string, options: Partial<AgentOptions> = {}): Promise<void> {
    const hostId = sampleId('host', host);
    const agent = await startAgent({
      stateDirectory: this.directory(host),
      runDirectory: this.directory(host),
      tunnelUdpPort: 6677,
      version: 'test',
      log: this.log,
      random: () => 0.5,
      datapath: this.datapath(host),
      machine: this.machines.get(host)!,
      identity: { hostId, credential: hostId, servers: [server] },
      ...options,
    });
    this.agents.set(host, agent);
    this.#t.after(() => this.stopAgent(host));
  }

  async stopAgent(host: number): Promise<void> {
    const agent = this.agents.get(host);
    this.agents.delete(host);
    await agent?.close();
  }

  send(host: number, interfaceName: string, words: string): void {
    this.datapath(host).receive(interfaceName, frameOf(words));
  }

  /** `2/tap6`: host and interface of every frame that a guest got since the last call. */
  delivered(): string[] {
    return this.underlay
      .take()
      .flatMap((event) => (event.kind === 'guest' ? [`${Number(event.host) & 0xff}/${event.interfaceName}`] : []));
  }
}

/** Waits for a condition; the test's own time limit is the end of patience. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await nextTick();
}

const isUp = (server: FakeServer, host: number, port: number): boolean => {
  const status = server.status(sampleId('host', host), 'port', sampleId('port', port));
  return status?.kind === 'port' && status.state === 'up';
};

async function audits(server: FakeServer): Promise<void> {
  for (const n of [1, 2]) {
    const report = (await server.ask(sampleId('host', n), 'audit')) as AuditReport;
    assert.deepEqual(report.differences, []);
  }
}

async function site(t: TestContext, ...network: Resource[]) {
  const server = await FakeServer.start(...network);
  t.after(() => server.close());
  const hosts = new Site(t, [new FakeMachine('tap5'), new FakeMachine('tap6')]);
  for (const host of [1, 2]) await hosts.startAgent(host, server.url);
  return { server, hosts };
}

const LIMIT = { timeout: 20_000 };

/** Sends until it arrives: what one host said of its port reaches the other one after a while. */
async function reaches(hosts: Site, host: number, from: string, words: string, to: string): Promise<void> {
  hosts.delivered();
  for (;;) {
    hosts.send(host, from, words);
    await nextTick();
    if (hosts.delivered().includes(to)) return;
  }
}

test('a packet reaches a guest on another host, and nothing differs from a fresh computation', LIMIT, async (t) => {
  const { server, hosts } = await site(t, ...NETWORK);
  await until(() => isUp(server, 1, 5) && isUp(server, 2, 6));
  await reaches(hosts, 1, 'tap5', packet(5, 6), '2/tap6');
  await reaches(hosts, 2, 'tap6', packet(6, 5), '1/tap5');
  await audits(server);
  assert.deepEqual(
    hosts.log.lines.filter(({ level }) => level === 'error'),
    [],
  );
});

test('a receiving agent that is gone is not needed for a first-ever flow', LIMIT, async (t) => {
  const { server, hosts } = await site(t, ...NETWORK);
  await until(() => isUp(server, 1, 5) && isUp(server, 2, 6));
  await reaches(hosts, 1, 'tap5', packet(5, 6), '2/tap6');
  await hosts.stopAgent(2);
  await reaches(hosts, 1, 'tap5', packet(5, 6).replace('udp(1000, 53)', 'tcp(1, 2)'), '2/tap6');
});

test('a packet that waits for a device finds its ports wired when the device has come', LIMIT, async (t) => {
  const [far, behind] = [
    sampleId('bridge', 2),
    guest(6, 2, { deviceId: sampleId('bridge', 2), addresses: ['10.0.1.6/24'] }),
  ];
  const gateways: Resource[] = [
    sample('router', 1),
    sample('port', 7, { ...onRouter, mac: macOf(7), addresses: ['10.0.0.1/24'], peerId: sampleId('port', 8) }),
    sample('port', 8, { deviceId: LAN, peerId: sampleId('port', 7) }),
    sample('port', 9, { ...onRouter, mac: macOf(9), addresses: ['10.0.1.1/24'], peerId: sampleId('port', 10) }),
    sample('port', 10, { deviceId: far, peerId: sampleId('port', 9) }),
  ];
  const server = await FakeServer.start(...NETWORK.slice(0, 5), ...gateways);
  t.after(() => server.close());
  // As a server tells them (where a port is up before the port itself), in one go.
  server.beforeSubscribed = [
    { kind: 'status', put: [{ hostId: sampleId('host', 2), status: upStatus(6) }], del: [] },
    { kind: 'change', revision: 2, put: [sample('bridge', 2), behind], del: [], more: false },
  ];
  const hosts = new Site(t, [new FakeMachine('tap5'), new FakeMachine('tap6')]);
  const receiver = hosts.datapath(2);
  receiver.plug(6, 'tap6', { tap: false });
  receiver.setDelivery(6, { kind: 'local', interfaceName: 'tap6' });
  receiver.setHost(1, underlayTo(2, 1));
  await hosts.startAgent(1, server.url);
  await until(() => isUp(server, 1, 5));
  hosts.send(1, 'tap5', `eth(${macOf(5)}, ${macOf(7)}) ip(10.0.0.5, 10.0.1.6) udp(1000, 53)`);
  await until(() => server.subscribed(sampleId('host', 1)).includes(far));
  const gone = () =>
    hosts
      .datapath(1)
      .counters()
      .filter(({ kind }) => kind === 'drop' || kind === 'tunnelTx');
  await until(() => gone().length > 0);
  assert.deepEqual(hosts.delivered(), ['2/tap6']);
});

test('a change is done when no host forwards by the one before', LIMIT, async (t) => {
  const { server, hosts } = await site(t, ...NETWORK);
  await until(() => isUp(server, 1, 5) && isUp(server, 2, 6));
  await reaches(hosts, 1, 'tap5', packet(5, 6), '2/tap6');
  server.change([guest(6, 2, { adminUp: false })]);
  await until(() => [1, 2].every((n) => server.done.get(sampleId('host', n)) === server.revision));
  hosts.delivered();
  for (let n = 0; n < 20; n++) {
    hosts.send(1, 'tap5', packet(5, 6));
    await nextTick();
  }
  assert.deepEqual(hosts.delivered(), []);
  await audits(server);
});

test('an interface that appears is plugged and reported, and one that goes is reported down', LIMIT, async (t) => {
  const { server, hosts } = await site(t, ...NETWORK, guest(7, 2));
  const status = () => server.status(sampleId('host', 2), 'port', sampleId('port', 7));
  await until(() => status() !== undefined);
  assert.deepEqual(status(), {
    kind: 'port',
    id: sampleId('port', 7),
    state: 'down',
    why: 'no interface tap7 on the host',
  });
  hosts.machines.get(2)!.add('tap7');
  await until(() => isUp(server, 2, 7));
  await reaches(hosts, 1, 'tap5', packet(5, 7), '2/tap7');
  const reported = server.status(sampleId('host', 2), 'interface', 'tap7');
  assert.equal(reported?.kind === 'interface' ? reported.portId : undefined, sampleId('port', 7));
  hosts.machines.get(2)!.remove('tap7');
  await until(() => !isUp(server, 2, 7));
  assert.equal(
    hosts
      .datapath(2)
      .plugged()
      .some(({ port }) => port === 7),
    false,
  );
});

test(
  'the device of a port that moved away stays in scope, so that what others still send here is sent on',
  LIMIT,
  async (t) => {
    const { server, hosts } = await site(t, ...NETWORK);
    const one = sampleId('host', 1);
    await until(() => isUp(server, 1, 5) && isUp(server, 2, 6));
    hosts.machines.get(1)!.remove('tap5');
    hosts.machines.get(2)!.add('tap5');
    await until(() => !isUp(server, 1, 5));
    // The server takes out of scope what no port of host 1 needs any more.
    server.move(guest(5, 2), one);
    await until(() => server.subscribed(one).includes(LAN));
    server.say(one, {
      kind: 'change',
      revision: server.revision,
      put: [guest(5, 2), guest(6, 2)],
      del: [],
      more: false,
    });
    await until(() => isUp(server, 2, 5));
    await until(() => hosts.datapath(1).places().get(5)?.kind === 'remote');
  },
);

test('a port is not put where the host would be cut off, and own devices are not shown', LIMIT, async (t) => {
  const lifelines = ['underlay', 'management', 'aya-vx'];
  const ports = lifelines.map((interfaceName, at) => guest(11 + at, 2, { interfaceName }));
  const server = await FakeServer.start(...NETWORK, ...ports);
  t.after(() => server.close());
  const hosts = new Site(t, [new FakeMachine('tap5'), new FakeMachine('tap6', 'management', 'aya-vx', 'aya-inj0')]);
  for (const host of [1, 2]) await hosts.startAgent(host, server.url);
  await until(() => isUp(server, 1, 5) && isUp(server, 2, 6));
  for (const [at, name] of lifelines.entries()) {
    const status = server.status(sampleId('host', 2), 'port', sampleId('port', 11 + at));
    assert.equal(status?.kind === 'port' ? status.state : undefined, 'down');
    assert.match(
      status?.kind === 'port' ? status.why! : '',
      new RegExp(`interface ${name} .*: bind the port to another`),
    );
  }
  assert.deepEqual(
    hosts
      .datapath(2)
      .plugged()
      .map(({ interfaceName }) => interfaceName),
    ['tap6'],
  );
  const shown = (name: string) => server.status(sampleId('host', 2), 'interface', name) !== undefined;
  assert.deepEqual(['tap6', 'underlay', 'aya-vx', 'aya-inj0'].map(shown), [true, true, false, false]);
  const carried = (name: string) => {
    const status = server.status(sampleId('host', 2), 'interface', name);
    return status?.kind === 'interface' ? status.portId : undefined;
  };
  assert.deepEqual(['tap6', 'underlay'].map(carried), [sampleId('port', 6), undefined]);
  await reaches(hosts, 1, 'tap5', packet(5, 6), '2/tap6');
});

test('an address that one host learned is known to the other, and followed when it moves there', LIMIT, async (t) => {
  const unknown = { mac: undefined, addresses: [] };
  const { server, hosts } = await site(t, ...NETWORK.slice(0, 4), guest(5, 1, unknown), guest(6, 2, unknown));
  await until(() => isUp(server, 1, 5) && isUp(server, 2, 6));
  const id = `${LAN},0,${macOf(0xaa)}`;
  const words = packet(0xaa, 0xbb);
  hosts.send(1, 'tap5', words);
  await until(() => server.status(sampleId('host', 1), 'mac', id) !== undefined);
  await reaches(hosts, 2, 'tap6', packet(0xbb, 0xaa), '1/tap5');
  // Flooded it gets there too: the other host must have heard of the address before it moves.
  const floods = () =>
    hosts
      .datapath(2)
      .flows()
      .some(({ actions }) => actions.some(({ kind }) => kind === 'flood'));
  await until(() => !floods());
  hosts.send(2, 'tap6', words);
  await until(() => server.status(sampleId('host', 1), 'mac', id) === undefined);
  assert.notEqual(server.status(sampleId('host', 2), 'mac', id), undefined);
  await reaches(hosts, 1, 'tap5', packet(0xbb, 0xaa), '2/tap6');
  await audits(server);
});

test('an agent takes over what its predecessor left, with no server and without a packet lost', LIMIT, async (t) => {
  const { server, hosts } = await site(t, ...NETWORK);
  await until(() => isUp(server, 1, 5) && isUp(server, 2, 6));
  await reaches(hosts, 1, 'tap5', packet(5, 6), '2/tap6');
  const before = hosts
    .datapath(1)
    .flows()
    .map(({ key, mask, actions }) => ({ key, mask, actions }));
  const url = server.url;
  await hosts.stopAgent(1);
  await server.close();
  hosts.delivered();
  hosts.send(1, 'tap5', packet(5, 6));
  assert.deepEqual(hosts.delivered(), ['2/tap6']);

  await hosts.startAgent(1, url);
  for (let n = 0; n < 20; n++) {
    hosts.send(1, 'tap5', packet(5, 6));
    await nextTick();
  }
  assert.deepEqual(hosts.delivered(), new Array(20).fill('2/tap6'));
  const after = hosts
    .datapath(1)
    .flows()
    .map(({ key, mask, actions }) => ({ key, mask, actions }));
  assert.deepEqual(after, before);
  await reaches(hosts, 1, 'tap5', packet(5, 6).replace('udp(1000, 53)', 'tcp(1, 2)'), '2/tap6');
});

test('with a damaged copy on disk the kernel goes on, and the server brings the rest', LIMIT, async (t) => {
  const { server, hosts } = await site(t, ...NETWORK);
  await until(() => isUp(server, 1, 5) && isUp(server, 2, 6));
  await reaches(hosts, 1, 'tap5', packet(5, 6), '2/tap6');
  await hosts.stopAgent(1);
  const path = join(hosts.directory(1), 'journal');
  writeFileSync(path, readFileSync(path, 'utf8').replace('"kind"', '"KIND"'));
  await hosts.startAgent(1, server.url);
  assert.ok(hosts.log.lines.some(({ why }) => /damaged/.test(why)));
  hosts.delivered();
  hosts.send(1, 'tap5', packet(5, 6));
  assert.deepEqual(hosts.delivered(), ['2/tap6']);
  await reaches(hosts, 1, 'tap5', packet(5, 6).replace('udp(1000, 53)', 'tcp(1, 2)'), '2/tap6');
  await audits(server);
});

test('frames that make no sense stop neither the agent nor its next start', LIMIT, async (t) => {
  const { server, hosts } = await site(t, ...NETWORK);
  await until(() => isUp(server, 1, 5) && isUp(server, 2, 6));
  await reaches(hosts, 1, 'tap5', packet(5, 6), '2/tap6');
  const senseless = [
    null,
    { kind: 'snapshot' },
    { kind: 'change', revision: 9, put: [{ kind: 'bridge' }], del: [], more: false },
    { kind: 'status', put: [{ hostId: 'x' }], del: [] },
  ];
  for (const frame of senseless) {
    const hellos = server.hellos;
    server.say(sampleId('host', 1), frame);
    await until(() => server.hellos > hellos);
    await reaches(hosts, 1, 'tap5', packet(5, 6), '2/tap6');
  }
  await hosts.stopAgent(1);
  await hosts.startAgent(1, server.url);
  server.change([]);
  await until(() => server.done.get(sampleId('host', 1)) === server.revision);
  await reaches(hosts, 1, 'tap5', packet(5, 6).replace('udp(1000, 53)', 'tcp(1, 2)'), '2/tap6');
  await audits(server);
});

test('requests of the server are answered', LIMIT, async (t) => {
  const { server, hosts } = await site(t, ...NETWORK);
  await until(() => isUp(server, 1, 5) && isUp(server, 2, 6));
  await reaches(hosts, 1, 'tap5', packet(5, 6), '2/tap6');
  const flows = (await server.ask(sampleId('host', 1), 'flows')) as { total: number; flows: { actions: string }[] };
  assert.equal(flows.total, 1);
  assert.deepEqual(
    flows.flows.map(({ actions }) => actions),
    ['output 6'],
  );
  const counters = (await server.ask(sampleId('host', 1), 'counters')) as { agent: Record<string, number> };
  assert.ok(counters.agent.packets! >= 1);
  assert.equal(await server.ask(sampleId('host', 1), 'nonsense' as never), 'this agent knows no request "nonsense"');
});
