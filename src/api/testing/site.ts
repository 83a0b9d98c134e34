// A running server on a real socket, for tests, with hosts that have joined.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { memoryLog } from '../../lib/log.ts';
import { MemoryStore } from '../../store/memory.ts';
import type { Store } from '../../store/store.ts';
import type { Id } from '../../topology/resource.ts';
import type { JoinToken } from '../../topology/wire.ts';
import { type RunningServer, type ServerOptions, startServer } from '../server.ts';
import { TestAgent } from './agent.ts';

export interface Site {
  readonly server: RunningServer;
  readonly store: Store;
  readonly log: ReturnType<typeof memoryLog>;
  readonly stateDirectory: string;
  readonly token: string;
  call(method: string, path: string, body?: unknown, token?: string): Promise<Response>;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into answers of every shape
  must(method: string, path: string, body?: unknown): Promise<any>;
  /** A host that has joined, and its credential. */
  host(name: string): Promise<{ readonly id: Id; readonly credential: string }>;
  /** Its agent, after hello and the first snapshot. */
  agent(host: { readonly credential: string }, deviceIds?: readonly Id[]): Promise<TestAgent>;
  close(): Promise<void>;
}

export async function openSite(options: Partial<ServerOptions> = {}): Promise<Site> {
  const stateDirectory = options.stateDirectory ?? mkdtempSync(join(tmpdir(), 'ayatori-site-'));
  const store = options.store ?? new MemoryStore();
  const log = memoryLog();
  const listen = { host: '127.0.0.1', port: 0 };
  const server = await startServer({ stateDirectory, store, log, listen, ...options });
  const token = readFileSync(join(stateDirectory, 'admin.token'), 'utf8').trim();
  const agents: TestAgent[] = [];
  const site: Site = {
    ...{ server, store, log, stateDirectory, token },
    call: (method, path, body, as = token) =>
      fetch(server.url + path, {
        method,
        headers: as === '' ? {} : { authorization: `Bearer ${as}` },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    async must(method, path, body) {
      const response = await site.call(method, path, body);
      const text = await response.text();
      if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
      return text === '' ? undefined : JSON.parse(text);
    },
    async host(name) {
      const { id } = await site.must('POST', '/v1/hosts', { name });
      const { joinToken } = await site.must('POST', `/v1/hosts/${id}/join-token`);
      const { secret } = JSON.parse(Buffer.from(joinToken, 'base64url').toString()) as JoinToken;
      const { credential } = await site.must('POST', '/v1/join', { secret });
      return { id, credential };
    },
    async agent(host, deviceIds = []) {
      const agent = await TestAgent.connect(server.url, host.credential);
      agents.push(agent);
      agent.hello(deviceIds);
      await agent.until(() => agent.frames.some((frame) => frame.kind === 'snapshot' && !frame.more));
      return agent;
    },
    async close() {
      for (const agent of agents) await agent.close();
      await server.close();
      if (options.stateDirectory === undefined) rmSync(stateDirectory, { recursive: true });
    },
  };
  return site;
}
