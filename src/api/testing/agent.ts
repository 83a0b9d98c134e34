// An agent for tests: speaks the stream and keeps what it was told, and nothing more.

import { once } from 'node:events';
import WebSocket from 'ws';
import type { Resource } from '../../topology/kinds.ts';
import type { Id } from '../../topology/resource.ts';
import type { PortStatus, Status } from '../../topology/status.ts';
import { type AgentFrame, type ServerFrame, WIRE_VERSION } from '../../topology/wire.ts';

export class TestAgent {
  readonly frames: ServerFrame[] = [];
  /** What the frames add up to: `<kind>/<id>` -> object, `<host>/<kind>/<id>` -> status. */
  readonly objects = new Map<string, Resource['value']>();
  readonly statuses = new Map<string, Status>();
  revision = 0;
  closeCode: number | undefined;
  largestFrameBytes = 0;
  /** Says done for each change as it comes. */
  prompt = true;
  readonly #socket: WebSocket;
  readonly #waiting = new Set<() => void>();
  #snapshot: { objects: Map<string, Resource['value']>; statuses: Map<string, Status> } | undefined;

  static async connect(url: string, credential: string, options: WebSocket.ClientOptions = {}): Promise<TestAgent> {
    const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/v1/agent`, {
      ...options,
      headers: { authorization: `Bearer ${credential}` },
    });
    const agent = new TestAgent(socket);
    await once(socket, 'open');
    return agent;
  }

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data) => this.#take(String(data)));
    socket.on('close', (code) => {
      this.closeCode = code;
      this.#ring();
    });
    socket.on('error', () => {});
  }

  send(frame: AgentFrame): void {
    this.#socket.send(JSON.stringify(frame));
  }

  sendText(text: string): void {
    this.#socket.send(text);
  }

  hello(deviceIds: readonly Id[] = [], wireVersion: number = WIRE_VERSION): void {
    this.send({ kind: 'hello', wireVersion, version: 'test', deviceIds });
  }

  say(put: readonly Status[], del: Extract<AgentFrame, { kind: 'status' }>['del'] = [], reset = false): void {
    this.send({ kind: 'status', put, del, reset });
  }

  port(hostId: Id, portId: Id): PortStatus | undefined {
    return this.statuses.get(`${hostId}/port/${portId}`) as PortStatus | undefined;
  }

  /** Resolves when it holds; looked at after every frame. A test that waits in vain runs into its time limit. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
      });
    }
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  async close(): Promise<void> {
    this.#socket.terminate();
    await this.until(() => this.closeCode !== undefined);
  }

  #take(text: string): void {
    this.largestFrameBytes = Math.max(this.largestFrameBytes, Buffer.byteLength(text));
    const frame = JSON.parse(text) as ServerFrame;
    this.frames.push(frame);
    if (frame.kind === 'snapshot') this.#takeSnapshot(frame);
    if (frame.kind === 'change') {
      for (const { kind, value } of frame.put) this.objects.set(`${kind}/${value.id}`, value);
      for (const { kind, id } of frame.del) this.objects.delete(`${kind}/${id}`);
      if (!frame.more) this.#reached(frame.revision);
    }
    if (frame.kind === 'status') {
      for (const { hostId, status } of frame.put) this.statuses.set(`${hostId}/${status.kind}/${status.id}`, status);
      for (const { hostId, kind, id } of frame.del) this.statuses.delete(`${hostId}/${kind}/${id}`);
    }
    this.#ring();
  }

  #takeSnapshot(frame: Extract<ServerFrame, { kind: 'snapshot' }>): void {
    this.#snapshot ??= { objects: new Map(), statuses: new Map() };
    for (const { kind, value } of frame.put) this.#snapshot.objects.set(`${kind}/${value.id}`, value);
    for (const { hostId, status } of frame.status) {
      this.#snapshot.statuses.set(`${hostId}/${status.kind}/${status.id}`, status);
    }
    if (frame.more) return;
    this.objects.clear();
    this.statuses.clear();
    for (const [key, value] of this.#snapshot.objects) this.objects.set(key, value);
    for (const [key, value] of this.#snapshot.statuses) this.statuses.set(key, value);
    this.#snapshot = undefined;
    this.#reached(frame.revision);
  }

  #reached(revision: number): void {
    this.revision = revision;
    if (this.prompt) this.send({ kind: 'done', revision });
  }

  #ring(): void {
    for (const resolve of [...this.#waiting]) {
      this.#waiting.delete(resolve);
      resolve();
    }
  }
}
