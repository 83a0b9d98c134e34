// What this host knows, and the life of a change:
//
//   frame of the server
//     → journal                    one checksummed record, before anything else
//     → topology                   a new immutable snapshot that shares what did not change (knowledge.ts)
//     → touched questions          what the change may have answered anew
//     → flows with those tags      queued, and simulated again in slices between packets:
//          the same actions          nothing to do
//          the same mask             overwritten in place
//          another mask              the new one in, the old one out, in one batch
//          it needs or teaches       deleted: its next packet asks
//        what denies is written at the end of each slice, what admits when all of the change has been decided
//     → done {revision}            nothing that was decided under an earlier revision is left
//
// What packets teach goes the same way from "touched questions" on.

import type { Datapath, FlowEntry } from '../datapath/datapath.ts';
import type { Action } from '../flow/actions.ts';
import type { Flow, FlowName, FlowTable } from '../flow/table.ts';
import type { Touch } from '../flow/tags.ts';
import type { Log } from '../lib/log.ts';
import type { Ip } from '../packet/address.ts';
import type { Lesson, Result } from '../simulate/result.ts';
import { touchedBy } from '../simulate/touch.ts';
import type { Topology } from '../topology/nodes.ts';
import type { Id } from '../topology/resource.ts';
import type { PortStatus } from '../topology/status.ts';
import { sameActions } from './audit.ts';
import type { Journal, JournalRecord } from './host/journal.ts';
import type { StatusBook } from './host/status.ts';
import { chunks, Knowledge, type KnowledgeFrame } from './knowledge.ts';
import type { LearnedChange, LearnedStatus, LearnedStatusRef, LearnedTable } from './learned.ts';
import { SLICE_MS } from './limits.ts';
import { arrivalOfKey } from './packet/arrival.ts';
import type { Simulate } from './upcalls.ts';

export interface ReplicaParts {
  readonly hostId: Id;
  readonly datapath: Pick<Datapath, 'install' | 'remove'>;
  readonly flows: FlowTable;
  readonly learned: LearnedTable;
  readonly journal: Pick<Journal, 'append'>;
  readonly statuses: StatusBook;
  readonly simulate: Simulate;
  readonly now: () => number;
  readonly log: Log;
  /** For packets that wait for an answer. */
  readonly onTouched: (touches: readonly Touch[]) => void;
  /** Places of ports may have changed: topology, or what other hosts say of their ports. */
  readonly onPlaces: () => void;
  /** The host forwards by this revision. */
  readonly onDone: (revision: number) => void;
}

/** A flow that was found in the kernel at the start: decided like any other, from its own key. */
interface Found {
  readonly kind: 'found';
  readonly entry: FlowEntry;
}
/** Everything of this revision stands before it in the queue. */
interface Milestone {
  readonly kind: 'milestone';
  readonly revision: number;
}
type Queued = Flow | Found | Milestone;

export interface ReplicaCounts {
  rechecked: number;
  replaced: number;
  deleted: number;
}

export class Replica {
  readonly learned: LearnedTable;
  readonly counts: ReplicaCounts = { rechecked: 0, replaced: 0, deleted: 0 };
  readonly #parts: ReplicaParts;
  readonly #knowledge: Knowledge;
  /** In order of arrival; a flow that is touched again keeps its place, since it is decided by what is known then. */
  readonly #queue = new Set<Queued>();
  /** To be written at the end of the slice … */
  readonly #denials = new Set<Flow>();
  #removals: FlowName[] = [];
  /** … and when the whole change was decided, with the flows that they stand in for. */
  readonly #admissions = new Map<Flow, readonly FlowName[]>();

