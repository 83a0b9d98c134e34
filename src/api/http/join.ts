// How a host gets its credential. The admin asks for a join token, carries it to the host, and the host trades the
// secret in it for a credential of role `host`, once. The token also tells where the servers are and by which
// fingerprint to know them, so the first connection is as safe as the way the token took.

import { randomBytes } from 'node:crypto';
import type { HttpBindings } from '@hono/node-server';
import type { Context } from 'hono';
import type { Id } from '../../topology/resource.ts';
import type { JoinToken } from '../../topology/wire.ts';
import { ApiError } from '../errors.ts';
import type { Parts } from '../parts.ts';
import { type Credential, hashOf, newToken, tokenKey } from '../state/credentials.ts';
import { decode, encode, objectKey, PREFIX } from '../state/keys.ts';
import type { App } from './caller.ts';
import { readFields } from './request.ts';

/** Long enough to carry it to a machine that is being set up, short enough to be worthless in a backup. */
const VALID_MS = 24 * 3600 * 1000;
const SECRET_BYTES = 32;
/** Wrong secrets of one address that are listened to in a minute; each costs a look into the store. */
const FAILURES_PER_MINUTE = 60;
/** Addresses that are told apart in a minute; what is beyond is counted as one. */
const ADDRESSES_MAX = 1000;

interface JoinOffer {
  readonly hostId: Id;
  /** Unix milliseconds. */
  readonly expiresAt: number;
}

export function joinRoutes(app: App, parts: Parts): void {
  const { store, config, credentials, feed } = parts;
  const failures = new Map<string, number>();
  let failuresSince = 0;

  app.post('/v1/hosts/:id/join-token', async (context) => {
    const hostId = context.req.param('id');
    if (config.topology.object('host', hostId) === undefined) {
      throw new ApiError('notFound', `there is no host ${hostId}`);
    }
    const secret = randomBytes(SECRET_BYTES).toString('base64url');
    const offer: JoinOffer = { hostId, expiresAt: Date.now() + VALID_MS };
    const old = await expired(parts);
    await store.txn([], [{ put: PREFIX.join + hashOf(secret), value: encode(offer) }, ...old.map((del) => ({ del }))]);
    const { servers, fingerprint } = parts.place();
    const token: JoinToken = { servers, ...(fingerprint === undefined ? {} : { fingerprint }), secret };
    return context.json({
      joinToken: Buffer.from(JSON.stringify(token)).toString('base64url'),
      expiresAt: new Date(offer.expiresAt).toISOString(),
    });
  });

  app.post('/v1/join', async (context) => {
    const now = Date.now();
    if (now - failuresSince > 60_000) {
      failures.clear();
      failuresSince = now;
    }
    const from = addressOf(context);
    const counted = failures.has(from) || failures.size < ADDRESSES_MAX ? from : '';
    const failed = failures.get(counted) ?? 0;
    if (failed >= FAILURES_PER_MINUTE)
      throw new ApiError('tooMany', 'too many wrong secrets from this address: wait a minute', undefined, 60);
    const { secret } = await readFields(context, ['secret']);
    if (typeof secret !== 'string') throw new ApiError('malformed', 'secret is the secret of a join token', '/secret');
    const key = PREFIX.join + hashOf(secret);
    const { entry } = await store.get(key);
    const offer = entry === undefined ? undefined : decode<JoinOffer>(entry.value);
    const host = offer && (await store.get(objectKey('host', offer.hostId))).entry;
    if (entry === undefined || offer === undefined || host === undefined || offer.expiresAt < now) {
      failures.set(counted, failed + 1);
      throw new ApiError('unauthorized', 'the join token is not valid, was used, or is too old: ask for a new one');
    }
    const credential = newToken();
    const value: Credential = { role: 'host', hostId: offer.hostId, createdAt: new Date(now).toISOString() };
    const { ok, rev } = await store.txn(
      [
        { key, modRev: entry.modRev },
        { key: host.key, modRev: host.modRev },
      ],
      [
        { del: key },
        { put: tokenKey(credential), value: encode(value) },
        ...credentials.keysOfHost(offer.hostId).map((del) => ({ del })),
      ],
    );
    if (!ok) throw new ApiError('unavailable', 'the token or the host changed meanwhile: try again');
    await feed.through(rev);
    return context.json({ hostId: offer.hostId, credential });
  });
}

/** Of the client; empty where there is no socket. */
function addressOf(context: Context): string {
  const { incoming } = (context.env ?? {}) as Partial<HttpBindings>;
  return incoming?.socket.remoteAddress ?? '';
}

/** Offers nobody came for; a few at a time. */
async function expired({ store }: Parts): Promise<readonly string[]> {
  const { entries } = await store.list(PREFIX.join, { limit: 50 });
  const now = Date.now();
  return entries.filter(({ value }) => decode<JoinOffer>(value).expiresAt < now).map(({ key }) => key);
}
