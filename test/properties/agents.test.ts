// Two real agents on random clouds, over the in-memory data path and over the kernel's program: after any changes and
// packets, what they cached is what a fresh walk says, and guests get what simulate() alone says that they get.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatPacket } from '../../src/packet/packet.ts';
import { idOf } from '../model.ts';
import type { Engine } from '../scenarios/engine.ts';
import { KernelFabric, MemoryFabric } from '../scenarios/fabrics.ts';
import { type Fabric, HostsEngine } from '../scenarios/hosts.ts';
import { PureEngine } from '../scenarios/pure.ts';
import { applyEdit, Cloud, type Edit, edit, edits, frameOf, type Packet, packet } from './cloud.ts';

const runs = Number(process.env.PROPERTY_RUNS ?? 120);

/** Each host asks for a neighbour on its own, and not again while it waits: when is nobody's to compare. */
const ROUTER_ASKS = / < 02:(aa|bb):.* who-has /;

/** Learning is the agents' own here. */
const ofModel = (each: Edit): boolean => each.kind !== 'mac' && each.kind !== 'neighbour';
const event = fc.oneof({ weight: 3, arbitrary: packet }, { weight: 2, arbitrary: edit.filter(ofModel) });
const beginning = edits(8).map((list) => list.filter(ofModel));

async function deliveries(engine: Engine, { port, words }: Packet): Promise<string[]> {
  const { deliveries: got } = await engine.send(port, frameOf(words));
  return got
    .map((each) => `${each.port} < ${formatPacket(each.frame)}`)
    .filter((line) => !ROUTER_ASKS.test(line))
    .sort();
}

const isBound = (cloud: Cloud, port: string): boolean => cloud.model.topology.port(idOf(port))?.binding !== undefined;

async function agree(open: (clock: { ms: number }) => Fabric, numRuns: number): Promise<void> {
  let sent = 0;
  await fc.assert(
    fc.asyncProperty(beginning, fc.array(event, { minLength: 10, maxLength: 40 }), async (before, events) => {
      const cloud = new Cloud();
      for (const each of before) applyEdit(cloud, each);
      const clock = { ms: 1_000 };
      const hosts = new HostsEngine(cloud.model, open(clock), clock);
      const pure = new PureEngine(cloud.model);
      try {
        await hosts.change();
        const told: string[] = [];
        for (const each of events) {
          if ('words' in each) {
            if (!isBound(cloud, each.port)) continue;
            told.push(`send ${each.port} ${each.words}`);
            assert.deepEqual(await deliveries(hosts, each), await deliveries(pure, each), told.join('\n'));
            sent++;
          } else {
            told.push(JSON.stringify(each));
            applyEdit(cloud, each);
            await hosts.change();
            await pure.change();
          }
          for (const report of hosts.audit()) assert.deepEqual(report.differences, [], told.join('\n'));
        }
      } finally {
        await hosts.close();
      }
    }),
    { numRuns },
  );
  assert.ok(sent > numRuns * 5, `only ${sent} packets`);
}

test('agents cache what a fresh walk says, and guests get what simulate() says', () =>
  agree((clock) => new MemoryFabric(clock), runs));

test(
  'so they do over the kernel’s program',
  { skip: process.getuid?.() === 0 ? undefined : 'loading programs is for root' },
  () => agree(() => new KernelFabric(), Math.ceil(runs / 4)),
);