  constructor(parts: ReplicaParts) {
    this.#parts = parts;
    this.learned = parts.learned;
    this.#knowledge = new Knowledge({
      hostId: parts.hostId,
      now: parts.now,
      onUnfounded: (revision) => parts.log.warn('a change came before the first snapshot and is ignored', { revision }),
      onPlaces: () => parts.onPlaces(),
      onChanges: (changes) => this.touch(changes.map(touchedBy)),
      onClaims: (statuses, heardUntil) =>
        this.learned.remoteSnapshot(statuses, heardUntil, parts.now(), (change) => this.#learned(change)),
      // It may be back before the wiring was looked at: then the claim that was answered is made anew.
      onElsewhere: (id) => parts.statuses.tellAgain({ kind: 'port', id }),
      onStatus: (put, del) => this.#learned(this.learned.remote(put, del, parts.now())),
      onRevision: (revision) => this.#queue.add({ kind: 'milestone', revision }),
    });
  }

  get topology(): Topology {
    return this.#knowledge.topology;
  }

  /** False until a topology came, from the disk or a server: packets wait in the ring so long. */
  get loaded(): boolean {
    return this.#knowledge.loaded;
  }

  /** Rechecks that are not done. */
  get pending(): number {
    return this.#queue.size;
  }

  /** Nothing that came is on its way to the flows. */
  get settled(): boolean {
    return this.#queue.size === 0 && !this.#knowledge.busy;
  }

  /** What that host says of the port; undefined: nothing. */
  stateAt(hostId: Id, portId: Id): PortStatus['state'] | undefined {
    return this.#knowledge.stateAt(hostId, portId);
  }

  /**
   * The server's last word about this host's claim to a port that is bound to it. It ends when the port is bound
   * elsewhere: one that comes back is claimed anew.
   */
  word(portId: Id): PortStatus | undefined {
    return this.#knowledge.word(portId);
  }

  /**
   * A frame of the server. It is on disk before it is applied: within this call as far as a slice goes, the rest in
   * slices. Throws, now or there, when it makes no sense.
   */
  receive(frame: KnowledgeFrame): void {
    this.#parts.journal.append({ kind: 'frame', frame });
    this.#knowledge.take(frame);
    this.#know(this.#parts.now() + SLICE_MS);
  }

  /** A frame that is on disk, and all that it does. */
  apply(frame: KnowledgeFrame): void {
    this.#knowledge.take(frame);
    this.#know(Number.POSITIVE_INFINITY);
  }

  /** Runs when all that was received before has been applied. */
  after(run: () => void): void {
    this.#knowledge.after(run);
    this.#know(this.#parts.now() + SLICE_MS);
  }

  /** The connection is gone: half of a snapshot or change is of no use, and claims of others are no longer heard. */
  disconnected(): void {
    if (this.#knowledge.disconnected()) this.#parts.journal.append({ kind: 'disconnected' });
  }

  /** Takes over what a predecessor left in the kernel: it goes on forwarding until it was decided again. */
  adopt(entries: readonly FlowEntry[]): void {
    for (const entry of entries) this.#queue.add({ kind: 'found', entry });
  }

  /** What this host had learned itself before it was started anew. */
  restoreLearned(put: readonly LearnedStatus[], del: readonly LearnedStatusRef[]): void {
    this.learned.restore(put, del, this.#parts.now());
    for (const ref of del) this.#parts.statuses.delete(ref);
    for (const status of put) this.#parts.statuses.put(status);
  }

  learn(lessons: readonly Lesson[], now: number): void {
    for (const lesson of lessons) this.#learned(this.learned.learn(lesson, now));
  }

  giveUp(portId: Id, ip: Ip, now: number): void {
    this.#learned(this.learned.giveUp(portId, ip, now));
  }

  /** Forgets what is too old, or was learned at ports that are bound elsewhere now. */
  expire(now: number): void {
    const macExpiryMs = (bridgeId: Id) => (this.#knowledge.topology.bridge(bridgeId)?.macExpirySeconds ?? 0) * 1000;
    this.#learned(this.learned.expire(now, macExpiryMs));
    const isHere = (portId: Id) => {
      const port = this.#knowledge.topology.port(portId);
      return port !== undefined && (port.binding === undefined || port.binding.hostId === this.#parts.hostId);
    };
    this.#learned(this.learned.prune(isHere));
  }

  /** Queues exactly the flows that asked one of the questions, and lets packets go on that wait for an answer. */
  touch(touches: readonly Touch[]): void {
    if (touches.length === 0) return;
    for (const flow of this.#parts.flows.touchedBy(touches)) this.#queue.add(flow);
    this.#parts.onTouched(touches);
  }

  /**
   * Works until `deadline` (of the clock) on what came, which gets half of the time at least, and on the queue; false
   * when nothing is left to do.
   */
  slice(deadline: number): boolean {
    const { now } = this.#parts;
    const started = now();
    if (this.#knowledge.busy) this.#know(started + (this.loaded ? (deadline - started) / 2 : deadline - started));
    // What was found in the kernel is not decided by an empty topology.
    if (!this.loaded) return this.#knowledge.busy;
    for (const queued of this.#queue) {
      this.#queue.delete(queued);
      if (!('kind' in queued)) this.#recheck(queued);
      else if (queued.kind === 'found') this.#recheckFound(queued.entry);
      else this.#reach(queued.revision);
      if (now() >= deadline) break;
    }
    if (this.#queue.size === 0 && this.#knowledge.busy && now() < deadline) this.#know(deadline);
    this.#writeDenials();
    // What is still being told may deny.
    if (this.#queue.size === 0 && !this.#knowledge.telling) this.#writeAdmissions();
    return !this.settled;
  }

  /** Everything that is known now, for the disk: asked for record by record while more comes. */
  records(): Iterable<JournalRecord> {
    return recordsOf(this.#knowledge.records(), this.learned);
  }

  #know(deadline: number): void {
    while (this.#knowledge.step() && this.#parts.now() < deadline);
  }

  /** On disk, told to others, and to the flows that asked. */
  #learned({ touches, put, del }: LearnedChange): void {
    if (put.length > 0 || del.length > 0) this.#parts.journal.append({ kind: 'learned', put, del });
    for (const ref of del) this.#parts.statuses.delete(ref);
    for (const status of put) this.#parts.statuses.put(status);
    this.touch(touches);
  }

  /** Decides the class of a flow again. Its masked key is a packet of the class. */
  #recheck(flow: Flow): void {
    const { flows } = this.#parts;
    if (!flows.has(flow)) return;
    this.counts.rechecked++;
    const { key, actions: before } = flow;
    const result = this.#decide(key);
    if (result === undefined) {
      this.#delete(flow);
      return;
    }
    const { mask, actions, tags, why } = result;
    const change = flows.add({ key, wantedMask: mask, actions, tags, why }, flow);
    const [decided] = change.install;
    if (decided === undefined) this.#removals.push(...change.remove);
    else if (decided !== flow || !sameActions(before, actions)) this.#write(decided, change.remove);
  }

  /** The same for a flow of a predecessor: kept when equal, replaced when not. */
  #recheckFound({ key, mask, actions: before }: FlowEntry): void {
    const { flows } = this.#parts;
    const known = flows.get(key, mask);
    if (known !== undefined) return;
    this.counts.rechecked++;
    const result = this.#decide(key);
    const change = result && flows.add({ key, wantedMask: result.mask, ...result }, undefined, mask);
    const [decided] = change?.install ?? [];
    if (decided === undefined) {
      this.counts.deleted++;
      this.#removals.push({ key, mask });
      return;
    }
    const sameClass = flows.get(key, mask) === decided;
    if (!sameClass || !sameActions(before, decided.actions)) this.#write(decided, sameClass ? [] : [{ key, mask }]);
  }

  /** The verdict for the class, or undefined when its next packet has to ask. */
  #decide(key: FlowEntry['key']): Result | undefined {
    const { simulate, now, log } = this.#parts;
    try {
      const result = simulate(arrivalOfKey(key), this.#knowledge.topology, this.learned);
      const teaches = result.learn.some((lesson) => this.learned.wouldTeach(lesson, now()));
      return result.needs.length > 0 || !result.cacheable || teaches ? undefined : result;
    } catch (error) {
      log.error('a flow could not be decided again and was deleted', { error });
      return undefined;
    }
  }

  #write(flow: Flow, instead: readonly FlowName[]): void {
    this.counts.replaced++;
    if (admits(flow.actions)) {
      this.#denials.delete(flow);
      this.#admissions.set(flow, [...(this.#admissions.get(flow) ?? []), ...instead]);
    } else {
      this.#removals.push(...(this.#admissions.get(flow) ?? []), ...instead);
      this.#admissions.delete(flow);
      this.#denials.add(flow);
    }
  }

  #delete(flow: Flow): void {
    this.counts.deleted++;
    const name = this.#parts.flows.remove(flow);
    if (name !== undefined) this.#removals.push(name);
    this.#removals.push(...(this.#admissions.get(flow) ?? []));
    this.#admissions.delete(flow);
    this.#denials.delete(flow);
  }

  /** All of the revision was decided. */
  #reach(revision: number): void {
    this.#writeDenials();
    this.#writeAdmissions();
    this.#parts.onDone(revision);
  }

  #writeDenials(): void {
    if (this.#denials.size === 0 && this.#removals.length === 0) return;
    const install = [...this.#denials];
    const remove = this.#removals;
    this.#denials.clear();
    this.#removals = [];
    this.#tell(install, remove);
  }

  #writeAdmissions(): void {
    if (this.#admissions.size === 0) return;
    const install = [...this.#admissions.keys()];
    const remove = [...this.#admissions.values()].flat();
    this.#admissions.clear();
    this.#tell(install, remove);
  }

  /** One batch. A flow that went meanwhile is not installed, one that came back is not removed. */
  #tell(install: readonly Flow[], remove: readonly FlowName[]): void {
    const { datapath, flows } = this.#parts;
    const wanted = install.filter((flow) => flows.has(flow));
    const gone = remove.filter(({ key, mask }) => flows.get(key, mask) === undefined);
    try {
      if (wanted.length > 0) datapath.install(wanted);
      datapath.remove(gone);
    } catch (error) {
      // No room for both, or for the masks of both: without them the packets come up, which is always right.
      this.#parts.log.warn('rechecked flows could not be written and were deleted', { flows: wanted.length, error });
      datapath.remove([...gone, ...wanted.flatMap((flow) => flows.remove(flow) ?? [])]);
    }
  }
}

/** Whether packets of the class get anywhere. */
function admits(actions: readonly Action[]): boolean {
  return actions.some(({ kind }) => kind === 'output' || kind === 'flood' || kind === 'answerNeighbour');
}

function* recordsOf(known: Iterable<JournalRecord>, learned: LearnedTable): Iterable<JournalRecord> {
  yield* known;
  for (const put of chunks(learned.own())) yield { kind: 'learned', put, del: [] };
}
