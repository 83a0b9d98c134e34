// The server's end of the stream, as small as it can be: everything is in everybody's scope unless it is told to keep to
// scopes, what one host says of itself is told to the others, and every port is whose it claims to be.

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Resource, ResourceRef } from '../../topology/kinds.ts';
import type { Topology } from '../../topology/nodes.ts';
import type { Id } from '../../topology/resource.ts';
import { applyChanges, emptyTopology } from '../../topology/snapshot.ts';
import type { Status } from '../../topology/status.ts';
import type { AgentFrame, AgentMethod, HostedStatus, ServerFrame } from '../../topology/wire.ts';
import { HostScope } from './host-scope.ts';

export class FakeServer {
  /** By host: the revision that it is done with. */
  readonly done = new Map<Id, number>();
  /** Connections so far. */
  hellos = 0;
  /** Told to whoever subscribes, before it is told that this was all. */
  beforeSubscribed: readonly ServerFrame[] = [];
  readonly #objects = new Map<string, Resource>();
  readonly #statuses = new Map<string, HostedStatus>();
  readonly #agents = new Map<Id, WebSocket>();
  readonly #subscribed = new Map<Id, Id[]>();
  /** What each host was sent, when it is sent no more than what is in its scope. */
  readonly #scopes = new Map<Id, HostScope>();
  readonly #scoped: boolean;
  readonly #answers = new Map<number, (result: unknown) => void>();
  readonly #sockets: WebSocketServer;
  #revision = 1;
  #nextRequest = 1;

  /** Credentials are host ids. */
  static async start(...put: Resource[]): Promise<FakeServer> {
    const sockets = new WebSocketServer({ host: '127.0.0.1', port: 0 });
    await once(sockets, 'listening');
    return new FakeServer(sockets, put, false);
  }

  /** A server that sends each host what is in its scope. */
  static async startScoped(...put: Resource[]): Promise<FakeServer> {
    const sockets = new WebSocketServer({ host: '127.0.0.1', port: 0 });
    await once(sockets, 'listening');
    return new FakeServer(sockets, put, true);
  }

