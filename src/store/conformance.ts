// What every driver must do, as tests: one suite, run by each driver's own test file.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  Compacted,
  type Entry,
  MAX_TXN_BYTES,
  MAX_TXN_WRITES,
  type Rev,
  type Store,
  type StoreEvent,
  Unavailable,
  type WatchBatch,
} from './store.ts';

export interface Driver {
  readonly name: string;
  /** An empty store that keeps about this many revisions for watches; the test closes it. */
  open(keepRevisions: number): Promise<Store>;
}

const bytes = (text: string): Uint8Array => Buffer.from(text);
const textOf = (entry: Entry | undefined): string | undefined =>
  entry === undefined ? undefined : Buffer.from(entry.value).toString();
const put = (store: Store, key: string, text: string) => store.txn([], [{ put: key, value: bytes(text) }]);
const eventText = (event: StoreEvent): string =>
  event.kind === 'put' ? `${event.entry.key}=${textOf(event.entry)}` : `${event.key} gone`;

/** Reads batches with events until `enough` says so; each as its events in words. */
async function collect(
  store: Store,
  prefix: string,
  from: Rev,
  enough: (batches: readonly WatchBatch[]) => boolean,
): Promise<WatchBatch[]> {
  const stop = new AbortController();
  const batches: WatchBatch[] = [];
  for await (const batch of store.watch(prefix, from, stop.signal)) {
    if (batch.events.length > 0) batches.push(batch);
    if (enough(batches)) break;
  }
  stop.abort();
  return batches;
}

