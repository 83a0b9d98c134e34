// Packets that wait for something the agent has asked for. Bounded per port and in all, and in time: what does not fit
// or is not answered is dropped and counted. A packet whose question is touched may go on.

import { portOf } from '../../flow/fields.ts';
import type { Touch } from '../../flow/tags.ts';
import { QUESTION } from '../../simulate/question.ts';
import type { Need, Result } from '../../simulate/result.ts';
import type { Id } from '../../topology/resource.ts';
import { PARKED_BYTES_MAX, PARKED_MAX, PARKED_MS, PARKED_PER_PORT } from '../limits.ts';
import { keep, type Packet } from './arrival.ts';

/** Not a question of walks: the device was sent, or is known not to exist. */
export const deviceQuestion = (deviceId: Id): string => `device/${deviceId}`;
export const questionOfNeed = (need: Need): string =>
  need.kind === 'device' ? deviceQuestion(need.deviceId) : QUESTION.neighbour(need.portId, need.ip);

interface Parked {
  readonly packet: Packet;
  readonly questions: ReadonlySet<string>;
  readonly until: number;
}

export class ParkingLot {
  /** In order of arrival, which is the order of their deadlines. */
  readonly #parked = new Set<Parked>();
  readonly #byQuestion = new Map<string, Set<Parked>>();
  readonly #perPort = new Map<number, number>();
  readonly #ready: Packet[] = [];
  #bytes = 0;

  get size(): number {
    return this.#parked.size;
  }

  /**
   * Keeps a copy until one of its needs is touched, or another question of its walk: it may fare otherwise then. One
   * that needs a device waits for all of the device: a part of it may already answer the walk, but not deliver.
   * False: no room, the packet is to be dropped.
   */
  park(packet: Packet, { needs, tags }: Pick<Result, 'needs' | 'tags'>, now: number): boolean {
    const { key, frame } = packet.arrival;
    const port = portOf(key);
    const waiting = this.#perPort.get(port) ?? 0;
    if (
      waiting >= PARKED_PER_PORT ||
      this.#parked.size >= PARKED_MAX ||
      this.#bytes + frame.length > PARKED_BYTES_MAX
    ) {
      return false;
    }
    const devices = needs.filter(({ kind }) => kind === 'device');
    const questions =
      devices.length > 0
        ? new Set(devices.map(questionOfNeed))
        : new Set([...needs.map(questionOfNeed), ...tags.map((tag) => tag.question)]);
    const parked: Parked = { packet: keep(packet), questions, until: now + PARKED_MS };
    this.#parked.add(parked);
    this.#perPort.set(port, waiting + 1);
    this.#bytes += frame.length;
    for (const question of parked.questions) {
      const waiters = this.#byQuestion.get(question) ?? new Set<Parked>();
      this.#byQuestion.set(question, waiters.add(parked));
    }
    return true;
  }

  /** Those that waited for one of these may go on. */
  touched(touches: readonly Touch[]): void {
    for (const { question } of touches) {
      for (const parked of this.#byQuestion.get(question) ?? []) {
        this.#release(parked);
        this.#ready.push(parked.packet);
      }
    }
  }

  /** Up to `limit` packets that may go on, oldest first. */
  takeReady(limit: number): Packet[] {
    return this.#ready.splice(0, limit);
  }

  /** Gives up on those whose time is over; tells which, and how many. */
  expire(now: number, onExpired: (packet: Packet) => void = () => undefined): number {
    let expired = 0;
    for (const parked of this.#parked) {
      if (parked.until > now) break;
      this.#release(parked);
      onExpired(parked.packet);
      expired++;
    }
    return expired;
  }

  #release(parked: Parked): void {
    const { key, frame } = parked.packet.arrival;
    this.#parked.delete(parked);
    this.#bytes -= frame.length;
    const port = portOf(key);
    const left = this.#perPort.get(port)! - 1;
    if (left === 0) this.#perPort.delete(port);
    else this.#perPort.set(port, left);
    for (const question of parked.questions) {
      const waiters = this.#byQuestion.get(question);
      waiters?.delete(parked);
      if (waiters?.size === 0) this.#byQuestion.delete(question);
    }
  }
}
