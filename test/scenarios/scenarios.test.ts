// Every scenario on every engine. UPDATE=1 rewrites the expectations from the pure engine.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parseScenario, rewritten } from './language.ts';
import { play } from './play.ts';
import { PureEngine } from './pure.ts';

const folder = import.meta.dirname;
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.txt'))
  .sort();

describe('pure', () => {
  for (const file of files) {
    test(file, async () => {
      const path = join(folder, file);
      const text = readFileSync(path, 'utf8');
      const scenario = parseScenario(path, text);
      const { printed } = await play(scenario, async (model) => new PureEngine(model));
      if (process.env.UPDATE === '1') {
        writeFileSync(path, rewritten(text, printed));
        return;
      }
      const expected = scenario.blocks.flatMap((block) => (block.expected === undefined ? [] : [block.expected]));
      assert.deepEqual(printed, expected);
    });
  }
});
