// Live status as a tenant sees it: that of its ports and bridges, without the hosts that say it.

import type { Id } from '../../topology/resource.ts';
import type { Status, StatusKind } from '../../topology/status.ts';
import { type KnownStatus, type LiveStatus, subjectOf } from '../state/live-status.ts';
import type { StatusStep } from '../state/status-history.ts';
import type { View } from './view.ts';

/** Instead of the id of a host (RFC 9562 §5.9). */
export const UNTOLD = '00000000-0000-0000-0000-000000000000';

/** By kind and id, as hosts have theirs; what several say of one thing is told once, as the last had it. */
export function statusSeen(view: View, liveStatus: LiveStatus): ReadonlyMap<string, KnownStatus> {
  const { topology } = view;
  const subjects = [
    ...[...topology.objects('port').keys()].flatMap((id) => [`port/${id}`, `neighbour/${id}`]),
    ...[...topology.objects('bridge').keys()].map((id) => `mac/${id}`),
  ];
  const seen = new Map<string, KnownStatus>();
  for (const subject of subjects) {
    for (const known of liveStatus.about(subject)) {
      const status = withoutPlace(view, known.status);
      const key = `${known.status.kind}/${known.status.id}`;
      if (status === undefined || (seen.get(key)?.modRev ?? -1n) > known.modRev) continue;
      seen.set(key, { ...known, status });
    }
  }
  return seen;
}

export function stepSeen(view: View, { revision, changes }: StatusStep): StatusStep {
  const seen = changes.flatMap((change) => {
    if (!isAboutSeen(view, change.kind, change.id)) return [];
    const status = change.status && withoutPlace(view, change.status);
    return change.status !== undefined && status === undefined ? [] : [{ ...change, hostId: UNTOLD, status }];
  });
  return { revision, changes: seen };
}

function isAboutSeen({ topology }: View, kind: StatusKind, id: string): boolean {
  const subject: Id = subjectOf(kind, id).slice(kind.length + 1);
  if (kind === 'port' || kind === 'neighbour') return topology.object('port', subject) !== undefined;
  return kind === 'mac' && topology.object('bridge', subject) !== undefined;
}

/** Why a port is not up is about its host, and what else is there. Undefined: it is about a port of others. */
function withoutPlace({ topology }: View, status: Status): Status | undefined {
  if (status.kind === 'port') return { kind: status.kind, id: status.id, state: status.state };
  return status.kind === 'mac' && topology.object('port', status.portId) === undefined ? undefined : status;
}
