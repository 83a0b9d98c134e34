import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import type { Ip4, Prefix } from '../packet/address.ts';
import type { Action } from './actions.ts';
import {
  ETHER_TYPE,
  FIELD,
  type FlowKey,
  type FlowMask,
  markField,
  markPrefix,
  maskCovers,
  maskedKey,
  newKey,
  portOf,
  sameBytes,
  setIp,
  setU16,
  setU32,
} from './fields.ts';
import { type Decided, type Flow, FlowTable } from './table.ts';
import { type Tag, type Touch, touches } from './tags.ts';

const output = (port: number): Action[] => [{ kind: 'output', port }];

function keyOf(port: number, destination: number): FlowKey {
  const key = newKey();
  setU32(key, FIELD.port.at, port);
  setU16(key, FIELD.etherType.at, ETHER_TYPE.ip4);
  setIp(key, FIELD.destination.at, destination as Ip4);
  return key;
}

function lookAt(destinationBits: number): FlowMask {
  const mask = newKey();
  markField(mask, FIELD.port);
  markField(mask, FIELD.flood);
  markField(mask, FIELD.etherType);
  markPrefix(mask, FIELD.destination.at, destinationBits, 4);
  return mask;
}

function decide(port: number, destination: number, bits: number, more: Partial<Decided> = {}): Decided {
  return { key: keyOf(port, destination), wantedMask: lookAt(bits), actions: output(9), tags: [], ...more };
}

const prefix = (ip: number, bits: number): Prefix => ({ ip: ip as Ip4, bits });

test('a packet of the class finds the flow, another does not', () => {
  const table = new FlowTable();
  const { install } = table.add(decide(1, 0x0a000107, 24));
  assert.equal(table.find(keyOf(1, 0x0a000163)), install[0]);
  assert.equal(table.find(keyOf(1, 0x0a000207)), undefined);
  assert.equal(table.find(keyOf(2, 0x0a000107)), undefined);
  assert.deepEqual(install[0]!.key, maskedKey(keyOf(1, 0x0a000107), install[0]!.mask));
});

test('a verdict for a class that is there overwrites it in place', () => {
  const table = new FlowTable();
  const first = table.add(decide(1, 0x0a000107, 24)).install[0]!;
  const again = table.add(decide(1, 0x0a000108, 24, { actions: output(7), why: 'moved' }));
  assert.deepEqual(again, { install: [first], remove: [] });
  assert.deepEqual([first.actions, first.why, table.size], [output(7), 'moved', 1]);
});

test('a flow decided again under the same bits stays, under others it is replaced', () => {
  const table = new FlowTable();
  const old = table.add(decide(1, 0x0a000107, 24)).install[0]!;
  const { key, mask } = old;
  assert.deepEqual(table.add(decide(1, 0x0a000100, 16), old), { install: [old], remove: [] });
  const { install, remove } = table.add(decide(1, 0x0a000100, 32), old);
  assert.deepEqual(remove, [{ key, mask }]);
  assert.notEqual(install[0], old);
  assert.equal(table.has(old), false);
  assert.equal(table.size, 1);
});

test('a touch finds the flows that asked, by question, prefix and position', () => {
  const table = new FlowTable();
  const flow = (n: number, tags: Tag[]) => table.add(decide(n, 0, 0, { tags })).install[0]!;
  const near = flow(1, [{ question: 'routes/r', prefix: prefix(0x0a000100, 24) }, { question: 'port/1' }]);
  const far = flow(2, [{ question: 'routes/r', prefix: prefix(0x0b000000, 8) }]);
  const early = flow(3, [{ question: 'chain/c', upTo: 2 }]);
  const late = flow(4, [{ question: 'chain/c', upTo: Number.POSITIVE_INFINITY }]);
  const touched = (...changes: Touch[]) => [...table.touchedBy(changes)].sort((a, b) => a.port - b.port);
  assert.deepEqual(touched({ question: 'routes/r', prefix: prefix(0x0a000000, 8) }), [near]);
  assert.deepEqual(touched({ question: 'routes/r' }), [near, far]);
  assert.deepEqual(touched({ question: 'chain/c', at: 3 }), [late]);
  assert.deepEqual(touched({ question: 'chain/c', at: 1 }), [early, late]);
  assert.deepEqual(touched({ question: 'routes/other' }), []);
  table.remove(near);
  assert.deepEqual(touched({ question: 'port/1' }, { question: 'routes/r' }), [far]);
});

