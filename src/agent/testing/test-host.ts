// The loops of one agent over a data path that writes down what it is told, with the clock in the test's hand.

import type { FlowEntry } from '../../datapath/datapath.ts';
import { formatActions, formatMatch } from '../../flow/format.ts';
import { FlowTable } from '../../flow/table.ts';
import { memoryLog } from '../../lib/log.ts';
import { frameOf } from '../../packet/words.ts';
import type { Arrival } from '../../simulate/result.ts';
import { advertise, simulate, solicit } from '../../simulate/simulate.ts';
import type { Resource, ResourceRef } from '../../topology/kinds.ts';
import { sampleId } from '../../topology/testing/samples.ts';
import type { AgentFrame, HostedStatus } from '../../topology/wire.ts';
import { Advertisements } from '../advertisements.ts';
import type { JournalRecord } from '../host/journal.ts';
import { StatusBook } from '../host/status.ts';
import { LearnedTable } from '../learned.ts';
import { AnswerLimiter } from '../packet/answers.ts';
import { Asker } from '../packet/asking.ts';
import { ParkingLot } from '../packet/parking.ts';
import { Replica } from '../replica.ts';
import { Subscriptions } from '../subscriptions.ts';
import { Sweeper } from '../sweep.ts';
import { Upcalls } from '../upcalls.ts';
import { FakeDatapath } from './fake-datapath.ts';

export const HERE = sampleId('host', 1);
export const ELSEWHERE = sampleId('host', 2);

export class TestHost {
  now = 1000;
  /** A clock that goes on at every look makes every slice one piece. */
  msPerReading = 0;
  /** What was simulated, class by class. */
  readonly simulated: Arrival[] = [];
  /** What the server was told of devices. */
  readonly told: AgentFrame[] = [];
  connected = true;
  /** Of the wall clock, at 0 of the test's. */
  wallStart = Date.UTC(2026, 0, 1);
  readonly done: number[] = [];
  readonly journal: JournalRecord[] = [];
  /** Ports that are bound here and not plugged. */
  readonly unplugged = new Set<number>();
  readonly datapath: FakeDatapath;
  readonly log = memoryLog();
  readonly flows: FlowTable;
  readonly parking = new ParkingLot();
  readonly statuses = new StatusBook();
  readonly replica: Replica;
  readonly subscriptions: Subscriptions;
  readonly asker: Asker;
  readonly upcalls: Upcalls;
  readonly sweeper: Sweeper;
  readonly advertisements: Advertisements;
  /** What chance says next. */
  chance = 0;
  /** The real one, counted. */
  readonly simulate: typeof simulate;
  /** Stands in front of the real one: a test may throw here. */
  beforeSimulate: (arrival: Arrival) => void = () => undefined;
  #revision = 1;

  constructor(datapath = new FakeDatapath(), flows = new FlowTable(), hostId = HERE) {
    this.datapath = datapath;
    this.flows = flows;
    const { log } = this;
    const now = (): number => {
      this.now += this.msPerReading;
      return this.now;
    };
    this.simulate = (arrival, ...world) => {
      this.simulated.push(arrival);
      this.beforeSimulate(arrival);
      return simulate(arrival, ...world);
    };
    this.replica = new Replica({
      hostId,
      datapath,
      flows,
      learned: new LearnedTable(hostId),
      journal: { append: (record) => this.journal.push(record) },
      statuses: this.statuses,
      simulate: this.simulate,
      now,
      log,
      onTouched: (touches) => this.parking.touched(touches),
      onPlaces: () => undefined,
      onDone: (revision) => this.done.push(revision),
    });
    this.subscriptions = new Subscriptions({
      journal: { append: (record) => this.journal.push(record) },
      connected: () => this.connected,
      send: (frame) => this.told.push(frame),
      wallNow: () => this.wallStart + this.now,
    });
    this.asker = new Asker({
      solicit,
      world: this.replica,
      inject: (packets) => datapath.inject(packets),
      giveUp: (portId, ip, at) => this.replica.giveUp(portId, ip, at),
      subscriptions: this.subscriptions,
    });
    const { replica, asker, parking } = this;
    const shared = { datapath, flows, replica, asker, simulate: this.simulate, now };
    this.sweeper = new Sweeper(shared);
    const random = () => this.chance;
    const isPlugged = (port: number) => !this.unplugged.has(port);
    this.advertisements = new Advertisements({ hostId, advertise, isPlugged, random, world: replica, ...shared });
    const { advertisements } = this;
    const solicited = advertisements.solicited.bind(advertisements);
    const answers = new AnswerLimiter();
    const evict = () => this.sweeper.evict();
    this.upcalls = new Upcalls({ ...shared, world: replica, parking, answers, solicited, evict, log });
  }

  /** The first snapshot of a server. */
  load(...put: Resource[]): void {
    this.replica.receive({ kind: 'snapshot', revision: this.#revision, put, status: [], more: false });
  }

  /** A change at the next revision; the rechecks are left to `settle`. */
  change(put: Resource[], del: ResourceRef[] = []): void {
    this.#revision++;
    const touched = put.map((one) => ({ ...one, value: { ...one.value, revision: this.#revision } }) as Resource);
    this.replica.receive({ kind: 'change', revision: this.#revision, put: touched, del, more: false });
  }

  hear(...put: HostedStatus[]): void {
    this.replica.receive({ kind: 'status', put, del: [] });
  }

  /** Packets and rechecks until there is nothing left to do. */
  settle(): void {
    while (this.upcalls.turn(this.now) > 0 || this.replica.slice(Number.POSITIVE_INFINITY));
  }

  /** A frame in words comes up from a port, and all that follows is done. */
  send(port: number, words: string): void {
    this.datapath.comesUp(frameOf(words), port);
    this.settle();
  }

  /** What happened since the last call: `from 5`, `deliver 7`. */
  takeInjected(): string[] {
    return this.datapath.injected.splice(0).map(({ sense, number }) => `${sense} ${number}`);
  }

  /** What the kernel has, in words, sorted. */
  installed(): string[] {
    return this.datapath.flows().map(describe).sort();
  }

  /** What the installed flows do, sorted. */
  actions(): string[] {
    return this.datapath
      .flows()
      .map(({ actions }) => formatActions(actions))
      .sort();
  }
}

export const describe = ({ key, mask, actions }: FlowEntry): string =>
  `${formatMatch(key, mask)} -> ${formatActions(actions)}`;
