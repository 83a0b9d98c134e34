// Every scenario on every engine: simulate() alone, agents over the in-memory data path, agents over the kernel's
// program. UPDATE=1 rewrites the expectations from the pure engine. SCENARIO_ENGINES=pure,memory picks engines.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Model } from '../model.ts';
import type { Engine } from './engine.ts';
import { KernelFabric, MemoryFabric } from './fabrics.ts';
import { HostsEngine } from './hosts.ts';
import { parseScenario, rewritten } from './language.ts';
import { deliveriesOf, play } from './play.ts';
import { PureEngine } from './pure.ts';

const ENGINES: Readonly<Record<string, (model: Model) => Engine>> = {
  pure: (model) => new PureEngine(model),
  memory: (model) => {
    const clock = { ms: 1_000 };
    return new HostsEngine(model, new MemoryFabric(clock), clock);
  },
  kernel: (model) => new HostsEngine(model, new KernelFabric(), { ms: 1_000 }),
};
const wanted = process.env.SCENARIO_ENGINES?.split(',') ?? Object.keys(ENGINES);
const unable = process.getuid?.() === 0 ? undefined : 'the kernel engine loads programs: root only';

const folder = import.meta.dirname;
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.txt'))
  .sort();

for (const engine of wanted) {
  describe(engine, { skip: engine === 'kernel' ? unable : undefined }, () => {
    for (const file of files) {
      test(file, async () => {
        const path = join(folder, file);
        const text = readFileSync(path, 'utf8');
        const scenario = parseScenario(path, text);
        const played = await play(scenario, async (model) => ENGINES[engine]!(model));
        if (engine === 'pure' && process.env.UPDATE === '1') {
          writeFileSync(path, rewritten(text, played.printed));
          return;
        }
        const expected = scenario.blocks.flatMap((block) => (block.expected === undefined ? [] : [block.expected]));
        if (engine === 'pure') assert.deepEqual(played.printed, expected);
        else assert.deepEqual(played.delivered, expected.map(deliveriesOf));
      });
    }
  });
}
