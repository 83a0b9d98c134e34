// What a topology is made of, inside: the objects, who names whom, and the nodes compiled from them.

import type { Kind, Objects } from '../kinds.ts';
import { KIND_NAMES } from '../kinds.ts';
import type { AddressSetNode, BridgeNode, ChainNode, PortNode, RouterNode, RuleNode, Topology } from '../nodes.ts';
import type { Id } from '../resource.ts';
import { RELATIONS } from './references.ts';
import { SharedMap } from './shared-map.ts';

export type ObjectMaps = { readonly [K in Kind]: SharedMap<Id, Objects[K]> };
/** By relation (`port.deviceId`) and named object: the ids of those that name it, rising. */
export type Users = ReadonlyMap<string, SharedMap<Id, readonly Id[]>>;

export interface State {
  readonly revision: number;
  readonly objects: ObjectMaps;
  readonly users: Users;
  /** Ids by tunnel key and by flood key. One each, but a part of the world may hold an old owner beside the new. */
  readonly portNumbers: SharedMap<number, readonly Id[]>;
  readonly floods: SharedMap<number, readonly Id[]>;
  readonly ports: SharedMap<Id, PortNode>;
  readonly bridges: SharedMap<Id, BridgeNode>;
  readonly routers: SharedMap<Id, RouterNode>;
  readonly rules: SharedMap<Id, RuleNode>;
  readonly chains: SharedMap<Id, ChainNode>;
  /** Chains that ask, themselves or through jumps, where a packet came in. */
  readonly asking: SharedMap<Id, true>;
  readonly addressSets: SharedMap<Id, AddressSetNode>;
  /** What bridges and router ports carry that say nothing themselves; undefined: no tunnel zone says. */
  readonly overlayMtuBytes: number | undefined;
}

const NO_IDS: readonly Id[] = [];

export class Snapshot implements Topology {
  readonly state: State;

  constructor(state: State) {
    this.state = state;
  }

  get revision(): number {
    return this.state.revision;
  }
  port(id: Id): PortNode | undefined {
    return this.state.ports.get(id);
  }
  portByNumber(number: number): PortNode | undefined {
    const id = this.state.portNumbers.get(number)?.[0];
    return id === undefined ? undefined : this.state.ports.get(id);
  }
  bridgeByFlood(flood: number): BridgeNode | undefined {
    const id = this.state.floods.get(flood)?.[0];
    return id === undefined ? undefined : this.state.bridges.get(id);
  }
  bridge(id: Id): BridgeNode | undefined {
    return this.state.bridges.get(id);
  }
  router(id: Id): RouterNode | undefined {
    return this.state.routers.get(id);
  }
  chain(id: Id): ChainNode | undefined {
    return this.state.chains.get(id);
  }
  addressSet(id: Id): AddressSetNode | undefined {
    return this.state.addressSets.get(id);
  }
  object<K extends Kind>(kind: K, id: Id): Objects[K] | undefined {
    return this.state.objects[kind].get(id);
  }
  objects<K extends Kind>(kind: K): ReadonlyMap<Id, Objects[K]> {
    return this.state.objects[kind];
  }
}

export function emptyState(): State {
  const relations = Object.values(RELATIONS).flat();
  return {
    revision: 0,
    objects: Object.fromEntries(KIND_NAMES.map((kind) => [kind, SharedMap.empty()])) as unknown as ObjectMaps,
    users: new Map(relations.map(({ name }) => [name, SharedMap.empty<Id, readonly Id[]>()])),
    portNumbers: SharedMap.empty(),
    floods: SharedMap.empty(),
    ports: SharedMap.empty(),
    bridges: SharedMap.empty(),
    routers: SharedMap.empty(),
    rules: SharedMap.empty(),
    chains: SharedMap.empty(),
    asking: SharedMap.empty(),
    addressSets: SharedMap.empty(),
    overlayMtuBytes: undefined,
  };
}

export function stateOf(topology: Topology): State {
  if (topology instanceof Snapshot) return topology.state;
  throw new TypeError('this needs a topology made by emptyTopology or applyChanges');
}

/** Ids of the objects that name `id` through the relation (`port.deviceId`), rising. */
export function usersOf(state: State, relation: string, id: Id): readonly Id[] {
  const index = state.users.get(relation);
  if (index === undefined) throw new TypeError(`${relation} is no relation between kinds`);
  return index.get(id) ?? NO_IDS;
}
