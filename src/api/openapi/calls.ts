// Every call there is, as data: what the OpenAPI document says of it. A test holds this to the routes of the server.

import { KIND_NAMES, KINDS, type Kind } from '../../topology/kinds.ts';
import type { ErrorStatus } from '../errors.ts';
import { APPLIED_QUERY } from '../http/applied.ts';
import { INTERFACES_QUERY } from '../http/interfaces.ts';
import { filterNames } from '../http/resources.ts';
import { STATUS_QUERY, STATUS_WATCH_QUERY } from '../http/status.ts';
import { TOKENS_QUERY } from '../http/tokens.ts';
import { WATCH_QUERY } from '../http/watch.ts';
import { draftOf, nameOf, page, patchOf, ref, type Schema, whole } from './schemas.ts';

export interface CallDoc {
  readonly method: 'get' | 'post' | 'patch' | 'delete';
  /** `/v1/bridges/{id}` */
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  readonly query?: Iterable<string>;
  readonly ifMatch?: true;
  readonly body?: Schema;
  /** Status -> schema of the answer; undefined: no body. */
  readonly ok: Readonly<Record<number, Schema | undefined>>;
  /** Of the answer, when it is not JSON. */
  readonly contentType?: string;
  /** Beside those that every call has. */
  readonly errors?: readonly ErrorStatus[];
  /** Without a token. */
  readonly open?: true;
  readonly roles?: string;
}

const WRITES: readonly ErrorStatus[] = [400, 408, 409, 413, 422];
const OPERATOR = 'admin';

function callsOf(kind: Kind): CallDoc[] {
  const { plural, noun } = KINDS[kind];
  const [path, tag] = [`/v1/${plural}`, plural];
  const isOperators = kind === 'host' || kind === 'tunnelZone' || kind === 'project';
  const roles = isOperators ? OPERATOR : 'admin, member';
  const one = `${path}/{id}`;
  const answer = ref(nameOf(kind));
  const words = noun === 'dhcp' ? 'DHCP subnet' : noun.replaceAll('-', ' ');
  const revision = whole('to watch from');
  return [
    {
      method: 'get',
      path,
      tag,
      summary: `list: ${words}`,
      query: ['limit', 'pageToken', ...filterNames(kind)],
      ok: { 200: page(answer, { revision }) },
      errors: [400],
    },
    {
      method: 'post',
      path,
      tag,
      summary: `create: ${words}; 200 when it is there already, exactly so`,
      body: ref(draftOf(kind)),
      ok: { 201: answer, 200: answer },
      errors: WRITES,
      roles,
    },
    { method: 'get', path: one, tag, summary: `show: ${words}`, ok: { 200: answer }, errors: [404] },
    {
      method: 'patch',
      path: one,
      tag,
      summary: `change: ${words}, by a JSON merge patch (RFC 7396)`,
      ifMatch: true,
      body: ref(patchOf(kind)),
      ok: { 200: answer },
      errors: [...WRITES, 404, 412],
      roles,
    },
    {
      method: 'delete',
      path: one,
      tag,
      summary: `delete: ${words}, with what it owns`,
      ifMatch: true,
      ok: { 204: undefined },
      errors: [400, 404, 409, 412],
      roles,
    },
  ];
}

const asked = (method: string, summary: string, query: readonly string[] = []): CallDoc => ({
  ...{ method: 'get', path: `/v1/hosts/{id}/${method}`, tag: 'hosts', summary, query, roles: OPERATOR },
  ...{ ok: { 200: ref('HostReport') }, errors: [400, 404] },
});

