import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KEY_BYTES } from '../../flow/fields.ts';
import { STRUCTS } from '../contract.ts';
import { CONVERSIONS } from './conversions.ts';
import { FlowHash, seedIn } from './tables/flow-hash.ts';

/** Bytes of the entries of version 4: key and value. */
const BEFORE = { ports: [4, 8], delivery: [4, 16], settings: [4, 64], flows: [KEY_BYTES, 32] } as const;

test('a flow of version 4 is found by the hash of its key, under the seed that goes with it', () => {
  const convert = (table: keyof typeof BEFORE, fill: number) => {
    const conversion = CONVERSIONS[4]![table];
    assert.ok(typeof conversion === 'function');
    const [keyBytes, valueBytes] = BEFORE[table];
    return conversion(new Uint8Array(keyBytes).fill(fill), new Uint8Array(valueBytes).fill(fill))!;
  };
  const [, settings] = convert('settings', 1);
  assert.equal(settings.length, STRUCTS.settings.bytes);
  const seed = seedIn(settings, () => assert.fail('there is none'));
  const [name, value] = convert('flows', 7);
  const key = new Uint8Array(KEY_BYTES).fill(7);
  assert.deepEqual(name, new FlowHash(seed).nameOf(key));
  assert.equal(value.length, STRUCTS.flow_value.bytes);
  assert.deepEqual(value.subarray(STRUCTS.flow_value.at.key), key);
  const [, port] = convert('ports', 3);
  assert.deepEqual([port.length, port.at(-1)], [STRUCTS.port_entry.bytes, 0]);
  const [, delivery] = convert('delivery', 3);
  assert.deepEqual([delivery.length, delivery.at(-1)], [STRUCTS.delivery_entry.bytes, 0]);
});
