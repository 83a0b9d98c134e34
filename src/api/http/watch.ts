// GET /v1/watch: one line of JSON for each revision after the one that was asked for. A watcher holds no queue: it is a
// place in the history of changes, read on when the connection takes more; one that the history has passed is told to
// list again.

import type { Hono } from 'hono';
import type { Parts } from '../parts.ts';
import { readInteger, readQuery } from './request.ts';

export const HEARTBEAT_MS = 5000;
/** Changes written at a time: between them the connection may say that it is full. */
const LINES = 64;

export function watchRoutes(app: Hono, parts: Parts): void {
  app.get('/v1/watch', (context) => {
    const query = readQuery(context, (name) => name === 'from');
    const from = readInteger(query.from, 'from', 0, Number.MAX_SAFE_INTEGER) ?? parts.config.revision;
    context.header('Content-Type', 'application/x-ndjson');
    context.header('Cache-Control', 'no-store');
    return context.body(changesAfter(parts, from));
  });
}

function changesAfter({ config, stopping }: Parts, from: number): ReadableStream<Uint8Array> {
  let at = from;
  let wake = (): void => {};
  const stopListening = config.onStep(() => wake());
  const onStop = (): void => wake();
  stopping.addEventListener('abort', onStop);
  const done = (): void => {
    stopListening();
    stopping.removeEventListener('abort', onStop);
    wake();
  };
  const line = (value: unknown): Uint8Array => Buffer.from(`${JSON.stringify(value)}\n`);
  return new ReadableStream(
    {
      start(controller) {
        // Says at once that the watch stands, and where the server is.
        controller.enqueue(line({ rev: Math.min(at, config.revision) }));
      },
      async pull(controller) {
        if (config.since(at)?.length === 0 && !stopping.aborted) await quiet((woken) => (wake = woken));
        const changes = config.since(at);
        if (stopping.aborted) {
          done();
          controller.close();
        } else if (changes === undefined) {
          controller.enqueue(line({ reset: true }));
          done();
          controller.close();
        } else if (changes.length === 0) {
          controller.enqueue(line({ rev: at }));
        } else {
          for (const { revision, put, del } of changes.slice(0, LINES)) {
            controller.enqueue(line({ rev: revision, put, del }));
            at = revision;
          }
        }
      },
      cancel: done,
    },
    { highWaterMark: 1 },
  );
}

/** Until woken, or it is time for a heartbeat. */
async function quiet(listen: (wake: () => void) => void): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, HEARTBEAT_MS);
    listen(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
