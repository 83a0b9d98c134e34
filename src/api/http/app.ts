// The calls of a server as one hono application: who may, what it took, what went wrong, and who answers. It needs no
// socket: tests call `app.request()`.

import { Hono } from 'hono';
import { HTTPException } from 'hono/http-exception';
import { OutcomeUnknown, Unavailable } from '../../store/store.ts';
import { KIND_NAMES, KINDS } from '../../topology/kinds.ts';
import type { AgentMethod } from '../../topology/wire.ts';
import { ApiError } from '../errors.ts';
import type { Parts } from '../parts.ts';
import { appliedRoutes } from './applied.ts';
import { guard } from './auth.ts';
import type { App } from './caller.ts';
import { docsRoutes } from './docs.ts';
import { interfaceRoutes } from './interfaces.ts';
import { joinRoutes } from './join.ts';
import { readQuery } from './request.ts';
import { resourceRoutes } from './resources.ts';
import { statusRoutes } from './status.ts';
import { tokenRoutes } from './tokens.ts';
import { traceRoutes } from './trace.ts';
import { watchRoutes } from './watch.ts';

const ASKED: readonly AgentMethod[] = ['flows', 'audit', 'counters'];
/** Calls that wait on purpose: their time says nothing. */
const WAITING = new Set(['/v1/watch', '/v1/status/watch', '/v1/applied']);

export function buildApp(parts: Parts): App {
  const app: App = new Hono();
  app.use(async (context, next) => {
    const start = performance.now();
    await next();
    const route = context.req.routePath;
    if (WAITING.has(context.req.path)) return;
    parts.metrics.answered(
      context.req.method,
      route === '/*' ? 'none' : route,
      context.res.status,
      (performance.now() - start) / 1000,
    );
  });
  app.use(guard(parts));
  resourceRoutes(app, parts);
  watchRoutes(app, parts);
  appliedRoutes(app, parts);
  statusRoutes(app, parts);
  interfaceRoutes(app, parts);
  joinRoutes(app, parts);
  tokenRoutes(app, parts);
  docsRoutes(app, parts);
  traceRoutes(app, parts);
  app.get('/v1/version', (context) =>
    context.json({ name: 'ayatori', version: parts.version, revision: parts.config.revision }),
  );
  for (const method of ASKED) {
    app.get(`/v1/hosts/:id/${method}`, async (context) => {
      const parameters = readQuery(context, (name) => method === 'counters' && name === 'portId');
      return context.json((await parts.agents.ask(context.req.param('id'), method, parameters)) as object);
    });
  }
  app.get('/metrics', async (context) =>
    context.body(await parts.metrics.text(), 200, { 'Content-Type': parts.metrics.contentType }),
  );
  app.get('/v1/agent', () => {
    throw new ApiError('malformed', 'the agent stream is a WebSocket: ask for an upgrade');
  });
  app.notFound(() => {
    throw new ApiError('notFound', 'there is no such path');
  });
  for (const path of paths()) {
    app.all(path, () => {
      throw new ApiError('methodNotAllowed');
    });
  }
  app.onError((thrown, context) => {
    const error = answerTo(thrown, parts);
    if (error.code === 'unauthorized') context.header('WWW-Authenticate', 'Bearer');
    if (error.status === 429) context.header('Retry-After', String(error.retryAfterSeconds));
    return context.json(error.body, error.status);
  });
  return app;
}

function paths(): readonly string[] {
  const plurals = KIND_NAMES.map((kind) => `/v1/${KINDS[kind].plural}`);
  const others = [
    'transaction',
    'watch',
    'applied',
    'trace',
    'join',
    'version',
    'status',
    'status/watch',
    'interfaces',
    'tokens',
    'tokens/:id',
    'openapi.json',
  ].map((name) => `/v1/${name}`);
  const ofHosts = [...ASKED, 'join-token'].map((name) => `/v1/hosts/:id/${name}`);
  return [
    ...plurals,
    ...plurals.map((path) => `${path}/:id`),
    ...others,
    ...ofHosts,
    '/v1/interfaces/:hostId/:name',
    '/metrics',
    '/docs',
  ];
}

function answerTo(thrown: unknown, { log }: Parts): ApiError {
  if (thrown instanceof ApiError) return thrown;
  if (thrown instanceof Unavailable) return new ApiError('unavailable', thrown.message);
  if (thrown instanceof OutcomeUnknown) return new ApiError('outcomeUnknown');
  if (thrown instanceof HTTPException && thrown.status < 500) return new ApiError('malformed', thrown.message);
  log.error('a request failed', { error: thrown });
  return new ApiError('internal');
}