test('each port has a share, the table has a size, and the caller is told which is used up', () => {
  const table = new FlowTable({ flows: 3, flowsPerPort: 2 });
  table.add(decide(1, 1, 32));
  const second = table.add(decide(1, 2, 32)).install[0]!;
  assert.deepEqual(table.add(decide(1, 3, 32)), { install: [], remove: [], refused: 'portFull' });
  table.add(decide(2, 1, 32));
  assert.equal(table.add(decide(3, 1, 32)).refused, 'tableFull');
  assert.equal(table.add(decide(1, 2, 32, { actions: output(5) })).refused, undefined);
  assert.equal(table.add(decide(1, 4, 32), second).refused, undefined);
  assert.deepEqual([table.size, table.sizeOf(1), table.sizeOf(2), table.sizeOf(3)], [3, 2, 1, 0]);
  assert.equal(
    table.masks.live.reduce((sum, { flows }) => sum + flows, 0),
    3,
  );
});

test('a flow that is removed twice is told to the data path once', () => {
  const table = new FlowTable();
  const flow = table.add(decide(1, 1, 32)).install[0]!;
  assert.notEqual(table.remove(flow), undefined);
  assert.equal(table.remove(flow), undefined);
  assert.deepEqual([table.size, table.sizeOf(1), table.masks.live.length, [...table].length], [0, 0, 0, 0]);
});

test('flows may be removed while all are gone through', () => {
  const table = new FlowTable();
  for (let n = 0; n < 3000; n++) table.add(decide(1, n, 32));
  let seen = 0;
  for (const flow of table) {
    seen++;
    table.remove(flow);
  }
  assert.deepEqual([seen, table.size], [3000, 0]);
});

/** The same by scanning a list. It takes the masks that the table chose: those have their own tests. */
class ListTwin {
  readonly flows: { key: FlowKey; mask: FlowMask; actions: readonly Action[]; tags: readonly Tag[] }[] = [];
  put(key: FlowKey, mask: FlowMask, actions: readonly Action[], tags: readonly Tag[]): void {
    this.remove(key, mask);
    this.flows.push({ key: maskedKey(key, mask), mask, actions, tags });
  }
  remove(key: FlowKey, mask: FlowMask): void {
    const masked = maskedKey(key, mask);
    const at = this.flows.findIndex((flow) => sameBytes(flow.mask, mask) && sameBytes(flow.key, masked));
    if (at >= 0) this.flows.splice(at, 1);
  }
  covering(key: FlowKey) {
    return this.flows.filter((flow) => sameBytes(maskedKey(key, flow.mask), flow.key));
  }
  touchedBy(changes: readonly Touch[]) {
    return this.flows.filter(({ tags }) => changes.some((touch) => tags.some((tag) => touches(touch, tag))));
  }
}

const describe = ({ key, mask, actions }: Pick<Flow, 'key' | 'mask' | 'actions'>) =>
  `${key}|${mask}|${JSON.stringify(actions)}`;

const smallIp = fc.tuple(fc.nat(3), fc.nat(3), fc.nat(3)).map(([a, b, c]) => (10 << 24) + (a << 16) + (b << 8) + c);
const somePrefix = fc
  .tuple(smallIp, fc.constantFrom(8, 16, 24, 32))
  .map(([ip, bits]) => prefix(Number((BigInt(ip) >> BigInt(32 - bits)) << BigInt(32 - bits)), bits));
const question = fc.constantFrom('routes/a', 'routes/b', 'chain/c');
const position = fc.constantFrom(1, 2, 5, Number.POSITIVE_INFINITY);
const tag: fc.Arbitrary<Tag> = fc.oneof(
  fc.record({ question }),
  fc.record({ question, prefix: somePrefix }),
  fc.record({ question, upTo: position }),
);
const touch: fc.Arbitrary<Touch> = fc.oneof(
  fc.record({ question }),
  fc.record({ question, prefix: somePrefix }),
  fc.record({ question, at: fc.nat(6) }),
);
const step = fc.oneof(
  fc.record({
    do: fc.constant('add' as const),
    port: fc.integer({ min: 1, max: 3 }),
    ip: smallIp,
    bits: fc.constantFrom(0, 8, 13, 16, 24, 32),
    tags: fc.array(tag, { maxLength: 4 }),
    again: fc.boolean(),
    pick: fc.nat(),
  }),
  fc.record({ do: fc.constant('remove' as const), pick: fc.nat() }),
  fc.record({ do: fc.constant('find' as const), port: fc.integer({ min: 1, max: 3 }), ip: smallIp }),
  fc.record({ do: fc.constant('touch' as const), touches: fc.array(touch, { maxLength: 3 }) }),
);

