// One server: its parts, wired, and its socket. It holds no state of its own; everything is in the store.
//
//            ┌───────────────────────── store ─────────────────────────┐
//     list + watch                                                   txn
//            ▼                                                        ▲
//   feed ─> config ─┬─> watches, lists, traces      requests ─> transactor
//        ─> status ─┼─> agents ⇄ WebSockets ─── status up ───────────►┤
//        ─> tokens ─┘                           upkeep (dead hosts) ──►┘

import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, STATUS_CODES } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, BlockList, isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { getRequestListener } from '@hono/node-server';
import type { Log } from '../lib/log.ts';
import type { Store } from '../store/store.ts';
import { Agents } from './agents/agents.ts';
import { EXPIRE_MS, Upkeep } from './agents/upkeep.ts';
import { ApiError } from './errors.ts';
import { buildApp } from './http/app.ts';
import { ensureAdmin } from './http/auth.ts';
import { DEFAULT_RATES, RateLimits, type Rates } from './http/rate.ts';
import { type Identity, identityOf, isWildcard, loadOrMakeIdentity, machineAddresses } from './identity/tls.ts';
import { Metrics } from './metrics.ts';
import type { Parts, Place } from './parts.ts';
import { Config } from './state/config.ts';
import { Credentials } from './state/credentials.ts';
import { Feed } from './state/feed.ts';
import { REVISION_KEY } from './state/keys.ts';
import { LiveStatus } from './state/live-status.ts';
import { StatusHistory } from './state/status-history.ts';
import { Views } from './tenant/view.ts';
import { recover } from './write/change-set.ts';
import { FreedNumbers } from './write/numbers.ts';
import { Transactor } from './write/transact.ts';

export interface ServerOptions {
  /** Stays open when the server closes: it belongs to the caller. */
  readonly store: Store;
  /** Made when it is not there, for its owner only: admin.token, server.crt, server.key. */
  readonly stateDirectory: string;
  /** Port 0: any that is free. Plain HTTP on a loopback address, TLS on all others. */
  readonly listen: { readonly host: string; readonly port: number };
  /** PEM; none: a certificate of the server's own making, off loopback. */
  readonly tls?: { readonly certificate: string; readonly key: string };
  /** URLs that join tokens name instead of the addresses that the server listens on. */
  readonly advertise?: readonly string[];
  readonly log: Log;
  /** How often a token may call. */
  readonly rates?: Rates;
  /** How long a host counts as alive after its last word. */
  readonly leaseSeconds?: number;
  /** From then until its ports are nobody's. */
  readonly expireMs?: number;
}

export interface RunningServer {
  /** `http://127.0.0.1:7780` */
  readonly url: string;
  /** SHA-256 of the certificate, when it speaks TLS. */
  readonly fingerprint: string | undefined;
  readonly parts: Parts;
  close(): Promise<void>;
}

/** How often numbers that have rested are looked for. */
const SWEEP_MS = 600_000;
const SWEEP_KEYS = 100;
/** A request must have arrived by then; watches and long polls are answers and may take longer. */
const REQUEST_MS = 60_000;

/** Everything but the socket. */
export async function buildParts(
  options: Pick<ServerOptions, 'store' | 'stateDirectory' | 'log' | 'leaseSeconds' | 'rates'>,
  stopping: AbortSignal,
  place: () => Place,
): Promise<Parts> {
  const { store, stateDirectory, log } = options;
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
  chmodSync(stateDirectory, 0o700);
  await recover(store);
  const config = new Config();
  const liveStatus = new LiveStatus();
  const statusHistory = new StatusHistory(liveStatus);
  const credentials = new Credentials();
  const views = new Views(config);
  const rateLimits = new RateLimits(options.rates ?? DEFAULT_RATES, credentials);
  const freedNumbers = new FreedNumbers();
  const metrics = new Metrics();
  const feed = new Feed(store, [config, credentials, freedNumbers, liveStatus], log);
  await feed.start((batches, after) => {
    config.recall(batches);
    statusHistory.recall(batches, after);
  });
  await ensureAdmin(store, credentials, stateDirectory, log);
  await feed.through((await store.get(REVISION_KEY)).rev);
  const transactor = new Transactor({ store, config, feed, credentials, freedNumbers, log });
  const agents = new Agents({ store, config, feed, liveStatus, credentials, log, metrics }, options.leaseSeconds);
  metrics.observe({ config, agents, transactor });
  const version = versionOfPackage();
  return {
    ...{ store, feed, config, liveStatus, statusHistory, credentials, freedNumbers, views, transactor, agents },
    ...{ metrics, rateLimits, log, version, stopping, place },
  };
}

