// What one walk carries along: the packet, the world, the questions asked so far, and what came of it. A device reads
// the packet through `view`, asks the world through the methods here (each leaves its tag), and says what is next.

import { ETHER_TYPE, etherTypeOf, FIELD, type FlowKey, FRAGMENT, getIp } from '../flow/fields.ts';
import type { DropReason, UpCause } from '../flow/reasons.ts';
import type { Tag } from '../flow/tags.ts';
import { PacketView } from '../flow/view.ts';
import { formatIp, formatMac, type Ip, type Mac, type Prefix } from '../packet/address.ts';
import { networkOffset } from '../packet/ethernet.ts';
import type { BridgeNode, ChainNode, PortNode, RouterNode, Topology } from '../topology/nodes.ts';
import type { Id } from '../topology/resource.ts';
import { QUESTION } from './question.ts';
import type { Learned, Lesson, Need, Recorder } from './result.ts';

/** Where a packet that is born in the network starts from. */
export type Birthplace =
  /** Routed by this router as its own: no inbound filters. `link`: the port for what is link-local. */
  | { readonly kind: 'router'; readonly router: RouterNode; readonly link: PortNode | undefined }
  /** Switched by this bridge as its own: no inbound filters, no port to keep out of. */
  | { readonly kind: 'bridge'; readonly bridge: BridgeNode }
  /** Out of this port, through its outbound filters; `evenDown`: although it is administratively down. */
  | { readonly kind: 'leave'; readonly port: PortNode; readonly evenDown?: true }
  /** Into this port, as if its guest had sent it. */
  | { readonly kind: 'enter'; readonly port: PortNode }
  /** To the guest of this port, past all filters. */
  | { readonly kind: 'deliver'; readonly port: PortNode };

export interface Birth {
  readonly from: Birthplace;
  readonly frame: Uint8Array;
}

/** What a device says is next. */
export type Next =
  | { readonly kind: 'leave'; readonly port: PortNode }
  /** To all members of the bridge's flood group but the ingress port, and into each of these ports. */
  | {
      readonly kind: 'flood';
      readonly bridge: BridgeNode;
      readonly members: boolean;
      readonly ports: readonly PortNode[];
    }
  | Stop;

export type Stop =
  | { readonly kind: 'drop'; readonly reason: DropReason; readonly why: string }
  /** Refused by a rule, a route or an administrator: the sender is told by `births`, made when there is a frame. */
  | {
      readonly kind: 'reject';
      readonly reason: DropReason;
      readonly why: string;
      readonly births: () => readonly Birth[];
    }
  /** Not for the class but for this packet: TTL used up, too long. */
  | {
      readonly kind: 'exception';
      readonly reason: DropReason;
      readonly why: string;
      readonly births: () => readonly Birth[];
    }
  /** Each packet of the class is answered by the agent. `solicited`: the router port that is to advertise itself. */
  | {
      readonly kind: 'answer';
      readonly cause: UpCause;
      readonly why: string;
      readonly births: () => readonly Birth[];
      readonly solicited?: Id;
    }
  /**
   * The data path answers an ARP request or neighbour solicitation, if the request may go out `through` the port of the
   * owner, and the owner's own answer, which would start at `from`, may come back.
   */
  | {
      readonly kind: 'answerNeighbour';
      readonly mac: Mac;
      readonly router: boolean;
      readonly why: string;
      readonly through: PortNode | undefined;
      readonly from: Birthplace;
    }
  /** Taken in; nothing goes on. */
  | { readonly kind: 'consumed'; readonly why: string }
  | { readonly kind: 'needs'; readonly need: Need };

export const drop = (reason: DropReason, why: string): Stop => ({ kind: 'drop', reason, why });
export const needsDevice = (deviceId: Id): Stop => ({ kind: 'needs', need: { kind: 'device', deviceId } });

export interface World {
  readonly topology: Topology;
  readonly learned: Learned;
  readonly recorder: Recorder | undefined;
}

export class Walk {
  readonly world: World;
  readonly view: PacketView;
  /** Empty when only the class is known, not a packet: nothing is born then. */
  readonly frame: Uint8Array;
  readonly lengthBytes: number;
  readonly depth: number;
  readonly tags: Tag[] = [];
  readonly lessons: Lesson[] = [];
  /** Where the packet entered the virtual network; undefined when it was born in it. */
  ingress: PortNode | undefined;
  /** Where the packet came in on the device that it is at; undefined when the device itself sends it. */
  entered: PortNode | undefined;
  /** Ports and devices passed. */
  readonly traversed: Id[] = [];
  /** IPv4 without DF: cut it to this length instead of refusing it. */
  fragmentTo: number | undefined;

  constructor(world: World, key: FlowKey, frame: Uint8Array, lengthBytes: number, depth: number) {
    this.world = world;
    this.view = new PacketView(key);
    this.frame = frame;
    this.lengthBytes = lengthBytes;
    this.depth = depth;
  }

  /** Texts are only made when somebody records. */
  note(at: string, text: () => string): void {
    this.world.recorder?.step({ depth: this.depth, at, text: text() });
  }

  ask(question: string, prefix?: Prefix): void {
    this.tags.push(prefix === undefined ? { question } : { question, prefix });
  }