test('the table does what a scanned list does', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const table = new FlowTable({ flows: 12, flowsPerPort: 6 });
      const twin = new ListTwin();
      let actionNumber = 0;
      for (const now of steps) {
        const flows = [...table];
        const picked = 'pick' in now ? flows[now.pick % Math.max(1, flows.length)] : undefined;
        if (now.do === 'add') {
          const instead = now.again ? picked : undefined;
          const decided = {
            key: instead?.key ?? keyOf(now.port, now.ip),
            wantedMask: lookAt(now.bits),
            actions: output(++actionNumber),
            tags: now.tags,
          };
          const change = table.add(decided, instead);
          for (const { key, mask } of change.remove) twin.remove(key, mask);
          for (const { mask, wantedMask } of change.install) {
            assert.ok(maskCovers(mask, wantedMask) && sameBytes(wantedMask, decided.wantedMask));
            twin.put(decided.key, mask, decided.actions, decided.tags);
          }
          const sharesUsed = twin.flows.filter(({ key }) => portOf(key) === portOf(decided.key)).length;
          if (change.refused === 'tableFull') assert.equal(twin.flows.length, 12);
          if (change.refused === 'portFull') assert.equal(sharesUsed, 6);
        } else if (now.do === 'remove' && picked !== undefined) {
          const name = table.remove(picked)!;
          twin.remove(name.key, name.mask);
        } else if (now.do === 'find') {
          const key = keyOf(now.port, now.ip);
          const found = table.find(key);
          const covering = twin.covering(key).map(describe);
          assert.equal(found !== undefined, covering.length > 0);
          if (found !== undefined) assert.ok(covering.includes(describe(found)));
        } else if (now.do === 'touch') {
          const touched = [...table.touchedBy(now.touches)].map(describe).sort();
          assert.deepEqual(touched, twin.touchedBy(now.touches).map(describe).sort());
        }
        assert.deepEqual([...table].map(describe).sort(), twin.flows.map(describe).sort());
        assert.equal(table.size, twin.flows.length);
        for (const port of [1, 2, 3]) {
          assert.equal(table.sizeOf(port), twin.flows.filter(({ key }) => portOf(key) === port).length);
        }
        for (const flow of twin.flows) assert.ok(table.get(flow.key, flow.mask) !== undefined);
      }
    }),
    { numRuns: 150 },
  );
});

test('30,000 flows with eight tags each take less than a kilobyte apiece', () => {
  const table = new FlowTable();
  const used = () => {
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const count = 30_000;
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  // Buffers of what one collection found dead may be let go of only after it.
  const collect = (): void => {
    gc();
    gc();
  };
  collect();
  const before = used();
  for (let n = 0; n < count; n++) {
    const destination = 0x0a000000 + n;
    table.add({
      key: keyOf(n % 50, destination),
      wantedMask: lookAt(32),
      actions: [
        { kind: 'decrementTtl', by: 1 },
        { kind: 'output', port: n },
      ],
      tags: [
        { question: `port/${n % 50}` },
        { question: 'device/bridge' },
        { question: 'device/router' },
        { question: 'chain/a', upTo: n % 20 },
        { question: 'chain/b', upTo: Number.POSITIVE_INFINITY },
        { question: 'routes/router', prefix: prefix(destination & 0xffffff00, 24) },
        { question: `neighbour/0b1c2d3e-0000-0000-0000-000000000000/${destination}` },
        { question: `mac/0b1c2d3e-0000-0000-0000-000000000000/0/${n % 1000}` },
      ],
    });
  }
  collect();
  const perFlow = (used() - before) / count;
  assert.equal(table.size, count);
  assert.ok(perFlow < 1000, `${Math.round(perFlow)} bytes a flow`);
});

test('flows of a port are shown a few at a time, each in its turn', () => {
  const table = new FlowTable();
  for (let n = 1; n <= 6; n++) {
    table.add(decide(1, n, 32));
    table.add(decide(2, n, 32));
  }
  table.add(decide(1, 7, 32));
  assert.equal(table.greediest, 1);
  const seen = [3, 3, 3].flatMap((count) => table.someOf(1, count));
  assert.equal(new Set(seen).size, 7);
  assert.ok(seen.every(({ port }) => port === 1));
  assert.deepEqual(table.someOf(3, 5), []);
});
