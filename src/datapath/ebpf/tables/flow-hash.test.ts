import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KEY_BYTES } from '../../../flow/fields.ts';
import { bytesOf, STRUCTS } from '../../contract.ts';
import { FlowHash, seedIn } from './flow-hash.ts';

const WORDS = KEY_BYTES / 4;

test('the hash is the sum of products that the contract says', () => {
  const word = fc.oneof(fc.constantFrom(0, 1, 0xffff, 0x10000, 0xffffffff), fc.integer({ min: 0, max: 0xffffffff }));
  const words = fc.array(word, { minLength: WORDS, maxLength: WORDS });
  fc.assert(
    fc.property(words, words, (key, seed) => {
      const bytes = new Uint8Array(Uint32Array.from(key).buffer);
      let sum = 0n;
      const at = (word: number): bigint => BigInt((key[word]! + seed[word]!) % 2 ** 32);
      for (let pair = 0; pair < WORDS; pair += 2) sum += at(pair) * at(pair + 1);
      const name = new FlowHash(Uint32Array.from(seed)).nameOf(bytes);
      assert.equal(new DataView(name.buffer).getBigUint64(0, true), BigInt.asUintN(64, sum));
    }),
  );
});

test('a seed is chosen once, and found again', () => {
  const { bytes } = bytesOf(STRUCTS.settings.bytes);
  let asked = 0;
  const random = (seed: Uint8Array): void => void seed.fill(++asked);
  const chosen = seedIn(bytes, random);
  assert.deepEqual(seedIn(bytes, random), chosen);
  assert.equal(asked, 1);
  assert.equal(chosen[WORDS - 1], 0x01010101);
});
