// The compiled form of the model: what a walk meets. Addresses are values, references are ids, everything is
// immutable; a node is rebuilt when an object that it was made of changes, and shared between revisions otherwise.

import type { Lpm } from '../lib/lpm.ts';
import type { InterfaceAddress, Ip, Ip4, Mac, Prefix } from '../packet/address.ts';
import type { Kind, Objects } from './kinds.ts';
import type { Id } from './resource.ts';

export interface PortNode {
  readonly id: Id;
  readonly name: string;
  /** The tunnel key. */
  readonly number: number;
  readonly deviceId: Id;
  readonly deviceKind: 'bridge' | 'router';
  readonly adminUp: boolean;
  readonly mac: Mac | undefined;
  readonly addresses: readonly InterfaceAddress[];
  /** Bridge ports only. */
  readonly vlan: number | undefined;
  /** Of a router port; unless set what the tunnels carry, else 1500. */
  readonly mtuBytes: number;
  readonly inboundChainId: Id | undefined;
  readonly outboundChainId: Id | undefined;
  readonly antiSpoofing: boolean;
  readonly groupIds: readonly Id[];
  readonly peerId: Id | undefined;
  readonly binding: { readonly hostId: Id; readonly interfaceName: string } | undefined;
  readonly object: Objects['port'];
}

export interface BridgeNode {
  readonly id: Id;
  readonly name: string;
  readonly adminUp: boolean;
  readonly inboundChainId: Id | undefined;
  readonly outboundChainId: Id | undefined;
  /** Unless set what the tunnels carry, when that is known. */
  readonly mtuBytes: number | undefined;
  readonly macExpirySeconds: number;
  readonly flood: number;
  /** All ports by number. */
  readonly portIds: readonly Id[];
  /** Bound ports whose copy of a flooded frame the receiving host decides: the members of the flood group. */
  readonly members: readonly Id[];
  /** Bound ports whose own or whose bridge's outbound filters ask where the frame came in: decided at the ingress. */
  readonly ingressDecided: readonly Id[];
  /** Peered ports, walked into at the ingress. */
  readonly peered: readonly Id[];
  /** Where a MAC is by configuration: key `${vlan}/${mac}`, from macs of bound ports and of peer router ports. */
  readonly macs: ReadonlyMap<string, Id>;
  /** Who has an address by configuration: bound ports' and peer router ports'. First configured wins. */
  readonly neighbours: ReadonlyMap<Ip, { readonly mac: Mac; readonly portId: Id; readonly router: boolean }>;
  readonly dhcp: readonly DhcpNode[];
  /** Server identifiers of its enabled IPv4 subnets: where guests renew their leases. */
  readonly dhcpServers: Lpm<true>;
}

export interface DhcpNode {
  readonly subnet: Objects['dhcpSubnet'];
  readonly prefix: Prefix;
  /** Server identifier: its own address, the gateway, else the first of the network. Undefined for IPv6. */
  readonly serverId: Ip4 | undefined;
  /** Fixed addresses by MAC. */
  readonly hosts: ReadonlyMap<Mac, Objects['dhcpHost']>;
}

export interface RouteNode {
  /** Undefined: implied by a port's address. */
  readonly id: Id | undefined;
  readonly destination: Prefix;
  readonly source: Prefix | undefined;
  readonly nextHop: 'port' | 'blackhole' | 'reject' | 'local';
  readonly portId: Id | undefined;
  readonly gateway: Ip | undefined;
  readonly weight: number;
}

export interface RouterNode {
  readonly id: Id;
  readonly name: string;
  readonly adminUp: boolean;
  readonly inboundChainId: Id | undefined;
  readonly outboundChainId: Id | undefined;
  readonly portIds: readonly Id[];
  /**
   * Routes by destination, each list by rising weight then id. Implied ones are in it: a `local` /32 or /128 for each
   * address of a port (its IPv6 link-local address too) and a `port` route for its network, weight 0. Routes of a
   * port that is down (admin) or has neither peer nor binding are left out.
   */
  readonly routes: Lpm<readonly RouteNode[]>;
}

