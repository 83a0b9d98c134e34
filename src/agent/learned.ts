// What packets taught: which port a MAC is behind, which MAC a neighbour of a router port has. Own lessons are published
// as status of this host; those of others come in as status. A change is told as touched questions, so that exactly
// the flows that asked are rechecked. Time comes in as an argument.
//
// An entry is claimed by this host (own) or by others (remote, the latest claim wins). A remote claim that arrives after
// our own makes ours yield: the guest has moved. If it has not, its next packet says so.

import type { Touch } from '../flow/tags.ts';
import { eachOf, type Steps } from '../lib/steps.ts';
import { formatIp, formatMac, type Ip, type Mac, parseIp, parseMac } from '../packet/address.ts';
import { QUESTION } from '../simulate/question.ts';
import type { Learned, Lesson } from '../simulate/result.ts';
import { touchedByLesson } from '../simulate/touch.ts';
import type { Id } from '../topology/resource.ts';
import type { MacStatus, NeighbourStatus } from '../topology/status.ts';
import type { HostedStatus, HostedStatusRef } from '../topology/wire.ts';
import {
  LEARN_BURST,
  LEARN_PER_SECOND,
  MACS_PER_PORT,
  MOVES_MAX,
  MOVES_WINDOW_MS,
  NEIGHBOUR_EXPIRY_MS,
  NEIGHBOUR_REASK_MS,
  NEIGHBOURS_PER_PORT,
  REFUSED_MAX,
  REFUSED_MS,
  UNRESOLVED_MS,
} from './limits.ts';

export type LearnedStatus = MacStatus | NeighbourStatus;
export interface LearnedStatusRef {
  readonly kind: 'mac' | 'neighbour';
  readonly id: string;
}

/** What a lesson, an expiry or another host's claim altered. */
export interface LearnedChange {
  readonly touches: Touch[];
  /** Own status to publish and to keep on disk. */
  readonly put: LearnedStatus[];
  readonly del: LearnedStatusRef[];
}

/** At this port is this MAC: of a guest, or, with an address, of a neighbour. */
interface Claim {
  readonly portId: Id;
  readonly mac: Mac;
  readonly ip: Ip | undefined;
}

interface Own extends Claim {
  readonly status: LearnedStatus;
  readonly learnedAt: number;
  usedAt: number;
}

interface Moves {
  count: number;
  since: number;
}

const nothing = (): LearnedChange => ({ touches: [], put: [], del: [] });

export class LearnedTable implements Learned {
  readonly #hostId: Id;
  readonly #own = new Map<string, Own>();
  /** By host, in order of arrival. */
  readonly #remote = new Map<string, Map<Id, Claim>>();
  /** Neighbours that were asked in vain, until when that is believed. */
  readonly #unresolved = new Map<string, number>();
  readonly #moves = new Map<string, Moves>();
  /** Lessons that were refused, and when to look at them again. */
  readonly #refused = new Map<string, number>();
  /** Entries of a port, and its bucket of new ones. */
  readonly #ports = new Map<Id, { macs: number; neighbours: number; tokens: number; filledAt: number }>();
  /** Neighbours that flows of this host use, and when they were last asked for. */
  readonly #inUse = new Map<string, { usedAt: number; askedAt: number }>();

  constructor(hostId: Id) {
    this.#hostId = hostId;
  }

  macPort(bridgeId: Id, vlan: number, mac: Mac): Id | undefined {
    return this.#entry(QUESTION.mac(bridgeId, vlan, mac))?.portId;
  }

  neighbour(portId: Id, ip: Ip): Mac | null | undefined {
    const question = QUESTION.neighbour(portId, ip);
    return this.#entry(question)?.mac ?? (this.#unresolved.has(question) ? null : undefined);
  }

