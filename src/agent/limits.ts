// Bounds and times of the agent, each with its reason.

/** Packets taken from the ring at a time: about a millisecond of work, so that changes never wait long. */
export const BATCH_PACKETS = 64;
/** A slice of rechecks between two packet batches. */
export const SLICE_MS = 0.5;
/** What came up longer ago than this is thrown away at the start: its sender has retried. */
export const STALE_MISS_MS = 1000;

/** First retry of a question to a neighbour; it doubles each time (Linux asks once a second, guests wait less). */
export const ASK_RETRY_MS = 250;
/** A neighbour that has not answered by then is not there: senders are told, as Linux does after three requests. */
export const ASK_GIVE_UP_MS = 3000;
/** How long "asked in vain" is believed before the next packet asks again. */
export const UNRESOLVED_MS = 3000;
/** Questions out at a time: a scan through an empty network must not fill memory. */
export const ASKS_MAX = 4096;
/** … nor one port take all of them. */
export const ASKS_PER_PORT = 256;

/** A device that walks asked for and nothing used for so long is released: what a guest does daily keeps it. */
export const DEVICE_UNUSED_MS = 24 * 3_600_000;
/** A use is written to disk when it is so much later than the one that is there: a restart loses no more. */
export const DEVICE_USE_WRITTEN_MS = 3_600_000;
/** Released in one go, at a sweep each: taking their objects out of the topology is one change. */
export const DEVICES_RELEASED_AT_ONCE = 64;
/** As many as a server takes in one hello. */
export const DEVICES_SUBSCRIBED_MAX = 10_000;

/** Waiting packets of one port: what Linux queues for an unresolved neighbour is of this order. */
export const PARKED_PER_PORT = 64;
export const PARKED_MAX = 4096;
export const PARKED_BYTES_MAX = 8 * 1024 * 1024;
/** A little longer than a neighbour is asked for, so that its sender still gets the error. */
export const PARKED_MS = ASK_GIVE_UP_MS + 1000;

/** Learned addresses of a port: a guest with more is a switch, which is what trunks and gateways are for. */
export const MACS_PER_PORT = 256;
export const NEIGHBOURS_PER_PORT = 1024;
/** New addresses of a port: a burst, then so many a second; each one is written to the store. */
export const LEARN_BURST = 64;
export const LEARN_PER_SECOND = 10;
/** A MAC that moves more often than this within the window stays where it is for as long again: a loop, or a thief. */
export const MOVES_MAX = 5;
export const MOVES_WINDOW_MS = 10_000;
/** Refused lessons are looked at again after this: until then their packets are flooded by a flow, without the agent. */
export const REFUSED_MS = 2000;
export const REFUSED_MAX = 4096;

/** A neighbour that nobody heard of for so long is forgotten … */
export const NEIGHBOUR_EXPIRY_MS = 300_000;
/** … and one that flows use is asked again in time for a second try. */
export const NEIGHBOUR_REASK_MS = 120_000;

/** Answers (errors, echo replies, resets) to one source at a port: enough for traceroute and ping -f, no amplifier. */
export const ANSWERS_PER_SECOND = 100;
export const ANSWERS_BURST = 200;
/** Sources whose answers are counted at a time; beyond that the oldest are forgotten. */
export const ANSWER_SOURCES_MAX = 8192;

/** Flows that nothing used for so long are taken out. */
export const FLOW_IDLE_MS = 60_000;
/** When the table is full, what was idle for this long goes first. */
export const FLOW_EVICT_IDLE_MS = 2000;
/** How often idle flows, learned addresses and counters are looked at: one listing of the kernel's table. */
export const SWEEP_MS = 5000;

/** The journal is rewritten as a snapshot when it has grown to this. */
export const JOURNAL_REWRITE_BYTES = 4 * 1024 * 1024;
/** A disk that did not take it is tried again after this. */
export const JOURNAL_RETRY_MS = 10_000;

/** Kernel wiring that failed is tried again after this, doubling up to the other. */
export const WIRING_RETRY_MS = 200;
export const WIRING_RETRY_MAX_MS = 10_000;
/** Routes of the underlay are asked for again after this: nothing tells when they change. */
export const UNDERLAY_REFRESH_MS = 30_000;
/** How often the agent looks at its clock when no packet comes. */
export const TICK_MS = 100;

/** Counters of what the agent drops, by reason and port: a few for each port of a large host. */
export const AGENT_DROPS_MAX = 4096;
