// All agents that are connected to this server: who they are, what reaches whom, who is alive, how far each is.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import type { ResourceRef } from '../../topology/kinds.ts';
import type { Topology } from '../../topology/nodes.ts';
import type { Id } from '../../topology/resource.ts';
import { devicesOf, devicesTouched } from '../../topology/scope.ts';
import type { HostAlive } from '../../topology/status.ts';
import { type AgentFrame, type AgentMethod, WIRE_VERSION } from '../../topology/wire.ts';
import { ApiError } from '../errors.ts';
import { authenticate } from '../http/auth.ts';
import type { Parts } from '../parts.ts';
import type { ConfigStep } from '../state/config.ts';
import { hashOf } from '../state/credentials.ts';
import { encode, statusKey } from '../state/keys.ts';
import type { StatusChange } from '../state/live-status.ts';
import { parseAgentFrame } from './frames.ts';
import { isUnderlay, Scopes, UNDERLAY } from './scopes.ts';
import { Session } from './session.ts';

/** How long a host counts as alive after its last word. */
const LEASE_SECONDS = 10;
/** Heartbeats in the time of a lease: three may be lost. */
const HEARTBEATS = 3.3;
/** Answers (flows, audits) may be larger than a frame of ours. */
const PAYLOAD_BYTES = 16 * 1024 * 1024;
const HELLO_MS = 10_000;
const ASK_MS = 30_000;

/** Codes with which a stream ends, of the range for applications (RFC 6455 §7.4.2). */
const CLOSE = { malformed: 4400, revoked: 4401, replaced: 4409, version: 4426, stopping: 1001 } as const;

export interface HostProgress {
  readonly id: Id;
  readonly name: string;
  readonly alive: boolean;
  readonly revision?: number;
}

interface Connected {
  readonly session: Session;
  readonly socket: WebSocket;
  lease: string | undefined;
  /** The store is being asked to keep it alive. */
  reviving: boolean;
  since: string;
  version: string;
  heardMs: number;
}

type AgentParts = Pick<Parts, 'store' | 'config' | 'feed' | 'liveStatus' | 'credentials' | 'log' | 'metrics'>;

export class Agents {
  readonly #parts: AgentParts;
  readonly #scopes: Scopes;
  readonly #server = new WebSocketServer({ noServer: true, maxPayload: PAYLOAD_BYTES, perMessageDeflate: false });
  readonly #connected = new Map<Id, Connected>();
  readonly #listeners = new Set<() => void>();
  readonly #undo: (() => void)[];
  readonly #heartbeat: NodeJS.Timeout;
  readonly #leaseSeconds: number;
  #telling = false;
  /** Devices may be nobody's any more. */
  #scopesLeft = false;