  port(id: Id): PortNode | undefined {
    this.ask(QUESTION.port(id));
    return this.world.topology.port(id);
  }

  bridge(id: Id): BridgeNode | undefined {
    this.ask(QUESTION.bridge(id));
    return this.world.topology.bridge(id);
  }

  router(id: Id): RouterNode | undefined {
    this.ask(QUESTION.router(id));
    return this.world.topology.router(id);
  }

  chain(id: Id): ChainNode | undefined {
    return this.world.topology.chain(id);
  }

  /** The rules up to and including this position were tried; Infinity: all of them. */
  askedRules(chainId: Id, upTo: number): void {
    this.tags.push({ question: QUESTION.chain(chainId), upTo });
  }

  inGroup(groupId: Id, port: PortNode | undefined): boolean {
    this.ask(QUESTION.portGroup(groupId));
    return port?.groupIds.includes(groupId) ?? false;
  }

  /** The port of the bridge behind which a MAC is: by configuration, else as learned. */
  portOfMac(bridge: BridgeNode, vlan: number, mac: Mac): Id | undefined {
    this.ask(QUESTION.mac(bridge.id, vlan, mac));
    return (
      bridge.macs.get(`${vlan}/${mac}`) ??
      this.#taughtPort(bridge.id, vlan, mac) ??
      this.world.learned.macPort(bridge.id, vlan, mac)
    );
  }

  /** Who has an address on the bridge by configuration. */
  configuredNeighbour(
    bridge: BridgeNode,
    ip: Ip,
  ): { readonly mac: Mac; readonly portId: Id; readonly router: boolean } | undefined {
    this.ask(QUESTION.neighbour(bridge.id, ip));
    return bridge.neighbours.get(ip);
  }

  /** Who answered for an address at the router port; null: nobody. */
  learnedNeighbour(port: PortNode, ip: Ip): Mac | null | undefined {
    this.ask(QUESTION.neighbour(port.id, ip));
    return this.#taughtNeighbour(port.id, ip) ?? this.world.learned.neighbour(port.id, ip);
  }

  teachMac(bridge: BridgeNode, vlan: number, mac: Mac, port: PortNode): void {
    if (this.portOfMac(bridge, vlan, mac) === port.id || bridge.macs.has(`${vlan}/${mac}`)) return;
    this.lessons.push({ kind: 'mac', bridgeId: bridge.id, vlan, mac, portId: port.id });
    this.note(`bridge ${bridge.name}`, () => `learns ${formatMac(mac)} at port ${portName(port)}`);
  }

  /** `renew`: say so even when it is known, so that it lives on. */
  teachNeighbour(port: PortNode, ip: Ip, mac: Mac, renew: boolean): void {
    const known = this.learnedNeighbour(port, ip) === mac;
    if (known && !renew) return;
    this.lessons.push({ kind: 'neighbour', portId: port.id, ip, mac });
    if (!known) this.note(`port ${portName(port)}`, () => `learns ${formatIp(ip)} at ${formatMac(mac)}`);
  }

  /** TTL or hop limit of the packet at hand; undefined when only the class is known. Never part of the class. */
  ttl(): number | undefined {
    if (this.frame.length === 0) return undefined;
    return this.frame[networkOffset(this.frame) + (this.#isIp4() ? 8 : 7)];
  }

  /** Whether a router may cut the packet at hand: IPv4 without DF. */
  mayFragment(): boolean {
    return this.frame.length > 0 && this.#isIp4() && (this.frame[networkOffset(this.frame) + 6]! & 0x40) === 0;
  }

  /** For people: marks nothing. */
  peekDestination(): Ip {
    return getIp(this.view.key, FIELD.destination.at);
  }

  #taughtNeighbour(portId: Id, ip: Ip): Mac | undefined {
    for (const lesson of this.lessons) {
      if (lesson.kind === 'neighbour' && lesson.portId === portId && lesson.ip === ip) return lesson.mac;
    }
    return undefined;
  }

  #isIp4(): boolean {
    return etherTypeOf(this.view.key) === ETHER_TYPE.ip4;
  }

  /** Neither a later fragment nor anything else without its L4 header: valid before looking at L4 fields. */
  hasTransportHeader(): boolean {
    return this.view.fragment() !== FRAGMENT.later;
  }

  /** The learned state as this walk leaves it. */
  taught(): Learned {
    const { learned } = this.world;
    return {
      macPort: (bridgeId, vlan, mac) => this.#taughtPort(bridgeId, vlan, mac) ?? learned.macPort(bridgeId, vlan, mac),
      neighbour: (portId, ip) => this.#taughtNeighbour(portId, ip) ?? learned.neighbour(portId, ip),
    };
  }

  #taughtPort(bridgeId: Id, vlan: number, mac: Mac): Id | undefined {
    for (const lesson of this.lessons) {
      if (lesson.kind === 'mac' && lesson.bridgeId === bridgeId && lesson.vlan === vlan && lesson.mac === mac)
        return lesson.portId;
    }
    return undefined;
  }
}

export const portName = (port: PortNode): string => (port.name === '' ? port.id.slice(0, 8) : port.name);
export const named = (node: { readonly name: string; readonly id: Id }): string =>
  node.name === '' ? node.id.slice(0, 8) : node.name;
