// Who this host is: its id, its credential, and the servers it may talk to. Made once from a join token (one use), kept
// in `identity.json` (0600).

import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from '../../client/client.ts';
import type { Id } from '../../topology/resource.ts';
import type { JoinToken } from '../../topology/wire.ts';

export interface HostIdentity {
  readonly hostId: Id;
  readonly credential: string;
  /** With scheme, tried in turn. */
  readonly servers: readonly string[];
  /** SHA-256 of the servers' certificate; none: plain HTTP on loopback. */
  readonly fingerprint?: string;
}

/** The identity on disk, or that which the join token buys. Throws when there is neither. */
export async function loadIdentity(directory: string, joinToken: string | undefined): Promise<HostIdentity> {
  const path = join(directory, 'identity.json');
  const known = readIdentity(path);
  if (known !== undefined) return known;
  if (joinToken === undefined) {
    throw new Error(`${path} is not there: this host has not joined; get a join token with "aya host add NAME"`);
  }
  const identity = await joinWith(parseJoinToken(joinToken));
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeFileSync(`${path}.new`, `${JSON.stringify(identity, undefined, 2)}\n`, { mode: 0o600, flush: true });
  renameSync(`${path}.new`, path);
  return identity;
}

/** base64url of `{secret, servers, fingerprint?}` in JSON. Throws with what is wrong. */
export function parseJoinToken(text: string): JoinToken {
  let token: Partial<JoinToken> | null;
  try {
    token = JSON.parse(Buffer.from(text.trim(), 'base64url').toString('utf8')) as Partial<JoinToken> | null;
  } catch {
    throw new Error('the join token is damaged: it must be given whole, as "aya host add" printed it');
  }
  const { secret, servers, fingerprint } = token ?? {};
  if (typeof secret !== 'string' || !Array.isArray(servers) || servers.length === 0) {
    throw new Error('the join token is damaged: it names no secret or no server');
  }
  return { secret, servers: servers.map(String), ...(typeof fingerprint === 'string' ? { fingerprint } : {}) };
}

async function joinWith({ secret, servers, fingerprint }: JoinToken): Promise<HostIdentity> {
  const pinned = fingerprint === undefined ? {} : { fingerprint };
  let failure: unknown;
  for (const url of servers) {
    try {
      const { hostId, credential } = await new Client({ url, ...pinned }).join(secret);
      return { hostId, credential, servers, ...pinned };
    } catch (error) {
      failure = error;
    }
  }
  throw new Error(`joining failed: ${(failure as Error).message}`, { cause: failure });
}

function readIdentity(path: string): HostIdentity | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const identity = JSON.parse(text) as HostIdentity;
    if (typeof identity.hostId === 'string' && Array.isArray(identity.servers)) return identity;
  } catch {
    // Falls through to the sentence that says what to do.
  }
  throw new Error(`${path} is damaged: remove it and join again with a new join token ("aya host join-token")`);
}
