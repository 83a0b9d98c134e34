// The course of one packet: into a port, through a device, out of a port and into its peer, in as many branches as a
// flood takes, until each has ended. What came of it is read off afterwards.

import type { Action } from '../flow/actions.ts';
import { floodOf } from '../flow/fields.ts';
import { DROP } from '../flow/reasons.ts';
import { type Header, headerSteps } from '../flow/view.ts';
import type { PortNode } from '../topology/nodes.ts';
import type { Id } from '../topology/resource.ts';
import { enterBridge, fitVlan, switchFrame } from './bridge.ts';
import { dhcp } from './dhcp.ts';
import { refusal } from './icmp.ts';
import { enterPort, leavePort } from './port.ts';
import { QUESTION } from './question.ts';
import type { Need } from './result.ts';
import { sendFromRouter } from './router/route.ts';
import { refuseAtPort, rejectAtRouter } from './router/tell.ts';
import { enterRouter } from './router.ts';
import { type Birthplace, drop, type Next, named, needsDevice, portName, type Stop, type Walk } from './walk.ts';

/** Devices that a packet may pass; a topology that takes more loops. */
const HOP_LIMIT = 32;

/**
 * Refused and not answered: packets of the network itself, and copies of a flooded frame, which most members get in
 * vain; a reset from one of them would end a connection with another.
 */
export const unanswered = (why: string): Stop => drop(DROP.rejected, why);

/** The outcome of all branches of one walk. */
export class Journey {
  readonly walk: Walk;
  readonly outputs: Action[] = [];
  readonly stops: Stop[] = [];
  #ttlSteps = 0;
  #mtuBytes: number | undefined;
  #emitted: Header;
  #hops = 0;
  /** Bridges that a flood is going through: a frame that comes back to one would go round for ever. */
  readonly #flooding = new Set<Id>();

  constructor(walk: Walk) {
    this.walk = walk;
    this.#emitted = walk.view.header;
  }

  /** From the guest of a port. */
  start(port: PortNode): void {
    this.walk.ingress = port;
    const served = dhcp(this.walk, port);
    if (served !== undefined) this.stop(served);
    else this.#enter(port);
  }

  /** A flooded frame for a member of the group, in the form that it has on the bridge. */
  receive(member: PortNode): void {
    const bridge = this.walk.world.topology.bridgeByFlood(floodOf(this.walk.view.key));
    this.walk.ask(QUESTION.port(member.id));
    this.walk.ask(QUESTION.bridge(member.deviceId));
    if (bridge === undefined || bridge.id !== member.deviceId) {
      this.stop(drop(DROP.noDelivery, `port ${portName(member)} is no member of the flood`));
      return;
    }
    this.walk.note(`bridge ${named(bridge)}`, () => `flooded to port ${portName(member)}`);
    this.#leave(member, unanswered);
  }

  born(from: Birthplace): void {
    const { walk } = this;
    switch (from.kind) {
      case 'router':
        this.#follow(sendFromRouter(walk, from.router, from.link));
        return;
      case 'bridge':
        this.#follow(switchFrame(walk, from.bridge, undefined, unanswered));
        return;
      case 'leave':
        this.#leave(from.port, undefined, from.evenDown);
        return;
      case 'enter':
        this.#enter(from.port);
        return;
      case 'deliver':
        this.#emit({ kind: 'output', port: from.port.number });
        return;
    }
  }

  stop(stop: Stop): void {
    this.stops.push(stop);
    if (stop.kind !== 'needs') this.walk.note(stop.kind, () => stop.why);
  }

  get needs(): Need[] {
    return this.stops.flatMap((stop) => (stop.kind === 'needs' ? [stop.need] : []));
  }

