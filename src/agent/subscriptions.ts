// The devices that walks asked for, beside those of the host's own ports: what the server was told of them, and when a
// walk last came to each. One that nothing used for a day is released, and asked for again by the next walk.
//
//                  a walk needs it                 all of it was sent
//     unknown ─────── subscribe ──────► asked ───────────────────────► sent
//        ▲                                ▲                            │  │
//        │                                └────── hello names it ──────┘  │
//        └───────────── unsubscribe ────── unused for a day ──────────────┘
//
// Only what was sent is released. So no word of the server about an earlier subscription is ever on its way when a device
// is asked for again, and `subscribed` means what it says. Until the server's `del` comes, walks still find the device
// as it is; then their flows are decided again, find it gone, and their next packets ask. With no server nothing is
// released: nobody could bring it back.
//
// A use is a flow in use whose walk came to the device, or a walk that came there and left no flow. Both show by the same
// tag: whoever comes to a device asks for the bridge or router itself before any port, chain or route of it.
//
// Times are of the steady clock. On disk a use is an hour of the wall clock, rounded up and written once an hour, so
// that the day goes on while no agent runs and does not start anew at each restart. A wall clock that was set back only
// makes uses later, never later than now; one that was set forward makes them earlier, and the next packet to a device
// that was released for that costs one question. Flows found in the kernel count before anything is released.

import type { Tag } from '../flow/tags.ts';
import { QUESTION } from '../simulate/question.ts';
import type { Id } from '../topology/resource.ts';
import type { AgentFrame } from '../topology/wire.ts';
import type { Journal, JournalRecord } from './host/journal.ts';
import {
  DEVICE_UNUSED_MS,
  DEVICE_USE_WRITTEN_MS,
  DEVICES_RELEASED_AT_ONCE,
  DEVICES_SUBSCRIBED_MAX,
  FLOW_IDLE_MS,
} from './limits.ts';

type SubscriptionRecord = Extract<JournalRecord, { kind: 'subscribe' | 'unsubscribe' }>;

export interface SubscriptionParts {
  readonly journal: Pick<Journal, 'append'>;
  /** Whether a server hears what is sent. */
  readonly connected: () => boolean;
  readonly send: (frame: AgentFrame) => void;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
}

interface Device {
  readonly id: Id;
  /** The server has said that everything about it was sent. */
  sent: boolean;
  usedAt: number;
  /** The use that is on disk. */
  writtenAt: number;
}

const HOUR_MS = 3_600_000;

export class Subscriptions {
  readonly #parts: SubscriptionParts;
  readonly #devices = new Map<Id, Device>();
  /** By the question that walks ask when they come to it, as a bridge and as a router: which it is need not be known. */
  readonly #byQuestion = new Map<string, Device>();

  constructor(parts: SubscriptionParts) {
    this.#parts = parts;
  }

