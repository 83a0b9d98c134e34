// Long work in bounded pieces. Whoever drives it decides after each piece whether to go on, so that what is made of
// 50,000 objects holds the thread for no longer than the driver wants; the work itself knows no clock.

/** Pauses after every piece (tens of microseconds, whatever the size of the whole); its value is the result. */
export type Steps<T> = Generator<void, T, void>;

/** All pieces, one after the other. */
export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/** Of what costs up to 10 µs an item. */
export const PIECE_ITEMS = 8;
/** Of what only moves or compares an item. */
export const LIGHT_PIECE_ITEMS = 256;

/** Visits every item, and pauses in between. */
export function* eachOf<T>(items: Iterable<T>, visit: (item: T) => void, pieceItems = PIECE_ITEMS): Steps<void> {
  let left = pieceItems;
  for (const item of items) {
    visit(item);
    if (--left > 0) continue;
    yield;
    left = pieceItems;
  }
}

/** The same for what is cheap. */
export const eachLight = <T>(items: Iterable<T>, visit: (item: T) => void): Steps<void> =>
  eachOf(items, visit, LIGHT_PIECE_ITEMS);

const RUN_ITEMS = 128;

/** Sorted, stably, as `list.sort(order)` does: runs that are sorted at once, merged two by two. May be the same list. */
export function* sorted<T>(list: T[], order: (a: T, b: T) => number): Steps<T[]> {
  if (list.length <= RUN_ITEMS) return list.sort(order);
  let runs: T[][] = [];
  for (let at = 0; at < list.length; at += RUN_ITEMS) {
    runs.push(list.slice(at, at + RUN_ITEMS).sort(order));
    yield;
  }
  while (runs.length > 1) {
    const longer: T[][] = [];
    for (let at = 0; at < runs.length; at += 2) longer.push(yield* merged(runs[at]!, runs[at + 1] ?? [], order));
    runs = longer;
  }
  return runs[0]!;
}

/** Two sorted lists as one; of equals those of `a` come first. */
export function* merged<T>(a: readonly T[], b: readonly T[], order: (a: T, b: T) => number): Steps<T[]> {
  const all: T[] = [];
  let fromA = 0;
  let fromB = 0;
  while (fromA < a.length || fromB < b.length) {
    const takesA = fromB === b.length || (fromA < a.length && order(a[fromA]!, b[fromB]!) <= 0);
    all.push(takesA ? a[fromA++]! : b[fromB++]!);
    if (all.length % LIGHT_PIECE_ITEMS === 0) yield;
  }
  return all;
}
