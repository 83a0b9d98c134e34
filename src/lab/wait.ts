// Waiting for a condition instead of for a time.

export interface WaitOptions {
  /** For the error: "waited 5 s for WHAT". */
  readonly what: string;
  /** Default 10 s. */
  readonly deadlineMs?: number;
  /** Between two looks; default 20 ms. */
  readonly everyMs?: number;
}

/** What is waited for cannot come any more: thrown by a condition, it ends the wait at once. */
export class NeverWill extends Error {
  override readonly name = 'NeverWill';
}

export const pauseMs = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Looks until `condition` gives something other than undefined or false, and gives that. What it throws counts as "not
 * yet", NeverWill excepted; the last such error is the cause of the one that is thrown at the deadline.
 */
export async function waitFor<T>(
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  options: WaitOptions,
): Promise<T> {
  const deadlineMs = options.deadlineMs ?? 10_000;
  const end = performance.now() + deadlineMs;
  let cause: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value !== undefined && value !== false) return value;
      cause = undefined;
    } catch (error) {
      if (error instanceof NeverWill) throw error;
      cause = error;
    }
    if (performance.now() >= end) {
      const because = cause instanceof Error ? `: ${cause.message}` : '';
      throw new Error(`waited ${deadlineMs / 1000} s for ${options.what}${because}`, { cause });
    }
    await pauseMs(options.everyMs ?? 20);
  }
}
