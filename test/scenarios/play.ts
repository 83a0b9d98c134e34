// Plays a scenario on one engine: commands in, lines out.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Mac, parseIp, parseMac } from '../../src/packet/address.ts';
import { formatPacket } from '../../src/packet/packet.ts';
import { parseWords } from '../../src/packet/words.ts';
import { QUESTION } from '../../src/simulate/question.ts';
import type { Change } from '../../src/topology/nodes.ts';
import { idOf, Model } from '../model.ts';
import type { Engine, Sent } from './engine.ts';
import { kindOfNoun, parseFlags, type Scenario } from './language.ts';
import type { PureEngine } from './pure.ts';

export interface Played {
  /** One list of lines a block that has an expectation. */
  readonly printed: string[][];
  /** The same without verdicts, and blocks that only the pure engine prints left empty. */
  readonly delivered: string[][];
}

export async function play(scenario: Scenario, open: (model: Model) => Promise<Engine>): Promise<Played> {
  const model = new Model();
  const engine = await open(model);
  const played: Played = { printed: [], delivered: [] };
  try {
    for (const block of scenario.blocks) {
      const lines: string[] = [];
      const deliveries: string[] = [];
      for (const [index, command] of block.commands.entries()) {
        try {
          await run(command, model, engine, lines, deliveries);
        } catch (error) {
          throw new Error(
            `${scenario.path}:${block.line + index}: ${command}: ${error instanceof Error ? error.message : error}`,
            {
              cause: error,
            },
          );
        }
      }
      if (block.expected === undefined) continue;
      played.printed.push(lines);
      played.delivered.push(deliveries);
    }
  } finally {
    await engine.close();
  }
  return played;
}

/** What of an expectation other engines are held to. */
export const deliveriesOf = (expected: readonly string[]): string[] => expected.filter((line) => line.includes(' < '));

async function run(
  command: string,
  model: Model,
  engine: Engine,
  lines: string[],
  deliveries: string[],
): Promise<void> {
  const [verb, noun, ...rest] = command.trim().split(/\s+/) as [string, string, ...string[]];
  switch (verb) {
    case 'include': {
      const setup = readFileSync(join(import.meta.dirname, 'setup', noun), 'utf8').split('\n');
      for (const row of setup) if (row !== '' && !row.startsWith('#')) await run(row, model, engine, lines, deliveries);
      return;
    }
    case 'send': {
      const sent = await engine.send(noun, frameOf(rest.join(' ')));
      const got = deliveryLines(sent);
      lines.push(...sent.verdict, ...got);
      deliveries.push(...got);
      return;
    }
    case 'class':
    case 'trace': {
      if (engine.name !== 'pure') return;
      const pure = engine as PureEngine;
      const frame = frameOf(rest.join(' '));
      lines.push(
        ...(verb === 'class' ? pure.classOf(noun, frame) : pure.trace(noun, frame)).map((line) => named(model, line)),
      );
      return;
    }
    case 'forget':
      await engine.forget(noun === 'mac' ? macQuestion(rest) : QUESTION.neighbour(idOf(rest[0]!), parseIp(rest[1]!)!));
      return;
    default:
      await engine.change(edit(model, verb, noun, rest));
  }
}

function macQuestion([bridge, text, vlan]: string[]): string {
  return QUESTION.mac(idOf(bridge!), Number(vlan ?? 0), parseMac(text!) as Mac);
}

function edit(model: Model, noun: string, verb: string, [name, ...flags]: string[]): Change[] {
  const kind = kindOfNoun(noun);
  if (kind === undefined || name === undefined) throw new Error(`not a command`);
  if (verb === 'peer') return model.peer(name, flags[0]!);
  if (verb === 'delete') return model.del(kind, name);
  const fields = parseFlags(kind, flags);
  if (fields.interfaceName === 'auto') fields.interfaceName = name;
  if (verb === 'create') return model.put(kind, name, fields);
  if (verb === 'set') return model.set(kind, name, fields);
  throw new Error(`${noun} has no ${verb}`);
}

function frameOf(words: string): Uint8Array {
  const frame = parseWords(words);
  if ('error' in frame) throw new Error(frame.error);
  return frame;
}

const deliveryLines = (sent: Sent): string[] =>
  sent.deliveries.map(({ port, frame }) => `${port} < ${formatPacket(frame)}`).sort();

/** Ids that stand for names are told as names. */
function named(model: Model, line: string): string {
  let text = line;
  for (const kind of ['bridge', 'router', 'port', 'chain', 'addressSet', 'portGroup'] as const) {
    for (const [id, object] of model.topology.objects(kind)) text = text.replaceAll(id, object.name);
  }
  return text;
}
