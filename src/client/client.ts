// The typed HTTP client: the only way that others reach a server. docs/api/README.md is the contract of the calls.
// It holds no state but where the server is; every call is one request, and nothing is tried twice.

import { KINDS, type Kind, type Objects, type Resource, type ResourceRef } from '../topology/kinds.ts';
import type { Id } from '../topology/resource.ts';
import type { PortStatus, StatusKind } from '../topology/status.ts';
import type { AuditReport, HostedStatus, HostedStatusRef } from '../topology/wire.ts';
import { ndjson } from './ndjson.ts';

/** What `fetch` looks like from here; tests and pinned.ts bring their own. */
export type Fetch = (url: string, init: FetchInit) => Promise<Response>;
export interface FetchInit {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body?: string;
  readonly signal?: AbortSignal;
}

export interface ClientOptions {
  /** `http://127.0.0.1:7780`, without a path. */
  readonly url: string;
  /** Not needed for `join` alone. */
  readonly token?: string;
  /** SHA-256 of the server's certificate in hex: no other certificate is spoken to. Only with https. */
  readonly fingerprint?: string;
  readonly fetch?: Fetch;
}

/** The server said no, or could not be reached (status 0, code `unreachable`). */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly code: string;
  /** JSON pointer into the request. */
  readonly path: string | undefined;
  constructor(status: number, code: string, message: string, path?: string) {
    super(message);
    this.status = status;
    this.code = code;
    this.path = path;
  }
}

/** What an answer carries in `status` beside the stored fields. */
export interface LiveStatus {
  readonly port: { readonly state: PortStatus['state']; readonly hostId?: Id; readonly why?: string };
  readonly host: { readonly alive: boolean; readonly revision?: number; readonly since?: string };
}
export type Answered<K extends Kind> = Objects[K] &
  (K extends keyof LiveStatus ? { readonly status?: LiveStatus[K] } : unknown);

/** A value with parts left out, for create: the server fills defaults in. */
export type Draft<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { readonly [P in keyof T]?: Draft<T[P]> | undefined }
    : T;
/** A JSON merge patch: `null` removes. */
export type Patch<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { readonly [P in keyof T]?: Patch<T[P]> | null | undefined }
    : T;

export type Operation = {
  [K in Kind]:
    | { readonly op: 'create'; readonly kind: K; readonly value: Draft<Objects[K]> }
    | {
        readonly op: 'update';
        readonly kind: K;
        readonly id: Id;
        readonly value: Patch<Objects[K]>;
        readonly ifMatch?: number;
      }
    | { readonly op: 'delete'; readonly kind: K; readonly id: Id; readonly ifMatch?: number };
}[Kind];

/** Equality on scalar fields; `tag` looks into `tags`. */
export type Filters = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Applied {
  readonly revision: number;
  readonly done: boolean;
  readonly hosts: readonly {
    readonly id: Id;
    readonly name: string;
    readonly alive: boolean;
    readonly revision?: number;
  }[];
}

export interface Trace {
  readonly verdict: string;
  readonly why: string;
  readonly reason?: unknown;
  readonly actions: readonly unknown[];
  readonly mask: unknown;
  readonly tags: readonly unknown[];
  readonly steps: readonly { readonly depth: number; readonly at: string; readonly text: string }[];
  /** What the network itself sends: to a port's or a bridge's number, a frame in hex. */
  readonly born: readonly { readonly to: number; readonly frame: string }[];
  /** What must be known before the rest can be told. */
  readonly needs?: readonly (
    | { readonly kind: 'neighbour'; readonly portId: Id; readonly ip: string }
    | { readonly kind: 'device'; readonly deviceId: Id }
  )[];
}

/** The busiest flows of a host's kernel. */
export interface FlowsReport {
  readonly total: number;
  readonly masks: number;
  readonly flows: readonly {
    readonly match: string;
    readonly actions: string;
    readonly why: string;
    readonly packets: number;
    readonly bytes: number;
    readonly idleMs: number;
  }[];
}

export interface CountersReport {
  /** By reason over all ports, none left out, the most frequent first; what the agent itself dropped is among them. */
  readonly drops: readonly {
    readonly reason: string;
    readonly words: string;
    readonly packets: number;
    readonly bytes: number;
  }[];
  /** Packets that came up to the agent since there was no flow for them. */
  readonly misses: number;
  /** Packets that found no room among the counters of the kernel: the rest is too low by so many. */
  readonly lost: number;
  /** How many counters there are, of which `counters` holds the largest. */
  readonly total: number;
  readonly counters: readonly {
    readonly kind: string;
    readonly id: number;
    readonly packets: number;
    readonly bytes: number;
    /** Of a drop reason or cause. */
    readonly name?: string;
    readonly portId?: Id;
    /** What is there instead of a port that is known. */
    readonly at?: string;
    /** At the other end of a tunnel. */
    readonly hostId?: Id;
  }[];
  /** The agent's own counts. */
  readonly agent: Readonly<Record<string, number>>;
}