  /** Takes what a packet taught; a lesson that is refused (see `wouldTeach`) changes nothing. */
  learn(lesson: Lesson, now: number): LearnedChange {
    const change = nothing();
    const question = questionOf(lesson);
    const known = this.#entry(question);
    const own = this.#own.get(question);
    const same = known?.portId === lesson.portId && known.mac === lesson.mac;
    if (same && own !== undefined) own.usedAt = now;
    if (same && (own !== undefined || lesson.kind === 'neighbour')) return change;
    if (!this.#admits(lesson, question, now)) {
      this.#refuse(question, now);
      return change;
    }
    this.#bucket(lesson.portId, now).tokens--;
    if (known !== undefined && !same) this.#countMove(question, now);
    if (own !== undefined) this.#dropOwn(question, own);
    const status = statusOf(lesson);
    const ip = lesson.kind === 'mac' ? undefined : lesson.ip;
    this.#addOwn(question, { portId: lesson.portId, mac: lesson.mac, ip, status, learnedAt: now, usedAt: now });
    change.put.push(status);
    if (!same) change.touches.push({ question });
    return change;
  }

  /** Whether `learn` would alter the table: a cached flow must not stand in the way of such a packet. */
  wouldTeach(lesson: Lesson, now: number): boolean {
    const question = questionOf(lesson);
    const known = this.#entry(question);
    if (known?.portId === lesson.portId && known.mac === lesson.mac) return false;
    return this.#admits(lesson, question, now);
  }

