// A server of a few lines behind the `Fetch` of the client: it keeps objects, and answers other calls as it is told.
// It checks nothing: what the command line sends is what the tests look at.

import { Client, type Fetch } from '../../client/client.ts';
import { KIND_NAMES, KINDS, type Kind } from '../../topology/kinds.ts';
import { runCli } from '../cli.ts';

type Value = Record<string, unknown>;

export interface Call {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly body: unknown;
}

/** `00000000-0000-0000-0000-00000000000N` */
export const idOf = (number: number): string => `00000000-0000-0000-0000-${String(number).padStart(12, '0')}`;

export class FakeServer {
  /** Writes alone, in order. */
  readonly writes: Call[] = [];
  readonly calls: Call[] = [];
  /** `GET /v1/status` -> what it answers, instead of what it would. */
  readonly answers = new Map<string, (call: Call) => Response>();
  readonly #objects = new Map<string, Value>();
  #revision = 0;
  #ids = 1000;

  /** An object that is there. Fields that every object has are filled in. */
  add(kind: Kind, value: Value): this {
    const { id = idOf(++this.#ids), ...rest } = value;
    const schema = KINDS[kind].schema.properties as Record<string, { default?: unknown }>;
    const defaults = Object.entries(schema).flatMap(([key, property]) =>
      property.default === undefined ? [] : [[key, structuredClone(property.default)] as const],
    );
    const whole = { ...Object.fromEntries(defaults), ...rest, id, revision: ++this.#revision };
    this.#objects.set(`${kind}/${id}`, whole);
    return this;
  }

  answer(call: string, body: unknown, status = 200): this {
    this.answers.set(call, () => Response.json(body, { status }));
    return this;
  }

  readonly fetch: Fetch = async (url, init) => {
    const { pathname, searchParams } = new URL(url);
    const body = init.body === undefined ? undefined : JSON.parse(init.body);
    const call = { method: init.method, path: pathname, query: Object.fromEntries(searchParams), body };
    this.calls.push(call);
    if (init.method !== 'GET' && pathname !== '/v1/trace') this.writes.push(call);
    const told = this.answers.get(`${init.method} ${pathname}`);
    return told === undefined ? this.#serve(call) : told(call);
  };

  #serve({ method, path, query, body }: Call): Response {
    const [, , plural, id] = path.split('/');
    const kind = KIND_NAMES.find((one) => KINDS[one].plural === plural);
    if (kind === undefined) return Response.json({ code: 'notFound', message: `no ${path}` }, { status: 404 });
    if (id === undefined && method === 'GET') return this.#list(kind, query);
    if (id === undefined) {
      this.add(kind, body as Value);
      return Response.json([...this.#objects.values()].at(-1), { status: 201 });
    }
    const key = `${kind}/${id}`;
    const object = this.#objects.get(key);
    if (object === undefined) return Response.json({ code: 'notFound', message: `no ${kind} ${id}` }, { status: 404 });
    if (method === 'DELETE') {
      this.#objects.delete(key);
      return new Response(null, { status: 204, headers: { 'Ayatori-Revision': String(++this.#revision) } });
    }
    if (method === 'PATCH') {
      const changed = { ...object, ...(body as Value), revision: ++this.#revision };
      this.#objects.set(key, changed);
      return Response.json(changed);
    }
    return Response.json(object);
  }

  #list(kind: Kind, { limit: _limit, pageToken: _pageToken, ...filters }: Readonly<Record<string, string>>): Response {
    const items = [...this.#objects].filter(([key, value]) => {
      if (!key.startsWith(`${kind}/`)) return false;
      return Object.entries(filters).every(([field, wanted]) =>
        field === 'tag' ? (value.tags as string[]).includes(wanted) : String(value[field]) === wanted,
      );
    });
    return Response.json({ items: items.map(([, value]) => value), revision: this.#revision });
  }
}

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

/** Runs a command against the server; a clock that goes on by a second at each look. */
export async function runAgainst(server: { readonly fetch: Fetch }, ...words: string[]): Promise<Ran> {
  let out = '';
  let error = '';
  let nowMs = Date.parse('2026-01-01T00:00:00Z');
  const code = await runCli(words, {
    out: (text) => {
      out += text;
    },
    error: (text) => {
      error += text;
    },
    client: () => new Client({ url: 'http://fake', token: 't', fetch: server.fetch }),
    nowMs: () => {
      nowMs += 1000;
      return nowMs;
    },
    version: '0.0.0',
    signal: new AbortController().signal,
  });
  return { code, out, error };
}
