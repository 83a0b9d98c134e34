// Frames of the agent stream: those that come in are checked, those that go out are cut to size.

import Type, { type Static, type TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import type { Resource, ResourceRef } from '../../topology/kinds.ts';

import type { AgentFrame, HostedStatus, HostedStatusRef, ServerFrame } from '../../topology/wire.ts';
import { isTooDeep } from '../http/request.ts';

/** Largest frame; an object that is larger still goes alone in its own. */
const FRAME_BYTES = 64 * 1024;
/** Room for the frame around its items. */
const ROOM_BYTES = 256;
/** A host can hardly have more to say at once; it protects the server's memory. */
const ITEMS_MAX = 10_000;

const text = (maxLength: number) => Type.String({ maxLength });
const id = Type.String({ format: 'id' });
const kind = <T extends string>(name: T) => Type.Literal(name);
const closed = <T extends Record<string, TSchema>>(properties: T) =>
  Type.Object(properties, { additionalProperties: false });

const status = Type.Union([
  closed({ kind: kind('alive'), id: kind('-'), since: text(64), version: text(64) }),
  closed({
    kind: kind('interface'),
    id: Type.String({ format: 'interfaceName' }),
    mac: text(32),
    mtuBytes: Type.Integer({ minimum: 0 }),
    up: Type.Boolean(),
    addresses: Type.Array(text(64), { maxItems: 1000 }),
    portId: Type.Optional(id),
  }),
  closed({
    kind: kind('port'),
    id,
    state: Type.Union([kind('claimed'), kind('up'), kind('down'), kind('refused')]),
    why: Type.Optional(text(1000)),
  }),
  closed({ kind: kind('mac'), id: Type.String({ pattern: '^[0-9a-f-]{36},[0-9]{1,4},[0-9a-f:]{17}$' }), portId: id }),
  closed({
    kind: kind('neighbour'),
    id: Type.String({ pattern: '^[0-9a-f-]{36},[0-9a-f.:]{2,39}$' }),
    mac: Type.String({ format: 'mac' }),
  }),
]);
const statusRef = closed({
  kind: Type.Union([kind('alive'), kind('interface'), kind('port'), kind('mac'), kind('neighbour')]),
  id: Type.String({ maxLength: 128, pattern: '^[^/]+$' }),
});
const deviceIds = Type.Array(id, { maxItems: ITEMS_MAX });
const revision = Type.Integer({ minimum: 0 });

const frame = Type.Union([
  closed({ kind: kind('hello'), wireVersion: Type.Integer(), version: text(64), deviceIds }),
  closed({ kind: kind('subscribe'), deviceIds }),
  closed({ kind: kind('unsubscribe'), deviceIds }),
  closed({
    kind: kind('status'),
    put: Type.Array(status, { maxItems: ITEMS_MAX }),
    del: Type.Array(statusRef, { maxItems: ITEMS_MAX }),
    reset: Type.Boolean(),
    more: Type.Optional(Type.Boolean()),
  }),
  closed({ kind: kind('done'), revision }),
  closed({
    kind: kind('answer'),
    id: Type.Integer(),
    result: Type.Optional(Type.Unknown()),
    error: Type.Optional(text(4000)),
  }),
]);
const validator = Compile(frame);

/** Undefined when it is none. */
export function parseAgentFrame(bytes: string): AgentFrame | undefined {
  try {
    if (isTooDeep(bytes)) return undefined;
    const value: unknown = JSON.parse(bytes);
    return validator.Check(value) ? (value satisfies Static<typeof frame> as AgentFrame) : undefined;
  } catch {
    return undefined;
  }
}

/** All that is in scope, in as many frames as it takes; at least one. */
export function snapshotFrames(revision: number, put: Iterable<Resource>, statuses: Iterable<HostedStatus>): string[] {
  const parts = pack([...listed('put', put), ...listed('status', statuses)]);
  return parts.map((part, at) =>
    JSON.stringify({
      kind: 'snapshot',
      revision,
      put: take(part, 'put'),
      status: take(part, 'status'),
      more: at < parts.length - 1,
    } satisfies Raw<'snapshot'>),
  );
}

export function changeFrames(revision: number, put: Iterable<Resource>, del: Iterable<ResourceRef>): string[] {
  const parts = pack([...listed('put', put), ...listed('del', del)]);
  return parts.map((part, at) =>
    JSON.stringify({
      kind: 'change',
      revision,
      put: take(part, 'put'),
      del: take(part, 'del'),
      more: at < parts.length - 1,
    } satisfies Raw<'change'>),
  );
}

export function statusFrames(put: Iterable<HostedStatus>, del: Iterable<HostedStatusRef>): string[] {
  const parts = pack([...listed('put', put), ...listed('del', del)]);
  return parts.map((part) =>
    JSON.stringify({ kind: 'status', put: take(part, 'put'), del: take(part, 'del') } satisfies Raw<'status'>),
  );
}

/** A server frame whose lists are of anything. */
type Raw<K extends ServerFrame['kind']> = {
  [P in keyof Extract<ServerFrame, { kind: K }>]: Extract<ServerFrame, { kind: K }>[P] extends readonly unknown[]
    ? readonly unknown[]
    : Extract<ServerFrame, { kind: K }>[P];
};

interface Item {
  readonly list: string;
  readonly value: unknown;
  readonly bytes: number;
}

function* listed(list: string, values: Iterable<unknown>): Iterable<Item> {
  for (const value of values) yield { list, value, bytes: Buffer.byteLength(JSON.stringify(value)) + 1 };
}

const take = (items: readonly Item[], list: string): unknown[] =>
  items.filter((item) => item.list === list).map((item) => item.value);

/** In order, as many to a part as fit. */
function pack(items: readonly Item[]): Item[][] {
  const parts: Item[][] = [[]];
  let bytes = ROOM_BYTES;
  for (const item of items) {
    if (bytes + item.bytes > FRAME_BYTES && parts.at(-1)!.length > 0) {
      parts.push([]);
      bytes = ROOM_BYTES;
    }
    parts.at(-1)!.push(item);
    bytes += item.bytes;
  }
  return parts;
}