/** What a host reports of one of its interfaces. */
export interface Interface {
  readonly hostId: Id;
  readonly name: string;
  readonly mac: string;
  readonly mtuBytes: number;
  readonly up: boolean;
  readonly addresses: readonly string[];
  /** The port that is plugged into it. */
  readonly portId?: Id;
}

/** Equality on these. */
export interface InterfaceFilters {
  readonly hostId?: Id;
  readonly name?: string;
  readonly up?: boolean;
  readonly portId?: Id;
}

/** A token without its text, which is told once, when it is made. */
export interface TokenInfo {
  readonly id: Id;
  readonly role: TokenRole | 'host';
  /** Of every role but host. */
  readonly name?: string;
  /** Of members and readers. */
  readonly projectIds?: readonly Id[];
  /** Of role host. */
  readonly hostId?: Id;
  readonly createdAt: string;
  readonly expiresAt?: string;
  /** As far as the server that answers knows, since its start. */
  readonly lastUsedAt?: string;
}
/** member: changes the objects of its projects; reader: looks at them. */
export type TokenRole = 'admin' | 'member' | 'reader';
export interface TokenDraft {
  readonly name: string;
  readonly role: TokenRole;
  /** Of members and readers: at least one. */
  readonly projectIds?: readonly Id[];
  /** RFC 3339; none: good until it is revoked. */
  readonly expiresAt?: string;
}

export interface Version {
  readonly name: string;
  readonly version: string;
  readonly revision: number;
}

/** What a watch tells of objects that are `Put` and, when they go, named by `Del`. */
type Frame<Put, Del> =
  | { readonly rev: number; readonly put: readonly Put[]; readonly del: readonly Del[] }
  /** The server is there and this far. */
  | { readonly rev: number }
  /** The past that was asked for is gone: list, then watch from the list's revision. The last frame. */
  | { readonly reset: true };
export type WatchFrame = Frame<Resource, ResourceRef>;
/** `rev` is the revision of status, which is not that of the configuration: it rises, and has gaps. */
export type StatusFrame = Frame<HostedStatus, HostedStatusRef>;

/** Equality on these. `portId`, `bridgeId` and `mac` are those that a status is about. */
export interface StatusFilters {
  readonly kind?: StatusKind | undefined;
  readonly hostId?: Id | undefined;
  readonly id?: string;
  readonly portId?: Id;
  readonly bridgeId?: Id;
  readonly mac?: string;
  readonly state?: PortStatus['state'];
  readonly up?: boolean;
}

interface Call {
  readonly query?: Filters;
  readonly body?: unknown;
  readonly ifMatch?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const PAGE = 1000;

export class Client {
  readonly url: string;
  readonly #token: string | undefined;
  readonly #fingerprint: string | undefined;
  #fetch: Fetch | undefined;

  constructor(options: ClientOptions) {
    this.url = options.url.replace(/\/+$/, '');
    this.#token = options.token;
    this.#fingerprint = options.fingerprint;
    this.#fetch = options.fetch;
  }

  /** Objects of a kind, page by page as they are taken; not one snapshot when there are more than 1,000. */
  async *list<K extends Kind>(kind: K, filters: Filters = {}): AsyncGenerator<Answered<K>> {
    let pageToken: string | undefined;
    do {
      const page = await this.page(kind, { limit: PAGE, ...filters, pageToken });
      yield* page.items;
      pageToken = page.pageToken;
    } while (pageToken !== undefined);
  }

  /** One page, with the revision to watch from. */
  async page<K extends Kind>(
    kind: K,
    query: Filters = {},
  ): Promise<{ readonly items: readonly Answered<K>[]; readonly revision: number; readonly pageToken?: string }> {
    return this.#json('GET', path(kind), { query });
  }

  async get<K extends Kind>(kind: K, id: Id): Promise<Answered<K>> {
    return this.#json('GET', path(kind, id));
  }

  /** With a chosen `id` it may be tried again after an answer was lost. The answer's `revision` is that of the write. */
  async create<K extends Kind>(kind: K, value: Draft<Objects[K]>): Promise<Answered<K>> {
    return this.#json('POST', path(kind), { body: value });
  }