  constructor(parts: AgentParts, leaseSeconds = LEASE_SECONDS) {
    this.#parts = parts;
    this.#leaseSeconds = leaseSeconds;
    this.#scopes = new Scopes(() => parts.config.topology);
    this.#undo = [
      parts.config.onStep((step) => this.#configChanged(step)),
      parts.liveStatus.onChange((changes) => this.#statusChanged(changes)),
      parts.credentials.onChange(() => this.#credentialsChanged()),
    ];
    this.#heartbeat = setInterval(() => this.#beat(), (leaseSeconds * 1000) / HEARTBEATS);
    this.#heartbeat.unref();
  }

  get connected(): number {
    return this.#connected.size;
  }

  /** Hosts whose agents are connected to this server. */
  get connectedHosts(): Id[] {
    return [...this.#connected.keys()];
  }

  /** Told, coalesced, when a host came, went or got further. Returns its undo. */
  onProgress(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  hostStatus(hostId: Id): { readonly alive: boolean; readonly revision?: number; readonly since?: string } {
    const alive = this.#parts.liveStatus.alive(hostId);
    const revision = this.#connected.get(hostId)?.session.revision;
    return {
      alive: alive !== undefined,
      ...(revision === undefined ? {} : { revision }),
      ...(alive === undefined ? {} : { since: alive.since }),
    };
  }

  /** How far each host is that may be forwarding: it is connected, or has left status, or joined and has ports. */
  progress(): HostProgress[] {
    const { config, liveStatus, credentials } = this.#parts;
    const hosts: HostProgress[] = [];
    for (const { id, name } of config.topology.objects('host').values()) {
      const connected = this.#connected.get(id);
      const counts =
        connected !== undefined ||
        liveStatus.ofHost(id).size > 0 ||
        (credentials.keysOfHost(id).length > 0 && devicesOf(config.topology, id).size > 0);
      if (!counts) continue;
      const revision = connected?.session.revision;
      const alive = liveStatus.alive(id) !== undefined;
      hosts.push({ id, name, alive, ...(revision === undefined ? {} : { revision }) });
    }
    return hosts;
  }

  /** Throws ApiError: notFound when there is no such host, unavailable when its agent is not there. */
  async ask(hostId: Id, method: AgentMethod, parameters: unknown = {}, timeoutMs = ASK_MS): Promise<unknown> {
    const host = this.#parts.config.topology.object('host', hostId);
    if (host === undefined) throw new ApiError('notFound', `there is no host ${hostId}`);
    const session = this.#connected.get(hostId)?.session;
    if (session === undefined) {
      const name = host.name || hostId;
      throw new ApiError('unavailable', `the agent of host ${name} is not connected: start it, or look at its log`);
    }
    return session.ask(method, parameters, timeoutMs);
  }

  /** An HTTP upgrade to /v1/agent. Throws ApiError before anything is answered. */
  accept(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const header = request.headers.authorization;
    const credential = authenticate(this.#parts.credentials, header);
    if (credential.role !== 'host') throw new ApiError('forbidden', 'the agent stream is for hosts');
    const tokenHash = hashOf(header!.replace(/^\S+ +/, ''));
    this.#server.handleUpgrade(request, socket, head, (webSocket) =>
      this.#open(webSocket, credential.hostId, tokenHash),
    );
  }

  async close(): Promise<void> {
    clearInterval(this.#heartbeat);
    for (const undo of this.#undo) undo();
    const sessions = [...this.#connected.values()];
    for (const { socket } of sessions) {
      socket.close(CLOSE.stopping, 'the server is stopping');
      socket.terminate();
    }
    await Promise.all(sessions.map(({ session }) => session.report.close()));
    this.#server.close();
  }

  #open(socket: WebSocket, hostId: Id, tokenHash: string): void {
    const { log } = this.#parts;
    const session = new Session(hostId, tokenHash, socket, this.#scopes, this.#parts);
    const connected: Connected = {
      session,
      socket,
      lease: undefined,
      reviving: false,
      since: '',
      version: '',
      heardMs: Date.now(),
    };
    const hello = setTimeout(() => socket.close(CLOSE.malformed, 'no hello'), HELLO_MS);
    socket.on('message', (data: RawData) => {
      connected.heardMs = Date.now();
      const frame = parseAgentFrame(String(data));
      if (frame === undefined || (frame.kind !== 'hello' && !session.greeted)) {
        log.warn('an agent sent what is no frame', { hostId });
        socket.close(CLOSE.malformed, frame === undefined ? 'not a frame of this version' : 'hello comes first');
        return;
      }
      clearTimeout(hello);
      this.#receive(connected, frame);
    });
    socket.on('pong', () => {
      connected.heardMs = Date.now();
    });
    socket.on('error', (error) => log.warn('the stream of an agent failed', { hostId, error }));
    socket.on('close', () => {
      clearTimeout(hello);
      session.closed();
      if (this.#connected.get(hostId) === connected) {
        this.#connected.delete(hostId);
        this.#scopesLeft = true;
        log.info('an agent went away', { hostId });
      }
      this.#progressed();
    });
  }

  #receive(connected: Connected, frame: AgentFrame): void {
    const { session, socket } = connected;
    switch (frame.kind) {
      case 'hello':
        this.#greet(connected, frame);
        break;
      case 'subscribe':
        session.subscribe(frame.deviceIds);
        break;
      case 'unsubscribe':
        session.unsubscribe(frame.deviceIds);
        this.#scopesLeft = true;
        break;
      case 'status':
        if (!session.report.take(frame)) session.cut('it has more to say than is kept');
        break;
      case 'done':
        session.done(frame.revision);
        this.#progressed();
        break;
      case 'answer':
        session.answered(frame);
        break;
      default:
        frame satisfies never;
        socket.close(CLOSE.malformed);
    }
  }

  #greet(connected: Connected, frame: Extract<AgentFrame, { kind: 'hello' }>): void {
    const { log, liveStatus } = this.#parts;
    const { session, socket } = connected;
    const { hostId } = session;
    if (frame.wireVersion !== WIRE_VERSION) {
      log.warn('an agent speaks another version', { hostId, theirs: frame.wireVersion, ours: WIRE_VERSION });
      socket.close(CLOSE.version, `this server speaks version ${WIRE_VERSION} of the stream, not ${frame.wireVersion}`);
      return;
    }
    const before = this.#connected.get(hostId);
    if (before !== undefined && before !== connected) {
      log.warn('a second agent came for a host; the first one is cut', { hostId });
      before.socket.close(CLOSE.replaced, 'another agent came for this host');
    }
    this.#connected.set(hostId, connected);
    connected.version = frame.version;
    connected.since = liveStatus.alive(hostId)?.since ?? new Date().toISOString();
    log.info('an agent is here', { hostId, version: frame.version });
    session.hello(frame);
    void this.#keepAlive(connected);
    this.#progressed();
  }

  /** Heartbeats down, pings for those that say nothing, leases for those that do. */
  #beat(): void {
    if (this.#scopesLeft) this.#pruneScopes();
    const silentMs = this.#leaseSeconds * 1000;
    for (const connected of this.#connected.values()) {
      const { session, socket } = connected;
      if (Date.now() - connected.heardMs > silentMs) {
        session.cut('it is silent');
        continue;
      }
      session.heartbeat();
      socket.ping();
      void this.#keepAlive(connected);
    }
  }

  /**
   * `alive` hangs on a lease: it goes when nobody vouches for the host, this server included. What the host said may be
   * gone with it, and its ports another's: it comes back and says all of it anew.
   */
  async #keepAlive(connected: Connected): Promise<void> {
    const { store, feed, log } = this.#parts;
    const { session, since, version } = connected;
    const { hostId } = session;
    if (connected.reviving) return;
    connected.reviving = true;
    try {
      if (connected.lease !== undefined) {
        if (!(await store.keepAlive(connected.lease))) session.cut('its lease has ended');
        return;
      }
      const lease = await store.grant(this.#leaseSeconds);
      if (this.#connected.get(hostId) !== connected) return;
      const alive: HostAlive = { kind: 'alive', id: '-', since, version };
      const { ok, rev } = await store.txn([], [{ put: statusKey(hostId, 'alive', '-'), value: encode(alive), lease }]);
      if (!ok) return;
      await feed.through(rev);
      connected.lease = lease;
      session.report.begin(rev);
    } catch (error) {
      log.warn('cannot keep a host alive', { hostId, error });
    } finally {
      connected.reviving = false;
    }
  }

  #configChanged({ before, after, change }: ConfigStep): void {
    if (change === undefined) {
      this.#scopes.touchAll();
      return;
    }
    const refs = [...change.put.map(({ kind, value }) => ({ kind, id: value.id })), ...change.del];
    const touched = devicesTouched(before, after, refs);
    if (refs.some(isUnderlay)) touched.add(UNDERLAY);
    this.#scopes.touch(touched);
    // A host whose ports come or go gets other devices, touched or not.
    const hosts = new Set<Id | undefined>();
    const portsChanged = refs.some(({ kind }) => kind === 'port');
    if (portsChanged) this.#scopesLeft = true;
    for (const { kind, id } of refs) {
      if (kind !== 'port') continue;
      for (const topology of [before, after]) hosts.add(topology.object('port', id)?.hostId);
    }
    for (const [hostId, { session }] of this.#connected) {
      if (hosts.has(hostId) || [...touched].some((id) => session.mayUse(id))) session.touch(portsChanged);
    }
    this.#progressed();
  }

  #statusChanged(changes: readonly StatusChange[] | undefined): void {
    const { topology } = this.#parts.config;
    // All was read anew, the configuration too, just before.
    if (changes === undefined) for (const { session } of this.#connected.values()) session.resync();
    for (const change of changes ?? []) {
      const subject = change.id.split(',')[0]!;
      const devices = devicesConcerned(change.kind, subject, topology);
      for (const { session } of this.#connected.values()) {
        // An object that is gone already is looked for in what was sent.
        const concerned = devices?.some((id) => session.has(id)) ?? session.hasObject(objectOf(change.kind, subject));
        if (concerned) session.tell(change);
      }
    }
    this.#progressed();
  }

  #credentialsChanged(): void {
    for (const { session, socket } of this.#connected.values()) {
      if (!this.#parts.credentials.has(session.tokenHash)) {
        socket.close(CLOSE.revoked, 'the credential of this host is not valid any more');
      }
    }
  }

  #pruneScopes(): void {
    this.#scopesLeft = false;
    const wanted = new Set<Id>();
    for (const { session } of this.#connected.values()) for (const id of session.deviceIds) wanted.add(id);
    this.#scopes.prune(wanted);
  }

  #progressed(): void {
    if (this.#telling) return;
    this.#telling = true;
    setImmediate(() => {
      this.#telling = false;
      for (const listener of this.#listeners) listener();
    });
  }
}

/** What hosts say of themselves concerns no other host. */
const objectOf = (kind: StatusChange['kind'], subject: Id): ResourceRef => ({
  kind: kind === 'mac' ? 'bridge' : 'port',
  id: subject,
});

/** The devices whose agents want to know; undefined when the topology does not tell any more. */
function devicesConcerned(kind: StatusChange['kind'], subject: Id, topology: Topology): readonly Id[] | undefined {
  switch (kind) {
    case 'mac':
      return [subject];
    case 'port':
    case 'neighbour': {
      const port = topology.port(subject);
      if (port === undefined) return undefined;
      const peer = port.peerId === undefined ? undefined : topology.port(port.peerId);
      return peer === undefined ? [port.deviceId] : [port.deviceId, peer.deviceId];
    }
    default:
      return [];
  }
}
