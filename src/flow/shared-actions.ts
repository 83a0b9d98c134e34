// Flows to one destination do the same: one list of actions is kept for all of them, as far as a small cache remembers
// it. Nothing is counted and nothing leaks; a list that is not remembered is only kept once more.

import type { Action } from './actions.ts';

const LISTS = 4096;

interface Kept {
  readonly actions: readonly Action[];
  readonly why: string;
}

export class SharedActions {
  readonly #kept: (Kept | undefined)[] = new Array(LISTS).fill(undefined);

  /** An equal list and text that were given before, or these. */
  share(actions: readonly Action[], why: string): Kept {
    const at = hash(actions) % LISTS;
    const known = this.#kept[at];
    if (known !== undefined && known.why === why && sameActions(known.actions, actions)) return known;
    const kept = { actions, why };
    this.#kept[at] = kept;
    return kept;
  }
}

/** Actions are flat: their values are numbers, words and flags. */
export function sameActions(a: readonly Action[], b: readonly Action[]): boolean {
  return a === b || (a.length === b.length && a.every((action, at) => sameAction(action, b[at]!)));
}

function sameAction(a: Action, b: Action): boolean {
  for (const name in a) if (a[name as keyof Action] !== b[name as keyof Action]) return false;
  return true;
}

function hash(actions: readonly Action[]): number {
  let value = actions.length;
  for (const action of actions) {
    for (const name in action) {
      const field: unknown = action[name as keyof Action];
      // MACs have more than 32 bits.
      const number = typeof field === 'number' ? field % 0xffffffff : typeof field === 'string' ? field.length : 1;
      value = Math.imul(value ^ number, 0x9e3779b1) ^ (value >>> 15);
    }
  }
  return (value ^ (value >>> 13)) >>> 0;
}
