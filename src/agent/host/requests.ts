// What a server may ask of this host and is answered at once: flows, counters. JSON only, bounded. Audits take their time.

import { NUMBERS } from '../../datapath/contract.ts';
import type { Counter, Datapath } from '../../datapath/datapath.ts';
import { formatActions, formatCause, formatMatch } from '../../flow/format.ts';
import { DROP_NAMES, dropWords, UP, type UpCause } from '../../flow/reasons.ts';
import type { FlowTable } from '../../flow/table.ts';
import type { Topology } from '../../topology/nodes.ts';
import type { Id } from '../../topology/resource.ts';
import type { AgentFrame, ServerFrame } from '../../topology/wire.ts';

type RequestFrame = Extract<ServerFrame, { kind: 'request' }>;
type AnswerFrame = Extract<AgentFrame, { kind: 'answer' }>;

export interface RequestParts {
  readonly datapath: Datapath;
  readonly flows: FlowTable;
  readonly topology: () => Topology;
  /** The agent's own counts, by name. */
  readonly counts: () => Readonly<Record<string, number>>;
  /** What the agent itself dropped, as counters of the kind `drop`. */
  readonly drops: () => readonly Counter[];
  /** The host that an index of the data path stands for. */
  readonly hostIdOf: (index: number) => Id | undefined;
}

/** Flows in one answer, the busiest first: as much as a frame of 64 KiB holds. */
const FLOWS_MAX = 200;
/** Counters in one answer, the largest first, at up to 200 bytes each beside the sums of drops. */
const COUNTERS_MAX = 280;

/** Never throws: what goes wrong is the answer. */
export function answerRequest(request: RequestFrame, parts: RequestParts): AnswerFrame {
  try {
    return { kind: 'answer', id: request.id, result: resultOf(request, parts) };
  } catch (error) {
    return { kind: 'answer', id: request.id, error: (error as Error).message };
  }
}

function resultOf(request: RequestFrame, parts: RequestParts): unknown {
  switch (request.method) {
    case 'flows':
      return flowsOf(parts);
    case 'counters':
      return countersOf(parts, (request.parameters as { readonly portId?: Id } | null)?.portId);
    default:
      throw new Error(`this agent knows no request "${String(request.method)}"`);
  }
}

function flowsOf({ datapath, flows }: RequestParts) {
  const installed = datapath.flows().sort((a, b) => b.packets - a.packets);
  return {
    total: installed.length,
    masks: flows.masks.live.length,
    flows: installed.slice(0, FLOWS_MAX).map((entry) => ({
      match: formatMatch(entry.key, entry.mask),
      actions: formatActions(entry.actions),
      why: flows.get(entry.key, entry.mask)?.why ?? '',
      packets: entry.packets,
      bytes: entry.bytes,
      idleMs: entry.idleMs,
    })),
  };
}

/** Drops by reason are always whole; of the counters, those of one port or of all, only the largest are told. */
function countersOf(parts: RequestParts, wantedPort: Id | undefined) {
  const { datapath, counts, flows } = parts;
  const all = [...datapath.counters(), ...parts.drops()].sort((a, b) => b.packets - a.packets);
  const named = all.map((counter) => namedCounter(counter, parts));
  const counters = wantedPort === undefined ? named : named.filter(({ portId }) => portId === wantedPort);
  return {
    drops: dropSums(all),
    misses: all.filter(isMiss).reduce((sum, { packets }) => sum + packets, 0),
    lost: all.find(({ kind }) => kind === 'lost')?.packets ?? 0,
    total: counters.length,
    counters: counters.slice(0, COUNTERS_MAX),
    agent: { flows: flows.size, masks: flows.masks.live.length, masksMerged: flows.masks.merged, ...counts() },
  };
}

/** Over all ports, the most frequent first. */
function dropSums(counters: readonly Counter[]) {
  const sums = new Map<number, { packets: number; bytes: number }>();
  for (const { kind, id, packets, bytes } of counters) {
    if (kind !== 'drop') continue;
    const sum = sums.get(id) ?? { packets: 0, bytes: 0 };
    sums.set(id, { packets: sum.packets + packets, bytes: sum.bytes + bytes });
  }
  return [...sums]
    .map(([id, sum]) => ({ reason: reasonName(id), words: dropWords(id), ...sum }))
    .sort((a, b) => b.packets - a.packets);
}

const isMiss = ({ kind, id }: Counter): boolean => kind === 'up' && (id === UP.miss || id === UP.memberMiss);
const reasonName = (id: number): string => DROP_NAMES[id] ?? `reason ${id}`;

interface Named extends Omit<Counter, 'port'> {
  /** Of a drop reason or cause. */
  readonly name?: string;
  /** The port, or in words what is there instead of one that is known. */
  readonly portId?: Id;
  readonly at?: string;
  readonly hostId?: Id;
}

/** A counter with names for its numbers where they are known. */
function namedCounter({ kind, id, port, packets, bytes }: Counter, { topology, hostIdOf }: RequestParts): Named {
  const counter = { kind, id, packets, bytes };
  const portOf = (number: number) => {
    if (number === NUMBERS.PORT_GONE) return { at: 'ports that are gone' };
    const portId = topology().portByNumber(number)?.id;
    return portId === undefined ? { at: `port number ${number}` } : { portId };
  };
  switch (kind) {
    case 'portRx':
    case 'portTx':
      return { ...counter, ...portOf(id) };
    case 'drop':
    case 'up': {
      const name = kind === 'drop' ? reasonName(id) : formatCause(id as UpCause);
      return { ...counter, name, ...(port === 0 ? { at: 'no port' } : portOf(port)) };
    }
    case 'tunnelRx':
    case 'tunnelTx': {
      const hostId = hostIdOf(id);
      return { ...counter, ...(hostId && { hostId }) };
    }
    case 'rule':
    case 'lost':
      return counter;
    default:
      return kind satisfies never;
  }
}
