// How often a token may call: a bucket for each, that fills by its rate and is full after ten seconds of rest. A call
// that costs more than is in it is let through and leaves it in debt, so that none is too large for ever.

import { ApiError } from '../errors.ts';
import type { Credentials, Token } from '../state/credentials.ts';

export interface Rates {
  /** Calls a second of a token of role admin. */
  readonly admin: number;
  /** Of one of role member, reader or host. */
  readonly others: number;
}

/** High enough for a program that does all it can with one call after the other, too low for one that runs wild. */
export const DEFAULT_RATES: Rates = { admin: 5000, others: 100 };
const FULL_SECONDS = 10;
/** Watches and waits that a token may have open at a time. */
const STREAMS_MAX = 100;
/** Operations of a transaction that count as one call: checking them is what it costs. */
export const OPERATIONS_PER_CALL = 10;

interface Bucket {
  calls: number;
  atMs: number;
}

export class RateLimits {
  readonly #rates: Rates;
  readonly #nowMs: () => number;
  /** Hash of a token -> what it has open. */
  readonly #streams = new Map<string, number>();
  /** Hash of a token -> its bucket. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(rates: Rates, credentials: Credentials, nowMs: () => number = () => performance.now()) {
    this.#rates = rates;
    this.#nowMs = nowMs;
    credentials.onChange(() => {
      for (const hash of this.#buckets.keys()) if (!credentials.has(hash)) this.#buckets.delete(hash);
    });
  }

  /** Throws tooMany, with the time until there is room again. */
  take(token: Token): void {
    const bucket = this.#filled(token);
    if (bucket.calls < 1) {
      const rate = this.#rateOf(token);
      const seconds = Math.ceil((1 - bucket.calls) / rate);
      const words = `more than ${rate} calls a second of this token: wait ${seconds} s and try again`;
      throw new ApiError('tooMany', words, undefined, seconds);
    }
    bucket.calls -= 1;
  }

  /** What a call that was let through costs beyond one. */
  charge(token: Token, calls: number): void {
    this.#filled(token).calls -= calls;
  }

  /** For a call that stays: throws tooMany when too many do. Returns its end, which may come twice. */
  enter({ hash }: Token): () => void {
    const open = this.#streams.get(hash) ?? 0;
    if (open >= STREAMS_MAX) {
      const words = `this token has ${open} watches and waits open, which is the most: end some`;
      throw new ApiError('tooMany', words);
    }
    this.#streams.set(hash, open + 1);
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      const left = (this.#streams.get(hash) ?? 1) - 1;
      if (left === 0) this.#streams.delete(hash);
      else this.#streams.set(hash, left);
    };
  }

  #filled(token: Token): Bucket {
    const rate = this.#rateOf(token);
    const nowMs = this.#nowMs();
    const bucket = this.#buckets.get(token.hash) ?? { calls: rate * FULL_SECONDS, atMs: nowMs };
    bucket.calls = Math.min(rate * FULL_SECONDS, bucket.calls + ((nowMs - bucket.atMs) / 1000) * rate);
    bucket.atMs = nowMs;
    this.#buckets.set(token.hash, bucket);
    return bucket;
  }

  #rateOf({ credential }: Token): number {
    return credential.role === 'admin' ? this.#rates.admin : this.#rates.others;
  }
}
