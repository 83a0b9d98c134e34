// The host's agent: the parts, and the one thread that they share.
//
//              ┌────────── frames ──────── server (client/stream.ts)
//              ▼                               ▲ status, done, answers
//   journal ◄─ replica ──► flow table ◄─ upcalls ◄─ packets ┐
//              │ topology, learned           │              │
//              ▼                             ▼              │
//            ports ───────────────────►  data path ─────────┘
//
// A turn: wiring that has changed, a batch of packets, a slice of rechecks, a sweep that is due. Nothing is torn down
// when the agent ends: the kernel goes on forwarding, and the next agent takes over what is there.

import { setImmediate as nextTick } from 'node:timers/promises';
import { AgentStream } from '../client/stream.ts';
import { BUDGETS, type Datapath } from '../datapath/datapath.ts';
import { FlowTable } from '../flow/table.ts';
import { type Log, sparingLog } from '../lib/log.ts';
import type { Lesson } from '../simulate/result.ts';
import { advertise, simulate, solicit } from '../simulate/simulate.ts';
import type { Id } from '../topology/resource.ts';
import { type AgentFrame, type ServerFrame, WIRE_VERSION } from '../topology/wire.ts';
import { Advertisements } from './advertisements.ts';
import { Audits } from './audit.ts';
import { type HostIdentity, loadIdentity } from './host/identity.ts';
import { type Machine, thisMachine } from './host/interfaces.ts';
import { Journal } from './host/journal.ts';
import { type KernelSettings, kernelDatapath } from './host/kernel.ts';
import { answerRequest } from './host/requests.ts';
import { StatusBook } from './host/status.ts';
import { HostWiring } from './host/wiring.ts';
import { type KnowledgeFrame, UnusableFrame } from './knowledge.ts';
import { LearnedTable } from './learned.ts';
import { SLICE_MS, STALE_MISS_MS, TICK_MS } from './limits.ts';
import { AnswerLimiter } from './packet/answers.ts';
import { Asker } from './packet/asking.ts';
import { deviceQuestion, ParkingLot } from './packet/parking.ts';
import { rehearse } from './rehearsal.ts';
import { Replica } from './replica.ts';
import { Subscriptions } from './subscriptions.ts';
import { Sweeper } from './sweep.ts';
import { type Simulate, Upcalls } from './upcalls.ts';

export interface AgentOptions extends KernelSettings {
  /** Identity and journal: `/var/lib/ayatori`. */
  readonly stateDirectory: string;
  /** Needed once. */
  readonly joinToken?: string | undefined;
  readonly version: string;
  readonly log: Log;
  /** From 0 up to 1. */
  readonly random: () => number;
  /** Instead of the kernel's, of this machine's, of the real ones: for tests. */
  readonly datapath?: Datapath;
  readonly machine?: Machine;
  readonly identity?: HostIdentity;
  readonly simulate?: Simulate;
}

export interface Agent {
  readonly hostId: Id;
  /** Lets go; what is in the kernel stays. */
  close(): Promise<void>;
}

/** Throws when the host has not joined, or the kernel cannot carry the data path. */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const identity = options.identity ?? (await loadIdentity(options.stateDirectory, options.joinToken));
  const datapath = options.datapath ?? (await kernelDatapath(options, identity.hostId));
  const running = new RunningAgent(identity, datapath, options);
  await running.start();
  return running;
}

const now = (): number => performance.now();

class RunningAgent implements Agent {
  readonly hostId: Id;
  readonly #identity: HostIdentity;
  readonly #datapath: Datapath;
  readonly #log: Log;
  readonly #version: string;
  readonly #simulate: Simulate;
  readonly #journal: Journal;
  readonly #statuses = new StatusBook();
  readonly #flows = new FlowTable();
  readonly #parking = new ParkingLot();
  readonly #replica: Replica;
  readonly #subscriptions: Subscriptions;
  readonly #asker: Asker;
  readonly #upcalls: Upcalls;
  readonly #advertisements: Advertisements;
  readonly #sweeper: Sweeper;
  readonly #wiring: HostWiring;
  readonly #audits: Audits;
  #stream: AgentStream | undefined;
  #waiting: Promise<void> | undefined;
  #wake: () => void = () => undefined;
  #nextTick = 0;
  #closed = false;
  #running: Promise<void> | undefined;

