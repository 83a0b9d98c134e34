// What a server sends to one host, as small as it can be: all that is in scope of the host's ports and of the devices
// that it asked for, and nothing else.

import type { Resource, ResourceRef } from '../../topology/kinds.ts';
import type { Topology } from '../../topology/nodes.ts';
import type { Id } from '../../topology/resource.ts';
import { devicesOf, scopeOf } from '../../topology/scope.ts';
import type { AgentFrame, ServerFrame } from '../../topology/wire.ts';

export class HostScope {
  readonly #hostId: Id;
  readonly #topology: () => Topology;
  #asked = new Set<Id>();
  /** `<kind>/<id>` -> what the host has. */
  #sent = new Map<string, Resource>();

  constructor(hostId: Id, topology: () => Topology) {
    this.#hostId = hostId;
    this.#topology = topology;
  }

  /** What a frame of the agent brings it. */
  answer(frame: AgentFrame): ServerFrame[] {
    switch (frame.kind) {
      case 'hello': {
        this.#asked = new Set(frame.deviceIds);
        this.#sent = this.#wanted();
        const { revision } = this.#topology();
        const put = [...this.#sent.values()];
        return [
          { kind: 'snapshot', revision, put, status: [], more: false },
          { kind: 'subscribed', deviceIds: frame.deviceIds },
        ];
      }
      case 'subscribe':
        for (const id of frame.deviceIds) this.#asked.add(id);
        return [...this.changes(), { kind: 'subscribed', deviceIds: frame.deviceIds }];
      case 'unsubscribe':
        for (const id of frame.deviceIds) this.#asked.delete(id);
        return this.changes();
      default:
        return [];
    }
  }

  /** What is other than what was sent. */
  changes(): ServerFrame[] {
    const before = this.#sent;
    this.#sent = this.#wanted();
    const put = [...this.#sent].flatMap(([key, resource]) =>
      before.get(key)?.value === resource.value ? [] : [resource],
    );
    const del = [...before].flatMap(([key, { kind, value }]): ResourceRef[] =>
      this.#sent.has(key) ? [] : [{ kind, id: value.id }],
    );
    const { revision } = this.#topology();
    return put.length + del.length === 0 ? [] : [{ kind: 'change', revision, put, del, more: false }];
  }

  #wanted(): Map<string, Resource> {
    const topology = this.#topology();
    const refs = [...devicesOf(topology, this.#hostId), ...this.#asked].flatMap((id) => scopeOf(topology, id));
    for (const kind of ['host', 'tunnelZone'] as const) {
      for (const id of topology.objects(kind).keys()) refs.push({ kind, id });
    }
    return new Map(
      refs.map(({ kind, id }) => [`${kind}/${id}`, { kind, value: topology.object(kind, id)! } as Resource]),
    );
  }
}
