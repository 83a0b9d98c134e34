import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { atOnce } from '../lib/steps.ts';
import type { Resource } from './kinds.ts';
import type { Topology } from './nodes.ts';
import { applyChanges, applying, emptyTopology, replacing } from './snapshot.ts';
import { nodesOf } from './testing/nodes.ts';
import { changesArbitrary, putAll, refOf, resourcesOf, sample, sampleId } from './testing/samples.ts';

const build = (put: readonly Resource[]): Topology => applyChanges(emptyTopology(), putAll(...put)).topology;

/** The objects of `now`, at another revision where `before` has one that says something else. */
function revised(before: Topology, now: readonly Resource[]): Resource[] {
  return now.map((object) => {
    const known = before.object(object.kind, object.value.id);
    return known === undefined || isDeepStrictEqual(known, object.value)
      ? object
      : ({ ...object, value: { ...object.value, revision: 2 } } as Resource);
  });
}

test('a snapshot makes of any topology what it makes of nothing, and tells what it altered', () => {
  fc.assert(
    fc.property(changesArbitrary, changesArbitrary, (first, second) => {
      const worlds = [first, second].map((changes) =>
        resourcesOf(changes.reduce((built, one) => applyChanges(built, one).topology, emptyTopology())),
      );
      const before = build(worlds[0]!);
      const wanted = revised(before, worlds[1]!);
      const { topology, changes, put, del } = atOnce(replacing(before, 7, wanted));
      assert.equal(topology.revision, 7);
      assert.deepEqual(nodesOf(topology), nodesOf(build(wanted)));
      const asChange = applyChanges(before, { revision: 7, put, del });
      assert.deepEqual(changes, asChange.changes);
      assert.deepEqual(nodesOf(asChange.topology), nodesOf(topology));
      // What is there at the same revision is not touched.
      assert.deepEqual(atOnce(replacing(topology, 8, wanted)).changes, []);
    }),
    { numRuns: 100 },
  );
});

test('what is half compiled is seen by nobody, and costs nothing when it is given up', () => {
  fc.assert(
    fc.property(changesArbitrary, changesArbitrary, fc.nat(300), (first, second, pieces) => {
      const before = first.reduce((built, one) => applyChanges(built, one).topology, emptyTopology());
      const held = nodesOf(before);
      const put = second.flatMap((change) => change.put);
      const steps = applying(before, { revision: 99, put, del: [] });
      for (let piece = 0; piece < pieces && steps.next().done !== true; piece++);
      assert.deepEqual(nodesOf(before), held);
      const { topology } = applyChanges(before, { revision: 99, put, del: [] });
      assert.deepEqual(nodesOf(before), held);
      assert.equal(topology.revision, 99);
    }),
    { numRuns: 100 },
  );
});

// Random worlds are small; lists of hundreds go other ways (runs that are merged instead of places that are searched).
const PORTS = 400;
const many = fc.record({
  numbers: fc.shuffledSubarray(
    Array.from({ length: PORTS }, (_, at) => at + 1),
    { minLength: PORTS, maxLength: PORTS },
  ),
  first: fc.array(fc.nat(PORTS - 1), { minLength: 20, maxLength: PORTS, size: 'max' }),
  gone: fc.array(fc.nat(PORTS - 1), { maxLength: PORTS, size: 'max' }),
});

test('on devices of hundreds of ports, what comes and goes by hundreds leaves what a fresh start would make', () => {
  fc.assert(
    fc.property(many, ({ numbers, first, gone }) => {
      const port = (at: number, revision: number): Resource => {
        const n = at + 1;
        const onRouter = at % 4 === 0;
        const place = onRouter
          ? { peerId: sampleId('port', n + 1) }
          : { hostId: sampleId('host', 1), interfaceName: 'x' };
        const fields = {
          deviceId: onRouter ? sampleId('router', 1) : sampleId('bridge', 1),
          tunnelKey: numbers[at]! + (revision > 1 && at % 3 === 0 ? 1000 : 0),
          mac: `02:00:00:00:0${at % 3}:${(at % 200).toString(16).padStart(2, '0')}`,
          addresses: [`10.0.${at % 7}.${at % 250}/24`],
          ...place,
        };
        return sample('port', n, { ...fields, revision });
      };
      const devices = [sample('bridge', 1), sample('router', 1)];
      const early = [...new Set(first)].map((at) => port(at, 1));
      const leaves = new Set(gone);
      const late = Array.from({ length: PORTS }, (_, at) => at).filter((at) => !leaves.has(at));
      const before = build([...devices, ...early]);
      const now = [...devices, ...late.map((at) => port(at, 2))];
      const expected = build(now);
      const del = early.filter(({ value }) => leaves.has(Number.parseInt(value.id.slice(-12), 16) - 1)).map(refOf);
      const changed = applyChanges(before, { revision: 2, put: now, del }).topology;
      for (const made of [changed, atOnce(replacing(before, 2, now)).topology]) {
        assert.deepEqual(nodesOf(made), nodesOf(expected));
        assert.deepEqual(made.bridge(sampleId('bridge', 1)), expected.bridge(sampleId('bridge', 1)));
        for (const number of numbers) assert.equal(made.portByNumber(number)?.id, expected.portByNumber(number)?.id);
      }
    }),
    { numRuns: 12 },
  );
});

test('ten times the objects take about ten times the pieces', () => {
  const world = (bridges: number): Resource[] =>
    Array.from({ length: bridges }, (_, b) => [
      sample('bridge', b + 1),
      ...Array.from({ length: 20 }, (_, p) => {
        const n = b * 20 + p + 1;
        const place = { hostId: sampleId('host', 1), interfaceName: 'x', deviceId: sampleId('bridge', b + 1) };
        return sample('port', n, { ...place, mac: `02:00:00:00:${hex(n >> 8)}:${hex(n)}` });
      }),
    ]).flat();
  const pieces = (bridges: number): number => {
    const steps = replacing(emptyTopology(), 1, world(bridges));
    let count = 1;
    while (steps.next().done !== true) count++;
    return count;
  };
  const [few, many] = [pieces(10), pieces(100)];
  assert.ok(many > 8 * few && many < 12 * few, `${few} and ${many}`);
});

const hex = (n: number): string => (n & 255).toString(16).padStart(2, '0');