  get deviceIds(): Id[] {
    return [...this.#devices.keys()];
  }

  /**
   * A walk needs the device. False: waiting would not help, since all that exists of it was sent, or since as many as
   * can be had are in use.
   */
  ask(deviceId: Id, now: number): boolean {
    const known = this.#devices.get(deviceId);
    if (known !== undefined) {
      known.usedAt = now;
      return !known.sent;
    }
    if (this.#devices.size >= DEVICES_SUBSCRIBED_MAX && !this.#makeRoom(now)) return false;
    const device = this.#add(deviceId, now);
    this.#write([device], now);
    this.#parts.send({ kind: 'subscribe', deviceIds: [deviceId] });
    return true;
  }

  /** A flow that was in use then asked this. */
  use(question: string, usedAt: number): void {
    const device = this.#byQuestion.get(question);
    if (device !== undefined && device.usedAt < usedAt) device.usedAt = usedAt;
  }

  /** A walk that left no flow asked these. */
  walked(tags: readonly Tag[], now: number): void {
    if (this.#devices.size === 0) return;
    for (const { question } of tags) this.use(question, now);
  }

  /** The server has sent everything that there is of them. */
  sent(deviceIds: readonly Id[]): void {
    for (const id of deviceIds) {
      const device = this.#devices.get(id);
      if (device !== undefined) device.sent = true;
    }
  }

  /** All of them, for a hello: whatever was sent is sent again. */
  hello(): Id[] {
    for (const device of this.#devices.values()) device.sent = false;
    return this.deviceIds;
  }

  /** After a look at every flow: writes down what was used, and releases what was not for a day, some at a time. */
  turn(now: number): void {
    const fresh = [...this.#devices.values()].filter(
      (device) => device.usedAt - device.writtenAt >= DEVICE_USE_WRITTEN_MS,
    );
    this.#write(fresh, now);
    if (!this.#parts.connected()) return;
    const unused = [...this.#devices.values()].filter(
      (device) => device.sent && now - device.usedAt >= DEVICE_UNUSED_MS,
    );
    this.#release(unused.slice(0, DEVICES_RELEASED_AT_ONCE));
  }

  /** What is on disk, in the order in which it was written. */
  restore(record: SubscriptionRecord, now: number): void {
    if (record.kind === 'unsubscribe') {
      for (const id of record.deviceIds) this.#forget(id);
      return;
    }
    const ageMs = Math.max(0, this.#parts.wallNow() - record.usedHour * HOUR_MS);
    for (const id of record.deviceIds) {
      const device = this.#devices.get(id) ?? this.#add(id, now - ageMs);
      device.usedAt = now - ageMs;
      device.writtenAt = device.usedAt;
    }
  }

  /** All of them, for the disk. */
  records(now: number): JournalRecord[] {
    return this.#recordsOf(this.#devices.values(), now);
  }

  #add(id: Id, usedAt: number): Device {
    const device = { id, sent: false, usedAt, writtenAt: usedAt };
    this.#devices.set(id, device);
    for (const question of questionsOf(id)) this.#byQuestion.set(question, device);
    return device;
  }

  #forget(id: Id): void {
    this.#devices.delete(id);
    for (const question of questionsOf(id)) this.#byQuestion.delete(question);
  }

  /** On disk before it is said: an agent that dies in between has no more than the server sends it. */
  #release(devices: readonly Device[]): void {
    if (devices.length === 0) return;
    const deviceIds = devices.map(({ id }) => id);
    for (const id of deviceIds) this.#forget(id);
    this.#parts.journal.append({ kind: 'unsubscribe', deviceIds });
    this.#parts.send({ kind: 'unsubscribe', deviceIds });
  }

  /** Releases the one that was not used for longest, unless it is in use. */
  #makeRoom(now: number): boolean {
    let oldest: Device | undefined;
    for (const device of this.#devices.values()) {
      if (device.sent && (oldest === undefined || device.usedAt < oldest.usedAt)) oldest = device;
    }
    if (oldest === undefined || now - oldest.usedAt < FLOW_IDLE_MS || !this.#parts.connected()) return false;
    this.#release([oldest]);
    return true;
  }

  #write(devices: readonly Device[], now: number): void {
    for (const record of this.#recordsOf(devices, now)) this.#parts.journal.append(record);
    for (const device of devices) device.writtenAt = device.usedAt;
  }

  /** One record for each hour in which some were used last. */
  #recordsOf(devices: Iterable<Device>, now: number): JournalRecord[] {
    const wallNow = this.#parts.wallNow();
    const byHour = new Map<number, Id[]>();
    for (const { id, usedAt } of devices) {
      const usedHour = Math.ceil((wallNow - (now - usedAt)) / HOUR_MS);
      const ids = byHour.get(usedHour);
      if (ids === undefined) byHour.set(usedHour, [id]);
      else ids.push(id);
    }
    return [...byHour].map(([usedHour, deviceIds]) => ({ kind: 'subscribe', deviceIds, usedHour }));
  }
}

const questionsOf = (deviceId: Id): readonly string[] => [QUESTION.bridge(deviceId), QUESTION.router(deviceId)];
