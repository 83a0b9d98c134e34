// Does the kernel do what a fresh agent would compute? Every installed flow is simulated again from its own key: the
// actions must be equal, the mask must hold every bit that the walk marked, and there must be nothing left to learn.
//
// Flows are read and compared a page at a time, between packets, and only when no rechecks are pending: what is pending
// is allowed to differ. So a flow that changed meanwhile is compared as it is then, with what is known then.

import { isDeepStrictEqual } from 'node:util';
import type { Datapath, FlowEntry } from '../datapath/datapath.ts';
import type { Action } from '../flow/actions.ts';
import { maskCovers } from '../flow/fields.ts';
import { formatActions, formatMatch } from '../flow/format.ts';
import { atOnce, type Steps } from '../lib/steps.ts';
import type { Learned, Lesson } from '../simulate/result.ts';
import type { Topology } from '../topology/nodes.ts';
import type { Id } from '../topology/resource.ts';
import type { AgentFrame, AuditDifference, AuditReport } from '../topology/wire.ts';
import { arrivalOfKey } from './packet/arrival.ts';
import type { Simulate } from './upcalls.ts';

/** Named in a report; more are not told apart by anybody. */
const DIFFERENCES_MAX = 100;

export interface AuditWorld {
  readonly hostId: Id;
  readonly topology: Topology;
  readonly learned: Learned;
  readonly wouldTeach: (lesson: Lesson) => boolean;
  readonly simulate: Simulate;
}

/** Compares all of them, in one go. */
export const audit = (flows: readonly FlowEntry[], world: AuditWorld): AuditReport =>
  atOnce(auditing([flows], () => world));

/**
 * Compares page by page, each as it is when it is asked for, by what is known then. The revision of the report is that
 * of the start: all was compared at this one or a later.
 */
export function* auditing(pages: Iterable<readonly FlowEntry[]>, worldNow: () => AuditWorld): Steps<AuditReport> {
  const { hostId, topology } = worldNow();
  const differences: AuditDifference[] = [];
  let flows = 0;
  for (const page of pages) {
    flows += page.length;
    const world = worldNow();
    for (const flow of page) {
      const expected = expectedInstead(flow, world);
      if (expected === undefined || differences.length === DIFFERENCES_MAX) continue;
      differences.push({ flow: formatMatch(flow.key, flow.mask), installed: formatActions(flow.actions), expected });
    }
    yield;
  }
  return { hostId, revision: topology.revision, flows, differences };
}

export interface AuditParts {
  readonly datapath: Pick<Datapath, 'flowPages'>;
  readonly world: () => AuditWorld;
  /** No recheck is pending. */
  readonly settled: () => boolean;
  readonly answer: (frame: Extract<AgentFrame, { kind: 'answer' }>) => void;
}

/** The audits that a server asked for, one after the other. */
export class Audits {
  readonly #parts: AuditParts;
  /** Numbers of requests. */
  readonly #asked: number[] = [];
  #steps: Steps<AuditReport> | undefined;

  constructor(parts: AuditParts) {
    this.#parts = parts;
  }

  ask(requestId: number): void {
    this.#asked.push(requestId);
  }

  /** Nobody is there any more who asked. */
  forget(): void {
    this.#asked.length = 0;
    this.#steps = undefined;
  }

  /** One page of an audit; false when nothing can be done now. */
  step(): boolean {
    const [id] = this.#asked;
    const { datapath, world, settled, answer } = this.#parts;
    if (id === undefined || !settled()) return false;
    try {
      this.#steps ??= auditing(datapath.flowPages(), world);
      const step = this.#steps.next();
      if (step.done !== true) return true;
      answer({ kind: 'answer', id, result: step.value });
    } catch (error) {
      answer({ kind: 'answer', id, error: (error as Error).message });
    }
    this.#asked.shift();
    this.#steps = undefined;
    return this.#asked.length > 0;
  }
}

/** What should be there in its place; undefined when all is right. */
function expectedInstead(flow: FlowEntry, world: AuditWorld): string | undefined {
  const result = world.simulate(arrivalOfKey(flow.key), world.topology, world.learned);
  if (result.needs.length > 0) return 'no flow: more must be known first';
  if (!result.cacheable) return 'no flow: each packet is decided on its own';
  if (result.learn.some(world.wouldTeach)) return 'no flow: its packets have something to teach';
  if (!sameActions(result.actions, flow.actions)) return `${formatActions(result.actions)}: ${result.why}`;
  if (!maskCovers(flow.mask, result.mask)) return 'a flow that looks at more fields';
  return undefined;
}

/** Whether two lists do the same to every packet. */
export function sameActions(a: readonly Action[], b: readonly Action[]): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  return a.every((action, at) => sameAction(action, b[at]!));
}

function sameAction(a: Action, b: Action): boolean {
  return a.kind === b.kind && isDeepStrictEqual(a, b);
}
