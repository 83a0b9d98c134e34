// Equality of what is compared with the kernel.

import { isDeepStrictEqual } from 'node:util';
import type { Action } from '../flow/actions.ts';

export function sameActions(a: readonly Action[], b: readonly Action[]): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  return a.every((action, at) => sameAction(action, b[at]!));
}

function sameAction(a: Action, b: Action): boolean {
  return a.kind === b.kind && isDeepStrictEqual(a, b);
}
