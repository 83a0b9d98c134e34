import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checksumOf } from './checksum.ts';
import {
  emitGeneve,
  emitGre,
  emitVxlan,
  formatGeneve,
  formatGre,
  formatVxlan,
  parseGeneve,
  parseGre,
  parseVxlan,
} from './tunnel.ts';
import { readHex } from './word/arguments.ts';

test('a captured VXLAN header has its network identifier', () => {
  const bytes = readHex('0800000000002a00ffffffffffff')!;
  const vxlan = parseVxlan(bytes, 0, bytes.length)!;
  assert.deepEqual(vxlan, { vni: 42, payloadAt: 8 });
  assert.equal(formatVxlan(vxlan), 'vxlan 42');
  assert.deepEqual(emitVxlan(vxlan, bytes.subarray(8)), bytes);
  assert.equal(parseVxlan(bytes.with(0, 0), 0, bytes.length), undefined);
  assert.equal(parseVxlan(bytes, 0, 7), undefined);
});

test('Geneve options are kept and counted in words', () => {
  const bytes = readHex('02406558ffffff00010280010a0b0c0d99')!;
  const geneve = parseGeneve(bytes, 0, bytes.length)!;
  assert.deepEqual(geneve, {
    vni: 0xffffff,
    protocol: 0x6558,
    control: false,
    critical: true,
    options: readHex('010280010a0b0c0d'),
    payloadAt: 16,
  });
  assert.equal(formatGeneve(geneve), 'geneve 16777215 options 8');
  assert.deepEqual(emitGeneve(geneve, Uint8Array.of(0x99)), bytes);
  assert.equal(parseGeneve(bytes, 0, 15), undefined);
  assert.equal(parseGeneve(bytes.with(0, 0x42), 0, bytes.length), undefined);
});

test('GRE has a key, a sequence number and a checksum when its flags say so', () => {
  const bare = readHex('0000080045')!;
  assert.deepEqual(parseGre(bare, 0, 5), { protocol: 0x0800, hasChecksum: false, payloadAt: 4 });
  const keyed = readHex('300065580000002c00000007')!;
  const gre = parseGre(keyed, 0, 12)!;
  assert.deepEqual(gre, { protocol: 0x6558, hasChecksum: false, key: 44, sequence: 7, payloadAt: 12 });
  assert.equal(formatGre(gre), 'gre 0x6558 key 44 seq 7');
  assert.deepEqual(emitGre(gre, new Uint8Array(0)), keyed);
  const summed = emitGre({ protocol: 0x0800, hasChecksum: true, key: 1 }, Uint8Array.of(1, 2, 3));
  assert.equal(checksumOf(summed, 0, summed.length), 0);
  assert.equal(parseGre(summed, 0, summed.length)?.payloadAt, 12);
});

test('GRE of another version, with source routes or cut off is not parsed', () => {
  assert.equal(parseGre(readHex('00010800')!, 0, 4), undefined);
  assert.equal(parseGre(readHex('4000080000000000')!, 0, 8), undefined);
  assert.equal(parseGre(readHex('3000655800000001')!, 0, 8), undefined);
});
