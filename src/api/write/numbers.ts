// Numbers that the data path knows objects by. Ports and flood groups share one space of 22 bits, since both are tunnel
// keys; rules have one of 32 bits. All are drawn in sequence. A port or flood number that was given back rests for a
// day: a packet or a host that is late must not find somebody else behind it.

import type { Entry, StoreEvent, WatchBatch } from '../../store/store.ts';
import { ApiError } from '../errors.ts';
import { decode, freedKey, type Head, PREFIX, type ValueWrite } from '../state/keys.ts';

export const NUMBER_LIMIT = 2 ** 22;
const RULE_LIMIT = 2 ** 32;
export const REST_MS = 24 * 3600 * 1000;

/** The numbers that rest, and since when. Written by the feed alone. */
export class FreedNumbers {
  /** Number -> Unix milliseconds. */
  readonly #freedAt = new Map<number, number>();

  load(entries: readonly Entry[]): void {
    this.#freedAt.clear();
    for (const entry of entries) this.#take({ kind: 'put', entry });
  }

  apply(batch: WatchBatch): void {
    for (const event of batch.events) this.#take(event);
  }

  resting(number: number, nowMs: number): boolean {
    const freedAt = this.#freedAt.get(number);
    return freedAt !== undefined && freedAt + REST_MS > nowMs;
  }

  /** Store keys of numbers that have rested. */
  rested(nowMs: number, limit: number): readonly string[] {
    const keys: string[] = [];
    for (const [number, freedAt] of this.#freedAt) {
      if (keys.length === limit) break;
      if (freedAt + REST_MS <= nowMs) keys.push(freedKey(number));
    }
    return keys;
  }

  #take(event: StoreEvent): void {
    const key = event.kind === 'put' ? event.entry.key : event.key;
    if (!key.startsWith(PREFIX.freed)) return;
    const number = Number(key.slice(PREFIX.freed.length));
    if (event.kind === 'del') this.#freedAt.delete(number);
    else this.#freedAt.set(number, decode<number>(event.entry.value));
  }
}

export const freed = (number: number, nowMs: number): ValueWrite => ({ put: freedKey(number), value: nowMs });

/** What one commit draws. Nothing is taken until the head that `next` goes into is committed. */
export class Draw {
  #next: Pick<Head, 'nextNumber' | 'nextRule' | 'ruleRounds'>;
  readonly #free: (number: number) => boolean;
  readonly #rules: () => ReadonlySet<number>;
  #taken: ReadonlySet<number> | undefined;

  /** `rules`: numbers of all rules; asked for only when the count has come round. */
  constructor(
    head: Pick<Head, 'nextNumber' | 'nextRule' | 'ruleRounds'>,
    free: (number: number) => boolean,
    rules: () => ReadonlySet<number>,
  ) {
    this.#next = head;
    this.#free = free;
    this.#rules = rules;
  }

  get next(): Pick<Head, 'nextNumber' | 'nextRule' | 'ruleRounds'> {
    const { nextNumber, nextRule, ruleRounds } = this.#next;
    return { nextNumber, nextRule, ruleRounds };
  }

  /** A port or flood number. Throws unavailable when all are taken or rest. */
  number(): number {
    const drawn = draw(this.#next.nextNumber, NUMBER_LIMIT, this.#free);
    this.#next = { ...this.#next, nextNumber: after(drawn, NUMBER_LIMIT) };
    return drawn;
  }

  rule(): number {
    const drawn = draw(this.#next.nextRule, RULE_LIMIT, (number) => {
      if (this.#next.ruleRounds === 0) return true;
      this.#taken ??= this.#rules();
      return !this.#taken.has(number);
    });
    const nextRule = after(drawn, RULE_LIMIT);
    this.#next = { ...this.#next, nextRule, ruleRounds: this.#next.ruleRounds + (nextRule < drawn ? 1 : 0) };
    return drawn;
  }
}

/** 0 is no number. */
const after = (number: number, limit: number): number => (number + 1 < limit ? number + 1 : 1);

function draw(from: number, limit: number, free: (number: number) => boolean): number {
  let number = from;
  do {
    if (free(number)) return number;
    number = after(number, limit);
  } while (number !== from);
  throw new ApiError('unavailable', 'all numbers are taken or rest for a day after their last use');
}
