// Who holds a port when things happen between two writes: another server's, a lease that ends, a word that comes late.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MemoryStore } from '../../store/memory.ts';
import { type Guard, type Store, Unavailable, type Write } from '../../store/store.ts';
import type { PortStatus } from '../../topology/status.ts';
import { openSite, type Site } from '../testing/site.ts';

const LIMIT = { timeout: 30_000 };

const claimed = (id: string): PortStatus => ({ kind: 'port', id, state: 'claimed' });
const up = (id: string): PortStatus => ({ kind: 'port', id, state: 'up' });
const keyOf = (write: Write): string => ('del' in write ? write.del : write.put);

async function settled(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

/** A store in which a transaction can be held up on its way, or fail, as if another server or the network were slow. */
class SlowStore extends MemoryStore implements Store {
  /** Resolves when the transaction may go on; undefined: at once. */
  before: (writes: readonly Write[]) => Promise<void> | undefined = () => undefined;
  beforeGrant: () => Promise<void> | undefined = () => undefined;

  override async txn(guards: readonly Guard[], writes: readonly Write[]) {
    await this.before(writes);
    return super.txn(guards, writes);
  }

  override async grant(ttlSeconds: number): Promise<string> {
    await this.beforeGrant();
    return super.grant(ttlSeconds);
  }

  /** Holds up the first transaction that `fits`. */
  hold(fits: (writes: readonly Write[]) => boolean): { readonly held: Promise<void>; readonly release: () => void } {
    const { promise: held, resolve: isHeld } = Promise.withResolvers<void>();
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    this.before = (writes) => {
      if (!fits(writes)) return undefined;
      this.before = () => undefined;
      isHeld();
      return released;
    };
    return { held, release };
  }
}

/** A port of host `one`, up there, that is bound to host `two`, whose claim was refused. */
async function movedPort(site: Site) {
  const [one, two] = [await site.host('one'), await site.host('two')];
  const bridge = await site.must('POST', '/v1/bridges', {});
  const port = await site.must('POST', '/v1/ports', { deviceId: bridge.id, hostId: one.id, interfaceName: 'vm0' });
  const [a1, a2] = [await site.agent(one), await site.agent(two, [bridge.id])];
  a1.say([up(port.id)]);
  await a2.until(() => a2.port(one.id, port.id)?.state === 'up');
  await site.must('PATCH', `/v1/ports/${port.id}`, { hostId: two.id });
  a2.say([claimed(port.id)]);
  await a2.until(() => a2.port(two.id, port.id)?.state === 'refused');
  return { one, two, a1, a2, port, ref: { kind: 'port' as const, id: port.id as string } };
}

test('a port that moves back while it is being given away is held by nobody else', LIMIT, async (t) => {
  const store = new SlowStore();
  const site = await openSite({ store });
  t.after(() => site.close());
  const { one, two, a1, a2, port, ref } = await movedPort(site);
  const given = store.hold((writes) => writes.some((write) => 'put' in write && write.put.startsWith('claim/')));
  a1.say([], [ref]);
  await given.held;
  await site.must('PATCH', `/v1/ports/${port.id}`, { hostId: one.id });
  a2.say([], [ref]);
  await settled(() => !site.server.parts.liveStatus.ofHost(two.id).has(`port/${port.id}`));
  given.release();
  a1.say([claimed(port.id)]);
  await a1.until(() => a1.port(one.id, port.id)?.state === 'claimed');
  assert.equal(site.server.parts.liveStatus.claim(port.id)?.hostId, one.id);
});

test('a host that lets go of a port while it is given to it does not keep it', LIMIT, async (t) => {
  const store = new SlowStore();
  const site = await openSite({ store });
  t.after(() => site.close());
  const { one, two, a1, a2, port, ref } = await movedPort(site);
  const letGo = store.hold((writes) => writes.some((write) => keyOf(write) === `status/${two.id}/port/${port.id}`));
  a2.say([], [ref]);
  await letGo.held;
  a1.say([], [ref]);
  await settled(() => site.server.parts.liveStatus.claim(port.id)?.hostId === two.id);
  letGo.release();
  await site.must('PATCH', `/v1/ports/${port.id}`, { hostId: one.id });
  a1.say([claimed(port.id)]);
  await a1.until(() => a1.port(one.id, port.id)?.state === 'claimed');
});

test('a port is given away again when the store did not take it', LIMIT, async (t) => {
  const store = new SlowStore();
  const site = await openSite({ store });
  t.after(() => site.close());
  const { two, a1, a2, port, ref } = await movedPort(site);
  store.before = (writes) => {
    if (!writes.some((write) => 'put' in write && write.put.startsWith('claim/'))) return undefined;
    store.before = () => undefined;
    return Promise.reject(new Unavailable('the disk is full'));
  };
  a1.say([], [ref]);
  await a2.until(() => a2.port(two.id, port.id)?.state === 'claimed');
});

test('a port that was let go of while no server ran is given to the host that waits for it', LIMIT, async (t) => {
  const store = new SlowStore();
  const stateDirectory = mkdtempSync(join(tmpdir(), 'ayatori-claims-'));
  t.after(() => rmSync(stateDirectory, { recursive: true }));
  const before = await openSite({ store, stateDirectory });
  const { one, two, port } = await movedPort(before);
  await before.close();
  await store.txn([], [{ del: `claim/${port.id}` }, { del: `status/${one.id}/port/${port.id}` }]);
  const site = await openSite({ store, stateDirectory });
  t.after(() => site.close());
  await settled(() => site.server.parts.liveStatus.claim(port.id)?.hostId === two.id);
});

test('a host whose lease ended while it was connected says all of it anew', LIMIT, async (t) => {
  const store = new SlowStore();
  const site = await openSite({ store, leaseSeconds: 1, expireMs: 50 });
  t.after(() => site.close());
  const one = await site.host('one');
  const bridge = await site.must('POST', '/v1/bridges', {});
  const port = await site.must('POST', '/v1/ports', { deviceId: bridge.id, hostId: one.id, interfaceName: 'vm0' });
  const agent = await site.agent(one);
  const { liveStatus } = site.server.parts;
  agent.say([up(port.id)]);
  await settled(() => liveStatus.ofHost(one.id).size === 2);
  // What happens when the server does not get to keep it alive.
  const { promise: later, resolve: grant } = Promise.withResolvers<void>();
  store.beforeGrant = () => later;
  const { entry } = await store.get(`status/${one.id}/alive/-`);
  await store.revoke(entry!.lease!);
  await settled(() => liveStatus.ofHost(one.id).size === 0);
  grant();
  await agent.until(() => agent.closeCode !== undefined);
  const back = await site.agent(one);
  back.say([up(port.id)], [], true);
  await back.until(() => back.port(one.id, port.id)?.state === 'up');
});

test('a host is alive as soon as the store takes it', LIMIT, async (t) => {
  const store = new SlowStore();
  const site = await openSite({ store, leaseSeconds: 1 });
  t.after(() => site.close());
  const one = await site.host('one');
  store.before = (writes) => {
    if (!writes.some((write) => keyOf(write) === `status/${one.id}/alive/-`)) return undefined;
    store.before = () => undefined;
    return Promise.reject(new Unavailable('the disk is full'));
  };
  await site.agent(one);
  await settled(() => site.server.parts.liveStatus.alive(one.id) !== undefined);
});

test('what an earlier connection still had to say does not overwrite a later one', LIMIT, async (t) => {
  const store = new SlowStore();
  const site = await openSite({ store });
  t.after(() => site.close());
  const one = await site.host('one');
  const bridge = await site.must('POST', '/v1/bridges', {});
  const port = await site.must('POST', '/v1/ports', { deviceId: bridge.id, hostId: one.id, interfaceName: 'vm0' });
  const { liveStatus } = site.server.parts;
  const stateOf = () => (liveStatus.ofHost(one.id).get(`port/${port.id}`)?.status as PortStatus | undefined)?.state;
  const first = await site.agent(one);
  first.say([claimed(port.id)]);
  await settled(() => stateOf() === 'claimed');
  const late = store.hold((writes) => writes.some((write) => keyOf(write) === `status/${one.id}/port/${port.id}`));
  first.say([{ kind: 'port', id: port.id, state: 'down' }]);
  await late.held;
  await first.close();
  const second = await site.agent(one);
  second.say([up(port.id)], [], true);
  await settled(() => stateOf() === 'up');
  late.release();
  // One more round trip through the store.
  second.say([{ kind: 'mac', id: `${bridge.id},0,02:00:00:00:00:01`, portId: port.id }]);
  await settled(() => liveStatus.ofHost(one.id).size === 3);
  assert.equal(stateOf(), 'up');
});

test('what a host says in several frames after its hello is not taken back in between', LIMIT, async (t) => {
  const site = await openSite();
  t.after(() => site.close());
  const [one, two] = [await site.host('one'), await site.host('two')];
  const bridge = await site.must('POST', '/v1/bridges', {});
  const ports: { id: string }[] = [];
  for (let at = 0; at < 4; at++) {
    const interfaceName = `vm${at}`;
    ports.push(await site.must('POST', '/v1/ports', { deviceId: bridge.id, hostId: one.id, interfaceName }));
  }
  const words = ports.map(({ id }) => up(id));
  const first = await site.agent(one);
  first.say(words, [], true);
  const watcher = await site.agent(two, [bridge.id]);
  await watcher.until(() => watcher.statuses.size === 4);
  await first.close();
  const second = await site.agent(one);
  const lesson = { kind: 'mac', id: `${bridge.id},0,02:00:00:00:00:01`, portId: ports[0]!.id } as const;
  second.send({ kind: 'status', put: [words[0]!, lesson], del: [], reset: true, more: true });
  await watcher.until(() => watcher.statuses.size === 5);
  second.send({ kind: 'status', put: [words[1]!], del: [], reset: false, more: true });
  second.say([words[2]!]);
  await watcher.until(() => watcher.port(one.id, ports[3]!.id) === undefined);
  const withdrawn = watcher.frames.flatMap((frame) => (frame.kind === 'status' ? frame.del : []));
  assert.deepEqual(withdrawn, [{ hostId: one.id, kind: 'port', id: ports[3]!.id }]);
});

test('a host that was dead already when it was deleted is given up at once', LIMIT, async (t) => {
  const site = await openSite({ leaseSeconds: 1, expireMs: 600_000 });
  t.after(() => site.close());
  const { one, two, a1, a2, port } = await movedPort(site);
  await a1.close();
  const { liveStatus } = site.server.parts;
  await settled(() => liveStatus.alive(one.id) === undefined);
  await site.must('DELETE', `/v1/hosts/${one.id}`);
  await a2.until(() => a2.port(two.id, port.id)?.state === 'claimed');
  assert.equal(liveStatus.ofHost(one.id).size, 0);
});