/** Throws when the address cannot be listened on, the TLS files do not fit, or the store cannot be used. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { log, listen, stateDirectory } = options;
  const stop = new AbortController();
  let place: Place = { servers: [] };
  const parts = await buildParts(options, stop.signal, () => place);
  const identity = identityFor(options);
  const app = buildApp(parts);
  const errorHandler = (): Response => {
    const { status, body } = new ApiError('malformed', NO_HTTP);
    return Response.json(body, { status });
  };
  const server = serve(identity, getRequestListener(app.fetch, { errorHandler }));
  server.requestTimeout = REQUEST_MS;
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => refuse(socket, wordsFor(error.code)));
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    upgrade(parts, request, socket, head);
  });
  const closeParts = async (): Promise<void> => {
    stop.abort();
    await parts.agents.close();
    await parts.transactor.idle();
    await parts.feed.close();
  };
  try {
    await listening(server, listen);
  } catch (error) {
    await closeParts();
    const why = error instanceof Error && 'code' in error ? LISTEN_WORDS[String(error.code)] : undefined;
    const words = why ?? (error instanceof Error ? error.message : String(error));
    throw new Error(`cannot listen on ${listen.host} port ${listen.port}: ${words}`, { cause: error });
  }
  const { port } = server.address() as AddressInfo;
  const url = urlOf(identity, listen.host, port);
  place = placeOf(options, identity, port);
  const upkeep = new Upkeep(parts, options.expireMs ?? EXPIRE_MS);
  const sweep = setInterval(() => void sweepNumbers(parts), SWEEP_MS);
  sweep.unref();
  log.info('the server is up', { url, stateDirectory, revision: parts.config.revision });
  return {
    url,
    fingerprint: identity?.fingerprint,
    parts,
    async close() {
      clearInterval(sweep);
      upkeep.close();
      server.close();
      await closeParts();
      server.closeAllConnections();
      if (server.listening) await once(server, 'close');
    },
  };
}

const LISTEN_WORDS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there',
  EADDRNOTAVAIL: 'this machine does not have that address',
  EACCES: 'that port needs more rights',
};

/** Undefined: plain HTTP. */
function identityFor({ tls, listen, stateDirectory }: ServerOptions): Identity | undefined {
  if (tls !== undefined) return identityOf(tls.certificate, tls.key);
  return isLoopback(listen.host) ? undefined : loadOrMakeIdentity(stateDirectory, listen.host, new Date());
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');
const isLoopback = (host: string): boolean =>
  host === 'localhost' || (isIP(host) !== 0 && LOOPBACK.check(host, isIP(host) === 6 ? 'ipv6' : 'ipv4'));

function serve(identity: Identity | undefined, listener: ReturnType<typeof getRequestListener>): Server {
  if (identity === undefined) return createServer(listener);
  const { certificate, key } = identity;
  return createTlsServer({ cert: certificate, key, minVersion: 'TLSv1.2' }, listener);
}

async function listening(server: Server, { host, port }: ServerOptions['listen']): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, backlog: 1024 }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function urlOf(identity: Identity | undefined, host: string, port: number): string {
  return `${identity === undefined ? 'http' : 'https'}://${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}

function placeOf({ listen, advertise }: ServerOptions, identity: Identity | undefined, port: number): Place {
  const hosts = isWildcard(listen.host) ? machineAddresses() : [listen.host];
  const servers = advertise ?? hosts.map((host) => urlOf(identity, host, port));
  return identity === undefined ? { servers } : { servers, fingerprint: identity.fingerprint };
}

/** The agent stream: refused like any other request when it is not one that we take. */
function upgrade(parts: Parts, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  socket.on('error', () => socket.destroy());
  try {
    if (request.url?.replace(/\?.*$/s, '') !== '/v1/agent') throw new ApiError('notFound', 'there is no such stream');
    parts.agents.accept(request, socket, head);
  } catch (error) {
    if (!(error instanceof ApiError)) parts.log.error('an upgrade failed', { error });
    refuse(socket, error instanceof ApiError ? error : new ApiError('internal'));
  }
}

const NO_HTTP = 'the request is not proper HTTP';

/** What Node says of a request that never got as far as the application. */
function wordsFor(code: string | undefined): ApiError {
  if (code === 'HPE_HEADER_OVERFLOW') return new ApiError('tooLarge', 'the address and the headers are too long');
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new ApiError('timeout');
  return new ApiError('malformed', NO_HTTP);
}

/** Answers where there is no response object. */
function refuse(socket: Duplex, { status, body }: ApiError): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const text = JSON.stringify(body);
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
}

async function sweepNumbers({ store, freedNumbers, log }: Parts): Promise<void> {
  try {
    const keys = freedNumbers.rested(Date.now(), SWEEP_KEYS);
    await store.txn(
      [],
      keys.map((del) => ({ del })),
    );
  } catch (error) {
    log.warn('cannot sweep numbers that have rested', { error });
  }
}

function versionOfPackage(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}
