// Does the kernel do what a fresh agent would compute? Every installed flow is simulated again from its own key: the
// actions must be equal, the mask must hold every bit that the walk marked, and there must be nothing left to learn.
// Run when no rechecks are pending: what is pending is allowed to differ.

import { isDeepStrictEqual } from 'node:util';
import type { FlowEntry } from '../datapath/datapath.ts';
import type { Action } from '../flow/actions.ts';
import { maskCovers } from '../flow/fields.ts';
import { formatActions, formatMatch } from '../flow/format.ts';
import type { Learned, Lesson } from '../simulate/result.ts';
import type { Topology } from '../topology/nodes.ts';
import type { Id } from '../topology/resource.ts';
import type { AuditDifference, AuditReport } from '../topology/wire.ts';
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
export function audit(flows: readonly FlowEntry[], world: AuditWorld): AuditReport {
  const differences: AuditDifference[] = [];
  for (const flow of flows) {
    const expected = expectedInstead(flow, world);
    if (expected === undefined) continue;
    differences.push({ flow: formatMatch(flow.key, flow.mask), installed: formatActions(flow.actions), expected });
    if (differences.length === DIFFERENCES_MAX) break;
  }
  return { hostId: world.hostId, revision: world.topology.revision, flows: flows.length, differences };
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
