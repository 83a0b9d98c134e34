// Mask soundness over what the scenarios send, bit by bit: it needs no luck to find a field that was forgotten.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { KEY_BYTES } from '../../src/flow/fields.ts';
import { formatActions, formatMatch } from '../../src/flow/format.ts';
import { simulate } from '../../src/simulate/simulate.ts';
import { parseScenario } from '../scenarios/language.ts';
import { play } from '../scenarios/play.ts';
import { PureEngine } from '../scenarios/pure.ts';

const scenarios = join(import.meta.dirname, '..', 'scenarios');

test('no bit outside the mask of any packet of any scenario matters', async () => {
  let flips = 0;
  for (const name of readdirSync(scenarios, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.txt')) continue;
    const path = join(scenarios, name);
    await play(parseScenario(path, readFileSync(path, 'utf8')), async (model) => {
      const engine = new PureEngine(model);
      engine.onVerdict = (arrival, result) => {
        for (let bit = 0; bit < KEY_BYTES * 8; bit++) {
          const at = bit >> 3;
          const flip = 1 << (bit & 7);
          if (result.verdict === 'needs' || (result.mask[at]! & flip) !== 0) continue;
          const key = Uint8Array.from(arrival.key);
          key[at] = key[at]! ^ flip;
          const again = simulate({ ...arrival, key }, model.topology, engine.learned);
          const told = `${name}: bit ${flip} of byte ${at} of class ${formatMatch(arrival.key, result.mask)}\n${result.why}\ncovers ${formatMatch(key)}\n${again.why}`;
          assert.equal(formatActions(again.actions), formatActions(result.actions), told);
          assert.equal(again.verdict, result.verdict, told);
          flips++;
        }
      };
      return engine;
    });
  }
  assert.ok(flips > 10_000, `only ${flips} bits were tried`);
});
