// What a transaction may be, checked the same way before every driver: what SQLite would take and etcd refuse is
// refused here. A transaction beyond these limits is a mistake of the caller, so it throws RangeError.

import { type Guard, MAX_TXN_BYTES, MAX_TXN_WRITES, type Rev, type Write } from './store.ts';

export const keyOf = (write: Write): string => ('put' in write ? write.put : write.del);

export function checkTxn(guards: readonly Guard[], writes: readonly Write[]): void {
  if (writes.length > MAX_TXN_WRITES) {
    throw new RangeError(`${writes.length} writes in one transaction, at most ${MAX_TXN_WRITES} are possible`);
  }
  if (guards.length > MAX_TXN_WRITES) {
    throw new RangeError(`${guards.length} guards in one transaction, at most ${MAX_TXN_WRITES} are possible`);
  }
  for (const guard of guards) checkKey(guard.key);
  const keys = new Set<string>();
  let bytes = 0;
  for (const write of writes) {
    const key = keyOf(write);
    checkKey(key);
    if (keys.has(key)) throw new RangeError(`key ${key} is written twice in one transaction`);
    keys.add(key);
    bytes += Buffer.byteLength(key) + ('put' in write ? write.value.length : 0);
  }
  if (bytes > MAX_TXN_BYTES) {
    throw new RangeError(`${bytes} bytes in one transaction, at most ${MAX_TXN_BYTES} are possible`);
  }
}

/** Whether a transaction is to happen: every guard holds, and every lease that a write hangs on has not ended. */
export function holds(
  guards: readonly Guard[],
  writes: readonly Write[],
  modRevOf: (key: string) => Rev | undefined,
  hasLease: (lease: string) => boolean,
): boolean {
  return (
    guards.every(({ key, modRev }) => (modRevOf(key) ?? 0n) === modRev) &&
    writes.every((write) => !('put' in write) || write.lease === undefined || hasLease(write.lease))
  );
}

function checkKey(key: string): void {
  if (key === '' || !key.isWellFormed() || key.includes('\0')) {
    throw new RangeError(`${JSON.stringify(key)} is no key: it must be text without NUL, and not empty`);
  }
}
