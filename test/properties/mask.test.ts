// Mask soundness: every packet that a match covers gets the same verdict from a fresh simulation.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type FlowKey, type FlowMask, KEY_BYTES } from '../../src/flow/fields.ts';
import { formatActions, formatMatch } from '../../src/flow/format.ts';
import { MaskBook } from '../../src/flow/masks.ts';
import type { Lesson, Result } from '../../src/simulate/result.ts';
import { simulate } from '../../src/simulate/simulate.ts';
import { applyEdit, Cloud, edits, keyOf, packet } from './cloud.ts';

const NO_FRAME = new Uint8Array(0);
const runs = Number(process.env.PROPERTY_RUNS ?? 300);

/** The bits of one key where the mask has them, of the other elsewhere. */
function mixed(kept: FlowKey, other: FlowKey, mask: FlowMask): FlowKey {
  const key = new Uint8Array(KEY_BYTES);
  for (let at = 0; at < KEY_BYTES; at++) key[at] = (kept[at]! & mask[at]!) | (other[at]! & ~mask[at]!);
  return key;
}

const lessonText = ({ learn }: Result): string =>
  learn
    .map((lesson: Lesson) => JSON.stringify(lesson, (_, value) => (typeof value === 'bigint' ? String(value) : value)))
    .sort()
    .join();

test('a packet under the mask gets the same verdict', () => {
  let mixes = 0;
  fc.assert(
    fc.property(edits(25), fc.array(packet, { minLength: 8, maxLength: 16 }), (before, packets) => {
      const cloud = new Cloud();
      for (const each of before) applyEdit(cloud, each);
      const keys = packets.map((each) => keyOf(cloud, each));
      for (const [at, key] of keys.entries()) {
        const result = simulate({ key, frame: NO_FRAME, lengthBytes: 0 }, cloud.model.topology, cloud.learned);
        if (result.verdict === 'needs') continue;
        for (const other of keys) {
          const covered = mixed(key, other, result.mask);
          const again = simulate(
            { key: covered, frame: NO_FRAME, lengthBytes: 0 },
            cloud.model.topology,
            cloud.learned,
          );
          const told = `${packets[at]!.words}\nclass ${formatMatch(key, result.mask)}\n${result.why}\ncovers ${formatMatch(covered)}\n${again.why}`;
          assert.equal(formatActions(again.actions), formatActions(result.actions), told);
          assert.equal(again.verdict, result.verdict, told);
          assert.equal(lessonText(again), lessonText(result), told);
          mixes++;
        }
      }
    }),
    { numRuns: runs },
  );
  assert.ok(mixes > runs * 10, `only ${mixes} mixes were tried`);
});

test('the mask that is installed holds every bit that was looked at', () => {
  fc.assert(
    fc.property(edits(20), fc.array(packet, { minLength: 10, maxLength: 40 }), (before, packets) => {
      const cloud = new Cloud();
      for (const each of before) applyEdit(cloud, each);
      const book = new MaskBook();
      for (const each of packets) {
        const key = keyOf(cloud, each);
        const { mask } = simulate({ key, frame: NO_FRAME, lengthBytes: 0 }, cloud.model.topology, cloud.learned);
        const live = book.take(key, mask);
        for (let at = 0; at < KEY_BYTES; at++) assert.equal(mask[at]! & ~live.mask[at]!, 0, formatMatch(key, mask));
      }
    }),
    { numRuns: Math.ceil(runs / 3) },
  );
});
