// What other hosts say of ports and addresses, and the server's word about ports of this one: as the server told it,
// before the objects that it is about or after. It goes with its object, since nobody tells its end after that.

import type { ResourceRef } from '../topology/kinds.ts';
import type { Id } from '../topology/resource.ts';
import type { Status } from '../topology/status.ts';
import type { HostedStatus, HostedStatusRef } from '../topology/wire.ts';

export class RemoteStatus {
  /** Subject (`bridge/<id>`, `port/<id>`) -> `<host>/<kind>/<id>` -> status. */
  readonly #subjects = new Map<string, Map<string, HostedStatus>>();

  get(hostId: Id, kind: Status['kind'], id: string): Status | undefined {
    return this.#subjects.get(subjectOf(kind, id))?.get(`${hostId}/${kind}/${id}`)?.status;
  }

  put(hosted: HostedStatus): void {
    const { kind, id } = hosted.status;
    const subject = subjectOf(kind, id);
    const statuses = this.#subjects.get(subject) ?? new Map<string, HostedStatus>();
    this.#subjects.set(subject, statuses.set(`${hosted.hostId}/${kind}/${id}`, hosted));
  }

  delete({ hostId, kind, id }: HostedStatusRef): void {
    const subject = subjectOf(kind, id);
    const statuses = this.#subjects.get(subject);
    statuses?.delete(`${hostId}/${kind}/${id}`);
    if (statuses?.size === 0) this.#subjects.delete(subject);
  }

  /** Forgets all that is about these objects; tells what that was. */
  dropAbout(objects: readonly ResourceRef[]): HostedStatusRef[] {
    const dropped: HostedStatusRef[] = [];
    for (const { kind, id } of objects) {
      const subject = `${kind}/${id}`;
      for (const { hostId, status } of this.#subjects.get(subject)?.values() ?? []) {
        dropped.push({ hostId, kind: status.kind, id: status.id });
      }
      this.#subjects.delete(subject);
    }
    return dropped;
  }

  /** One by one; what comes and goes meanwhile may be in it or not. */
  *all(): Iterable<HostedStatus> {
    for (const statuses of this.#subjects.values()) yield* statuses.values();
  }
}

function subjectOf(kind: Status['kind'], id: string): string {
  const comma = id.indexOf(',');
  return `${kind === 'mac' ? 'bridge' : 'port'}/${comma < 0 ? id : id.slice(0, comma)}`;
}