/** A match with addresses as values; see chain.ts for the meaning of each condition. */
export interface MatchNode {
  readonly fragments: 'any' | 'header' | 'nonheader' | 'unfragmented';
  readonly inPortIds: ReadonlySet<Id> | undefined;
  readonly outPortIds: ReadonlySet<Id> | undefined;
  readonly ingressPortGroupId: Id | undefined;
  readonly inPortGroupId: Id | undefined;
  readonly outPortGroupId: Id | undefined;
  readonly sourceSetId: Id | undefined;
  readonly destinationSetId: Id | undefined;
  readonly etherType: number | undefined;
  readonly etherSource: { readonly mac: Mac; readonly mask: Mac } | undefined;
  readonly etherDestination: { readonly mac: Mac; readonly mask: Mac } | undefined;
  readonly untagged: boolean;
  readonly vlan: number | undefined;
  readonly trafficClass: number | undefined;
  readonly protocol: number | undefined;
  readonly source: Prefix | undefined;
  readonly destination: Prefix | undefined;
  readonly sourcePorts: { readonly from: number; readonly to: number } | undefined;
  readonly destinationPorts: { readonly from: number; readonly to: number } | undefined;
  readonly icmpType: number | undefined;
  readonly icmpCode: number | undefined;
  readonly tcpFlags: { readonly set: number; readonly of: number } | undefined;
  readonly traversedDeviceId: Id | undefined;
  readonly not: ReadonlySet<string>;
  readonly invert: boolean;
}

export interface RuleNode {
  readonly id: Id;
  readonly name: string;
  readonly number: number;
  readonly position: number;
  readonly match: MatchNode;
  readonly action: 'accept' | 'drop' | 'reject' | 'return' | 'jump';
  readonly jumpChainId: Id | undefined;
}

export interface ChainNode {
  readonly id: Id;
  readonly name: string;
  /** By rising position. */
  readonly rules: readonly RuleNode[];
}

export interface AddressSetNode {
  readonly id: Id;
  readonly name: string;
  readonly prefixes: Lpm<true>;
}

/** The model at one revision. Unknown ids answer undefined: the object does not exist, or was not asked for yet. */
export interface Topology {
  readonly revision: number;
  port(id: Id): PortNode | undefined;
  portByNumber(number: number): PortNode | undefined;
  /** The bridge with this flood number. */
  bridgeByFlood(flood: number): BridgeNode | undefined;
  bridge(id: Id): BridgeNode | undefined;
  router(id: Id): RouterNode | undefined;
  chain(id: Id): ChainNode | undefined;
  addressSet(id: Id): AddressSetNode | undefined;
  object<K extends Kind>(kind: K, id: Id): Objects[K] | undefined;
  objects<K extends Kind>(kind: K): ReadonlyMap<Id, Objects[K]>;
}

/** What a change of revision altered, in terms of the model; simulate/touch.ts turns it into touched questions. */
export type Change =
  /** Anything about the port itself; `placed`: only where it is bound. */
  | { readonly kind: 'port'; readonly id: Id; readonly placed: boolean }
  /** The bridge's own fields. */
  | { readonly kind: 'bridge'; readonly id: Id }
  /** The router's own fields. */
  | { readonly kind: 'router'; readonly id: Id }
  /** `members`, `ingressDecided` or `peered` of the bridge. */
  | { readonly kind: 'members'; readonly bridgeId: Id }
  | { readonly kind: 'configuredMac'; readonly bridgeId: Id; readonly vlan: number; readonly mac: Mac }
  | { readonly kind: 'configuredNeighbour'; readonly bridgeId: Id; readonly ip: Ip }
  | { readonly kind: 'routes'; readonly routerId: Id; readonly destination: Prefix }
  /** A rule came, went or changed at this position. */
  | { readonly kind: 'rule'; readonly chainId: Id; readonly position: number }
  /** The chain itself came or went. */
  | { readonly kind: 'chain'; readonly id: Id }
  | { readonly kind: 'addressSet'; readonly id: Id; readonly prefix: Prefix }
  /** The port joined or left the group. */
  | { readonly kind: 'portGroup'; readonly id: Id; readonly portId: Id }
  | { readonly kind: 'dhcp'; readonly bridgeId: Id };
