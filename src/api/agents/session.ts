// One agent's connection: what it subscribed to, what it was sent, how far it says it is.
//
//   hello ─> snapshot (scope of its devices, status about them) ─> subscribed
//   then, whenever something in scope changed:  flush ─> status, change     at most one flush waits; it sends the latest
//
// What the agent does not need any more leaves with the next flush, at a revision that the agent may have said is done.
// Until it has said so of a later one it may still forward by what has left: a change of that is not done before.
//
// Status goes first: an agent that is told of a port knows at once where it is up. What the agent has of status follows
// from the objects that it was sent: all that other hosts said about them until the last flush, and nothing else.
//
// Scopes are immutable and shared by all agents; a session only remembers, for each device, which one it sent. So a slow
// agent costs no memory: it is sent less often, the difference between what it has and what is.

import type { WebSocket } from 'ws';
import type { Resource, ResourceRef } from '../../topology/kinds.ts';
import type { Id } from '../../topology/resource.ts';
import { devicesOf } from '../../topology/scope.ts';
import type { StatusKind } from '../../topology/status.ts';
import type { AgentFrame, AgentMethod, HostedStatus, HostedStatusRef } from '../../topology/wire.ts';
import { ApiError } from '../errors.ts';
import type { Parts } from '../parts.ts';
import { type KnownStatus, type StatusChange, subjectOf } from '../state/live-status.ts';
import { changeFrames, snapshotFrames, statusFrames } from './frames.ts';
import { Report } from './report.ts';
import { differenceOf, type Scope, type Scopes, UNDERLAY } from './scopes.ts';

/** With more than this on its way nothing is added: what changes meanwhile is sent as one. */
const BUFFERED_BYTES = 1024 * 1024;
/** A connection that takes nothing for so long is cut; the agent comes back and compares. */
const STALLED_MS = 20_000;
const DRAIN_POLL_MS = 20;
/** Devices of one agent, those that do not exist included: each costs a look at every flush. */
const SUBSCRIBED_MAX = 20_000;

export type SessionParts = Pick<Parts, 'store' | 'config' | 'feed' | 'liveStatus' | 'log' | 'metrics'>;

export class Session {
  readonly hostId: Id;
  /** Hash of the token that it came with. */
  readonly tokenHash: string;
  readonly report: Report;
  readonly #socket: WebSocket;
  readonly #parts: SessionParts;
  readonly #scopes: Scopes;
  readonly #subscribed = new Set<Id>();
  /** Devices that the agent is to have; undefined: to be worked out. */
  #wanted: ReadonlySet<Id> | undefined;
  /** Device -> what the agent has of it. */
  readonly #sent = new Map<Id, Scope>();
  /** Devices that the agent was told to forget at `#leftAt`, a revision that it knew before. */
  readonly #left = new Set<Id>();
  #leftAt = 0;
  /** `<host>/<kind>/<id>` -> what was said since the last flush. */
  #statuses = new Map<string, StatusChange>();
  readonly #questions = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  #nextQuestion = 1;
  #greeted = false;
  #dirty = false;
  #flushing = false;
  #sentRevision = 0;
  #doneRevision: number | undefined;
  #stalled: { bytes: number; sinceMs: number } | undefined;

  constructor(hostId: Id, tokenHash: string, socket: WebSocket, scopes: Scopes, parts: SessionParts) {
    this.hostId = hostId;
    this.tokenHash = tokenHash;
    this.#socket = socket;
    this.#scopes = scopes;
    this.#parts = parts;
    this.report = new Report(
      hostId,
      parts,
      (status) => this.tell({ hostId, kind: 'port', id: status.id, status }),
      () => {
        if (socket.readyState === socket.OPEN) this.cut('another connection speaks for it, or it was given up');
      },
    );
  }

  /** It has said hello. */
  get greeted(): boolean {
    return this.#greeted;
  }

