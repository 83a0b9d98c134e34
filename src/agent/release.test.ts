// A whole agent and the devices that its packets come through, day after day and across restarts.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextTick } from 'node:timers/promises';
import type { MemoryDatapath } from '../datapath/memory.ts';
import { MemoryUnderlay } from '../datapath/testing/memory-underlay.ts';
import type { FlowMask } from '../flow/fields.ts';
import { memoryLog } from '../lib/log.ts';
import { parseIp } from '../packet/address.ts';
import { frameOf } from '../packet/words.ts';
import type { Resource } from '../topology/kinds.ts';
import { sample, sampleId } from '../topology/testing/samples.ts';
import { type Agent, startAgent } from './agent.ts';
import type { Machine } from './host/interfaces.ts';
import { DEVICE_UNUSED_MS, SWEEP_MS } from './limits.ts';
import { FakeServer } from './testing/fake-server.ts';

const LIMIT = { timeout: 20_000 };
const HERE = sampleId('host', 1);
const ELSEWHERE = sampleId('host', 2);
const [LAN, ROUTER, BEHIND] = [sampleId('bridge', 1), sampleId('router', 1), sampleId('router', 2)];
const mac = (n: number): string => `02:00:00:00:00:${n.toString(16).padStart(2, '0')}`;
const port = (n: number, deviceId: string, fields: object): Resource =>
  sample('port', n, { deviceId, mac: mac(n), ...fields });

/** Guest 5 on a bridge with a router; guest 6 elsewhere, at a second router behind that. */
const NETWORK: Resource[] = [
  ...[1, 2].map((n) => sample('host', n, { name: `host${n}` })),
  sample('bridge', 1),
  sample('router', 1),
  sample('router', 2),
  port(5, LAN, { hostId: HERE, interfaceName: 'tap5', addresses: ['10.1.0.5/24'] }),
  port(8, LAN, { peerId: sampleId('port', 7) }),
  port(7, ROUTER, { peerId: sampleId('port', 8), addresses: ['10.1.0.1/24'] }),
  port(9, ROUTER, { peerId: sampleId('port', 10), addresses: ['10.9.0.1/30'] }),
  port(10, BEHIND, { peerId: sampleId('port', 9), addresses: ['10.9.0.2/30'] }),
  port(6, BEHIND, { hostId: ELSEWHERE, interfaceName: 'tap6', addresses: ['10.2.0.1/24'] }),
  sample('route', 1, {
    routerId: ROUTER,
    destination: '10.2.0.0/24',
    nextHop: 'port',
    portId: sampleId('port', 9),
    gateway: '10.9.0.2',
  }),
];
// Refused by the last router of its way, which has to be known for that.
const packet = frameOf(`eth(${mac(5)}, ${mac(7)}) ip(10.1.0.5, 10.3.0.1) udp(1000, 53)`);
const TO_BEHIND = sample('route', 2, {
  routerId: ROUTER,
  destination: '10.3.0.0/24',
  nextHop: 'port',
  portId: sampleId('port', 9),
  gateway: '10.9.0.2',
});
const REFUSED = sample('route', 3, { routerId: BEHIND, destination: '10.3.0.0/24', nextHop: 'blackhole' });

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await nextTick();
}

class Rig {
  readonly datapath: MemoryDatapath;
  readonly log = memoryLog();
  readonly server: FakeServer;
  /** What the clocks are ahead: the steady one, that of the wall. */
  steadyMs = 0;
  wallMs = 0;
  readonly #directory = mkdtempSync(join(tmpdir(), 'ayatori-agent-'));
  #agent: Agent | undefined;

