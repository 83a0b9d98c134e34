// What the server told this host: the topology, and what other hosts say. Frames take effect in the order in which they
// came, one after the other, each in pieces between packets:
//
//   snapshot, in parts ─ whole ─► compiled beside the old one ─► swapped ─► its questions touched ─► done
//   change,   in parts ─ whole ─► compiled …
//   status                                                       ─► claims and places
//
// Walks see the old topology or the new one, never a part of one. A frame that comes meanwhile waits.

import { eachOf, type Steps } from '../lib/steps.ts';
import { KIND_NAMES, type Resource } from '../topology/kinds.ts';
import type { Change, Topology } from '../topology/nodes.ts';
import type { Id } from '../topology/resource.ts';
import { applying, emptyTopology, replacing } from '../topology/snapshot.ts';
import type { PortStatus } from '../topology/status.ts';
import type { HostedStatus, HostedStatusRef, ServerFrame } from '../topology/wire.ts';
import type { JournalRecord } from './host/journal.ts';
import { RemoteStatus } from './remote-status.ts';

export type KnowledgeFrame = Extract<ServerFrame, { kind: 'snapshot' | 'change' | 'status' }>;
type SnapshotFrame = Extract<ServerFrame, { kind: 'snapshot' }>;
type ChangeFrame = Extract<ServerFrame, { kind: 'change' }>;
type StatusFrame = Extract<ServerFrame, { kind: 'status' }>;

export interface KnowledgeParts {
  readonly hostId: Id;
  readonly now: () => number;
  /** A change came, and there is nothing that it changes. */
  readonly onUnfounded: (revision: number) => void;
  /** Places of ports may have changed. */
  readonly onPlaces: () => void;
  /** Differences between the topology that was seen before and the one that is seen now; in any number of calls. */
  readonly onChanges: (changes: readonly Change[]) => void;
  /** All status of other hosts, as of the time until which they were heard. Those of before are void. */
  readonly onClaims: (statuses: readonly HostedStatus[], heardUntil: number) => Steps<void>;
  /** The port is bound elsewhere, if only for a moment: the server's word about it is dropped. */
  readonly onElsewhere: (portId: Id) => void;
  readonly onStatus: (put: readonly HostedStatus[], del: readonly HostedStatusRef[]) => void;
  /** The topology is at the revision, and all that it changes was told. */
  readonly onRevision: (revision: number) => void;
}

/** Something whole that came, or that is to happen when all before it has taken effect. */
type Task =
  | { readonly kind: 'snapshot'; readonly parts: readonly SnapshotFrame[]; readonly heardUntil: number }
  | { readonly kind: 'change'; readonly parts: readonly ChangeFrame[] }
  | { readonly kind: 'status'; readonly parts: readonly StatusFrame[] }
  | { readonly kind: 'then'; readonly run: () => void };

/** A frame that the server should not have sent. It has no effect, and the connection has to begin anew. */
export class UnusableFrame extends Error {
  override readonly name = 'UnusableFrame';
}

/** Objects or statuses in one record on disk: about 15 kB, a fifth of a millisecond. */
const RECORD_ITEMS = 32;
/** Changes told at once. */
const CHANGES_AT_ONCE = 64;

export class Knowledge {
  readonly #parts: KnowledgeParts;
  #topology: Topology = emptyTopology();
  #loaded = false;
  #remote = new RemoteStatus();
  #snapshotParts: SnapshotFrame[] = [];
  #changeParts: ChangeFrame[] = [];
  readonly #waiting: Task[] = [];
  #task: Task | undefined;
  #steps: Steps<void> | undefined;
  /** The topology of the task is seen, and what it changes is being told. */
  #telling = false;
  /** Until when other hosts' claims were heard. */
  #heardUntil = 0;

  constructor(parts: KnowledgeParts) {
    this.#parts = parts;
  }

  get topology(): Topology {
    return this.#topology;
  }

  /** False until a topology came. */
  get loaded(): boolean {
    return this.#loaded;
  }

  /** Something came that has not yet taken its whole effect. */
  get busy(): boolean {
    return this.#task !== undefined || this.#waiting.length > 0;
  }

