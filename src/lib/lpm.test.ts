import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Address, type Lpm, type LpmPrefix, lpmDifferences, lpmOf, lpmWith } from './lpm.ts';

// The twin: a list that is scanned. It shares nothing with the trie but the meaning.
type Entries = readonly (readonly [LpmPrefix, number])[];

const widthOf = (ip: Address): number => (typeof ip === 'number' ? 32 : 128);
const shifted = (ip: Address, bits: number): bigint => BigInt(ip) >> BigInt(widthOf(ip) - bits);
const holds = (prefix: LpmPrefix, ip: Address): boolean =>
  typeof prefix.ip === typeof ip && shifted(prefix.ip, prefix.bits) === shifted(ip, prefix.bits);

function scan(entries: Entries, ip: Address): number[] {
  const last = new Map<string, readonly [LpmPrefix, number]>();
  for (const entry of entries) last.set(`${typeof entry[0].ip} ${entry[0].ip}/${entry[0].bits}`, entry);
  return [...last.values()]
    .filter(([prefix]) => holds(prefix, ip))
    .sort(([a], [b]) => b.bits - a.bits)
    .map(([, value]) => value);
}

/** The address with bit `at` (0 is the first) turned round. */
function flipped(ip: Address, at: number): Address {
  if (typeof ip === 'number') return (ip ^ (1 << (31 - at))) >>> 0;
  return ip ^ (1n << BigInt(127 - at));
}

/** All bits from `from` on replaced by those of `other`. */
function tailed<T extends Address>(ip: T, from: number, other: T): T {
  const drop = BigInt(widthOf(ip) - from);
  const mixed = ((BigInt(ip) >> drop) << drop) | (BigInt(other) & ((1n << drop) - 1n));
  return (typeof ip === 'number' ? Number(mixed) : mixed) as T;
}

// Few distinct bits, so that prefixes nest, touch and diverge often, at both ends of the address.
const ip4 = fc.oneof(
  fc.tuple(fc.nat(7), fc.nat(7)).map(([high, low]) => ((high << 29) | low) >>> 0),
  fc.integer({ min: 0, max: 0xffffffff }),
);
const ip6 = fc.oneof(
  fc
    .tuple(fc.bigInt(0n, 7n), fc.bigInt(0n, 7n), fc.bigInt(0n, 7n))
    .map(([high, middle, low]) => (high << 125n) | (middle << 62n) | low),
  fc.bigInt(0n, (1n << 128n) - 1n),
);
const cut = <T extends Address>(ip: T, bits: number): LpmPrefix => ({
  ip: tailed(ip, bits, (ip === 0 || typeof ip === 'number' ? 0 : 0n) as T),
  bits,
});
const prefix4 = fc
  .tuple(ip4, fc.oneof(fc.integer({ min: 0, max: 32 }), fc.constantFrom(0, 1, 2, 3, 29, 30, 31, 32)))
  .map(([ip, bits]) => cut(ip, bits));
const prefix6 = fc
  .tuple(ip6, fc.oneof(fc.integer({ min: 0, max: 128 }), fc.constantFrom(0, 3, 32, 63, 64, 65, 96, 128)))
  .map(([ip, bits]) => cut(ip, bits));
const entriesArbitrary = fc.array(fc.tuple(fc.oneof(prefix4, prefix6), fc.nat(1000)), { maxLength: 40 });
const address: fc.Arbitrary<Address> = fc.oneof<fc.Arbitrary<Address>[]>(ip4, ip6);

const listed = (lpm: Lpm<number>): string[] =>
  [...lpm.entries()].map(([prefix, value]) => `${typeof prefix.ip} ${prefix.ip}/${prefix.bits} ${value}`);

test('finds what a linear scan finds', () => {
  fc.assert(
    fc.property(entriesArbitrary, fc.array(address, { maxLength: 20 }), (entries, asked) => {
      const lpm = lpmOf(entries);
      for (const ip of [...asked, ...entries.map(([prefix]) => prefix.ip)]) {
        const expected = scan(entries, ip);
        assert.equal(lpm.lookup(ip).value, expected[0]);
        assert.deepEqual(lpm.matches(ip).values, expected);
      }
      for (const [prefix] of entries) {
        const same = entries.filter(([other]) => other.ip === prefix.ip && other.bits === prefix.bits);
        assert.equal(lpm.get(prefix), same.at(-1)![1]);
      }
    }),
  );
});

test('addresses that share the bits looked at get the same answer', () => {
  fc.assert(
    fc.property(entriesArbitrary, ip4, ip6, ip4, ip6, (entries, a4, a6, b4, b6) => {
      const lpm = lpmOf(entries);
      for (const [ip, other] of [
        [a4, b4],
        [a6, b6],
      ] as const) {
        const { value, bits } = lpm.lookup(ip);
        const { values, bits: bitsOfAll } = lpm.matches(ip);
        for (let at = bits; at < widthOf(ip); at++) assert.equal(lpm.lookup(flipped(ip, at)).value, value);
        for (let at = bitsOfAll; at < widthOf(ip); at++) assert.deepEqual(lpm.matches(flipped(ip, at)).values, values);
        assert.equal(scan(entries, tailed<Address>(ip, bits, other))[0], value);
        assert.deepEqual(scan(entries, tailed<Address>(ip, bitsOfAll, other)), values);
      }
    }),
    { numRuns: 300 },
  );
});

