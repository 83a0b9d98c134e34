// GET /v1/status: what hosts say of themselves, by host, kind and id; GET /v1/status/watch: how it changes. Status is no
// configuration: its revision is a number of its own, and what a host said goes 60 s after its lease has ended.

import type { Id } from '../../topology/resource.ts';
import type { Status, StatusKind } from '../../topology/status.ts';
import type { HostedStatus, HostedStatusRef } from '../../topology/wire.ts';
import { ApiError } from '../errors.ts';
import type { Parts } from '../parts.ts';
import type { StatusStep } from '../state/status-history.ts';
import { statusSeen, stepSeen, UNTOLD } from '../tenant/status.ts';
import type { App } from './caller.ts';
import { LIST_LIMIT, LIST_LIMIT_MAX, readInteger, readQuery } from './request.ts';
import { watched } from './watch.ts';

type Query = Readonly<Record<string, string>>;
type Fields = Readonly<Record<string, string | boolean | undefined>>;

const KINDS: readonly StatusKind[] = ['alive', 'interface', 'port', 'mac', 'neighbour'];
const FILTERS = ['kind', 'hostId', 'id', 'portId', 'bridgeId', 'mac', 'state', 'up'] as const;
export const STATUS_QUERY: ReadonlySet<string> = new Set([...FILTERS, 'limit', 'pageToken']);
/** These never change, so a watcher sees all of whatever fits. */
export const STATUS_WATCH_QUERY: ReadonlySet<string> = new Set(['from', 'kind', 'hostId']);

export function statusRoutes(app: App, { liveStatus, statusHistory, rateLimits, stopping }: Parts): void {
  app.get('/v1/status', (context) => {
    const query = readQuery(context, (name) => STATUS_QUERY.has(name));
    checkValues(query);
    const limit = readInteger(query.limit, 'limit', 1, LIST_LIMIT_MAX) ?? LIST_LIMIT;
    const after = query.pageToken === undefined ? '' : readPageToken(query.pageToken);
    const { view } = context.get('caller');
    const hostIds = view === undefined ? hostsOf(query) : query.hostId === undefined ? [UNTOLD] : [];
    const { revision } = statusHistory;
    const items: HostedStatus[] = [];
    for (const hostId of hostIds) {
      // All of this host was told: its places begin with its id.
      if (after !== '' && hostId < after.slice(0, hostId.length)) continue;
      const known = view === undefined ? liveStatus.ofHost(hostId) : statusSeen(view, liveStatus);
      for (const key of [...known.keys()].sort()) {
        if (`${hostId}/${key}` <= after) continue;
        const { status } = known.get(key)!;
        const fields = fieldsOf(hostId, status);
        if (!FILTERS.every((name) => query[name] === undefined || String(fields[name]) === query[name])) continue;
        if (items.length === limit) return context.json({ items, revision, pageToken: pageTokenOf(items.at(-1)!) });
        items.push({ hostId, status });
      }
    }
    return context.json({ items, revision });
  });

  const hostsOf = ({ hostId }: Query): readonly Id[] =>
    hostId === undefined ? [...liveStatus.hostIds()].sort() : [hostId];

  app.get('/v1/status/watch', (context) => {
    const query = readQuery(context, (name) => STATUS_WATCH_QUERY.has(name));
    checkValues(query);
    const { view } = context.get('caller');
    return watched(context, statusHistory, { rateLimits, stopping }, query.from, (step) =>
      partOf(view === undefined ? step : stepSeen(view, step), query),
    );
  });
}

function checkValues({ kind, up }: Query): void {
  if (kind !== undefined && !KINDS.includes(kind as StatusKind)) {
    throw new ApiError('malformed', `kind is one of ${KINDS.join(', ')}`);
  }
  if (up !== undefined && up !== 'true' && up !== 'false') {
    throw new ApiError('malformed', `up is true or false, not ${up}`);
  }
}

function partOf({ changes }: StatusStep, { kind, hostId }: Query): object | undefined {
  const put: HostedStatus[] = [];
  const del: HostedStatusRef[] = [];
  for (const change of changes) {
    if ((kind ?? change.kind) !== change.kind || (hostId ?? change.hostId) !== change.hostId) continue;
    if (change.status === undefined) del.push({ hostId: change.hostId, kind: change.kind, id: change.id });
    else put.push({ hostId: change.hostId, status: change.status });
  }
  return put.length + del.length === 0 ? undefined : { put, del };
}

/** What can be asked for: the fields of a status, and what its id is made of. */
function fieldsOf(hostId: Id, status: Status): Fields {
  const { kind, id } = status;
  const common = { hostId, kind, id };
  switch (kind) {
    case 'alive':
      return common;
    case 'interface':
      return { ...common, portId: status.portId, mac: status.mac, up: status.up };
    case 'port':
      return { ...common, portId: id, state: status.state };
    case 'mac': {
      const [bridgeId, , mac] = id.split(',');
      return { ...common, bridgeId, mac, portId: status.portId };
    }
    case 'neighbour':
      return { ...common, portId: id.slice(0, id.indexOf(',')), mac: status.mac };
    default:
      return status satisfies never;
  }
}

const pageTokenOf = ({ hostId, status: { kind, id } }: HostedStatus): string =>
  Buffer.from(`${hostId}/${kind}/${id}`).toString('base64url');

function readPageToken(token: string): string {
  const place = Buffer.from(token, 'base64url').toString();
  if (!/^[0-9a-f-]{36}\/[a-z]+\/.+$/.test(place)) {
    throw new ApiError('malformed', 'pageToken is not one that a list gave');
  }
  return place;
}
