// The contract, as three readers see it: bpf/contract.h, the BTF of the built object, and TypeScript.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Action, STEP } from '../flow/actions.ts';
import { DROP_ELIGIBLE, FIELD, FRAGMENT, KEY_BYTES, VLAN_BITS, VLAN_PRESENT } from '../flow/fields.ts';
import { DROP, DROP_NAMES, UP } from '../flow/reasons.ts';
import type { Mac } from '../packet/address.ts';
import { decodeActions, encodeActions, NUMBERS, STEP_STRUCT, STRUCTS, type Struct } from './contract.ts';

const file = (path: string): Buffer => fs.readFileSync(new URL(`../../bpf/${path}`, import.meta.url));

// ---- BTF: Documentation/bpf/btf.rst -----------------------------------------------------------------------------

const KIND = { int: 1, array: 3, struct: 4, union: 5, enum: 6, fwd: 7, funcProto: 13, var: 14, datasec: 15 } as const;
const KINDS_WITH_SIZE: readonly number[] = [KIND.int, KIND.struct, KIND.union, KIND.enum, KIND.datasec, 16, 19];

interface BtfType {
  readonly name: string;
  readonly kind: number;
  /** Size for kinds that have one, else the id of another type. */
  readonly sizeOrType: number;
  readonly array?: { readonly type: number; readonly count: number };
  readonly members: readonly { readonly name: string; readonly type: number; readonly at: number }[];
}

function section(elf: Buffer, name: string): Buffer {
  const headersAt = Number(elf.readBigUInt64LE(40));
  const [bytes, count, namesIndex] = [elf.readUInt16LE(58), elf.readUInt16LE(60), elf.readUInt16LE(62)];
  const header = (index: number) => elf.subarray(headersAt + index * bytes, headersAt + (index + 1) * bytes);
  const contents = (index: number): Buffer => {
    const at = Number(header(index).readBigUInt64LE(24));
    return elf.subarray(at, at + Number(header(index).readBigUInt64LE(32)));
  };
  const names = contents(namesIndex);
  for (let index = 0; index < count; index++) {
    const at = header(index).readUInt32LE(0);
    if (names.toString('latin1', at, names.indexOf(0, at)) === name) return contents(index);
  }
  throw new Error(`no section ${name}`);
}

function parseBtf(btf: Buffer): BtfType[] {
  const headerBytes = btf.readUInt32LE(4);
  const types = btf.subarray(headerBytes + btf.readUInt32LE(8)).subarray(0, btf.readUInt32LE(12));
  const strings = btf.subarray(headerBytes + btf.readUInt32LE(16));
  const text = (at: number): string => strings.toString('latin1', at, strings.indexOf(0, at));
  const parsed: BtfType[] = [{ name: 'void', kind: 0, sizeOrType: 0, members: [] }];
  for (let at = 0; at < types.length; ) {
    const info = types.readUInt32LE(at + 4);
    const [kind, length] = [(info >> 24) & 0x1f, info & 0xffff];
    const base = { name: text(types.readUInt32LE(at)), kind, sizeOrType: types.readUInt32LE(at + 8) };
    at += 12;
    if (kind === KIND.struct || kind === KIND.union) {
      const members = Array.from({ length }, (_, index) => {
        const member = at + index * 12;
        const bits = types.readUInt32LE(member + 8) & 0xffffff;
        return { name: text(types.readUInt32LE(member)), type: types.readUInt32LE(member + 4), at: bits / 8 };
      });
      parsed.push({ ...base, members });
      at += length * 12;
    } else if (kind === KIND.array) {
      parsed.push({ ...base, members: [], array: { type: types.readUInt32LE(at), count: types.readUInt32LE(at + 8) } });
      at += 12;
    } else {
      parsed.push({ ...base, members: [] });
      if (kind === KIND.int || kind === KIND.var || kind === 17) at += 4;
      else if (kind === KIND.enum || kind === KIND.funcProto) at += length * 8;
      else if (kind === KIND.datasec || kind === 19) at += length * 12;
    }
  }
  return parsed;
}

const types = parseBtf(section(file('ayatori.bpf.o'), '.BTF'));

function sizeOf(id: number): number {
  const type = types[id]!;
  if (type.array !== undefined) return type.array.count * sizeOf(type.array.type);
  return KINDS_WITH_SIZE.includes(type.kind) ? type.sizeOrType : sizeOf(type.sizeOrType);
}

function structOf(name: string): BtfType {
  const found = types.find((type) => type.kind === KIND.struct && type.name === name);
  assert.ok(found, `the object's BTF has struct ${name}`);
  return found;
}

/** Every member of the struct: its offset and size. */
const layoutOf = (name: string) =>
  Object.fromEntries(structOf(name).members.map((member) => [member.name, [member.at, sizeOf(member.type)]]));

for (const [name, struct] of Object.entries(STRUCTS) as [string, Struct<string>][]) {
  test(`struct ${name} is laid out as in the object`, () => {
    const ours = Object.fromEntries(
      Object.keys(struct.at).map((field) => [field, [struct.at[field], struct.size[field]]]),
    );
    assert.deepEqual(ours, layoutOf(name));
    assert.equal(struct.bytes, structOf(name).sizeOrType);
  });
}

