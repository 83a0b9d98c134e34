import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KIND_NAMES, type Kind, type Objects, type Resource, type ResourceRef } from '../../topology/kinds.ts';
import type { Topology } from '../../topology/nodes.ts';
import { applyChanges, emptyTopology } from '../../topology/snapshot.ts';
import { sample, sampleId } from '../../topology/testing/samples.ts';
import type { Config, ConfigStep } from '../state/config.ts';
import { View } from './view.ts';

const PROJECTS = [1, 2].map((number) => sample('project', number));

/** Objects that name each other, of one project or another or none; `undefined` deletes. */
const change = fc.array(
  fc.record({
    kind: fc.constantFrom<Kind>('chain', 'portGroup', 'bridge', 'port', 'rule'),
    number: fc.integer({ min: 1, max: 3 }),
    project: fc.constantFrom(undefined, 1, 2),
    other: fc.integer({ min: 1, max: 3 }),
    isGone: fc.boolean(),
  }),
  { maxLength: 4 },
);
type Drawn = typeof change extends fc.Arbitrary<infer T> ? T : never;

function resourceOf({ kind, number, project, other }: Drawn[number], revision: number): Resource {
  const owner = project === undefined ? {} : { projectId: sampleId('project', project) };
  const chainId = sampleId('chain', other);
  const fields: Partial<Record<Kind, object>> = {
    bridge: { inboundChainId: chainId },
    port: {
      deviceId: sampleId('bridge', other),
      outboundChainId: chainId,
      portGroupIds: [1, 2, 3].slice(0, other).map((one) => sampleId('portGroup', one)),
      peerId: sampleId('port', other),
      hostId: sampleId('host', 1),
      interfaceName: 'tap0',
    },
    rule: { chainId, action: 'accept', match: { inPortIds: [sampleId('port', other)], not: [], invert: false } },
  };
  const rest = { ...owner, ...fields[kind], revision } as Partial<Objects[typeof kind]>;
  return sample(kind, number, rest as never);
}

const contentOf = (topology: Topology) =>
  Object.fromEntries(
    KIND_NAMES.map((kind) => [kind, [...topology.objects(kind).values()].sort((a, b) => (a.id < b.id ? -1 : 1))]),
  );

test('a view that follows changes is what a fresh one would be, and its history leads there', () => {
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 12 }), (changes) => {
      let topology = applyChanges(emptyTopology(), {
        revision: 1,
        put: [...PROJECTS, sample('host', 1)],
        del: [],
      }).topology;
      const scopes = [[1], [2], [1, 2]].map((numbers) => new Set(numbers.map((one) => sampleId('project', one))));
      const configOf = (): Config => ({ topology, revision: topology.revision }) as Config;
      const views = scopes.map((projects) => new View(projects, configOf()));
      const copies = views.map((view) => view.topology);
      for (const [at, drawn] of changes.entries()) {
        const revision = at + 2;
        const put = new Map<string, Resource>();
        const del = new Map<string, ResourceRef>();
        for (const one of drawn) {
          const resource = resourceOf(one, revision);
          const key = `${resource.kind}/${resource.value.id}`;
          put.delete(key);
          del.delete(key);
          if (one.isGone) del.set(key, { kind: resource.kind, id: resource.value.id });
          else put.set(key, resource);
        }
        const taken = { revision, put: [...put.values()], del: [...del.values()] };
        const before = topology;
        topology = applyChanges(before, taken).topology;
        const step: ConfigStep = { before, after: topology, change: taken };
        for (const view of views) view.step(step);
      }
      for (const [at, view] of views.entries()) {
        assert.deepEqual(contentOf(view.topology), contentOf(new View(scopes[at]!, configOf()).topology));
        let copy = copies[at]!;
        for (const seen of view.since(1)!) copy = applyChanges(copy, seen).topology;
        assert.deepEqual(contentOf(copy), contentOf(view.topology));
        assert.equal(view.revision, topology.revision);
      }
    }),
    { numRuns: 200 },
  );
});

test('what is seen names nothing that is not, but what it cannot be without', () => {
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), (changes) => {
      const put = changes.flat().map((one) => resourceOf(one, 1));
      const all = [...PROJECTS, sample('host', 1), ...put];
      const topology = applyChanges(emptyTopology(), { revision: 1, put: all, del: [] }).topology;
      const view = new View(new Set([sampleId('project', 1)]), { topology, revision: 1 } as Config);
      const foreign = all.flatMap(({ kind, value }) =>
        view.topology.object(kind, value.id) === undefined ? [value.id] : [],
      );
      for (const port of view.topology.objects('port').values()) {
        const { deviceId: _, ...rest } = port;
        for (const id of foreign) assert.ok(!JSON.stringify(rest).includes(id));
        assert.equal('interfaceName' in port, false);
      }
      for (const kind of ['bridge', 'chain', 'portGroup', 'host'] as const) {
        for (const object of view.topology.objects(kind).values()) {
          for (const id of foreign) assert.ok(!JSON.stringify(object).includes(id));
        }
      }
    }),
    { numRuns: 200 },
  );
});
