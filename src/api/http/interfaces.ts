// GET /v1/interfaces: what hosts report of their interfaces, as a read-only resource with filters and pages. It is live
// status: it has no revision, and it goes 60 s after the lease of its host has ended.

import type { Id } from '../../topology/resource.ts';
import type { InterfaceStatus } from '../../topology/status.ts';
import { ApiError } from '../errors.ts';
import type { Parts } from '../parts.ts';
import type { App } from './caller.ts';
import { LIST_LIMIT, LIST_LIMIT_MAX, readInteger, readQuery } from './request.ts';

/** An interface as answers have it. */
type Interface = Omit<InterfaceStatus, 'kind' | 'id'> & { readonly hostId: Id; readonly name: string };

const FILTERS = ['hostId', 'name', 'up', 'portId'] as const;
export const INTERFACES_QUERY: ReadonlySet<string> = new Set([...FILTERS, 'limit', 'pageToken']);

export function interfaceRoutes(app: App, { liveStatus }: Parts): void {
  const ofHost = (hostId: Id): Interface[] =>
    [...liveStatus.ofHost(hostId).values()].flatMap(({ status }) =>
      status.kind === 'interface' ? [shown(hostId, status)] : [],
    );

  app.get('/v1/interfaces', (context) => {
    const query = readQuery(context, (name) => INTERFACES_QUERY.has(name));
    const limit = readInteger(query.limit, 'limit', 1, LIST_LIMIT_MAX) ?? LIST_LIMIT;
    const after = query.pageToken === undefined ? '' : readPageToken(query.pageToken);
    if (query.up !== undefined && query.up !== 'true' && query.up !== 'false') {
      throw new ApiError('malformed', `up is true or false, not ${query.up}`);
    }
    if (context.get('caller').view !== undefined) return context.json({ items: [] });
    const hosts = query.hostId === undefined ? [...liveStatus.hostIds()] : [query.hostId];
    const rest = hosts
      .flatMap(ofHost)
      .filter((one) => FILTERS.every((name) => query[name] === undefined || String(one[name]) === query[name]))
      .map((one) => ({ one, place: placeOf(one) }))
      .filter(({ place }) => place > after)
      .sort((a, b) => (a.place < b.place ? -1 : 1));
    const page = rest.slice(0, limit);
    const items = page.map(({ one }) => one);
    if (rest.length <= limit) return context.json({ items });
    return context.json({ items, pageToken: Buffer.from(page.at(-1)!.place).toString('base64url') });
  });

  app.get('/v1/interfaces/:hostId/:name', (context) => {
    const { hostId, name } = context.req.param();
    const isTenant = context.get('caller').view !== undefined;
    const found = isTenant ? undefined : ofHost(hostId).find((one) => one.name === name);
    if (found === undefined) throw new ApiError('notFound', `host ${hostId} reports no interface ${name}`);
    return context.json(found);
  });
}

function shown(hostId: Id, { kind: _, id: name, ...status }: InterfaceStatus): Interface {
  return { hostId, name, ...status };
}

/** Lists are in the order of these. An interface's name holds no slash (dev_valid_name of Linux). */
const placeOf = ({ hostId, name }: Interface): string => `${hostId}/${name}`;

function readPageToken(token: string): string {
  const place = Buffer.from(token, 'base64url').toString();
  if (!/^[0-9a-f-]{36}\/[^/]+$/.test(place)) throw new ApiError('malformed', 'pageToken is not one that a list gave');
  return place;
}
