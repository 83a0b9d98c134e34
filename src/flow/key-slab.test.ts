import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FIELD, type FlowKey, KEY_BYTES, newKey, setU32 } from './fields.ts';
import { KeySlab, type SlabMask } from './key-slab.ts';

function maskOf(id: number, fill: number): SlabMask {
  const bytes = newKey().fill(fill, 4);
  return { id, words: new Uint32Array(bytes.buffer, bytes.byteOffset, KEY_BYTES / 4) };
}
const whole = maskOf(1, 0xff);
const lowNibbles = maskOf(2, 0x0f);

function keyOf(n: number): FlowKey {
  const key = newKey();
  setU32(key, FIELD.port.at, n);
  return key;
}

test('equal keys under different masks have places of their own', () => {
  const slab = new KeySlab();
  const places = [slab.put(keyOf(1), whole), slab.put(keyOf(1), lowNibbles)];
  assert.equal(new Set(places).size, 2);
  assert.equal(slab.find(keyOf(0x11), [whole, lowNibbles]), places[1]);
  assert.equal(slab.find(keyOf(1), [whole, lowNibbles]), places[0]);
  assert.deepEqual(slab.key(places[1]!), keyOf(1));
});

test('a key may lie anywhere in memory', () => {
  const slab = new KeySlab();
  const place = slab.put(keyOf(7), whole);
  const odd = new Uint8Array(KEY_BYTES + 3).subarray(3);
  odd.set(keyOf(7));
  assert.equal(slab.find(odd, [whole]), place);
});

test('thousands of keys that come and go are found as in a Map', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(4000)), { minLength: 3000, maxLength: 9000 }), (steps) => {
      const slab = new KeySlab();
      const twin = new Map<number, number>();
      for (let n = 0; n < 1500; n++) twin.set(n, slab.put(keyOf(n), whole));
      for (const [add, n] of steps) {
        const known = twin.get(n);
        assert.equal(slab.find(keyOf(n), [whole]), known ?? -1);
        if (add) {
          const place = slab.put(keyOf(n), whole);
          assert.ok(known === undefined || known === place);
          twin.set(n, place);
        } else if (known !== undefined) {
          slab.remove(known);
          twin.delete(n);
        }
      }
      assert.equal(slab.size, twin.size);
      assert.equal(new Set(twin.values()).size, twin.size);
      for (const [n, place] of twin) {
        assert.equal(slab.find(keyOf(n), [whole]), place);
        assert.deepEqual(slab.key(place), keyOf(n));
      }
    }),
    { numRuns: 5 },
  );
});
