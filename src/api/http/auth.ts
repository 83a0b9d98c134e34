// Who may call what. The admin may call everything; a host reads its own status and the version, and speaks on the
// agent stream as itself; a member or reader calls what is about its projects, and is answered from its view of them.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Context, MiddlewareHandler } from 'hono';
import type { Log } from '../../lib/log.ts';
import type { Store } from '../../store/store.ts';
import { KIND_NAMES, KINDS } from '../../topology/kinds.ts';
import { ApiError } from '../errors.ts';
import { writePrivateFile } from '../identity/private-file.ts';
import type { Parts } from '../parts.ts';
import { type Credential, type Credentials, newToken, type Token, tokenKey } from '../state/credentials.ts';
import { encode } from '../state/keys.ts';
import type { CallEnv } from './caller.ts';

/** The calls without a token. */
const OPEN: ReadonlySet<string> = new Set(['POST /v1/join', 'GET /v1/openapi.json', 'GET /docs']);

/** Throws unauthorized. `header`: the value of Authorization. */
export const authenticate = (credentials: Credentials, header: string | undefined): Credential =>
  tokenOf(credentials, header).credential;

function tokenOf(credentials: Credentials, header: string | undefined): Token {
  const token = /^Bearer +(\S+)$/i.exec(header ?? '')?.[1];
  if (token === undefined) throw new ApiError('unauthorized');
  const found = credentials.find(token);
  if (found === undefined) throw new ApiError('unauthorized', 'the token is not valid, or no longer');
  return found;
}

export function guard({ credentials, views, rateLimits }: Parts): MiddlewareHandler<CallEnv> {
  return async (context, next) => {
    if (!OPEN.has(`${context.req.method} ${context.req.path}`)) {
      const token = tokenOf(credentials, context.req.header('authorization'));
      rateLimits.take(token);
      const { credential } = token;
      const isTenant = credential.role === 'member' || credential.role === 'reader';
      const view = isTenant ? views.of(credential.projectIds) : undefined;
      context.set('caller', { token, view, ended: credentials.ended(token.hash) });
      if (credential.role === 'host' && !hostMay(context, credential.hostId)) throw new ApiError('forbidden');
      if (isTenant && !tenantMay(context, credential.role)) throw new ApiError('forbidden');
    }
    await next();
  };
}

const PLURALS = KIND_NAMES.map((kind) => KINDS[kind].plural).join('|');
/** What is not among these is the operator's. */
const TENANTS = [
  new RegExp(`^/v1/(${PLURALS})(/[^/]+)?$`),
  /^\/v1\/(transaction|watch|status|status\/watch|applied|trace|version)$/,
  /^\/v1\/interfaces(\/[^/]+\/[^/]+)?$/,
];

function tenantMay({ req }: Context, role: 'member' | 'reader'): boolean {
  if (!TENANTS.some((path) => path.test(req.path))) return false;
  return role === 'member' || req.method === 'GET' || req.path === '/v1/trace';
}

function hostMay(context: Context, hostId: string): boolean {
  if (context.req.method !== 'GET') return false;
  if (context.req.path === '/v1/version') return true;
  return context.req.path === '/v1/status' && context.req.query('hostId') === hostId;
}

/**
 * Makes sure that there is an admin. At the first start a token is made and written to `admin.token`, for the owner's
 * eyes only, before the store hears of it; a file without its token in an empty store is taken as it is.
 */
export async function ensureAdmin(
  store: Store,
  credentials: Credentials,
  stateDirectory: string,
  log: Log,
): Promise<void> {
  if (credentials.hasAdmin()) return;
  const path = join(stateDirectory, 'admin.token');
  let token = existsSync(path) ? readFileSync(path, 'utf8').trim() : '';
  if (token === '') {
    token = newToken();
    writePrivateFile(path, `${token}\n`);
    log.info('made an admin token', { path });
  }
  const credential: Credential = { role: 'admin', name: 'first', createdAt: new Date().toISOString() };
  await store.txn([], [{ put: tokenKey(token), value: encode(credential) }]);
}
