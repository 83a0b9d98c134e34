// A topology that remembers whether somebody looked at what a tenant may not see. Nothing of the model comes into a walk
// but through these methods: as long as the veil is not lifted, all that the walk says is about the tenant's own.

import { stateOf, usersOf } from '../../topology/graph/state.ts';
import type { Kind, Objects } from '../../topology/kinds.ts';
import type { BridgeNode, PortNode, Topology } from '../../topology/nodes.ts';
import type { Id } from '../../topology/resource.ts';
import { isSeen, type Projects } from './redact.ts';

export class Veil implements Topology {
  readonly #topology: Topology;
  readonly #projects: Projects;
  #lifted = false;

  constructor(topology: Topology, projects: Projects) {
    this.#topology = topology;
    this.#projects = projects;
  }

  /** Whether something was looked at that the tenant may not see. */
  isLifted(): boolean {
    return this.#lifted;
  }
  get revision(): number {
    return this.#topology.revision;
  }
  port(id: Id): PortNode | undefined {
    return this.#look('port', id, this.#topology.port(id));
  }
  portByNumber(number: number): PortNode | undefined {
    const node = this.#topology.portByNumber(number);
    return node && this.#look('port', node.id, node);
  }
  bridgeByFlood(flood: number): BridgeNode | undefined {
    const node = this.#topology.bridgeByFlood(flood);
    return node && this.bridge(node.id);
  }
  bridge(id: Id): BridgeNode | undefined {
    const node = this.#look('bridge', id, this.#topology.bridge(id));
    if (node !== undefined) this.#lookAtDhcp(id);
    return node;
  }
  router(id: Id): ReturnType<Topology['router']> {
    const node = this.#look('router', id, this.#topology.router(id));
    // Its routes come with it.
    if (node !== undefined) this.#lookAtUsers('route.routerId', 'route', id);
    return node;
  }
  chain(id: Id): ReturnType<Topology['chain']> {
    const node = this.#look('chain', id, this.#topology.chain(id));
    // The rules of a chain come with it.
    for (const rule of node?.rules ?? []) this.#look('rule', rule.id, rule);
    return node;
  }
  addressSet(id: Id): ReturnType<Topology['addressSet']> {
    return this.#look('addressSet', id, this.#topology.addressSet(id));
  }
  object<K extends Kind>(kind: K, id: Id): Objects[K] | undefined {
    return this.#look(kind, id, this.#topology.object(kind, id));
  }
  objects<K extends Kind>(kind: K): ReadonlyMap<Id, Objects[K]> {
    this.#lifted = true;
    return this.#topology.objects(kind);
  }

  #lookAtDhcp(bridgeId: Id): void {
    for (const subnet of this.#lookAtUsers('dhcpSubnet.bridgeId', 'dhcpSubnet', bridgeId)) {
      this.#lookAtUsers('dhcpHost.subnetId', 'dhcpHost', subnet);
    }
  }

  #lookAtUsers(relation: string, kind: Kind, id: Id): readonly Id[] {
    const users = usersOf(stateOf(this.#topology), relation, id);
    for (const user of users) this.object(kind, user);
    return users;
  }

  #look<T>(kind: Kind, id: Id, found: T | undefined): T | undefined {
    if (found !== undefined && !isSeen(this.#projects, kind, this.#topology.object(kind, id))) this.#lifted = true;
    return found;
  }
}
