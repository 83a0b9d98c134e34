// Live status: written by one host each, kept apart from configuration under status/<host>/<kind>/<id>.
// It expires with the host's lease; it never has a configuration revision.

import type { Id } from './resource.ts';

/** status/<host>/alive/- : under the host's lease. */
export interface HostAlive {
  readonly kind: 'alive';
  readonly id: '-';
  readonly since: string;
  readonly version: string;
}

/** status/<host>/interface/<name> */
export interface InterfaceStatus {
  readonly kind: 'interface';
  /** Interface name. */
  readonly id: string;
  readonly mac: string;
  readonly mtuBytes: number;
  readonly up: boolean;
  readonly addresses: readonly string[];
  /** The port that is plugged into it. */
  readonly portId?: Id;
}

/**
 * status/<host>/port/<port id>: the host claims or delivers the port. It plugs it when a server has confirmed the claim,
 * by sending it back; others send only after `up`. `refused` is a server's word: another host holds the port.
 */
export interface PortStatus {
  readonly kind: 'port';
  readonly id: Id;
  readonly state: 'claimed' | 'up' | 'down' | 'refused';
  /** For people: why it is not up. */
  readonly why?: string;
}

/** status/<host>/mac/<bridge>,<vlan>,<mac>: learned by this host at one of its ports. */
export interface MacStatus {
  readonly kind: 'mac';
  /** `<bridge id>,<vlan>,<mac>` */
  readonly id: string;
  readonly portId: Id;
}

/** status/<host>/neighbour/<port>,<ip>: a neighbour of a router port that answered on this host. */
export interface NeighbourStatus {
  readonly kind: 'neighbour';
  /** `<router port id>,<ip>` */
  readonly id: string;
  readonly mac: string;
}

export type Status = HostAlive | InterfaceStatus | PortStatus | MacStatus | NeighbourStatus;
export type StatusKind = Status['kind'];
