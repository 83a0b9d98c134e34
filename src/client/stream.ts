// The agent's end of the stream (src/topology/wire.ts): one WebSocket to any one of several servers, kept up with
// backoff. It moves frames and knows nothing of what is in them; a lost connection is told, and the next one starts
// with a hello. A server whose certificate is not the pinned one never gets to see the credential.

import WebSocket from 'ws';
import type { Log } from '../lib/log.ts';
import type { AgentFrame, ServerFrame } from '../topology/wire.ts';
import { pinnedAgent } from './pinned.ts';

/** First pause before the next server is tried; it doubles. Short, since several servers may be there. */
const RETRY_MS = 200;
const RETRY_MAX_MS = 5000;
/** The server sends a heartbeat every few seconds: one that is silent for so long is gone, whatever TCP says. */
const SILENCE_MS = 20_000;
const HANDSHAKE_MS = 5000;
/** A frame is 64 KiB of JSON, or one object of up to 500,000 bytes; more is no server of ours. */
const FRAME_BYTES_MAX = 1024 * 1024;

export interface StreamOptions {
  /** `https://host:port`, tried in turn. */
  readonly servers: readonly string[];
  readonly credential: string;
  /** SHA-256 of the server's certificate in hex. */
  readonly fingerprint?: string | undefined;
  readonly log: Log;
  /** The connection is up: what to say first. */
  readonly onOpen: () => readonly AgentFrame[];
  readonly onFrame: (frame: ServerFrame) => void;
  /** The connection is gone; it will be tried again. */
  readonly onClose: () => void;
  readonly silenceMs?: number;
}

export class AgentStream {
  readonly #options: StreamOptions;
  #socket: WebSocket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #silence: NodeJS.Timeout | undefined;
  #failures = 0;
  #openedMs = 0;
  /** Said already: it is not said again at every try. */
  #lastWhy = '';
  #turn = 0;
  #open = false;
  #closed = false;

  constructor(options: StreamOptions) {
    if (options.servers.length === 0) throw new Error('an agent stream needs the address of at least one server');
    this.#options = options;
    this.#connect();
  }

  get connected(): boolean {
    return this.#open;
  }

  /** False when there is no connection: nothing is kept for later, since a new connection starts with all there is. */
  send(frame: AgentFrame): boolean {
    if (!this.#open) return false;
    this.#socket?.send(JSON.stringify(frame));
    return true;
  }

  /** Ends the connection: the next one begins with a hello. */
  reconnect(): void {
    this.#socket?.terminate();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#silence);
    this.#socket?.terminate();
  }

  #connect(): void {
    const { servers, credential, fingerprint } = this.#options;
    const server = servers[this.#turn++ % servers.length]!;
    const url = `${server.replace(/^http/, 'ws').replace(/\/+$/, '')}/v1/agent`;
    const socket = new WebSocket(url, {
      headers: { authorization: `Bearer ${credential}` },
      handshakeTimeout: HANDSHAKE_MS,
      maxPayload: FRAME_BYTES_MAX,
      perMessageDeflate: false,
      // One frame at a turn of the event loop: a packet waits for one of them, not for as many as the network brought.
      allowSynchronousEvents: false,
      ...(fingerprint !== undefined && url.startsWith('wss:') ? { agent: pinnedAgent(fingerprint) } : {}),
    });
    this.#socket = socket;
    let why = 'the connection was closed';
    socket.on('open', () => {
      this.#open = true;
      this.#openedMs = performance.now();
      this.#options.log.info('connected to a server', { server });
      this.#heard();
      for (const frame of this.#options.onOpen()) this.send(frame);
    });
    socket.on('message', (data) => {
      this.#heard();
      this.#receive(String(data), socket);
    });
    socket.on('ping', () => this.#heard());
    socket.on('error', (error) => {
      why = error.message === '' ? String((error as { code?: string }).code) : error.message;
    });
    socket.on('close', (_, reason) => this.#lost(server, reason.length > 0 ? String(reason) : why));
  }

  #receive(text: string, socket: WebSocket): void {
    let frame: ServerFrame;
    try {
      frame = JSON.parse(text) as ServerFrame;
    } catch {
      this.#options.log.error('a frame of the server is not JSON; connecting anew', { frame: text.slice(0, 100) });
      socket.terminate();
      return;
    }
    try {
      this.#options.onFrame(frame);
    } catch (error) {
      this.#options.log.error('a frame of the server makes no sense; connecting anew', {
        frame: text.slice(0, 100),
        error,
      });
      socket.terminate();
    }
  }

  #heard(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#socket?.terminate(), this.#options.silenceMs ?? SILENCE_MS);
  }

  #lost(server: string, why: string): void {
    clearTimeout(this.#silence);
    const wasOpen = this.#open;
    this.#open = false;
    // A server that takes us in only to send us away must not be asked at the pace of one that comes back.
    if (wasOpen && performance.now() - this.#openedMs > RETRY_MAX_MS) this.#failures = 0;
    if (wasOpen) this.#options.onClose();
    if (this.#closed) return;
    // Each server is tried once before the pauses grow.
    const rounds = Math.floor(this.#failures++ / this.#options.servers.length);
    const pauseMs = Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** Math.min(rounds, 10));
    if (wasOpen || why !== this.#lastWhy) this.#options.log.warn('no server; trying again', { server, cause: why });
    this.#lastWhy = why;
    this.#timer = setTimeout(() => this.#connect(), pauseMs);
  }
}