test('no fewer bits would do: another address that shares all but the last of them meets other prefixes', () => {
  fc.assert(
    fc.property(entriesArbitrary, address, (entries, ip) => {
      const numbered = entries.map(([prefix], index) => [prefix, index] as const);
      const { values, bits } = lpmOf(numbered).matches(ip);
      if (bits === 0) return;
      // The set of prefixes changes only at their own first addresses, so these and their neighbours are witness enough.
      const near = tailed<Address>(flipped(ip, bits - 1), bits, typeof ip === 'number' ? 0 : 0n);
      const drop = BigInt(widthOf(ip) - bits);
      const witnesses = numbered.map(([prefix]) => prefix.ip).filter((other) => typeof other === typeof ip);
      const inside = witnesses.filter((other) => BigInt(other) >> drop === BigInt(near) >> drop);
      const different = [near, ip, ...inside].some(
        (other) => JSON.stringify(scan(numbered, other)) !== JSON.stringify([...values]),
      );
      assert.ok(different, `${bits} bits, one less would do`);
    }),
    { numRuns: 300 },
  );
});

test('changed step by step equals built at once, and the old one stays as it was', () => {
  const change = fc.tuple(fc.oneof(prefix4, prefix6), fc.option(fc.nat(1000), { nil: undefined }));
  fc.assert(
    fc.property(
      entriesArbitrary,
      fc.array(fc.array(change, { maxLength: 5 }), { maxLength: 8 }),
      (entries, batches) => {
        const key = (prefix: LpmPrefix) => `${typeof prefix.ip} ${prefix.ip}/${prefix.bits}`;
        const model = new Map<string, readonly [LpmPrefix, number]>();
        for (const entry of entries) model.set(key(entry[0]), entry);
        let lpm = lpmOf(entries);
        for (const batch of batches) {
          // Remove something that is there now and then, not only by chance.
          const first = [...model.values()][0];
          const changes = first === undefined ? batch : [...batch, [first[0], undefined] as const];
          const before = lpm;
          const listedBefore = listed(before);
          lpm = lpmWith(before, changes);
          assert.deepEqual(listed(before), listedBefore);
          for (const [prefix, value] of changes) {
            if (value === undefined) model.delete(key(prefix));
            else model.set(key(prefix), [prefix, value]);
          }
          const fresh = lpmOf(model.values());
          assert.deepEqual(listed(lpm), listed(fresh));
          for (const [prefix] of changes) assert.deepEqual(lpm.lookup(prefix.ip), fresh.lookup(prefix.ip));
          assert.equal(lpm.size, model.size);
        }
      },
    ),
  );
});

test('differences are the prefixes whose values are not identical', () => {
  fc.assert(
    fc.property(entriesArbitrary, entriesArbitrary, entriesArbitrary, (shared, first, second) => {
      const base = lpmOf(shared);
      // Once with a common past, whose subtrees are one, and once without.
      for (const [a, b] of [
        [lpmWith(base, first), lpmWith(base, second)],
        [lpmOf(first), lpmOf(second)],
      ] as const) {
        const name = (prefix: LpmPrefix) => `${typeof prefix.ip} ${prefix.ip}/${prefix.bits}`;
        const all = new Map([...a.entries(), ...b.entries()].map(([prefix]) => [name(prefix), prefix]));
        const expected = [...all.values()].filter((prefix) => a.get(prefix) !== b.get(prefix)).map(name);
        assert.deepEqual([...lpmDifferences(a, b)].map(name).sort(), expected.sort());
      }
    }),
  );
});

test('an empty map looks at nothing', () => {
  assert.deepEqual(lpmOf([]).lookup(0x0a000001), { value: undefined, bits: 0 });
  assert.deepEqual(lpmOf([[{ ip: 0, bits: 0 }, 'any']]).lookup(1n), { value: undefined, bits: 0 });
  assert.deepEqual(lpmOf([[{ ip: 0, bits: 0 }, 'any']]).lookup(0x0a000001), { value: 'any', bits: 0 });
});

test('a look-up stops at the first bit that differs', () => {
  const lpm = lpmOf([
    [{ ip: 0x0a000000, bits: 8 }, 'a'],
    [{ ip: 0x0a010000, bits: 16 }, 'b'],
  ]);
  assert.deepEqual(lpm.lookup(0x0a010203), { value: 'b', bits: 16 });
  assert.deepEqual(lpm.lookup(0x0a800203), { value: 'a', bits: 9 });
  assert.deepEqual(lpm.lookup(0xc0000001), { value: undefined, bits: 1 });
});