  /** The topology is newer than what of it was told. */
  get telling(): boolean {
    return this.#telling;
  }

  /** What that host says of the port; undefined: nothing. */
  stateAt(hostId: Id, portId: Id): PortStatus['state'] | undefined {
    const known = this.#remote.get(hostId, 'port', portId);
    return known?.kind === 'port' ? known.state : undefined;
  }

  word(portId: Id): PortStatus | undefined {
    const word = this.#remote.get(this.#parts.hostId, 'port', portId);
    return word?.kind === 'port' ? word : undefined;
  }

  /** A part or a whole that came; `step` makes it take effect. */
  take(frame: KnowledgeFrame): void {
    switch (frame.kind) {
      case 'snapshot':
        this.#snapshotParts.push(frame);
        if (!frame.more) this.#takeSnapshot();
        break;
      case 'change':
        this.#changeParts.push(frame);
        if (!frame.more) this.#waiting.push({ kind: 'change', parts: this.#changeParts.splice(0) });
        break;
      case 'status':
        this.#waiting.push({ kind: 'status', parts: [frame] });
        break;
    }
  }

  /** Runs when all that came before has taken effect. */
  after(run: () => void): void {
    this.#waiting.push({ kind: 'then', run });
  }

  /**
   * One bounded piece of what is to be done; false when nothing is. UnusableFrame: what waited behind it is forgotten.
   */
  step(): boolean {
    try {
      this.#steps ??= this.#next();
      if (this.#steps?.next().done === true) this.#end();
    } catch (error) {
      this.#end();
      this.#waiting.length = 0;
      throw new UnusableFrame('a frame of the server makes no sense', { cause: error });
    }
    return this.busy;
  }

  /** Half of a snapshot or change is of no use any more, and claims of others are no longer heard. True: there was one. */
  disconnected(): boolean {
    const hadHalf = this.#snapshotParts.length > 0 || this.#changeParts.length > 0;
    this.#snapshotParts = [];
    this.#changeParts = [];
    this.#heardUntil = this.#parts.now();
    return hadHalf;
  }

  /**
   * Everything that is known, and what came and has not taken effect, for the disk: asked for record by record while
   * more comes. Of what comes meanwhile some may be in it.
   */
  records(): Iterable<JournalRecord> {
    const task = this.#telling || this.#task === undefined ? [] : [this.#task];
    const waiting = [...task, ...this.#waiting].flatMap((one): readonly KnowledgeFrame[] =>
      one.kind === 'then' ? [] : one.parts,
    );
    return recordsOf(this.#topology, this.#remote, [...waiting, ...this.#snapshotParts, ...this.#changeParts]);
  }

  /** What waits before it would be of no effect. */
  #takeSnapshot(): void {
    const rest = this.#waiting.filter(({ kind }) => kind === 'then');
    const parts = this.#snapshotParts;
    this.#snapshotParts = [];
    this.#waiting.splice(
      0,
      Number.POSITIVE_INFINITY,
      { kind: 'snapshot', parts, heardUntil: this.#heardUntil },
      ...rest,
    );
  }

  #next(): Steps<void> | undefined {
    this.#task = this.#waiting.shift();
    switch (this.#task?.kind) {
      case 'snapshot':
        return this.#swap(this.#task.parts, this.#task.heardUntil);
      case 'change':
        return this.#change(this.#task.parts);
      case 'status':
        return this.#hear(this.#task.parts);
      case 'then':
        this.#task.run();
        this.#end();
    }
    return undefined;
  }

