// GET /v1/applied: is a revision live everywhere? Answers when every host that counts forwards by it, or when the time
// is over. A host that is not there counts: what its kernel does, nobody knows.

import { ApiError } from '../errors.ts';
import type { Parts } from '../parts.ts';
import type { App } from './caller.ts';
import { readInteger, readQuery } from './request.ts';

export const APPLIED_QUERY: ReadonlySet<string> = new Set(['revision', 'timeoutSeconds']);
const TIMEOUT_SECONDS = 10;
const TIMEOUT_SECONDS_MAX = 300;

export function appliedRoutes(app: App, { agents, config, rateLimits, stopping }: Parts): void {
  app.get('/v1/applied', async (context) => {
    const query = readQuery(context, (name) => APPLIED_QUERY.has(name));
    const revision = readInteger(query.revision, 'revision', 0, Number.MAX_SAFE_INTEGER) ?? config.revision;
    const timeoutSeconds =
      readInteger(query.timeoutSeconds, 'timeoutSeconds', 0, TIMEOUT_SECONDS_MAX) ?? TIMEOUT_SECONDS;
    const isDone = (): boolean =>
      config.revision >= revision && agents.progress().every((host) => (host.revision ?? -1) >= revision);
    const stop = AbortSignal.any([stopping, context.get('caller').ended]);
    if (!isDone()) {
      const leave = rateLimits.enter(context.get('caller').token);
      await new Promise<void>((resolve) => {
        const finish = (): void => {
          leave();
          clearTimeout(timer);
          stopListening();
          stop.removeEventListener('abort', finish);
          context.req.raw.signal.removeEventListener('abort', finish);
          resolve();
        };
        const timer = setTimeout(finish, timeoutSeconds * 1000);
        const stopListening = agents.onProgress(() => {
          if (isDone()) finish();
        });
        stop.addEventListener('abort', finish);
        context.req.raw.signal.addEventListener('abort', finish);
      });
    }
    if (stopping.aborted) throw new ApiError('unavailable', 'the server is stopping: ask another or try again');
    if (stop.aborted) throw new ApiError('unauthorized', 'the token is not valid any more');
    const hosts = context.get('caller').view === undefined ? agents.progress() : [];
    return context.json({ revision, done: isDone(), hosts });
  });
}
