// Equality of plain values: scalars, arrays, records, sets and maps of them. Objects of classes (a trie) are the same
// only when they are one.

export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a)) return Array.isArray(b) && sameList(a, b);
  if (a instanceof Set) return b instanceof Set && a.size === b.size && [...a].every((item) => b.has(item));
  if (a instanceof Map) return b instanceof Map && sameMap(a, b);
  return isPlain(a) && isPlain(b) && sameRecord(a as Record<string, unknown>, b as Record<string, unknown>);
}

const isPlain = (value: object): boolean => Object.getPrototypeOf(value) === Object.prototype;

function sameList(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (!same(a[at], b[at])) return false;
  return true;
}

function sameMap(a: ReadonlyMap<unknown, unknown>, b: ReadonlyMap<unknown, unknown>): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a) if (!b.has(key) || !same(value, b.get(key))) return false;
  return true;
}

/** A property that is undefined and one that is not there are the same. */
function sameRecord(a: Record<string, unknown>, b: Record<string, unknown>): boolean {
  for (const key of Object.keys(a)) if (!same(a[key], b[key])) return false;
  for (const key of Object.keys(b)) if (!(key in a) && b[key] !== undefined) return false;
  return true;
}

/** `was` when the new value says the same, so that what did not change keeps its identity. */
export const kept = <T>(was: T | undefined, now: T): T => (was !== undefined && same(was, now) ? was : now);
