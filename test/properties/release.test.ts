// Two agents of one host on a random cloud, of which only one releases what nothing used: guests notice no difference,
// and when it has asked again it knows what the other knows.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { audit } from '../../src/agent/audit.ts';
import { DEVICE_UNUSED_MS, FLOW_IDLE_MS } from '../../src/agent/limits.ts';
import { deviceQuestion } from '../../src/agent/packet/parking.ts';
import { FakeDatapath } from '../../src/agent/testing/fake-datapath.ts';
import { HostScope } from '../../src/agent/testing/host-scope.ts';
import { TestHost } from '../../src/agent/testing/test-host.ts';
import { FlowTable } from '../../src/flow/table.ts';
import { formatPacket } from '../../src/packet/packet.ts';
import { KIND_NAMES } from '../../src/topology/kinds.ts';
import type { Topology } from '../../src/topology/nodes.ts';
import type { ServerFrame } from '../../src/topology/wire.ts';
import { idOf } from '../model.ts';
import { applyEdit, Cloud, type Edit, edit, edits, frameOf, GUESTS, type Packet, packet } from './cloud.ts';

const runs = Number(process.env.PROPERTY_RUNS ?? 120);

/** An agent of host h1 and its server; `serve` says when the server answers. */
class Served {
  readonly host = new TestHost(new FakeDatapath(), new FlowTable(), idOf('h1'));
  readonly #scope: HostScope;
  #heard = 0;

  constructor(topology: () => Topology) {
    this.#scope = new HostScope(idOf('h1'), topology);
    this.#hear(
      this.#scope.answer({
        kind: 'hello',
        wireVersion: 1,
        version: '',
        deviceIds: [],
      }),
    );
  }

  changed(): void {
    this.#hear(this.#scope.changes());
    this.serve();
  }

  serve(): void {
    for (let frame = this.host.told[this.#heard]; frame !== undefined; frame = this.host.told[this.#heard]) {
      this.#heard++;
      this.#hear(this.#scope.answer(frame));
    }
  }

  /** What guests and other hosts get of it. */
  send(port: number, frame: Uint8Array): string[] {
    this.host.datapath.comesUp(frame, port);
    this.host.settle();
    this.serve();
    return this.host.datapath.injected
      .splice(0)
      .map(({ sense, number, frame: sent }) => `${sense} ${number} ${formatPacket(sent)}`)
      .sort();
  }

  /** A day in which nobody sent; `releases`: the server hears of it at once, or with the next packet. */
  day(releases: boolean, heard: boolean): void {
    const { host } = this;
    host.now += DEVICE_UNUSED_MS;
    for (const flow of host.datapath.flows()) host.datapath.age(flow, FLOW_IDLE_MS + 1);
    host.connected = releases;
    host.sweeper.sweep(host.now);
    host.connected = true;
    if (heard) this.serve();
  }

  get devices(): readonly string[] {
    return this.host.subscriptions.deviceIds;
  }

  #hear(frames: readonly ServerFrame[]): void {
    for (const frame of frames) {
      if (frame.kind === 'snapshot' || frame.kind === 'change') this.host.replica.receive(frame);
      if (frame.kind !== 'subscribed') continue;
      this.host.subscriptions.sent(frame.deviceIds);
      this.host.replica.touch(frame.deviceIds.map((id) => ({ question: deviceQuestion(id) })));
    }
    this.host.settle();
  }

  assertSound(): void {
    const { replica, datapath, simulate, now } = this.host;
    const { topology, learned } = replica;
    const wouldTeach = (lesson: Parameters<typeof learned.wouldTeach>[0]) => learned.wouldTeach(lesson, now);
    const report = audit(datapath.flows(), {
      hostId: idOf('h1'),
      topology,
      learned,
      wouldTeach,
      simulate,
    });
    assert.deepEqual(report.differences, []);
  }
}

const known = ({ host }: Served): Map<string, unknown> =>
  new Map(
    KIND_NAMES.flatMap((kind) =>
      [...host.replica.topology.objects(kind)].map(([id, value]) => [`${kind} ${id}`, value]),
    ),
  );

type Day = { readonly kind: 'day'; readonly heard: boolean };
const day: fc.Arbitrary<Day> = fc.record({
  kind: fc.constant('day' as const),
  heard: fc.boolean(),
});
/** Learning is the agents' own here; a guest that comes or goes would bring its bridge into scope for another reason. */
const ofModel = (each: Edit): boolean => each.kind !== 'mac' && each.kind !== 'neighbour';
const here = packet.filter(({ port }) => port.startsWith('p0'));
const event = fc.oneof(
  { weight: 8, arbitrary: here },
  { weight: 2, arbitrary: edit.filter(ofModel) },
  { weight: 1, arbitrary: day },
);

test('an agent that releases what nothing used serves its guests as one that never does, and knows as much when it asked again', () => {
  let released = 0;
  let sent = 0;
  fc.assert(
    fc.property(
      edits(6).map((list) => list.filter(ofModel)),
      fc.array(event, { minLength: 15, maxLength: 50 }),
      fc.array(here, { minLength: 5, maxLength: 10 }),
      (before, events, after) => {
        const cloud = new Cloud();
        for (const each of before) applyEdit(cloud, each);
        // The first bridge and its router are this host's; what is behind them it has to ask for.
        for (const name of GUESTS) {
          if (!name.startsWith('p0')) cloud.model.set('port', name, { hostId: 'h2', interfaceName: 'i' });
        }
        const topology = () => cloud.model.topology;
        const [releasing, keeping] = [new Served(topology), new Served(topology)];
        const told: string[] = [];
        const step = (each: Packet | Edit | Day): void => {
          told.push('words' in each ? `send ${each.port} ${each.words}` : JSON.stringify(each));
          if ('words' in each) {
            const port = topology().port(idOf(each.port));
            if (port?.binding?.hostId !== idOf('h1')) return;
            sent++;
            const frame = frameOf(each.words);
            assert.deepEqual(releasing.send(port.number, frame), keeping.send(port.number, frame), told.join('\n'));
          } else if (each.kind === 'day') {
            const count = releasing.devices.length;
            releasing.day(true, each.heard);
            keeping.day(false, true);
            released += count - releasing.devices.length;
          } else {
            applyEdit(cloud, each);
            releasing.changed();
            keeping.changed();
          }
          for (const each of [releasing, keeping]) each.assertSound();
        };
        for (const each of [...events, ...after]) step(each);
        for (const id of keeping.devices) releasing.host.subscriptions.ask(id, releasing.host.now);
        releasing.serve();
        assert.deepEqual(known(releasing), known(keeping), told.join('\n'));
        for (const each of after) step(each);
        for (const { host } of [releasing, keeping]) {
          assert.deepEqual(
            host.log.lines.filter(({ level }) => level === 'warn' || level === 'error'),
            [],
          );
        }
      },
    ),
    { numRuns: runs },
  );
  assert.ok(released > runs / 40, `only ${released} released`);
  assert.ok(sent > runs, `only ${sent} packets`);
});
