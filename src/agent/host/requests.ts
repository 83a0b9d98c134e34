// What a server may ask of this host, and the answers: flows, audit, counters. JSON only, bounded.

import type { Datapath } from '../../datapath/datapath.ts';
import { formatActions, formatCause, formatMatch } from '../../flow/format.ts';
import { DROP_NAMES, type UpCause } from '../../flow/reasons.ts';
import type { FlowTable } from '../../flow/table.ts';
import type { Topology } from '../../topology/nodes.ts';
import type { AgentFrame, AuditReport, ServerFrame } from '../../topology/wire.ts';

type RequestFrame = Extract<ServerFrame, { kind: 'request' }>;
type AnswerFrame = Extract<AgentFrame, { kind: 'answer' }>;

export interface RequestParts {
  readonly datapath: Datapath;
  readonly flows: FlowTable;
  readonly topology: () => Topology;
  readonly audit: () => AuditReport;
  /** The agent's own counts, by name. */
  readonly counts: () => Readonly<Record<string, number>>;
}

/** Flows in one answer, the busiest first: as much as a frame of 64 KiB holds. */
const FLOWS_MAX = 200;
const COUNTERS_MAX = 500;

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
    case 'audit':
      return parts.audit();
    case 'counters':
      return countersOf(parts);
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

function countersOf({ datapath, topology, counts, flows }: RequestParts) {
  const now = topology();
  const portIdOf = (number: number) => now.portByNumber(number)?.id;
  const counters = datapath.counters().map(({ kind, id, port, packets, bytes }) => {
    const name = kind === 'drop' ? DROP_NAMES[id] : kind === 'up' ? formatCause(id as UpCause) : undefined;
    const portId = kind === 'portRx' || kind === 'portTx' ? portIdOf(id) : portIdOf(port);
    return { kind, id, packets, bytes, ...(name && { name }), ...(portId && { portId }) };
  });
  return {
    counters: counters.sort((a, b) => b.packets - a.packets).slice(0, COUNTERS_MAX),
    agent: { flows: flows.size, masks: flows.masks.live.length, masksMerged: flows.masks.merged, ...counts() },
  };
}