  /** `ifMatch`: the revision that the object must have, else ApiError 412. */
  async update<K extends Kind>(kind: K, id: Id, patch: Patch<Objects[K]>, ifMatch?: number): Promise<Answered<K>> {
    return this.#json('PATCH', path(kind, id), { body: patch, ifMatch });
  }

  /** Answers the revision of the deletion. */
  async remove(kind: Kind, id: Id, ifMatch?: number): Promise<number> {
    const response = await this.#call('DELETE', path(kind, id), { ifMatch });
    return Number(response.headers.get('ayatori-revision'));
  }

  /** All operations or none. `objects` in the order of the operations that left one. `ifMatch` as with `update`. */
  async transaction(
    operations: readonly Operation[],
  ): Promise<{ readonly revision: number; readonly objects: readonly unknown[] }> {
    return this.#json('POST', '/v1/transaction', { body: { operations } });
  }

  /** Changes after `from`, one frame a revision. Ends with the server, the signal, or a reset; it does not reconnect. */
  async *watch(from: number, signal?: AbortSignal): AsyncGenerator<WatchFrame> {
    yield* this.#frames<WatchFrame>('/v1/watch', { from }, signal);
  }

  /** All live status that fits, by host, kind and id; not one snapshot when there are more than 1,000. */
  async status(filters: StatusFilters = {}): Promise<readonly HostedStatus[]> {
    const items: HostedStatus[] = [];
    let pageToken: string | undefined;
    do {
      const page = await this.statusPage({ limit: PAGE, ...filters, pageToken });
      items.push(...page.items);
      pageToken = page.pageToken;
    } while (pageToken !== undefined);
    return items;
  }

  /** One page, with the revision of status to watch from. */
  async statusPage(
    query: StatusFilters & { readonly limit?: number; readonly pageToken?: string | undefined } = {},
  ): Promise<{ readonly items: readonly HostedStatus[]; readonly revision: number; readonly pageToken?: string }> {
    return this.#json('GET', '/v1/status', { query: { ...query } });
  }

  /** Changes of status after `from`, or from now on; like `watch`. */
  async *watchStatus(
    from: number | undefined,
    filters: Pick<StatusFilters, 'kind' | 'hostId'> = {},
    signal?: AbortSignal,
  ): AsyncGenerator<StatusFrame> {
    yield* this.#frames<StatusFrame>('/v1/status/watch', { from, ...filters }, signal);
  }

  /** Interfaces by host and name, page by page as they are taken. */
  async *interfaces(filters: InterfaceFilters = {}): AsyncGenerator<Interface> {
    let pageToken: string | undefined;
    do {
      const page: { readonly items: readonly Interface[]; readonly pageToken?: string } = await this.#json(
        'GET',
        '/v1/interfaces',
        { query: { limit: PAGE, ...filters, pageToken } },
      );
      yield* page.items;
      pageToken = page.pageToken;
    } while (pageToken !== undefined);
  }

  async interface(hostId: Id, name: string): Promise<Interface> {
    return this.#json('GET', `/v1/interfaces/${encodeURIComponent(hostId)}/${encodeURIComponent(name)}`);
  }

  /** Waits until every subscribed host forwards by the revision, or for so long: see `done`. */
  async applied(revision: number, timeoutSeconds: number): Promise<Applied> {
    return this.#json('GET', '/v1/applied', { query: { revision, timeoutSeconds } });
  }

  /** `first`: of a later fragment the first one of its datagram. */
  async trace(portId: Id, frame: Uint8Array, first?: Uint8Array): Promise<Trace> {
    const fragment = first === undefined ? {} : { first: hex(first) };
    return this.#json('POST', '/v1/trace', { body: { portId, frame: hex(frame), ...fragment } });
  }

  /** A text for the host's agent, good for one use. */
  async joinToken(hostId: Id): Promise<{ readonly joinToken: string; readonly expiresAt: string }> {
    return this.#json('POST', `/v1/hosts/${encodeURIComponent(hostId)}/join-token`);
  }

  /** Turns the secret of a join token into the host's credential, once. */
  async join(secret: string): Promise<{ readonly hostId: Id; readonly credential: string }> {
    return this.#json('POST', '/v1/join', { body: { secret } });
  }

  /** The answer holds the text of the token, which nobody is told again. */
  async createToken(token: TokenDraft): Promise<TokenInfo & { readonly token: string }> {
    return this.#json('POST', '/v1/tokens', { body: token });
  }