  private constructor(sockets: WebSocketServer, put: readonly Resource[], scoped: boolean) {
    this.#sockets = sockets;
    this.#scoped = scoped;
    for (const resource of put) this.#objects.set(`${resource.kind}/${resource.value.id}`, resource);
    sockets.on('connection', (socket, request) => {
      const hostId = String(request.headers.authorization).replace('Bearer ', '');
      this.#agents.set(hostId, socket);
      socket.on('message', (data) => this.#receive(hostId, socket, JSON.parse(String(data)) as AgentFrame));
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#sockets.address() as AddressInfo).port}`;
  }

  get revision(): number {
    return this.#revision;
  }

  status(hostId: Id, kind: Status['kind'], id: string): Status | undefined {
    return this.#statuses.get(`${hostId}/${kind}/${id}`)?.status;
  }

  change(put: readonly Resource[], del: readonly ResourceRef[] = []): void {
    const revision = ++this.#revision;
    const now = put.map(({ kind, value }) => ({ kind, value: { ...value, revision } }) as Resource);
    for (const resource of now) this.#objects.set(`${resource.kind}/${resource.value.id}`, resource);
    for (const { kind, id } of del) this.#objects.delete(`${kind}/${id}`);
    for (const [hostId, socket] of this.#agents) {
      if (this.#scoped) for (const frame of this.#scopes.get(hostId)?.changes() ?? []) send(socket, frame);
      else send(socket, { kind: 'change', revision, put: now, del, more: false });
    }
  }

  /** Puts a port elsewhere; the agent that it left loses it, as something that it does not need any more. */
  move(port: Resource, left: Id): void {
    const revision = ++this.#revision;
    const now = { kind: port.kind, value: { ...port.value, revision } } as Resource;
    this.#objects.set(`${now.kind}/${now.value.id}`, now);
    const gone = [{ kind: now.kind, id: now.value.id }];
    for (const [hostId, socket] of this.#agents) {
      const change = hostId === left ? { put: [], del: gone } : { put: [now], del: [] };
      send(socket, { kind: 'change', revision, ...change, more: false });
    }
  }

  /** The devices that an agent asked for and has not released. */
  subscribed(hostId: Id): readonly Id[] {
    return this.#subscribed.get(hostId) ?? [];
  }

  /** Anything at all, to an agent that is connected. */
  say(hostId: Id, frame: unknown): void {
    this.#agents.get(hostId)!.send(JSON.stringify(frame));
  }

  /** Resolves with the agent's answer. */
  ask(hostId: Id, method: AgentMethod): Promise<unknown> {
    const id = this.#nextRequest++;
    send(this.#agents.get(hostId)!, { kind: 'request', id, method, parameters: {} });
    return new Promise((resolve) => this.#answers.set(id, resolve));
  }

  async close(): Promise<void> {
    for (const client of this.#sockets.clients) client.terminate();
    await new Promise((resolve) => this.#sockets.close(resolve));
  }

  #receive(hostId: Id, socket: WebSocket, frame: AgentFrame): void {
    switch (frame.kind) {
      case 'hello': {
        this.hellos++;
        this.#subscribed.set(hostId, [...frame.deviceIds]);
        if (this.#scoped) {
          this.#scopes.set(hostId, new HostScope(hostId, () => this.#topology()));
          this.#answer(hostId, socket, frame);
          break;
        }
        const status = [...this.#statuses.values()].filter((hosted) => hosted.hostId !== hostId);
        const put = [...this.#objects.values()];
        send(socket, { kind: 'snapshot', revision: this.#revision, put, status, more: false });
        if (frame.deviceIds.length > 0) send(socket, { kind: 'subscribed', deviceIds: frame.deviceIds });
        break;
      }
      case 'subscribe':
        this.#subscribed.set(hostId, [...this.subscribed(hostId), ...frame.deviceIds]);
        for (const told of this.beforeSubscribed) send(socket, told);
        if (this.#scoped) this.#answer(hostId, socket, frame);
        else send(socket, { kind: 'subscribed', deviceIds: frame.deviceIds });
        break;
      case 'unsubscribe': {
        const released = new Set(frame.deviceIds);
        this.#subscribed.set(
          hostId,
          this.subscribed(hostId).filter((id) => !released.has(id)),
        );
        if (this.#scoped) this.#answer(hostId, socket, frame);
        break;
      }
      case 'status':
        this.#heard(hostId, frame);
        break;
      case 'done':
        this.done.set(hostId, frame.revision);
        break;
      case 'answer':
        this.#answers.get(frame.id)?.(frame.result ?? frame.error);
        break;
    }
  }

  #answer(hostId: Id, socket: WebSocket, frame: AgentFrame): void {
    for (const answer of this.#scopes.get(hostId)!.answer(frame)) send(socket, answer);
  }

  #topology(): Topology {
    const put = [...this.#objects.values()];
    return applyChanges(emptyTopology(), { revision: this.#revision, put, del: [] }).topology;
  }

  #heard(hostId: Id, { put, del, reset }: Extract<AgentFrame, { kind: 'status' }>): void {
    const gone = new Set(del.map(({ kind, id }) => `${hostId}/${kind}/${id}`));
    if (reset) for (const key of this.#statuses.keys()) if (key.startsWith(`${hostId}/`)) gone.add(key);
    const refs = [...gone].flatMap((key) => {
      const status = this.#statuses.get(key)?.status;
      this.#statuses.delete(key);
      return status === undefined ? [] : [{ hostId, kind: status.kind, id: status.id }];
    });
    const told = put.map((status) => ({ hostId, status }));
    for (const hosted of told) this.#statuses.set(`${hostId}/${hosted.status.kind}/${hosted.status.id}`, hosted);
    const ports = told.filter(({ status }) => status.kind === 'port');
    for (const [id, socket] of this.#agents) {
      send(socket, id === hostId ? { kind: 'status', put: ports, del: [] } : { kind: 'status', put: told, del: refs });
    }
  }
}

const send = (socket: WebSocket, frame: ServerFrame): void => socket.send(JSON.stringify(frame));
