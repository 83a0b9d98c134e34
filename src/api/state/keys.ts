// The store's keys and the form of its values. All that the server keeps is under one of these prefixes:
//
//   config/revision            the head: revision, next numbers, and the change set that is being copied
//   config/<kind>/<id>         an object of the model
//   change/<set>/<i>           a chunk of a change set that is too large for one transaction
//   status/<host>/<kind>/<id>  live status, `alive` under the host's lease
//   claim/<port id>            the host that holds the port
//   token/<sha-256>            a credential, join/<sha-256> a join token: only hashes are kept
//   freed/<number>             a port or flood number that rests
//
// A value is JSON: {"schema": 1, "value": ...}.

import { KINDS, type Kind, type ResourceRef } from '../../topology/kinds.ts';
import type { StatusKind } from '../../topology/status.ts';

export const REVISION_KEY = 'config/revision';
export const PREFIX = {
  config: 'config/',
  change: 'change/',
  status: 'status/',
  claim: 'claim/',
  token: 'token/',
  join: 'join/',
  freed: 'freed/',
} as const;

/** The form of the values that this version writes; it reads older ones and refuses newer ones. */
const SCHEMA = 1;

/** `config/revision`. */
export interface Head {
  readonly revision: number;
  /** The next port or flood number. */
  readonly nextNumber: number;
  /** The next rule number, and how often their count came round. */
  readonly nextRule: number;
  readonly ruleRounds: number;
  /** Names the commit, so that its author can tell whether it happened. */
  readonly commit: string;
  /** This revision's changes are in chunks and not all copied to their keys yet. */
  readonly changeSet?: { readonly id: string; readonly chunks: number };
}
export const FIRST_HEAD: Head = { revision: 0, nextNumber: 1, nextRule: 1, ruleRounds: 0, commit: '' };

/** A write whose value is still a value. */
export type ValueWrite = { readonly put: string; readonly value: unknown } | { readonly del: string };

export function encode(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify({ schema: SCHEMA, value }));
}

/** Throws when the value was written by a newer version. */
export function decode<T>(bytes: Uint8Array): T {
  const { schema, value } = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')) as {
    schema: number;
    value: T;
  };
  if (schema > SCHEMA) throw new Error(`the store holds values of schema ${schema}, written by a newer version`);
  return value;
}

export const objectKey = (kind: Kind, id: string): string => `${PREFIX.config}${kind}/${id}`;

export function parseObjectKey(key: string): ResourceRef | undefined {
  const [root, kind, id, ...rest] = key.split('/');
  if (root !== 'config' || id === undefined || rest.length > 0 || kind === undefined || !Object.hasOwn(KINDS, kind))
    return undefined;
  return { kind: kind as Kind, id };
}

export const changePrefix = (set: string): string => `${PREFIX.change}${set}/`;
export const changeKey = (set: string, chunk: number): string =>
  `${changePrefix(set)}${String(chunk).padStart(4, '0')}`;

const statusPrefix = (hostId: string): string => `${PREFIX.status}${hostId}/`;
export const statusKey = (hostId: string, kind: StatusKind, id: string): string =>
  `${statusPrefix(hostId)}${kind}/${id}`;

export function parseStatusKey(key: string): { hostId: string; kind: StatusKind; id: string } | undefined {
  const [root, hostId, kind, id] = key.split('/');
  if (root !== 'status' || hostId === undefined || kind === undefined || id === undefined) return undefined;
  return { hostId, kind: kind as StatusKind, id };
}

export const claimKey = (portId: string): string => PREFIX.claim + portId;
export const freedKey = (number: number): string => PREFIX.freed + number;