  /** What other hosts say. Status of this host and of other kinds is passed over. */
  remote(put: readonly HostedStatus[], del: readonly HostedStatusRef[], now: number): LearnedChange {
    const change = nothing();
    for (const ref of del) {
      const parsed = ref.hostId === this.#hostId ? undefined : parseRef(ref.kind, ref.id);
      if (parsed === undefined) continue;
      this.#watch(parsed.question, change, () => this.#dropClaim(parsed.question, ref.hostId));
    }
    for (const { hostId, status } of put) {
      const parsed = hostId === this.#hostId ? undefined : parseStatus(status);
      if (parsed === undefined) continue;
      this.#watch(parsed.question, change, () => {
        this.#addClaim(parsed.question, hostId, parsed.claim);
        this.#yield(parsed.question, parsed.claim, change, now);
      });
    }
    return change;
  }

  /**
   * All that other hosts say, after a time without a server; `heard` is told what that alters, question by question. Own
   * lessons from before `connectedUntil` yield to claims; those from after it are later than anything in the snapshot.
   */
  *remoteSnapshot(
    statuses: readonly HostedStatus[],
    connectedUntil: number,
    now: number,
    heard: (change: LearnedChange) => void,
  ): Steps<void> {
    const claims = new Map<string, Map<Id, Claim>>();
    yield* eachOf(statuses, ({ hostId, status }) => {
      const parsed = hostId === this.#hostId ? undefined : parseStatus(status);
      if (parsed === undefined) return;
      const hosts = claims.get(parsed.question) ?? new Map<Id, Claim>();
      claims.set(parsed.question, hosts.set(hostId, parsed.claim));
    });
    const replace = (question: string): void => {
      const change = nothing();
      this.#watch(question, change, () => {
        const hosts = claims.get(question);
        if (hosts === undefined) this.#remote.delete(question);
        else this.#remote.set(question, hosts);
        const latest = this.#latest(question);
        const own = this.#own.get(question);
        if (latest !== undefined && own !== undefined && own.learnedAt <= connectedUntil) {
          this.#yield(question, latest, change, now);
        }
      });
      if (change.touches.length + change.del.length > 0) heard(change);
    };
    yield* eachOf(this.#remote.keys(), (question) => {
      if (!claims.has(question)) replace(question);
    });
    yield* eachOf(claims.keys(), replace);
  }

  /** A flow whose walk asked the question, and whose packets come from `source`, was last used at `usedAt`. */
  use(question: string, source: Mac, usedAt: number): void {
    const entry = this.#entry(question);
    if (entry === undefined) return;
    if (entry.ip === undefined) {
      if (entry.mac === source && 'usedAt' in entry) entry.usedAt = Math.max(entry.usedAt, usedAt);
      return;
    }
    const use = this.#inUse.get(question);
    if (use === undefined) this.#inUse.set(question, { usedAt, askedAt: usedAt });
    else use.usedAt = Math.max(use.usedAt, usedAt);
  }

  /** The neighbour was asked for long enough in vain. */
  giveUp(portId: Id, ip: Ip, now: number): LearnedChange {
    const question = QUESTION.neighbour(portId, ip);
    if (this.#entry(question) !== undefined) return nothing();
    this.#unresolved.set(question, now + UNRESOLVED_MS);
    return { ...nothing(), touches: [{ question }] };
  }

  /** Forgets what is too old. `macExpiryMs` is the setting of the bridge. */
  expire(now: number, macExpiryMs: (bridgeId: Id) => number): LearnedChange {
    const change = nothing();
    for (const [question, until] of this.#unresolved) {
      if (until > now) continue;
      this.#unresolved.delete(question);
      change.touches.push({ question });
    }
    for (const [question, at] of this.#refused) {
      if (at > now) continue;
      this.#refused.delete(question);
      change.touches.push({ question });
    }
    for (const [question, moves] of this.#moves) {
      if (now - moves.since > MOVES_WINDOW_MS) this.#moves.delete(question);
    }
    for (const [question, own] of this.#own) {
      const age = own.status.kind === 'mac' ? macExpiryMs(own.status.id.split(',')[0]!) : NEIGHBOUR_EXPIRY_MS;
      if (now - own.usedAt > age) this.#forget(question, own, change);
    }
    return change;
  }

  /** Forgets own entries of ports that are gone from this host. */
  prune(isHere: (portId: Id) => boolean): LearnedChange {
    const change = nothing();
    for (const [question, own] of this.#own) if (!isHere(own.portId)) this.#forget(question, own, change);
    return change;
  }

  /** Neighbours in use that it is time to ask again; counted as asked. */
  dueNeighbours(now: number): { readonly portId: Id; readonly ip: Ip }[] {
    const due: { portId: Id; ip: Ip }[] = [];
    for (const [question, use] of this.#inUse) {
      const entry = this.#entry(question);
      if (entry?.ip === undefined || now - use.usedAt > NEIGHBOUR_REASK_MS) {
        this.#inUse.delete(question);
      } else if (now - use.askedAt >= NEIGHBOUR_REASK_MS) {
        use.askedAt = now;
        due.push({ portId: entry.portId, ip: entry.ip });
      }
    }
    return due;
  }

  /** Own entries, as the status that is published and kept on disk. */
  *own(): Iterable<LearnedStatus> {
    for (const { status } of this.#own.values()) yield status;
  }

  /** Takes back what this host kept on disk, in the order of writing; any claim of another host is later than that. */
  restore(put: readonly LearnedStatus[], del: readonly LearnedStatusRef[], now: number): void {
    for (const { kind, id } of [...del, ...put]) {
      const parsed = parseRef(kind, id);
      const own = parsed && this.#own.get(parsed.question);
      if (parsed !== undefined && own !== undefined) this.#dropOwn(parsed.question, own);
    }
    for (const status of put) {
      const parsed = parseStatus(status);
      if (parsed === undefined) continue;
      this.#addOwn(parsed.question, { ...parsed.claim, status, learnedAt: 0, usedAt: now });
    }
  }

  #entry(question: string): Own | Claim | undefined {
    return this.#own.get(question) ?? this.#latest(question);
  }

  #latest(question: string): Claim | undefined {
    let latest: Claim | undefined;
    for (const claim of this.#remote.get(question)?.values() ?? []) latest = claim;
    return latest;
  }

  #admits(lesson: Lesson, question: string, now: number): boolean {
    const port = this.#bucket(lesson.portId, now);
    const full = lesson.kind === 'mac' ? port.macs >= MACS_PER_PORT : port.neighbours >= NEIGHBOURS_PER_PORT;
    return !full && port.tokens >= 1 && !this.#isDamped(question, now);
  }

  #isDamped(question: string, now: number): boolean {
    const moves = this.#moves.get(question);
    return moves !== undefined && moves.count >= MOVES_MAX && now - moves.since <= MOVES_WINDOW_MS;
  }

  #countMove(question: string, now: number): void {
    const moves = this.#moves.get(question);
    if (moves === undefined || now - moves.since > MOVES_WINDOW_MS) this.#moves.set(question, { count: 1, since: now });
    else if (++moves.count === MOVES_MAX) moves.since = now;
  }

  #refuse(question: string, now: number): void {
    if (this.#refused.size >= REFUSED_MAX || this.#refused.has(question)) return;
    this.#refused.set(question, now + (this.#isDamped(question, now) ? MOVES_WINDOW_MS + 1 : REFUSED_MS));
  }

  #bucket(portId: Id, now: number) {
    let port = this.#ports.get(portId);
    if (port === undefined) {
      port = { macs: 0, neighbours: 0, tokens: LEARN_BURST, filledAt: now };
      this.#ports.set(portId, port);
    }
    port.tokens = Math.min(LEARN_BURST, port.tokens + ((now - port.filledAt) / 1000) * LEARN_PER_SECOND);
    port.filledAt = now;
    return port;
  }

  #addOwn(question: string, own: Own): void {
    const port = this.#bucket(own.portId, own.usedAt);
    if (own.status.kind === 'mac') port.macs++;
    else port.neighbours++;
    this.#unresolved.delete(question);
    this.#refused.delete(question);
    this.#own.set(question, own);
  }

  #dropOwn(question: string, own: Own): void {
    this.#own.delete(question);
    const port = this.#ports.get(own.portId)!;
    if (own.status.kind === 'mac') port.macs--;
    else port.neighbours--;
  }

  #forget(question: string, own: Own, change: LearnedChange): void {
    this.#watch(question, change, () => this.#dropOwn(question, own));
    change.del.push({ kind: own.status.kind, id: own.status.id });
  }

  #addClaim(question: string, hostId: Id, claim: Claim): void {
    const hosts = this.#remote.get(question) ?? new Map<Id, Claim>();
    hosts.delete(hostId);
    this.#remote.set(question, hosts.set(hostId, claim));
    this.#unresolved.delete(question);
  }

  #dropClaim(question: string, hostId: Id): void {
    const hosts = this.#remote.get(question);
    hosts?.delete(hostId);
    if (hosts?.size === 0) this.#remote.delete(question);
  }

  #yield(question: string, claim: Claim, change: LearnedChange, now: number): void {
    const own = this.#own.get(question);
    if (own === undefined || (own.portId === claim.portId && own.mac === claim.mac)) return;
    this.#dropOwn(question, own);
    this.#countMove(question, now);
    change.del.push({ kind: own.status.kind, id: own.status.id });
  }

  /** Runs `alter` and tells the touch if the answer to the question is another one now. */
  #watch(question: string, change: LearnedChange, alter: () => void): void {
    const before = this.#entry(question);
    const unresolved = this.#unresolved.has(question);
    alter();
    const after = this.#entry(question);
    const same = before?.portId === after?.portId && before?.mac === after?.mac;
    if (!same || unresolved !== this.#unresolved.has(question)) change.touches.push({ question });
  }
}