  static async open(t: TestContext): Promise<Rig> {
    const rig = new Rig(t, await FakeServer.startScoped(...NETWORK, TO_BEHIND, REFUSED));
    t.after(async () => {
      await rig.stop();
      await rig.server.close();
      rmSync(rig.#directory, { recursive: true });
    });
    await rig.start();
    await until(() => rig.server.status(HERE, 'port', sampleId('port', 5)) !== undefined);
    return rig;
  }

  private constructor(t: TestContext, server: FakeServer) {
    this.server = server;
    const [steady, wall] = [performance.now.bind(performance), Date.now];
    t.mock.method(performance, 'now', () => steady() + this.steadyMs);
    t.mock.method(Date, 'now', () => wall() + this.wallMs);
    this.datapath = new MemoryUnderlay().host(parseIp('192.0.2.1')!, { now: () => performance.now() });
  }

  async start(): Promise<void> {
    const info = { mac: mac(0xfe), mtuBytes: 1600, raised: true, up: true, addresses: [], tap: true };
    const machine: Machine = {
      interfaces: async () => new Map([['tap5', { ...info, name: 'tap5', ifindex: 1 }]]),
      routes: async () => new Map(),
      interfacesTo: async () => new Set(),
      raise: async () => undefined,
      watch: () => () => undefined,
    };
    this.#agent = await startAgent({
      stateDirectory: this.#directory,
      runDirectory: this.#directory,
      tunnelUdpPort: 6677,
      version: 'test',
      random: () => 0,
      log: this.log,
      datapath: this.datapath,
      machine,
      identity: { hostId: HERE, credential: HERE, servers: [this.server.url] },
    });
  }

  async stop(): Promise<void> {
    await this.#agent?.close();
    this.#agent = undefined;
  }

  get subscribed(): readonly string[] {
    return this.server.subscribed(HERE);
  }

  get journal(): string {
    return readFileSync(join(this.#directory, 'journal'), 'utf8');
  }

  /** Sends until the kernel knows what to do. */
  async send(): Promise<void> {
    const dropped = () => this.datapath.flows().some(({ actions }) => actions.some(({ kind }) => kind === 'drop'));
    while (!dropped()) {
      this.datapath.receive('tap5', packet);
      await nextTick();
    }
  }

  /** The agent has looked at every flow: one that nobody knows is gone. */
  async swept(): Promise<void> {
    const [flow] = this.datapath.flows();
    const stray = { ...flow!, mask: flow!.mask.map(() => 0xff) as FlowMask };
    this.datapath.install([stray]);
    this.steadyMs += SWEEP_MS;
    await until(() => this.datapath.flows().length === 1);
  }

  /** The flows that are there count as used this long ago. */
  later(ms: number): void {
    this.steadyMs += ms;
    this.wallMs += ms;
  }

  /** A day passes, and as many sweeps as it takes: one may come before the server has said that it sent everything. */
  async release(): Promise<void> {
    this.later(DEVICE_UNUSED_MS);
    while (this.subscribed.length > 0) {
      this.later(SWEEP_MS);
      await nextTick();
    }
  }

  assertQuiet(): void {
    assert.deepEqual(
      this.log.lines.filter(({ level }) => level === 'warn' || level === 'error'),
      [],
    );
  }
}

test('a device is released after a day, and a later packet has it back', LIMIT, async (t) => {
  const rig = await Rig.open(t);
  await rig.send();
  assert.deepEqual(rig.subscribed, [BEHIND]);
  await rig.release();
  // Its objects leave, which the agent says it is done with.
  rig.server.change([]);
  await until(() => rig.journal.includes(`"del":[{"kind":"router","id":"${BEHIND}"}`));
  await rig.send();
  assert.deepEqual(rig.subscribed, [BEHIND]);
  rig.assertQuiet();
});

test('a device that was released is not brought back by a restart, one that is used is', LIMIT, async (t) => {
  const rig = await Rig.open(t);
  await rig.send();
  await rig.stop();
  const hellos = rig.server.hellos;
  await rig.start();
  await until(() => rig.server.hellos > hellos);
  assert.deepEqual(rig.subscribed, [BEHIND]);
  await rig.release();
  await rig.stop();
  await rig.start();
  await until(() => rig.server.hellos > hellos + 1);
  assert.deepEqual(rig.subscribed, []);
  await rig.send();
  assert.deepEqual(rig.subscribed, [BEHIND]);
  rig.assertQuiet();
});

test('the day goes on while no agent runs, unless the kernel shows that flows were used', LIMIT, async (t) => {
  const rig = await Rig.open(t);
  await rig.send();
  await rig.stop();
  rig.wallMs += 2 * DEVICE_UNUSED_MS;
  const { hellos } = rig.server;
  await rig.start();
  await until(() => rig.server.hellos > hellos);
  // Its answer comes after all that a hello brings.
  await rig.server.ask(HERE, 'flows');
  rig.datapath.receive('tap5', packet);
  await rig.swept();
  assert.deepEqual(rig.subscribed, [BEHIND]);

  await rig.stop();
  rig.datapath.remove(rig.datapath.flows());
  rig.wallMs += 2 * DEVICE_UNUSED_MS;
  await rig.start();
  rig.steadyMs += SWEEP_MS;
  await until(() => rig.server.hellos > hellos + 1 && rig.subscribed.length === 0);
  rig.assertQuiet();
});
