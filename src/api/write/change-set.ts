// Commits of any size as one revision. What fits goes in one transaction. What does not goes in three acts, each of
// which may be the last that this process lives to do:
//
//   1. chunks  change/<set>/<i>            nobody looks at them; without act 2 they are swept away
//   2. bump    config/revision names them  the commit: readers apply the chunks as this revision
//   3. copy    to the keys, then config/revision without the name, then the chunks go
//
// Until act 3 is done no other configuration is committed; any server may do it, and doing it twice does no harm.

import { randomUUID } from 'node:crypto';
import { type Guard, MAX_TXN_BYTES, MAX_TXN_WRITES, type Rev, type Store, type Write } from '../../store/store.ts';
import {
  changeKey,
  changePrefix,
  decode,
  encode,
  type Head,
  PREFIX,
  REVISION_KEY,
  type ValueWrite,
} from '../state/keys.ts';

/** Room for keys and for the head. */
const ROOM_BYTES = 50_000;
const BYTES = MAX_TXN_BYTES - ROOM_BYTES;

const storeWrite = (write: ValueWrite): Write =>
  'put' in write ? { put: write.put, value: encode(write.value) } : write;
const sizeOf = (write: Write): number =>
  'put' in write ? Buffer.byteLength(write.put) + write.value.length : Buffer.byteLength(write.del);

/** Whether the writes and the head fit in one transaction. */
export function fits(writes: readonly ValueWrite[]): boolean {
  if (writes.length >= MAX_TXN_WRITES) return false;
  return writes.reduce((sum, write) => sum + sizeOf(storeWrite(write)), 0) <= BYTES;
}

/**
 * Commits the writes as the revision that `head` names, if the head in the store is still the one at `headModRev`.
 * Undefined when it is not: look again. Otherwise the store's revision at which the commit can be read; act 3 is left to
 * `finish`.
 */
export async function commit(
  store: Store,
  headModRev: Rev,
  head: Head,
  writes: readonly ValueWrite[],
): Promise<Rev | undefined> {
  const guard = { key: REVISION_KEY, modRev: headModRev };
  if (fits(writes)) {
    const bump = { put: REVISION_KEY, value: encode(head) };
    const { ok, rev } = await store.txn([guard], [...writes.map(storeWrite), bump]);
    return ok ? rev : undefined;
  }
  const id = `${head.revision}-${randomUUID()}`;
  const guards: Guard[] = [guard];
  for (const [chunk, some] of group(writes, Number.POSITIVE_INFINITY).entries()) {
    const key = changeKey(id, chunk);
    const { rev } = await store.txn([], [{ put: key, value: encode(some) }]);
    guards.push({ key, modRev: rev });
  }
  const changeSet = { id, chunks: guards.length - 1 };
  const { ok, rev } = await store.txn(guards, [{ put: REVISION_KEY, value: encode({ ...head, changeSet }) }]);
  if (!ok) {
    await removeChunks(store, id);
    return undefined;
  }
  return rev;
}

/** Act 3 of whatever change set the head names. */
export async function finish(store: Store): Promise<void> {
  const { entry } = await store.get(REVISION_KEY);
  if (entry === undefined) return;
  const { changeSet, ...head } = decode<Head>(entry.value);
  if (changeSet === undefined) return;
  const guard = { key: REVISION_KEY, modRev: entry.modRev };
  for (let chunk = 0; chunk < changeSet.chunks; chunk++) {
    const { entry: part } = await store.get(changeKey(changeSet.id, chunk));
    // Another server has finished meanwhile.
    if (part === undefined) return;
    for (const some of group(decode<ValueWrite[]>(part.value), MAX_TXN_WRITES)) {
      if (!(await store.txn([guard], some.map(storeWrite))).ok) return;
    }
  }
  if (!(await store.txn([guard], [{ put: REVISION_KEY, value: encode(head) }])).ok) return;
  await removeChunks(store, changeSet.id);
}

/** At the start of a server: finishes what was committed and sweeps away what was not. */
export async function recover(store: Store): Promise<void> {
  for (;;) {
    await finish(store);
    const { entries } = await store.list(PREFIX.change, { limit: MAX_TXN_WRITES });
    if (entries.length === 0) return;
    const { entry } = await store.get(REVISION_KEY);
    if (entry !== undefined && decode<Head>(entry.value).changeSet !== undefined) continue;
    const dels = entries.map(({ key }) => ({ del: key }));
    await store.txn([{ key: REVISION_KEY, modRev: entry?.modRev ?? 0n }], dels);
  }
}

async function removeChunks(store: Store, id: string): Promise<void> {
  for (;;) {
    const { entries } = await store.list(changePrefix(id), { limit: MAX_TXN_WRITES });
    if (entries.length === 0) return;
    await store.txn(
      [],
      entries.map(({ key }) => ({ del: key })),
    );
  }
}

/** Runs of at most `count` writes and as many bytes as a transaction takes; a write alone is always small enough. */
function group(writes: readonly ValueWrite[], count: number): ValueWrite[][] {
  const groups: ValueWrite[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const write of writes) {
    const size = sizeOf(storeWrite(write)) + 2;
    if (bytes + size > BYTES || groups.at(-1)!.length >= count) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)!.push(write);
    bytes += size;
  }
  return groups;
}
