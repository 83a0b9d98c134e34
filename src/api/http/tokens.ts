// Tokens of people and programs: created, listed, revoked. The text of a token is in the answer to its creation and
// nowhere else; the store has its SHA-256.

import type { Id } from '../../topology/resource.ts';
import { ApiError } from '../errors.ts';
import type { Parts } from '../parts.ts';
import { type Credential, expiryMs, newToken, type Token, tokenKey } from '../state/credentials.ts';
import { encode, PREFIX } from '../state/keys.ts';
import type { App } from './caller.ts';
import { LIST_LIMIT, LIST_LIMIT_MAX, readFields, readInteger, readQuery } from './request.ts';

/** Tokens that can be created; that of a host comes of its join token. */
export const ROLES = ['admin', 'member', 'reader'] as const;
const FIELDS = ['name', 'role', 'projectIds', 'expiresAt'] as const;
const FILTERS = ['name', 'role', 'hostId'] as const;
export const TOKENS_QUERY: ReadonlySet<string> = new Set([...FILTERS, 'limit', 'pageToken']);
const NAME_MAX = 255;
/** All are held in memory. */
const TOKENS_MAX = 100_000;
const PROJECTS_MAX = 100;
/** What expired so long ago nobody asks after; it goes when the next token is created. */
const FORGOTTEN_MS = 30 * 24 * 3600 * 1000;
const SWEPT_MAX = 50;

export function tokenRoutes(app: App, { store, config, credentials, feed }: Parts): void {
  app.post('/v1/tokens', async (context) => {
    const now = new Date();
    const credential = credentialOf(await readFields(context, FIELDS), now);
    for (const [at, id] of ('projectIds' in credential ? credential.projectIds : []).entries()) {
      if (config.topology.object('project', id) !== undefined) continue;
      throw new ApiError('invalid', `there is no project ${id}: create it first, or name another`, `/projectIds/${at}`);
    }
    const known = credentials.all();
    if (known.length >= TOKENS_MAX) {
      throw new ApiError('conflict', `there are ${known.length} tokens, which is the most: revoke some`);
    }
    const text = newToken();
    const key = tokenKey(text);
    const old = known.filter((token) => expiryMs(token.credential) < now.getTime() - FORGOTTEN_MS);
    const dels = old.slice(0, SWEPT_MAX).map(({ hash }) => ({ del: PREFIX.token + hash }));
    const { rev } = await store.txn([], [{ put: key, value: encode(credential) }, ...dels]);
    await feed.through(rev);
    const token = credentials.all().find(({ hash }) => PREFIX.token + hash === key);
    if (token === undefined) throw new ApiError('notFound', 'the token was revoked as soon as it was made');
    context.header('Cache-Control', 'no-store');
    context.header('Location', `/v1/tokens/${token.id}`);
    return context.json({ ...shown(token), token: text }, 201);
  });

  app.get('/v1/tokens', (context) => {
    const query = readQuery(context, (name) => TOKENS_QUERY.has(name));
    const limit = readInteger(query.limit, 'limit', 1, LIST_LIMIT_MAX) ?? LIST_LIMIT;
    const after = query.pageToken === undefined ? '' : readPageToken(query.pageToken);
    const rest = credentials.all().filter((token) => {
      const fields = token.credential as unknown as Readonly<Record<string, unknown>>;
      return token.id > after && FILTERS.every((name) => query[name] === undefined || fields[name] === query[name]);
    });
    const items = rest.slice(0, limit).map(shown);
    if (rest.length <= limit) return context.json({ items });
    return context.json({ items, pageToken: Buffer.from(items.at(-1)!.id).toString('base64url') });
  });

  app.get('/v1/tokens/:id', (context) => context.json(shown(find(context.req.param('id')))));

  app.delete('/v1/tokens/:id', async (context) => {
    const { hash, credential } = find(context.req.param('id'));
    const isLasting = credential.role === 'admin' && credential.expiresAt === undefined;
    if (isLasting && credentials.lastingAdmins() === 1) {
      throw new ApiError(
        'conflict',
        'this is the last admin token that does not expire: create another before it is revoked',
      );
    }
    const { rev } = await store.txn([], [{ del: PREFIX.token + hash }]);
    await feed.through(rev);
    return context.body(null, 204);
  });

  function find(id: string): Token {
    const token = credentials.all().find((one) => one.id === id);
    if (token === undefined) throw new ApiError('notFound', `there is no token ${id}`);
    return token;
  }

  /** `lastUsedAt` is what this server knows, since its start. */
  function shown({ id, hash, credential }: Token) {
    const usedAtMs = credentials.usedAtMs(hash);
    return { id, ...credential, ...(usedAtMs === undefined ? {} : { lastUsedAt: new Date(usedAtMs).toISOString() }) };
  }
}

function credentialOf({ name, role, projectIds, expiresAt }: Readonly<Record<string, unknown>>, now: Date): Credential {
  if (typeof name !== 'string' || name === '' || name.length > NAME_MAX) {
    throw new ApiError(
      'malformed',
      `name is a text of 1 to ${NAME_MAX} characters: who or what the token is for`,
      '/name',
    );
  }
  const known = ROLES.find((one) => one === role);
  if (known === undefined) throw new ApiError('malformed', `role is one of ${ROLES.join(', ')}`, '/role');
  const rest = { name, createdAt: now.toISOString(), ...expiryOf(expiresAt, now) };
  if (known !== 'admin') return { role: known, projectIds: projectsOf(projectIds, known), ...rest };
  if (projectIds === undefined) return { role: known, ...rest };
  throw new ApiError('malformed', 'a token of role admin is of no project: leave projectIds out', '/projectIds');
}

function projectsOf(given: unknown, role: string): readonly Id[] {
  if (Array.isArray(given) && given.length > 0 && given.length <= PROJECTS_MAX) {
    const ids = given.filter((id) => typeof id === 'string');
    if (ids.length === given.length && new Set(ids).size === ids.length) return ids;
  }
  const wanted = `a list of the ids of 1 to ${PROJECTS_MAX} projects, each once`;
  throw new ApiError('malformed', `a token of role ${role} needs projectIds: ${wanted}`, '/projectIds');
}

function expiryOf(given: unknown, now: Date): { readonly expiresAt?: string } {
  if (given === undefined) return {};
  const isTime = typeof given === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i.test(given);
  const timeMs = isTime ? Date.parse(given) : Number.NaN;
  if (Number.isNaN(timeMs)) {
    throw new ApiError('malformed', 'expiresAt is a time of RFC 3339, like 2030-01-31T12:00:00Z', '/expiresAt');
  }
  if (timeMs <= now.getTime()) throw new ApiError('invalid', 'expiresAt is over: give a time to come', '/expiresAt');
  return { expiresAt: new Date(timeMs).toISOString() };
}

function readPageToken(token: string): string {
  const id = Buffer.from(token, 'base64url').toString();
  if (!/^[0-9a-f-]{36}$/.test(id)) throw new ApiError('malformed', 'pageToken is not one that a list gave');
  return id;
}