  /** Tokens by id, page by page as they are taken. */
  async *tokens(filters: { readonly name?: string; readonly role?: string } = {}): AsyncGenerator<TokenInfo> {
    let pageToken: string | undefined;
    do {
      const page: { readonly items: readonly TokenInfo[]; readonly pageToken?: string } = await this.#json(
        'GET',
        '/v1/tokens',
        { query: { limit: PAGE, ...filters, pageToken } },
      );
      yield* page.items;
      pageToken = page.pageToken;
    } while (pageToken !== undefined);
  }

  /** It is refused from then on, and what it has open is ended. */
  async revokeToken(id: Id): Promise<void> {
    await this.#call('DELETE', `/v1/tokens/${encodeURIComponent(id)}`, {});
  }

  /** What the host's agent answers: 503 when it is not there. */
  async flows(hostId: Id): Promise<FlowsReport> {
    return this.#json('GET', `/v1/hosts/${encodeURIComponent(hostId)}/flows`);
  }

  async audit(hostId: Id): Promise<AuditReport> {
    return this.#json('GET', `/v1/hosts/${encodeURIComponent(hostId)}/audit`);
  }

  /** Of all ports of the host, or of one. */
  async counters(hostId: Id, portId?: Id): Promise<CountersReport> {
    return this.#json('GET', `/v1/hosts/${encodeURIComponent(hostId)}/counters`, { query: { portId } });
  }

  async version(): Promise<Version> {
    return this.#json('GET', '/v1/version');
  }

  async *#frames<F>(where: string, query: Filters, signal: AbortSignal | undefined): AsyncGenerator<F> {
    const response = await this.#call('GET', where, { query, signal });
    try {
      for await (const frame of ndjson(response)) yield frame as F;
    } catch (error) {
      if (signal?.aborted !== true) throw unreachable(this.url, error);
    }
  }

  async #json<T>(method: string, where: string, call: Call = {}): Promise<T> {
    const response = await this.#call(method, where, call);
    try {
      return (await response.json()) as T;
    } catch (error) {
      throw unreachable(this.url, error);
    }
  }

  async #call(method: string, where: string, call: Call): Promise<Response> {
    const query = new URLSearchParams();
    for (const [key, value] of Object.entries(call.query ?? {})) if (value !== undefined) query.set(key, String(value));
    const headers: Record<string, string> = {};
    if (this.#token !== undefined) headers.authorization = `Bearer ${this.#token}`;
    if (call.body !== undefined) headers['content-type'] = 'application/json';
    if (call.ifMatch !== undefined) headers['if-match'] = String(call.ifMatch);
    const url = `${this.url}${where}${query.size === 0 ? '' : `?${query}`}`;
    const fetch = await this.#transport();
    let response: Response;
    try {
      response = await fetch(url, {
        method,
        headers,
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
        ...(call.signal === undefined ? {} : { signal: call.signal }),
      });
    } catch (error) {
      throw unreachable(this.url, error);
    }
    if (!response.ok) throw await refusal(response);
    return response;
  }

  /** A pinned certificate needs Node's own TLS; a page in a browser never comes there. */
  async #transport(): Promise<Fetch> {
    if (this.#fetch === undefined) {
      this.#fetch =
        this.#fingerprint === undefined ? fetch : (await import('./pinned.ts')).pinnedFetch(this.#fingerprint);
    }
    return this.#fetch;
  }
}

function path(kind: Kind, id?: Id): string {
  return `/v1/${KINDS[kind].plural}${id === undefined ? '' : `/${encodeURIComponent(id)}`}`;
}

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

async function refusal(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => '');
  let body: { code?: unknown; message?: unknown; path?: unknown } | null = null;
  try {
    body = JSON.parse(text);
  } catch {
    // Not an answer of ours: a proxy's, or another server on that port. What it said stands for itself.
  }
  if (typeof body?.code !== 'string' || typeof body.message !== 'string') {
    const said = text.slice(0, 200) || response.statusText;
    return new ApiError(
      response.status,
      'foreign',
      `status ${response.status} from something that is no aya server: ${said}`,
    );
  }
  return new ApiError(response.status, body.code, body.message, typeof body.path === 'string' ? body.path : undefined);
}

const UNREACHABLE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'there is no such name',
  EAI_AGAIN: 'the name cannot be resolved now',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS: the URL should be http',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is of its own making, and no fingerprint says to expect that',
};

function unreachable(url: string, error: unknown): ApiError {
  const cause = (error as { cause?: unknown }).cause ?? error;
  const { code, message } = cause as { code?: string; message?: string };
  const why = UNREACHABLE[code ?? ''] ?? (message || code || String(cause)).replace(/\s+/g, ' ').trim();
  return new ApiError(0, 'unreachable', `no answer from ${url}: ${why}`);
}
