// The frames of the stream between an agent and a server: JSON texts over one WebSocket (GET /v1/agent, credential of
// role `host`), each at most 64 KiB. On connect the agent says hello and subscribes; the server answers with a
// snapshot of everything in scope and then changes. A lost connection is a new hello: the agent compares.

import type { Resource, ResourceRef } from './kinds.ts';
import type { Id } from './resource.ts';
import type { Status, StatusKind } from './status.ts';

export const WIRE_VERSION = 1;

/** What the text of a join token holds, by which a host gets its credential: base64url of this as JSON. */
export interface JoinToken {
  readonly servers: readonly string[];
  /** SHA-256 of the servers' certificate; none: plain HTTP on loopback. */
  readonly fingerprint?: string;
  readonly secret: string;
}

export interface HostedStatus {
  readonly hostId: Id;
  readonly status: Status;
}
export interface HostedStatusRef {
  readonly hostId: Id;
  readonly kind: StatusKind;
  readonly id: string;
}

export type ServerFrame =
  /**
   * Part of all that is in scope at `revision`, in any number of parts; the last has more: false and only then is the
   * whole swapped in. Sent after hello, and again when the server lost count.
   */
  | {
      readonly kind: 'snapshot';
      readonly revision: number;
      readonly put: readonly Resource[];
      readonly status: readonly HostedStatus[];
      readonly more: boolean;
    }
  /**
   * What changed in scope up to `revision` (several revisions may be in one). `more`: the same revision goes on in the
   * next frame; apply when it is whole. A widened scope comes as a change too, at the current revision.
   */
  | {
      readonly kind: 'change';
      readonly revision: number;
      readonly put: readonly Resource[];
      readonly del: readonly ResourceRef[];
      readonly more: boolean;
    }
  /** Comes before the objects that it is about, and ends with them: their `del` ends all status about them. */
  | { readonly kind: 'status'; readonly put: readonly HostedStatus[]; readonly del: readonly HostedStatusRef[] }
  /** Everything about these devices that exists has been sent: what is still unknown of them does not exist. */
  | { readonly kind: 'subscribed'; readonly deviceIds: readonly Id[] }
  /** Every few seconds; the revision is the server's own. */
  | { readonly kind: 'heartbeat'; readonly revision: number }
  | { readonly kind: 'request'; readonly id: number; readonly method: AgentMethod; readonly parameters: unknown };

export type AgentFrame =
  | {
      readonly kind: 'hello';
      readonly wireVersion: number;
      readonly version: string;
      readonly deviceIds: readonly Id[];
    }
  /** Devices that a walk asked for, beside those of the host's own ports and their peers, which are always in scope. */
  | { readonly kind: 'subscribe'; readonly deviceIds: readonly Id[] }
  /**
   * Devices of earlier `subscribe` or `hello` frames that the agent does not need any more. What is in scope for no
   * other reason comes as `del` of a change, at the current revision. Nothing else answers it.
   */
  | { readonly kind: 'unsubscribe'; readonly deviceIds: readonly Id[] }
  /**
   * The host's own status. `reset`: this is all there is, forget what was told before. `more`: what there is goes on in
   * the next frame; only when it is whole the rest is forgotten.
   */
  | {
      readonly kind: 'status';
      readonly put: readonly Status[];
      readonly del: readonly { readonly kind: StatusKind; readonly id: string }[];
      readonly reset: boolean;
      readonly more?: boolean;
    }
  /** The host forwards by this revision: nothing decided under an earlier one is left. */
  | { readonly kind: 'done'; readonly revision: number }
  | { readonly kind: 'answer'; readonly id: number; readonly result?: unknown; readonly error?: string };

/** What a server may ask an agent. Answers are JSON. */
export type AgentMethod = 'flows' | 'audit' | 'counters';

/** One difference between a flow in the kernel and a fresh computation. */
export interface AuditDifference {
  readonly flow: string;
  readonly installed: string;
  readonly expected: string;
}
export interface AuditReport {
  readonly hostId: Id;
  readonly revision: number;
  readonly flows: number;
  readonly differences: readonly AuditDifference[];
}
