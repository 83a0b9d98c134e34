// How many answers (errors, echo replies, resets) one source at one port may cause: a token bucket for each. A router
// that answers without bound is an amplifier.

import { ANSWER_SOURCES_MAX, ANSWERS_BURST, ANSWERS_PER_SECOND } from '../limits.ts';

export class AnswerLimiter {
  /** Least recently used first. */
  readonly #buckets = new Map<string, { tokens: number; filledAt: number }>();

  admits(port: number, source: string, now: number): boolean {
    const name = `${port}/${source}`;
    const bucket = this.#buckets.get(name) ?? { tokens: ANSWERS_BURST, filledAt: now };
    bucket.tokens = Math.min(ANSWERS_BURST, bucket.tokens + ((now - bucket.filledAt) / 1000) * ANSWERS_PER_SECOND);
    bucket.filledAt = now;
    const admitted = bucket.tokens >= 1;
    if (admitted) bucket.tokens--;
    this.#buckets.delete(name);
    this.#buckets.set(name, bucket);
    if (this.#buckets.size > ANSWER_SOURCES_MAX) this.#buckets.delete(this.#buckets.keys().next().value!);
    return admitted;
  }
}
