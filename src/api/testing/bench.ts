// A server for tests: its calls without a socket, over a store of the test's choice.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { memoryLog } from '../../lib/log.ts';
import { MemoryStore } from '../../store/memory.ts';
import type { Store } from '../../store/store.ts';
import { buildApp } from '../http/app.ts';
import type { App } from '../http/caller.ts';
import type { Rates } from '../http/rate.ts';
import type { Parts } from '../parts.ts';
import { buildParts } from '../server.ts';

const TOKEN = 'aya_of-the-tests';

export interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into answers of every shape
  readonly body: any;
  readonly headers: Headers;
}

export interface Bench {
  readonly app: App;
  readonly parts: Parts;
  readonly store: Store;
  readonly log: ReturnType<typeof memoryLog>;
  readonly token: string;
  readonly stateDirectory: string;
  /** As the admin, unless another token is given. */
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** Like `call`, and fails unless it was done. */
  must(method: string, path: string, body?: unknown): Promise<Answer['body']>;
  close(): Promise<void>;
}

export async function openBench(store: Store = new MemoryStore(), rates?: Rates): Promise<Bench> {
  const stateDirectory = mkdtempSync(join(tmpdir(), 'ayatori-api-'));
  // The same for every server of a test: the first on a store makes it the admin's.
  writeFileSync(join(stateDirectory, 'admin.token'), TOKEN);
  const log = memoryLog();
  const stop = new AbortController();
  const parts = await buildParts(
    { store, stateDirectory, log, ...(rates === undefined ? {} : { rates }) },
    stop.signal,
    () => ({
      servers: ['http://127.0.0.1:7780'],
    }),
  );
  const app = buildApp(parts);
  const bench: Bench = {
    ...{ app, parts, store, log, token: TOKEN, stateDirectory },
    async call(method, path, body, headers = {}) {
      const response = await app.request(path, {
        method,
        headers: { authorization: `Bearer ${TOKEN}`, ...headers },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      const isJson = response.headers.get('content-type')?.startsWith('application/json') ?? false;
      return { status: response.status, body: isJson ? JSON.parse(text) : text, headers: response.headers };
    },
    async must(method, path, body) {
      const answer = await bench.call(method, path, body);
      if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
      return answer.body;
    },
    async close() {
      stop.abort();
      await parts.agents.close();
      await parts.transactor.idle();
      await parts.feed.close();
      rmSync(stateDirectory, { recursive: true });
    },
  };
  return bench;
}