const questionOf = (lesson: Lesson): string => touchedByLesson(lesson).question;

function statusOf(lesson: Lesson): LearnedStatus {
  return lesson.kind === 'mac'
    ? { kind: 'mac', id: `${lesson.bridgeId},${lesson.vlan},${formatMac(lesson.mac)}`, portId: lesson.portId }
    : { kind: 'neighbour', id: `${lesson.portId},${formatIp(lesson.ip)}`, mac: formatMac(lesson.mac) };
}

function parseRef(kind: string, id: string): { question: string; portId?: Id; mac?: Mac; ip?: Ip } | undefined {
  const [first, second, third] = id.split(',');
  if (kind === 'mac') {
    const mac = parseMac(third ?? '');
    if (first === undefined || mac === undefined || !/^\d+$/.test(second ?? '')) return undefined;
    return { question: QUESTION.mac(first, Number(second), mac), mac };
  }
  const ip = parseIp(second ?? '');
  if (kind !== 'neighbour' || first === undefined || ip === undefined) return undefined;
  return { question: QUESTION.neighbour(first, ip), portId: first, ip };
}

function parseStatus(status: { readonly kind: string; readonly id: string }) {
  const ref = parseRef(status.kind, status.id);
  if (ref === undefined) return undefined;
  const portId = ref.portId ?? (status as MacStatus).portId;
  const mac = ref.mac ?? parseMac((status as NeighbourStatus).mac);
  return mac === undefined ? undefined : { question: ref.question, claim: { portId, mac, ip: ref.ip } };
}