  #end(): void {
    this.#task = undefined;
    this.#steps = undefined;
    this.#telling = false;
  }

  *#swap(parts: readonly SnapshotFrame[], heardUntil: number): Steps<void> {
    const revision = parts.at(-1)!.revision;
    const { topology, changes, put, del } = yield* replacing(this.#topology, revision, objectsOf(parts));
    const remote = new RemoteStatus();
    const statuses: HostedStatus[] = [];
    for (const { status } of parts) {
      yield* eachOf(status, (hosted) => {
        remote.put(hosted);
        statuses.push(hosted);
      });
    }
    yield* eachOf(del, (ref) => remote.dropAbout([ref]));
    yield* this.#forgetWords(topology, remote, put);
    yield* eachOf(statuses, ({ hostId, status }) => {
      if (hostId === this.#parts.hostId) this.#forgetWord(topology, remote, status.id);
    });
    this.#telling = true;
    this.#topology = topology;
    this.#remote = remote;
    this.#loaded = true;
    this.#parts.onPlaces();
    yield* this.#tell(changes);
    yield* this.#parts.onClaims(statuses, heardUntil);
    this.#parts.onRevision(revision);
  }

  *#change(parts: readonly ChangeFrame[]): Steps<void> {
    const revision = parts.at(-1)!.revision;
    if (!this.#loaded) {
      this.#parts.onUnfounded(revision);
      return;
    }
    const put = parts.flatMap((part) => part.put);
    const del = parts.flatMap((part) => part.del);
    const { topology, changes } = yield* applying(this.#topology, { revision, put, del });
    this.#telling = true;
    this.#topology = topology;
    yield* this.#forgetWords(topology, this.#remote, put);
    this.#parts.onPlaces();
    yield* this.#tell(changes);
    yield* eachOf(del, (ref) => {
      const dropped = this.#remote.dropAbout([ref]);
      if (dropped.length > 0) this.#parts.onStatus([], dropped);
    });
    this.#parts.onRevision(revision);
  }

  *#hear(parts: readonly StatusFrame[]): Steps<void> {
    for (const { put, del } of parts) {
      for (const ref of del) this.#remote.delete(ref);
      for (const hosted of put) this.#remote.put(hosted);
      for (const { hostId, status } of put) {
        if (hostId === this.#parts.hostId) this.#forgetWord(this.#topology, this.#remote, status.id);
      }
      this.#parts.onStatus(put, del);
      if (put.some(({ status }) => status.kind === 'port') || del.some(({ kind }) => kind === 'port')) {
        this.#parts.onPlaces();
      }
      yield;
    }
  }

  *#tell(changes: readonly Change[]): Steps<void> {
    for (let at = 0; at < changes.length; at += CHANGES_AT_ONCE) {
      this.#parts.onChanges(changes.slice(at, at + CHANGES_AT_ONCE));
      yield;
    }
  }

  #forgetWords(topology: Topology, remote: RemoteStatus, put: readonly Resource[]): Steps<void> {
    return eachOf(put, ({ kind, value }) => {
      if (kind === 'port') this.#forgetWord(topology, remote, value.id);
    });
  }

  /** A word about a port that is bound elsewhere is old. One about a port that is not known yet is kept for it. */
  #forgetWord(topology: Topology, remote: RemoteStatus, portId: Id): void {
    const { hostId } = this.#parts;
    const port = topology.port(portId);
    if (port === undefined || port.binding?.hostId === hostId) return;
    remote.delete({ hostId, kind: 'port', id: portId });
    this.#parts.onElsewhere(portId);
  }
}

function* objectsOf(parts: readonly SnapshotFrame[]): Iterable<Resource> {
  for (const { put } of parts) yield* put;
}

function* recordsOf(
  topology: Topology,
  remote: RemoteStatus,
  waiting: readonly KnowledgeFrame[],
): Iterable<JournalRecord> {
  const { revision } = topology;
  const part = (put: readonly Resource[], status: readonly HostedStatus[], more = true): JournalRecord => ({
    kind: 'frame',
    frame: { kind: 'snapshot', revision, put, status, more },
  });
  for (const kind of KIND_NAMES) {
    for (const values of chunks(topology.objects(kind).values())) {
      yield part(
        values.map((value) => ({ kind, value }) as Resource),
        [],
      );
    }
  }
  for (const statuses of chunks(remote.all())) yield part([], statuses);
  yield part([], [], false);
  for (const frame of waiting) yield { kind: 'frame', frame };
}

/** Lists of as much as one record on disk holds. */
export function* chunks<T>(items: Iterable<T>): Iterable<T[]> {
  let chunk: T[] = [];
  for (const item of items) {
    chunk.push(item);
    if (chunk.length < RECORD_ITEMS) continue;
    yield chunk;
    chunk = [];
  }
  if (chunk.length > 0) yield chunk;
}