export function conformance(driver: Driver): void {
  const check = (fact: string, run: (store: Store) => Promise<void>, keepRevisions = 10_000): void => {
    test(`${driver.name}: ${fact}`, { timeout: 30_000 }, async () => {
      const store = await driver.open(keepRevisions);
      try {
        await run(store);
      } finally {
        await store.close();
      }
    });
  };

  check('what was put is read back, with the revisions of its making and of its last change', async (store) => {
    assert.equal((await store.get('a')).entry, undefined);
    const first = await put(store, 'a', 'one');
    const second = await put(store, 'a', 'two');
    const { entry, rev } = await store.get('a');
    assert.equal(textOf(entry), 'two');
    assert.deepEqual([entry?.createRev, entry?.modRev, rev], [first.rev, second.rev, second.rev]);
    assert.ok(second.rev > first.rev);
  });

  check('values are any bytes, the empty value too', async (store) => {
    const all = Uint8Array.from({ length: 256 }, (_, at) => at);
    await store.txn(
      [],
      [
        { put: 'all', value: all },
        { put: 'none', value: new Uint8Array() },
      ],
    );
    assert.deepEqual(Buffer.from((await store.get('all')).entry!.value), Buffer.from(all));
    assert.equal((await store.get('none')).entry!.value.length, 0);
  });

  check('a stored value does not change with the buffer it came from', async (store) => {
    const buffer = bytes('before');
    await store.txn([], [{ put: 'a', value: buffer }]);
    buffer.fill(0);
    assert.equal(textOf((await store.get('a')).entry), 'before');
  });

  check('a deleted key that comes back is made anew', async (store) => {
    await put(store, 'a', 'one');
    await store.txn([], [{ del: 'a' }]);
    assert.equal((await store.get('a')).entry, undefined);
    const again = await put(store, 'a', 'two');
    assert.equal((await store.get('a')).entry?.createRev, again.rev);
  });

  check('a transaction that changes nothing takes no revision', async (store) => {
    const { rev } = await put(store, 'a', 'one');
    assert.deepEqual(await store.txn([], [{ del: 'nothing' }]), { ok: true, rev });
    assert.deepEqual(await store.txn([], []), { ok: true, rev });
  });

  check('lists are in byte order and hold to the prefix', async (store) => {
    // U+FF5E sorts after U+1F600 by UTF-16 units and before it by bytes.
    for (const key of ['p/b', 'p/\u{1F600}', 'p', 'p/', 'p/\uFF5E', 'p/a', 'p0', 'o/z']) await put(store, key, key);
    const { entries, more } = await store.list('p/');
    assert.deepEqual(
      entries.map((entry) => entry.key),
      ['p/', 'p/a', 'p/b', 'p/\uFF5E', 'p/\u{1F600}'],
    );
    assert.equal(more, false);
    assert.equal((await store.list('')).entries.length, 8);
    assert.equal((await store.list('q')).entries.length, 0);
  });

  check('lists page by the last key', async (store) => {
    for (let at = 0; at < 10; at++) await put(store, `k/${at}`, '');
    const first = await store.list('k/', { limit: 4 });
    assert.deepEqual([first.entries.length, first.more], [4, true]);
    const second = await store.list('k/', { after: first.entries.at(-1)!.key, limit: 4 });
    assert.deepEqual([second.entries.map((entry) => entry.key), second.more], [['k/4', 'k/5', 'k/6', 'k/7'], true]);
    const last = await store.list('k/', { after: 'k/7', limit: 2 });
    assert.deepEqual([last.entries.length, last.more], [2, false]);
  });

  check('one guard that does not hold stops every write', async (store) => {
    const { rev } = await put(store, 'a', 'one');
    const write = [{ put: 'b', value: bytes('b') }, { del: 'a' }];
    for (const guards of [
      [{ key: 'a', modRev: rev - 1n }],
      [{ key: 'a', modRev: 0n }],
      [{ key: 'nothing', modRev: rev }],
      [
        { key: 'a', modRev: rev },
        { key: 'nothing', modRev: 1n },
      ],
    ]) {
      assert.deepEqual(await store.txn(guards, write), { ok: false, rev });
    }
    assert.equal((await store.list('')).entries.length, 1);
    assert.equal(
      (
        await store.txn(
          [
            { key: 'a', modRev: rev },
            { key: 'b', modRev: 0n },
          ],
          write,
        )
      ).ok,
      true,
    );
    assert.equal(textOf((await store.get('b')).entry), 'b');
  });

  check('of many writers with the same guard one wins each round', async (store) => {
    await put(store, 'counter', '0');
    const add = async (): Promise<void> => {
      for (;;) {
        const { entry } = await store.get('counter');
        const next = bytes(String(Number(textOf(entry)) + 1));
        const guard = { key: 'counter', modRev: entry!.modRev };
        if ((await store.txn([guard], [{ put: 'counter', value: next }])).ok) return;
      }
    };
    await Promise.all(Array.from({ length: 40 }, add));
    assert.equal(textOf((await store.get('counter')).entry), '40');
  });

  check('too many writes, too many bytes or one key twice are refused and nothing is written', async (store) => {
    const value = new Uint8Array(10);
    const many = Array.from({ length: MAX_TXN_WRITES + 1 }, (_, at) => ({ put: `k${at}`, value }));
    await assert.rejects(store.txn([], many), RangeError);
    await assert.rejects(store.txn([], [{ put: 'k', value: new Uint8Array(MAX_TXN_BYTES) }]), RangeError);
    await assert.rejects(store.txn([], [{ put: 'k', value }, { del: 'k' }]), /written twice/);
    await assert.rejects(store.txn([], [{ put: '', value }]), RangeError);
    await assert.rejects(store.txn([], [{ put: 'a\0b', value }]), RangeError);
    assert.equal((await store.list('')).entries.length, 0);
    assert.equal((await store.txn([], many.slice(1))).ok, true);
    assert.equal((await store.list('k')).entries.length, MAX_TXN_WRITES);
  });

  check('a watch tells each transaction as one batch, and only what is below its prefix', async (store) => {
    const { rev: from } = await put(store, 'w/old', 'old');
    const told = collect(store, 'w/', from, (batches) => batches.length === 3);
    await store.txn(
      [],
      [
        { put: 'w/a', value: bytes('1') },
        { put: 'x', value: bytes('') },
        { put: 'w/b', value: bytes('2') },
      ],
    );
    await put(store, 'x', 'elsewhere');
    await store.txn([], [{ del: 'w/a' }, { put: 'w/b', value: bytes('3') }]);
    const { rev: last } = await store.txn([], [{ del: 'w/old' }]);
    const batches = await told;
    assert.deepEqual(
      batches.map((batch) => batch.events.map(eventText)),
      [['w/a=1', 'w/b=2'], ['w/a gone', 'w/b=3'], ['w/old gone']],
    );
    assert.equal(batches.at(-1)?.rev, last);
  });

  check('a watch from an old revision tells all that happened since, and goes on', async (store) => {
    const revs: Rev[] = [];
    for (let at = 0; at < 600; at++) revs.push((await put(store, `k/${at % 7}`, String(at))).rev);
    const from = revs[99]!;
    const told = collect(store, 'k/', from, (batches) => batches.length === 501);
    await put(store, 'k/new', 'new');
    const batches = await told;
    assert.deepEqual(
      batches.slice(0, 500).map((batch) => batch.rev),
      revs.slice(100),
    );
    assert.deepEqual(batches.at(-1)?.events.map(eventText), ['k/new=new']);
  });

  check('list and then watch from its revision gives the present state', async (store) => {
    const random = fc.sample(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.boolean()), 200);
    const writing = (async () => {
      for (const [at, [key, del]] of random.entries()) {
        await store.txn([], [del ? { del: `k/${key}` } : { put: `k/${key}`, value: bytes(String(at)) }]);
        if (at % 20 === 0) await new Promise(setImmediate);
      }
      return (await put(store, 'k/end', 'end')).rev;
    })();
    await new Promise(setImmediate);
    const listed = await store.list('k/');
    const state = new Map(listed.entries.map((entry) => [entry.key, textOf(entry)]));
    const ended = (batches: readonly WatchBatch[]): boolean =>
      batches.at(-1)?.events.some((event) => eventText(event) === 'k/end=end') ?? false;
    for (const batch of await collect(store, 'k/', listed.rev, ended)) {
      for (const event of batch.events) {
        if (event.kind === 'put') state.set(event.entry.key, textOf(event.entry));
        else state.delete(event.key);
      }
    }
    await writing;
    const now = (await store.list('k/')).entries.map((entry) => [entry.key, textOf(entry)]);
    assert.deepEqual([...state].sort(), now.sort());
  });

  check('a watch ends when its signal aborts, waiting or not', async (store) => {
    const stop = new AbortController();
    const ended = (async () => {
      for await (const _ of store.watch('', 0n, stop.signal)) await Promise.resolve();
    })();
    await put(store, 'a', '1');
    stop.abort();
    await ended;
    for await (const _ of store.watch('', 0n, stop.signal)) assert.fail('an aborted watch told something');
  });

  check('a slow watcher misses nothing and holds nobody up', async (store) => {
    const { rev } = await put(store, 'start', '');
    const stop = new AbortController();
    const told: string[] = [];
    let step = (): void => {};
    const watching = (async () => {
      for await (const batch of store.watch('k/', rev, stop.signal)) {
        told.push(...batch.events.map(eventText));
        if (told.length === 50) return;
        await new Promise<void>((resolve) => {
          step = resolve;
        });
      }
    })();
    for (let at = 0; at < 50; at++) await put(store, `k/${at}`, '');
    while (told.length < 50) {
      step();
      await new Promise(setImmediate);
    }
    await watching;
    assert.deepEqual(
      told,
      Array.from({ length: 50 }, (_, at) => `k/${at}=`),
    );
  });

  check(
    'a watch from before what the log keeps is told so, and where the log begins',
    async (store) => {
      for (let at = 0; at < 300; at++) await put(store, 'k', String(at));
      const compacted = await collect(store, '', 0n, () => false).then(
        () => assert.fail('the past should be gone'),
        (error: unknown) => error,
      );
      assert.ok(compacted instanceof Compacted);
      const { rev } = await store.get('k');
      const length = Number(rev - compacted.oldest) + 1;
      assert.ok(length >= 8 && length < 150, `the log keeps ${length} revisions`);
      const kept = await collect(store, '', compacted.oldest - 1n, (batches) => batches.length === length);
      assert.deepEqual([kept[0]?.rev, kept.at(-1)?.rev], [compacted.oldest, rev]);
    },
    8,
  );

  check(
    'a watch that the log overtakes ends as compacted',
    async (store) => {
      const { rev } = await put(store, 'k', 'start');
      const stop = new AbortController();
      const watch = store.watch('', rev, stop.signal)[Symbol.asyncIterator]();
      await watch.next();
      for (let at = 0; at < 300; at++) await put(store, 'k', String(at));
      await assert.rejects(async () => {
        for (;;) await watch.next();
      }, Compacted);
    },
    8,
  );

  check('the keys of a lease go together when it ends, and not before', async (store) => {
    const lease = await store.grant(0.3);
    const { rev } = await store.txn(
      [],
      [
        { put: 'l/a', value: bytes(''), lease },
        { put: 'l/b', value: bytes(''), lease },
        { put: 'l/c', value: bytes('') },
      ],
    );
    assert.equal((await store.get('l/a')).entry?.lease, lease);
    const [end] = await collect(store, 'l/', rev, (batches) => batches.length === 1);
    assert.deepEqual(end?.events.map(eventText).sort(), ['l/a gone', 'l/b gone']);
    assert.equal(await store.keepAlive(lease), false);
    assert.equal((await store.list('l/')).entries.length, 1);
  });

  check('a lease lives as long as it is kept alive', async (store) => {
    const lease = await store.grant(0.4);
    await store.txn([], [{ put: 'a', value: bytes(''), lease }]);
    for (let turn = 0; turn < 6; turn++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      assert.equal(await store.keepAlive(lease), true);
    }
    assert.notEqual((await store.get('a')).entry, undefined);
  });

  check('a key put again without its lease stays when the lease is revoked', async (store) => {
    const lease = await store.grant(60);
    await store.txn(
      [],
      [
        { put: 'a', value: bytes(''), lease },
        { put: 'b', value: bytes(''), lease },
      ],
    );
    await put(store, 'a', 'mine');
    await store.revoke(lease);
    assert.deepEqual(
      (await store.list('')).entries.map((entry) => entry.key),
      ['a'],
    );
    assert.equal(await store.keepAlive(lease), false);
  });

  check('a write under a lease that has ended is refused like a guard', async (store) => {
    const lease = await store.grant(60);
    await store.revoke(lease);
    const refused = await store.txn(
      [],
      [
        { put: 'a', value: bytes(''), lease },
        { put: 'b', value: bytes('') },
      ],
    );
    assert.equal(refused.ok, false);
    assert.equal((await store.list('')).entries.length, 0);
  });

  check('a closed store says so', async (store) => {
    const stop = new AbortController();
    const watch = store.watch('', 0n, stop.signal)[Symbol.asyncIterator]();
    await watch.next();
    const waiting = watch.next();
    await store.close();
    await assert.rejects(waiting, Unavailable);
    await assert.rejects(store.get('a'), Unavailable);
    await assert.rejects(put(store, 'a', ''), Unavailable);
  });
}