const OTHERS: readonly CallDoc[] = [
  {
    method: 'post',
    path: '/v1/transaction',
    tag: 'changes',
    summary: 'change many objects: all or nothing, one revision',
    body: ref('Transaction'),
    ok: { 200: ref('Transacted') },
    errors: [...WRITES, 404, 412],
    roles: 'admin, member',
  },
  {
    method: 'get',
    path: '/v1/watch',
    tag: 'changes',
    summary: 'changes of the configuration, line by line',
    query: WATCH_QUERY,
    ok: { 200: ref('WatchLine') },
    contentType: 'application/x-ndjson',
    errors: [400],
  },
  {
    method: 'get',
    path: '/v1/applied',
    tag: 'changes',
    summary: 'wait until hosts forward by a revision',
    query: APPLIED_QUERY,
    ok: { 200: ref('Applied') },
    errors: [400],
  },
  {
    method: 'get',
    path: '/v1/status',
    tag: 'status',
    summary: 'live status',
    query: STATUS_QUERY,
    ok: { 200: ref('StatusPage') },
    errors: [400],
  },
  {
    method: 'get',
    path: '/v1/status/watch',
    tag: 'status',
    summary: 'changes of live status, line by line',
    query: STATUS_WATCH_QUERY,
    ok: { 200: ref('StatusLine') },
    contentType: 'application/x-ndjson',
    errors: [400],
  },
  {
    method: 'get',
    path: '/v1/interfaces',
    tag: 'status',
    summary: 'interfaces that hosts report',
    query: INTERFACES_QUERY,
    ok: { 200: ref('InterfacePage') },
    errors: [400],
  },
  {
    method: 'get',
    path: '/v1/interfaces/{hostId}/{name}',
    tag: 'status',
    summary: 'one interface',
    ok: { 200: ref('Interface') },
    errors: [404],
  },
  {
    method: 'post',
    path: '/v1/trace',
    tag: 'trace',
    summary: 'what would become of a frame that comes in at a port',
    body: ref('TraceRequest'),
    ok: { 200: ref('Trace') },
    errors: [400, 404, 408, 413, 422],
  },
  {
    method: 'post',
    path: '/v1/hosts/{id}/join-token',
    tag: 'hosts',
    summary: 'a token by which a host joins, once, within 24 hours',
    ok: { 200: ref('JoinToken') },
    errors: [404],
    roles: OPERATOR,
  },
  {
    method: 'post',
    path: '/v1/join',
    tag: 'hosts',
    summary: 'trade the secret of a join token for the credential of the host',
    body: ref('JoinRequest'),
    ok: { 200: ref('Joined') },
    errors: [400, 408, 413],
    open: true,
  },
  asked('flows', "the busiest flows of the host's kernel"),
  asked('audit', 'compare every flow of the host with a fresh computation'),
  asked('counters', 'what the host has counted', ['portId']),
  {
    method: 'get',
    path: '/v1/agent',
    tag: 'hosts',
    summary: 'the stream of an agent: a WebSocket',
    ok: { 101: undefined },
    errors: [400],
    roles: 'host',
  },
  {
    method: 'post',
    path: '/v1/tokens',
    tag: 'tokens',
    summary: 'create a token',
    body: ref('TokenDraft'),
    ok: { 201: ref('NewToken') },
    errors: WRITES,
    roles: OPERATOR,
  },
  {
    method: 'get',
    path: '/v1/tokens',
    tag: 'tokens',
    summary: 'list tokens, without their texts',
    query: TOKENS_QUERY,
    ok: { 200: ref('TokenPage') },
    errors: [400],
    roles: OPERATOR,
  },
  {
    method: 'get',
    path: '/v1/tokens/{id}',
    tag: 'tokens',
    summary: 'show a token',
    ok: { 200: ref('Token') },
    errors: [404],
    roles: OPERATOR,
  },
  {
    method: 'delete',
    path: '/v1/tokens/{id}',
    tag: 'tokens',
    summary: 'revoke a token',
    ok: { 204: undefined },
    errors: [404, 409],
    roles: OPERATOR,
  },
  {
    method: 'get',
    path: '/v1/version',
    tag: 'server',
    summary: 'version and revision',
    ok: { 200: ref('Version') },
    roles: 'all, hosts too',
  },
  {
    method: 'get',
    path: '/v1/openapi.json',
    tag: 'server',
    summary: 'this document',
    ok: { 200: { type: 'object' } },
    open: true,
  },
  {
    method: 'get',
    path: '/docs',
    tag: 'server',
    summary: 'this document as a page',
    ok: { 200: { type: 'string' } },
    contentType: 'text/html',
    open: true,
  },
  {
    method: 'get',
    path: '/metrics',
    tag: 'server',
    summary: 'metrics for Prometheus',
    ok: { 200: { type: 'string' } },
    contentType: 'text/plain',
    roles: OPERATOR,
  },
];

export const CALLS: readonly CallDoc[] = [...KIND_NAMES.flatMap(callsOf), ...OTHERS];
