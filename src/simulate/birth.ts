// Packets that are born in the virtual network: answers, questions, advertisements. Each has a course of its own, and
// ends as frames that the data path is to deliver. They are not answered in turn.

import type { Action } from '../flow/actions.ts';
import { applyActions } from '../flow/apply.ts';
import type { FlowKey } from '../flow/fields.ts';
import { keyOfFrame } from '../flow/key.ts';
import type { Tag } from '../flow/tags.ts';
import { lengthAtMtu } from '../packet/length.ts';
import { Journey } from './journey.ts';
import type { Born, Need } from './result.ts';
import { type Birth, Walk, type World } from './walk.ts';

export function bearAll(births: () => readonly Birth[], walk: Walk): { readonly born: Born[]; readonly needs: Need[] } {
  const born: Born[] = [];
  const needs: Need[] = [];
  if (walk.frame.length === 0 || walk.depth > 0) return { born, needs };
  for (const birth of births()) {
    const child = bear(birth, { ...walk.world, learned: walk.taught() }, walk.depth + 1);
    born.push(...child.born);
    needs.push(...child.needs);
  }
  return { born, needs };
}

/** Walks a packet that is born in the network to where it leaves it. */
export function bear(birth: Birth, world: World, depth: number): { born: Born[]; needs: Need[]; tags: readonly Tag[] } {
  const parsed = keyOfFrame(birth.frame, 0);
  if ('drop' in parsed) throw new Error(`a frame made here does not parse (drop reason ${parsed.drop})`);
  const walk = new Walk(world, parsed.key, birth.frame, lengthAtMtu(birth.frame), depth);
  const journey = new Journey(walk);
  journey.born(birth.from);
  return { born: sendable(journey.actions, birth.frame, parsed.key), needs: journey.needs, tags: walk.tags };
}

/** The frames that the actions make of this one, each with where it goes. */
export function sendable(actions: readonly Action[], frame: Uint8Array, key: FlowKey): Born[] {
  const born: Born[] = [];
  for (const outcome of applyActions(actions, frame, key).outputs) {
    if (outcome.kind === 'output') born.push({ to: outcome.port, frame: outcome.frame });
    else if (outcome.kind === 'flood') born.push({ to: outcome.flood, frame: outcome.frame });
  }
  return born;
}