  /** The outputs behind what has to be checked first. */
  get actions(): Action[] {
    const checks: Action[] = [];
    if (this.outputs.length === 0) return checks;
    if (this.#mtuBytes !== undefined) checks.push({ kind: 'checkLength', mtuBytes: this.#mtuBytes });
    if (this.#ttlSteps > 0) checks.push({ kind: 'decrementTtl', by: this.#ttlSteps });
    return [...checks, ...this.outputs];
  }

  #enter(port: PortNode): void {
    const { walk } = this;
    walk.ask(QUESTION.port(port.id));
    if (++this.#hops > HOP_LIMIT) {
      this.stop(drop(DROP.hopLimit, `more than ${HOP_LIMIT} devices: the topology loops`));
      return;
    }
    walk.note(`port ${portName(port)}`, () => 'in');
    walk.entered = port;
    if (port.deviceKind === 'bridge') {
      const bridge = walk.bridge(port.deviceId);
      if (bridge === undefined) this.stop(needsDevice(port.deviceId));
      else if (this.#flooding.has(bridge.id)) {
        this.stop(drop(DROP.hopLimit, `bridge ${named(bridge)} gets its own flood back: the topology loops`));
      } else {
        const reject = this.#rejectAtBridge({ kind: 'bridge', bridge });
        const stop = enterPort(walk, port, this.#rejectAtBridge({ kind: 'leave', port }));
        this.#follow(stop ?? enterBridge(walk, bridge, port, reject));
      }
      return;
    }
    const router = walk.router(port.deviceId);
    if (router === undefined) this.stop(needsDevice(port.deviceId));
    else {
      const down = (why: string) => refuseAtPort(walk, port, why);
      const stop = enterPort(walk, port, rejectAtRouter(walk, router, port), down);
      this.#follow(stop ?? enterRouter(walk, router, port));
    }
  }

  #follow(next: Next): void {
    if (next.kind === 'leave') this.#leave(next.port);
    else if (next.kind === 'flood') this.#fork(next);
    else this.stop(next);
  }

  #fork(flood: Extract<Next, { kind: 'flood' }>): void {
    const { walk } = this;
    if (flood.members) this.#emit({ kind: 'flood', flood: flood.bridge.flood });
    else if (flood.ports.length === 0)
      this.stop(drop(DROP.noDelivery, `nobody else is on bridge ${named(flood.bridge)}`));
    const header = walk.view.header;
    const passed = walk.traversed.length;
    const { entered } = walk;
    this.#flooding.add(flood.bridge.id);
    for (const port of flood.ports) {
      this.#leave(port, unanswered);
      walk.view.header = header;
      walk.traversed.length = passed;
      walk.entered = entered;
    }
    this.#flooding.delete(flood.bridge.id);
  }

  /** `reject`: what a rule's reject does, when it is not to tell the sender. */
  #leave(port: PortNode, reject?: (why: string) => Stop, evenDown?: true): void {
    const { walk } = this;
    const stop = port.deviceKind === 'bridge' ? this.#leaveBridge(port, reject) : this.#leaveRouter(port, evenDown);
    if (stop !== undefined) {
      this.stop(stop);
      return;
    }
    if (port.binding !== undefined) {
      walk.note(`port ${portName(port)}`, () => 'out to its guest');
      this.#emit({ kind: 'output', port: port.number });
      return;
    }
    const peer = port.peerId === undefined ? undefined : walk.port(port.peerId);
    if (peer === undefined) this.stop(drop(DROP.unplugged, `port ${portName(port)} has neither peer nor binding`));
    else this.#enter(peer);
  }

  #leaveBridge(port: PortNode, reject?: (why: string) => Stop): Stop | undefined {
    const bridge = this.walk.world.topology.bridge(port.deviceId);
    if (bridge === undefined) return needsDevice(port.deviceId);
    return (
      fitVlan(this.walk, port) ?? leavePort(this.walk, port, reject ?? this.#rejectAtBridge({ kind: 'bridge', bridge }))
    );
  }

  #leaveRouter(port: PortNode, evenDown?: true): Stop | undefined {
    const router = this.walk.world.topology.router(port.deviceId);
    if (router === undefined) return needsDevice(port.deviceId);
    return leavePort(this.walk, port, rejectAtRouter(this.walk, router, undefined), evenDown);
  }

  #emit(output: Action): void {
    const { view } = this.walk;
    this.outputs.push(...headerSteps(this.#emitted, view.header, view), output);
    this.#emitted = view.header;
    this.#ttlSteps = Math.max(this.#ttlSteps, view.header.ttlSteps);
    this.#mtuBytes = view.header.mtuBytes;
  }

  /** What a rule's reject does on a bridge: the refusal comes from the address that was refused. */
  #rejectAtBridge(from: Birthplace): (why: string) => Stop {
    return (why) => ({
      kind: 'reject',
      reason: DROP.rejected,
      why,
      births: () => {
        const frame = refusal(this.walk, undefined);
        return frame === undefined ? [] : [{ from, frame }];
      },
    });
  }
}
