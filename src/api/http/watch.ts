// GET /v1/watch: one line of JSON for each revision after the one that was asked for; and what it has in common with
// GET /v1/status/watch. A watcher holds no queue: it is a place in a history of changes, read on when the connection
// takes more; one that the history has passed is told to list again, and one that takes nothing is cut, as is one whose
// token is revoked or expires.

import type { HttpBindings } from '@hono/node-server';
import type { Parts } from '../parts.ts';
import type { App, Call } from './caller.ts';
import { readInteger, readQuery } from './request.ts';

export const WATCH_QUERY: ReadonlySet<string> = new Set(['from']);
const HEARTBEAT_MS = 5000;
/** Changes written at a time: between them the connection may say that it is full. */
const LINES = 64;
/** A connection that takes nothing for so long, heartbeats included, is cut; who comes back goes on from its number. */
const STALLED_MS = 20_000;

/** Changes with rising numbers, as far back as they are kept. */
export interface History<Change extends { readonly revision: number }> {
  readonly revision: number;
  /** The changes after a revision; undefined when they are not all known, or the revision is still to come. */
  since(revision: number): readonly Change[] | undefined;
  onStep(listener: () => void): () => void;
}

export function watchRoutes(app: App, { config, rateLimits, stopping }: Parts): void {
  app.get('/v1/watch', (context) => {
    const query = readQuery(context, (name) => WATCH_QUERY.has(name));
    const history = context.get('caller').view ?? config;
    return watched(context, history, { rateLimits, stopping }, query.from, ({ put, del }) => ({ put, del }));
  });
}

/** `partOf`: what the watcher is told of a change; undefined when it does not concern it. */
export function watched<Change extends { readonly revision: number }>(
  context: Call,
  history: History<Change>,
  { rateLimits, stopping }: Pick<Parts, 'rateLimits' | 'stopping'>,
  from: string | undefined,
  partOf: (change: Change) => object | undefined,
): Response {
  const start = readInteger(from, 'from', 0, Number.MAX_SAFE_INTEGER) ?? history.revision;
  const { outgoing } = (context.env ?? {}) as Partial<HttpBindings>;
  context.header('Content-Type', 'application/x-ndjson');
  context.header('Cache-Control', 'no-store');
  const { token, ended } = context.get('caller');
  const leave = rateLimits.enter(token);
  const stop = AbortSignal.any([stopping, ended]);
  return context.body(changesAfter(history, stop, start, partOf, leave, () => outgoing?.destroy()));
}

function changesAfter<Change extends { readonly revision: number }>(
  history: History<Change>,
  stopping: AbortSignal,
  from: number,
  partOf: (change: Change) => object | undefined,
  leave: () => void,
  cut: () => void,
): ReadableStream<Uint8Array> {
  let at = from;
  let ended = false;
  let wake = (): void => {};
  let stalled: NodeJS.Timeout | undefined;
  const stopListening = history.onStep(() => wake());
  const onStop = (): void => wake();
  stopping.addEventListener('abort', onStop);
  const end = (): void => {
    ended = true;
    leave();
    clearTimeout(stalled);
    stopListening();
    stopping.removeEventListener('abort', onStop);
    wake();
  };
  const line = (value: unknown): Uint8Array => Buffer.from(`${JSON.stringify(value)}\n`);
  return new ReadableStream(
    {
      start(controller) {
        // Says at once that the watch stands, and where the server is.
        controller.enqueue(line({ rev: Math.min(at, history.revision) }));
      },
      async pull(controller) {
        clearTimeout(stalled);
        const dueMs = performance.now() + HEARTBEAT_MS;
        const lines: Uint8Array[] = [];
        while (lines.length === 0) {
          const isQuiet = history.since(at)?.length === 0 && !stopping.aborted;
          const isDue = isQuiet && !(await rung(dueMs, (ring) => (wake = ring)));
          if (ended) return;
          const changes = history.since(at);
          // A history need not hold every number: what is not in it did not concern who reads it.
          if (changes?.length === 0) at = history.revision;
          if (stopping.aborted || changes === undefined) {
            if (!stopping.aborted) controller.enqueue(line({ reset: true }));
            end();
            controller.close();
            return;
          }
          for (const change of changes.slice(0, LINES)) {
            at = change.revision;
            const part = partOf(change);
            if (part !== undefined) lines.push(line({ rev: at, ...part }));
          }
          if (isDue && lines.length === 0) lines.push(line({ rev: at }));
        }
        for (const each of lines) controller.enqueue(each);
        stalled = setTimeout(() => {
          end();
          cut();
        }, STALLED_MS);
      },
      cancel: end,
    },
    { highWaterMark: 1 },
  );
}

/** Whether it rang before it was time for a heartbeat. */
async function rung(dueMs: number, listen: (ring: () => void) => void): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), Math.max(0, dueMs - performance.now()));
    listen(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}