  constructor(identity: HostIdentity, datapath: Datapath, options: AgentOptions) {
    this.#identity = identity;
    this.hostId = identity.hostId;
    this.#datapath = datapath;
    this.#version = options.version;
    this.#simulate = options.simulate ?? simulate;
    const log = options.log.with({ hostId: identity.hostId });
    this.#log = log;
    const packetLog = sparingLog(log, 1000, now);
    this.#journal = new Journal(options.stateDirectory, log);
    const hostId = identity.hostId;
    this.#replica = new Replica({
      hostId,
      datapath,
      flows: this.#flows,
      learned: new LearnedTable(hostId),
      journal: this.#journal,
      statuses: this.#statuses,
      simulate: this.#simulate,
      now,
      log: packetLog,
      onTouched: (touches) => this.#parking.touched(touches),
      onPlaces: () => this.#wiring.changed(),
      onDone: (revision) => void this.#send({ kind: 'done', revision }),
    });
    this.#subscriptions = new Subscriptions({
      journal: this.#journal,
      connected: () => this.#stream?.connected ?? false,
      send: (frame) => this.#send(frame),
      wallNow: Date.now,
    });
    this.#asker = new Asker({
      solicit,
      world: this.#replica,
      inject: (packets) => datapath.inject(packets),
      giveUp: (portId, ip, at) => this.#replica.giveUp(portId, ip, at),
      subscriptions: this.#subscriptions,
    });
    this.#sweeper = new Sweeper({
      datapath,
      flows: this.#flows,
      replica: this.#replica,
      asker: this.#asker,
      now,
    });
    this.#advertisements = new Advertisements({
      hostId,
      datapath,
      world: this.#replica,
      simulate: this.#simulate,
      advertise,
      isPlugged: (port) => this.#wiring.isPlugged(port),
      random: options.random,
    });
    this.#upcalls = new Upcalls({
      datapath,
      world: this.#replica,
      flows: this.#flows,
      parking: this.#parking,
      asker: this.#asker,
      answers: new AnswerLimiter(),
      simulate: this.#simulate,
      solicited: (portIds, born, at) => this.#advertisements.solicited(portIds, born, at),
      evict: () => this.#sweeper.evict(),
      log: packetLog,
    });
    this.#wiring = new HostWiring({
      hostId,
      datapath,
      replica: this.#replica,
      statuses: this.#statuses,
      journal: this.#journal,
      machine: options.machine ?? thisMachine(log),
      servers: identity.servers,
      now,
      log,
      onChange: () => this.#wake(),
      onLeft: (deviceId) => this.#subscriptions.ask(deviceId, now()),
    });
    this.#audits = new Audits({
      datapath,
      world: () => {
        const { topology, learned } = this.#replica;
        const wouldTeach = (lesson: Lesson) => learned.wouldTeach(lesson, now());
        return { hostId, topology, learned, wouldTeach, simulate: this.#simulate };
      },
      settled: () => this.#replica.settled,
      answer: (frame) => this.#send(frame),
    });
  }

  /** From the disk and the kernel first, then with a server. */
  async start(): Promise<void> {
    this.#datapath.setBudgets(BUDGETS);
    this.#restore();
    const found = this.#datapath.flows();
    this.#replica.adopt(found);
    this.#dropStaleMisses();
    const looking = this.#wiring.start();
    // While others list interfaces and routes for it.
    rehearse(now, this.#log);
    await looking;
    this.#log.info('agent started', { flows: found.length, revision: this.#replica.topology.revision });
    this.#stream = new AgentStream({
      servers: this.#identity.servers,
      credential: this.#identity.credential,
      fingerprint: this.#identity.fingerprint,
      log: this.#log,
      onOpen: () => this.#greeting(),
      onFrame: (frame) => this.#receive(frame),
      onClose: () => {
        this.#replica.disconnected();
        this.#audits.forget();
      },
    });
    this.#running = this.#run();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#wake();
    await this.#running;
    await this.#waiting;
    await this.#wiring.close();
    this.#stream?.close();
    this.#journal.close();
    this.#datapath.close();
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      const busy = this.#turn();
      if (busy) await nextTick();
      else await this.#rest();
    }
  }

  /** One turn of the thread. True when there is more to do at once. */
  #turn(): boolean {
    try {
      return this.#replica.loaded ? this.#work() : this.#replica.slice(now() + SLICE_MS);
    } catch (error) {
      if (error instanceof UnusableFrame) {
        this.#log.error('a frame of the server makes no sense; connecting anew', { error });
        this.#stream?.reconnect();
      } else {
        this.#log.error('a turn of the agent failed; the next one goes on', { error });
      }
    }
    return false;
  }

  #work(): boolean {
    this.#advertisements.follow(now());
    this.#wiring.turn();
    const started = now();
    const packets = this.#upcalls.turn(started);
    const decided = now();
    // Rechecks get as much of the thread as packets, and never less than a slice.
    const more = this.#replica.slice(decided + Math.max(SLICE_MS, decided - started));
    if (decided >= this.#nextTick) {
      this.#nextTick = decided + TICK_MS;
      this.#sweeper.turn(decided);
      this.#advertisements.turn(decided);
      if (this.#journal.outgrown) this.#rewriteJournal();
    }
    for (const frame of this.#stream?.connected ? this.#statuses.changes() : []) this.#send(frame);
    return this.#unhurried() || packets > 0 || more;
  }

  /** A part of a slice for what nobody waits for. True when there is more of it. */
  #unhurried(): boolean {
    const deadline = now() + SLICE_MS / 2;
    for (;;) {
      const rewrites = this.#journal.step();
      const audits = this.#audits.step();
      if (!rewrites && !audits) return false;
      if (now() >= deadline) return true;
    }
  }

  /** Until a packet comes up, something else happens, or the clock has work. */
  async #rest(): Promise<void> {
    this.#waiting ??= this.#datapath.wait(TICK_MS).finally(() => {
      this.#waiting = undefined;
    });
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    await Promise.race([this.#replica.loaded ? this.#waiting : woken, woken]);
  }

  #receive(frame: ServerFrame): void {
    switch (frame.kind) {
      case 'snapshot':
      case 'change':
      case 'status':
        this.#replica.receive(frame);
        break;
      case 'subscribed':
        this.#replica.after(() => {
          this.#subscriptions.sent(frame.deviceIds);
          this.#replica.touch(frame.deviceIds.map((id) => ({ question: deviceQuestion(id) })));
        });
        break;
      case 'heartbeat':
        break;
      case 'request':
        if (frame.method === 'audit') this.#audits.ask(frame.id);
        else this.#answer(frame);
        break;
    }
    this.#wake();
  }

  #answer(frame: Extract<ServerFrame, { kind: 'request' }>): void {
    const { topology } = this.#replica;
    const counts = () => ({ ...this.#upcalls.counts, ...this.#replica.counts, waiting: this.#parking.size });
    const drops = () => this.#upcalls.drops.list();
    const hostIdOf = (index: number) => this.#wiring.hostIdOf(index);
    const parts = {
      datapath: this.#datapath,
      flows: this.#flows,
      topology: () => topology,
      counts,
      drops,
      hostIdOf,
    };
    this.#send(answerRequest(frame, parts));
  }

  #greeting(): AgentFrame[] {
    const deviceIds = this.#subscriptions.hello();
    const hello: AgentFrame = { kind: 'hello', wireVersion: WIRE_VERSION, version: this.#version, deviceIds };
    return [hello, ...this.#statuses.whole()];
  }

  #send(frame: AgentFrame): void {
    this.#stream?.send(frame);
  }

  #restore(): void {
    this.#journal.replay((record) => {
      switch (record.kind) {
        case 'frame':
          this.#restoreFrame(record.frame);
          break;
        case 'subscribe':
        case 'unsubscribe':
          this.#subscriptions.restore(record, now());
          break;
        case 'learned':
          this.#replica.restoreLearned(record.put, record.del);
          break;
        case 'hostIndex':
          this.#wiring.restoreIndex(record.hostId, record.index);
          break;
        case 'disconnected':
          this.#replica.disconnected();
          break;
      }
    });
    // Of what came in halves the rest will never come.
    this.#replica.disconnected();
  }

  /** A frame that did harm when it came is on disk all the same: it must not do it again at every start. */
  #restoreFrame(frame: KnowledgeFrame): void {
    try {
      this.#replica.apply(frame);
    } catch (error) {
      this.#log.error('a frame in the copy on disk makes no sense and is passed over', { frame: frame.kind, error });
    }
  }

  #rewriteJournal(): void {
    const subscriptions = this.#subscriptions.records(now());
    this.#journal.rewrite(chain(this.#wiring.records(), subscriptions, this.#replica.records()));
  }

  /** What came up while no agent was there: senders have tried again since, or given up. */
  #dropStaleMisses(): void {
    const fresh = (): boolean => {
      const misses = this.#datapath.poll(64);
      return misses.length === 0 || misses.some(({ ageMs }) => ageMs < STALE_MISS_MS);
    };
    while (!fresh());
  }
}

function* chain<T>(...lists: readonly Iterable<T>[]): Iterable<T> {
  for (const list of lists) yield* list;
}
