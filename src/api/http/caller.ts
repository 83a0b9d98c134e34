// Who calls: found once for each request, by the guard, and handed to the call with its context.

import type { Context, Hono } from 'hono';
import type { Token } from '../state/credentials.ts';
import type { View } from '../tenant/view.ts';

export interface Caller {
  readonly token: Token;
  /** What it sees; undefined: everything. */
  readonly view: View | undefined;
  /** Aborted when the token is revoked or expires: what goes on for long ends then. */
  readonly ended: AbortSignal;
}

export interface CallEnv {
  readonly Variables: { readonly caller: Caller };
}
export type App = Hono<CallEnv>;
export type Call = Context<CallEnv>;