  /**
   * The revision that the host forwards by. What does not concern it does not wait for it: with all that was sent
   * acknowledged and nothing to send, it is where the server is.
   */
  get revision(): number | undefined {
    if (this.#doneRevision === undefined) return undefined;
    const upToDate = !this.#dirty && this.#doneRevision >= this.#sentRevision;
    return upToDate ? this.#parts.config.revision : this.#doneRevision;
  }

  has(deviceId: Id): boolean {
    return this.#sent.has(deviceId);
  }

  /** Whether the agent may forward by what it was sent of the device. */
  mayUse(deviceId: Id): boolean {
    return this.#sent.has(deviceId) || this.#left.has(deviceId);
  }

  /** Devices that it has. */
  get deviceIds(): Iterable<Id> {
    return this.#sent.keys();
  }

  /** Whether the agent was sent the object, as part of whatever device. */
  hasObject({ kind, id }: ResourceRef): boolean {
    const key = `${kind}/${id}`;
    for (const scope of this.#sent.values()) if (scope.has(key)) return true;
    return false;
  }

  hello({ deviceIds }: Extract<AgentFrame, { kind: 'hello' }>): void {
    this.#greeted = true;
    this.#subscribed.clear();
    for (const id of deviceIds) this.#subscribed.add(id);
    this.resync();
    this.#tellSubscribed(deviceIds);
  }

  /** Sends everything: at the start, and when the server lost count itself. */
  resync(): void {
    if (!this.#greeted) return;
    const { config } = this.#parts;
    this.#doneRevision = undefined;
    this.#wanted = undefined;
    this.#sent.clear();
    this.#left.clear();
    this.#statuses.clear();
    for (const id of this.#devices()) this.#sent.set(id, this.#scopes.of(id));
    const objects = new Map([...this.#sent.values()].flatMap((scope) => [...scope]));
    const statuses = this.#statusesAbout([...objects.values()].map(({ kind, value }) => ({ kind, id: value.id })));
    this.#send(snapshotFrames(config.revision, objects.values(), statuses));
    this.#sentRevision = config.revision;
    this.#dirty = false;
  }

  subscribe(deviceIds: readonly Id[]): void {
    for (const id of deviceIds) this.#subscribed.add(id);
    if (this.#subscribed.size > SUBSCRIBED_MAX) {
      this.cut('it subscribes to more than is kept');
      return;
    }
    this.#wanted = undefined;
    this.#flushNow();
    this.#tellSubscribed(deviceIds);
  }

  /** It waits for nothing: what leaves goes with the next flush, as soon as the connection takes it. */
  unsubscribe(deviceIds: readonly Id[]): void {
    for (const id of deviceIds) this.#subscribed.delete(id);
    this.touch(true);
  }

  done(revision: number): void {
    // It cannot be further than what it was sent.
    const reached = Math.min(revision, this.#sentRevision);
    if (reached > (this.#doneRevision ?? -1)) this.#doneRevision = reached;
    if (reached > this.#leftAt) this.#left.clear();
  }

  heartbeat(): void {
    this.#send([JSON.stringify({ kind: 'heartbeat', revision: this.#parts.config.revision })]);
  }

  /** Something in scope changed; `devices`: perhaps also which devices are in scope. */
  touch(devices: boolean): void {
    if (!this.#greeted) return;
    this.#dirty = true;
    if (devices) this.#wanted = undefined;
    this.#soon();
  }

  tell(change: StatusChange): void {
    if (!this.#greeted) return;
    if (!this.#isToldOf(change)) return;
    this.#statuses.set(`${change.hostId}/${change.kind}/${change.id}`, change);
    this.#soon();
  }

  /** Asks the agent; throws ApiError when there is no answer. */
  async ask(method: AgentMethod, parameters: unknown, timeoutMs: number): Promise<unknown> {
    const id = this.#nextQuestion++;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise((resolve, reject) => {
        this.#questions.set(id, { resolve, reject });
        const late = `the agent did not answer within ${timeoutMs / 1000} seconds`;
        timer = setTimeout(() => reject(new ApiError('unavailable', late)), timeoutMs);
        this.#send([JSON.stringify({ kind: 'request', id, method, parameters })]);
      });
    } finally {
      clearTimeout(timer);
      this.#questions.delete(id);
    }
  }

  answered({ id, result, error }: Extract<AgentFrame, { kind: 'answer' }>): void {
    const question = this.#questions.get(id);
    if (error === undefined) question?.resolve(result ?? null);
    else question?.reject(new ApiError('unavailable', `the agent says: ${error}`));
  }

  /** The connection is over. */
  closed(): void {
    for (const { reject } of this.#questions.values()) {
      reject(new ApiError('unavailable', 'the agent went away before it answered'));
    }
  }

  /** Ends the connection at once. */
  cut(why: string): void {
    this.#parts.metrics.agentCut(why);
    this.#parts.log.warn(`cut an agent: ${why}`, { hostId: this.hostId });
    this.#socket.terminate();
  }

  #devices(): ReadonlySet<Id> {
    this.#wanted ??= new Set([UNDERLAY, ...devicesOf(this.#parts.config.topology, this.hostId), ...this.#subscribed]);
    return this.#wanted;
  }

  #tellSubscribed(deviceIds: readonly Id[]): void {
    if (deviceIds.length > 0) this.#send([JSON.stringify({ kind: 'subscribed', deviceIds })]);
  }

  /** One flush for all that happens in this turn of the event loop, or until the connection takes more. */
  #soon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => this.#flushWhenDrained());
  }

  #flushWhenDrained(): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    const bytes = this.#socket.bufferedAmount;
    if (bytes <= BUFFERED_BYTES) {
      this.#stalled = undefined;
      this.#flushing = false;
      this.#flushNow();
      return;
    }
    const now = Date.now();
    if (this.#stalled === undefined || bytes < this.#stalled.bytes) this.#stalled = { bytes, sinceMs: now };
    if (now - this.#stalled.sinceMs > STALLED_MS) this.cut('it does not take what it is sent');
    else setTimeout(() => this.#flushWhenDrained(), DRAIN_POLL_MS);
  }

  #flushNow(): void {
    const { config } = this.#parts;
    const { put, fresh, del, left } = this.#difference();
    const status = this.#statusDifference(fresh, del);
    if (status.put.length + status.del.length > 0) this.#send(statusFrames(status.put, status.del));
    // An empty change makes sure that the agent is past what has left.
    const isNew = config.revision > this.#sentRevision;
    if (put.size + del.length > 0 || (this.#left.size > 0 && isNew)) {
      this.#send(changeFrames(config.revision, put.values(), del));
      this.#sentRevision = config.revision;
    }
    if (!isNew && left.length > 0) {
      for (const id of left) this.#left.add(id);
      this.#leftAt = config.revision;
    }
    this.#dirty = false;
    if (status.withdrawn.length > 0) this.#send(statusFrames([], status.withdrawn));
  }

  /**
   * What the agent lacks and what it has too much, from what it has of each device. `fresh`: objects that it had nothing
   * of; `left`: devices that it is not to have any more.
   */
  #difference(): {
    put: Scope;
    fresh: readonly Resource[];
    del: readonly ResourceRef[];
    left: readonly Id[];
  } {
    const wanted = this.#devices();
    const before = [...this.#sent.values()];
    const put = new Map<string, Resource>();
    const fresh = new Set<string>();
    const maybeGone = new Map<string, ResourceRef>();
    const left: Id[] = [];
    for (const id of new Set([...wanted, ...this.#sent.keys()])) {
      const had = this.#sent.get(id);
      const has = wanted.has(id) ? this.#scopes.of(id) : undefined;
      if (had === has) continue;
      const difference = differenceOf(had, has);
      for (const [key, resource] of difference.put) put.set(key, resource);
      for (const key of difference.fresh) fresh.add(key);
      for (const [key, ref] of difference.gone) maybeGone.set(key, ref);
      if (has === undefined) {
        this.#sent.delete(id);
        left.push(id);
      } else this.#sent.set(id, has);
    }
    const isIn = (scopes: readonly Scope[], key: string): boolean => scopes.some((scope) => scope.has(key));
    const after = [...this.#sent.values()];
    return {
      put,
      fresh: [...fresh].filter((key) => !isIn(before, key)).map((key) => put.get(key)!),
      del: [...maybeGone].filter(([key]) => !isIn(after, key)).map(([, ref]) => ref),
      left,
    };
  }

  /** The same for status: of objects that are new all of it, of those that stay what was said since, of others none. */
  #statusDifference(
    fresh: readonly Resource[],
    gone: readonly ResourceRef[],
  ): { put: HostedStatus[]; del: HostedStatusRef[]; withdrawn: HostedStatusRef[] } {
    const put = this.#statusesAbout(fresh.map(({ kind, value }) => ({ kind, id: value.id })));
    const withdrawn = this.#statusesAbout(gone).map(({ hostId, status: { kind, id } }) => ({ hostId, kind, id }));
    const del: HostedStatusRef[] = [];
    const entered = new Set(fresh.flatMap(({ kind, value }) => subjectsOf({ kind, id: value.id })));
    const left = new Set(gone.flatMap(subjectsOf));
    for (const { hostId, kind, id, status } of this.#statuses.values()) {
      const subject = subjectOf(kind, id);
      if (entered.has(subject)) continue;
      if (left.has(subject)) withdrawn.push({ hostId, kind, id });
      else if (status === undefined) del.push({ hostId, kind, id });
      else put.push({ hostId, status });
    }
    this.#statuses = new Map();
    return { put, del, withdrawn };
  }

  /** What other hosts say, and what became of its own words about ports. */
  #isToldOf({ hostId, kind }: { readonly hostId: Id; readonly kind: StatusKind }): boolean {
    return hostId !== this.hostId || kind === 'port';
  }

  /** Status about these objects, earlier ones first: of two hosts that claim one address the later is right. */
  #statusesAbout(refs: Iterable<ResourceRef>): HostedStatus[] {
    const { liveStatus } = this.#parts;
    const known: KnownStatus[] = [];
    for (const ref of refs) for (const subject of subjectsOf(ref)) known.push(...liveStatus.about(subject));
    return known
      .filter(({ hostId, status: { kind } }) => this.#isToldOf({ hostId, kind }))
      .sort((a, b) => (a.modRev < b.modRev ? -1 : 1))
      .map(({ hostId, status }) => ({ hostId, status }));
  }

  #send(frames: readonly string[]): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    for (const frame of frames) this.#socket.send(frame);
  }
}

/** What hosts may say about an object. */
function subjectsOf({ kind, id }: ResourceRef): readonly string[] {
  if (kind === 'bridge') return [`mac/${id}`];
  return kind === 'port' ? [`port/${id}`, `neighbour/${id}`] : [];
}
