// What a server is made of, as its calls see it. Built in server.ts and nowhere else.

import type { Log } from '../lib/log.ts';
import type { Store } from '../store/store.ts';
import type { Agents } from './agents/agents.ts';
import type { RateLimits } from './http/rate.ts';
import type { Metrics } from './metrics.ts';
import type { Config } from './state/config.ts';
import type { Credentials } from './state/credentials.ts';
import type { Feed } from './state/feed.ts';
import type { LiveStatus } from './state/live-status.ts';
import type { StatusHistory } from './state/status-history.ts';
import type { Views } from './tenant/view.ts';
import type { FreedNumbers } from './write/numbers.ts';
import type { Transactor } from './write/transact.ts';

/** How to reach this server from a host. */
export interface Place {
  readonly servers: readonly string[];
  readonly fingerprint?: string;
}

export interface Parts {
  readonly store: Store;
  readonly feed: Feed;
  readonly config: Config;
  readonly liveStatus: LiveStatus;
  readonly statusHistory: StatusHistory;
  readonly credentials: Credentials;
  readonly freedNumbers: FreedNumbers;
  readonly rateLimits: RateLimits;
  /** What the tokens of projects see. */
  readonly views: Views;
  readonly transactor: Transactor;
  readonly agents: Agents;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly version: string;
  /** Aborted when the server stops: whoever waits gives up. */
  readonly stopping: AbortSignal;
  place(): Place;
}