test('the flow key is laid out as in the object', () => {
  const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const { unused_tail, ...theirs } = layoutOf('flow_key');
  assert.deepEqual(unused_tail, [116, 4]);
  const ours = Object.entries(FIELD).map(([name, { at, bytes }]) => [snake(name), [at, bytes]]);
  assert.deepEqual(Object.fromEntries(ours), theirs);
  assert.equal(structOf('flow_key').sizeOrType, KEY_BYTES);
});

test('a step is laid out as in the object', () => {
  const { kind, small_flags, small } = layoutOf('step');
  assert.deepEqual(
    [kind, small_flags, small],
    [
      [0, 1],
      [1, 1],
      [2, 2],
    ],
  );
  const operand = structOf('step').members.find(({ name }) => name === '')!;
  assert.deepEqual([operand.at, sizeOf(operand.type)], [STEP_STRUCT.at.operand, STEP_STRUCT.size.operand]);
  assert.equal(structOf('step').sizeOrType, STEP_STRUCT.bytes);
});

// ---- numbers ------------------------------------------------------------------------------------------------------

const defines = new Map(
  [
    ...file('contract.h')
      .toString()
      .matchAll(/^#define ([A-Z][A-Z0-9_]*) (0x[0-9a-f]+|[0-9]+)\b/gm),
  ].map(([, name, value]) => [name!, Number(value)] as const),
);
const screaming = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
const family = (prefix: string): [string, number][] =>
  [...defines].filter(([name]) => name.startsWith(prefix) && name !== 'DROP_REASONS');
const ofTable = (prefix: string, table: Readonly<Record<string, number>>): [string, number][] =>
  Object.entries(table).map(([name, value]) => [prefix + screaming(name), value]);

test('the numbers of the header are those of TypeScript', () => {
  for (const [name, value] of Object.entries(NUMBERS)) assert.equal(defines.get(name), value, name);
  const spoken = new Set([...Object.keys(NUMBERS), 'DROP_REASONS']);
  const elsewhere = /^(STEP|DROP|UP|FRAGMENT|VLAN)_/;
  assert.deepEqual(
    [...defines.keys()].filter((name) => !spoken.has(name) && !elsewhere.test(name)),
    [],
  );
  assert.deepEqual(Object.fromEntries(family('VLAN_')), {
    VLAN_PRESENT,
    VLAN_DROP_ELIGIBLE: DROP_ELIGIBLE,
    VLAN_BITS_OUTER_SERVICE: VLAN_BITS.vlan.service,
    VLAN_BITS_INNER_SERVICE: VLAN_BITS.innerVlan.service,
    VLAN_BITS_OUTER_DROP_ELIGIBLE: VLAN_BITS.vlan.dropEligible,
    VLAN_BITS_INNER_DROP_ELIGIBLE: VLAN_BITS.innerVlan.dropEligible,
  });
});

test('steps, drop reasons, causes and fragments have the same numbers in the header and in flow', () => {
  const byNumber = (a: [string, number], b: [string, number]) => a[1] - b[1];
  assert.deepEqual(family('STEP_').sort(byNumber), ofTable('STEP_', STEP).sort(byNumber));
  assert.deepEqual(family('DROP_').sort(byNumber), ofTable('DROP_', DROP).sort(byNumber));
  assert.deepEqual(family('UP_').sort(byNumber), ofTable('UP_', UP).sort(byNumber));
  const parts = family('FRAGMENT_').filter(([name]) => !(name in NUMBERS));
  assert.deepEqual(parts.sort(byNumber), ofTable('FRAGMENT_', FRAGMENT).sort(byNumber));
  assert.equal(defines.get('DROP_REASONS'), DROP_NAMES.length);
});

// ---- actions as bytes -----------------------------------------------------------------------------------------------

const number = fc.integer({ min: 0, max: 0xffffffff });
const short = fc.integer({ min: 0, max: 0xffff });
const mac = fc.integer({ min: 0, max: 2 ** 48 - 1 }) as fc.Arbitrary<Mac>;
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record(model, { noNullPrototype: true });
const action: fc.Arbitrary<Action> = fc.oneof(
  record({ kind: fc.constant('setEthernet' as const), destination: mac, source: mac }),
  record({ kind: fc.constant('checkLength' as const), mtuBytes: short }),
  record({ kind: fc.constant('decrementTtl' as const), by: fc.integer({ min: 1, max: 255 }) }),
  record({ kind: fc.constant('pushVlan' as const), tci: short, tpid: short }),
  fc.constant({ kind: 'popVlan' as const }),
  record({ kind: fc.constant('output' as const), port: number }),
  record({ kind: fc.constant('flood' as const), flood: number }),
  record({ kind: fc.constant('answerNeighbour' as const), mac, router: fc.boolean() }),
  record({ kind: fc.constant('toAgent' as const), cause: fc.constantFrom(...Object.values(UP)) }),
  record({ kind: fc.constant('drop' as const), reason: fc.constantFrom(...Object.values(DROP)) }),
  record({ kind: fc.constant('count' as const), counter: number }),
);

test('a list of actions is the same after it was bytes', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 64 }), (actions) => {
      assert.deepEqual(decodeActions(encodeActions(actions)), actions);
    }),
  );
});

test('a list with a step of no known kind cannot be read', () => {
  const bytes = encodeActions([{ kind: 'popVlan' }, { kind: 'popVlan' }]);
  bytes[16] = 200;
  assert.equal(decodeActions(bytes), undefined);
});
