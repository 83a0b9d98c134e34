// When routers advertise themselves (RFC 4861 §6.2.4 to 6.2.6): a few times soon after they begin or change, then at
// random intervals, in answer to solicitations after a random delay, and once more, as no router, when they cease.
// Each host speaks to its own guests only: none is told twice. Time and chance come in.

import type { Datapath, Injection } from '../datapath/datapath.ts';
import { applyActions } from '../flow/apply.ts';
import { keyOfFrame } from '../flow/key.ts';
import { lengthAtMtu } from '../packet/length.ts';
import type { Born, Learned } from '../simulate/result.ts';
import type { PortNode, Topology } from '../topology/nodes.ts';
import type { Id } from '../topology/resource.ts';
import type { Simulate, World } from './upcalls.ts';

/** `last`: of a router that ceases to be one. */
export type Advertise = (portId: Id, topology: Topology, learned: Learned, last: boolean) => readonly Born[];

export interface AdvertisementParts {
  readonly hostId: Id;
  readonly datapath: Pick<Datapath, 'inject'>;
  readonly world: Pick<World, 'topology' | 'learned'>;
  readonly simulate: Simulate;
  readonly advertise: Advertise;
  /** Whether packets can be delivered to a port of this host. */
  readonly isPlugged: (port: number) => boolean;
  /** From 0 up to 1. */
  readonly random: () => number;
}

// RFC 4861 §10 and §6.2.1.
const INITIAL_ADVERTISEMENTS = 3;
const INITIAL_INTERVAL_MS = 16_000;
const BETWEEN_MULTICASTS_MS = 3000;
const ANSWER_DELAY_MS = 500;
const LEAST_INTERVAL_MS = 3000;
const SHORT_INTERVAL_SECONDS = 9;
/** While there is no guest to speak to. */
const NOBODY_HERE_MS = 1000;
/** Of the largest interval the least one is this part; of a short one the other. */
const LEAST_PART = 0.33;
const LEAST_PART_OF_SHORT = 0.75;
/** Answers that wait: more solicitations than that within half a second come from nobody who only wants to know. */
const WAITING_MAX = 256;

interface Advertiser {
  /** When it was begun or changed last: nodes of the model are made anew when they change. */
  node: PortNode;
  mtuBytes: number | undefined;
  /** Multicasts that are still to be sent at short intervals. */
  initial: number;
  dueAt: number;
  lastAt: number;
  /** What its guests here are told when it ceases; `flooded`: to a bridge, which may be gone by then. */
  farewell: readonly { readonly born: Born; readonly flooded: boolean }[];
}

export class Advertisements {
  readonly #parts: AdvertisementParts;
  /** By router port. */
  readonly #advertisers = new Map<Id, Advertiser>();
  readonly #waiting: { readonly dueAt: number; readonly packets: readonly Injection[] }[] = [];
  /** Whose advertisers are known, and in which new ones were looked for. */
  #followed: Topology | undefined;
  #searched: Topology | undefined;

  constructor(parts: AdvertisementParts) {
    this.#parts = parts;
  }

  /** Sends what is due. */
  turn(now: number): void {
    this.follow(now);
    this.#search(now);
    const packets = this.#takeWaiting(now);
    for (const [portId, advertiser] of this.#advertisers) {
      if (advertiser.dueAt <= now) packets.push(...this.#multicast(portId, advertiser, now));
    }
    if (packets.length > 0) this.#parts.datapath.inject(packets);
  }

  /**
   * Takes note of routers that changed, and takes leave of those that ceased to advertise. To be called before the host
   * is wired anew: what is unplugged hears nothing any more.
   */
  follow(now: number): void {
    const { topology } = this.#parts.world;
    if (topology === this.#followed) return;
    this.#followed = topology;
    for (const [portId, advertiser] of this.#advertisers) {
      const node = topology.port(portId);
      if (node !== undefined && advertises(topology, node)) {
        this.#note(topology, node, advertiser, now);
        continue;
      }
      const { farewell } = advertiser;
      this.#advertisers.delete(portId);
      const packets = farewell.flatMap(({ born, flooded }) =>
        flooded && topology.bridgeByFlood(born.to) === undefined ? [] : this.#toGuestsHere(born),
      );
      if (packets.length > 0) this.#parts.datapath.inject(packets);
    }
  }

  /** A guest has solicited the routers at these ports; `born` is what it is to be told. */
  solicited(portIds: readonly Id[], born: readonly Born[], now: number): void {
    const { random, datapath } = this.#parts;
    const delayed = now + random() * ANSWER_DELAY_MS;
    // A guest without an address yet: all are told, before their time.
    if (born.some(({ frame }) => (frame[0]! & 1) === 1)) {
      for (const portId of portIds) {
        const advertiser = this.#advertisers.get(portId);
        if (advertiser === undefined) continue;
        const allowed = Math.max(delayed, advertiser.lastAt + BETWEEN_MULTICASTS_MS);
        advertiser.dueAt = Math.min(advertiser.dueAt, allowed);
      }
      return;
    }
    const packets = born.map(({ to, frame }): Injection => ({ sense: 'deliver', number: to, frame }));
    if (this.#waiting.length < WAITING_MAX) this.#waiting.push({ dueAt: delayed, packets });
    else datapath.inject(packets);
  }

  /** Routers that begin to advertise: a look at every port, so once for many changes. */
  #search(now: number): void {
    const { topology } = this.#parts.world;
    if (topology === this.#searched) return;
    this.#searched = topology;
    for (const { id, routerAdvertisement } of topology.objects('port').values()) {
      if (routerAdvertisement === undefined || this.#advertisers.has(id)) continue;
      const node = topology.port(id);
      if (node === undefined || !advertises(topology, node)) continue;
      const mtuBytes = bridgeOf(topology, node)?.mtuBytes;
      const lastAt = Number.NEGATIVE_INFINITY;
      this.#advertisers.set(id, { node, mtuBytes, initial: INITIAL_ADVERTISEMENTS, dueAt: now, lastAt, farewell: [] });
    }
  }

  /** What has changed is said as if it were new. */
  #note(topology: Topology, node: PortNode, advertiser: Advertiser, now: number): void {
    const mtuBytes = bridgeOf(topology, node)?.mtuBytes;
    if (advertiser.node === node && advertiser.mtuBytes === mtuBytes) return;
    advertiser.node = node;
    advertiser.mtuBytes = mtuBytes;
    advertiser.initial = INITIAL_ADVERTISEMENTS;
    advertiser.dueAt = Math.min(advertiser.dueAt, Math.max(now, advertiser.lastAt + BETWEEN_MULTICASTS_MS));
  }

  #multicast(portId: Id, advertiser: Advertiser, now: number): Injection[] {
    const { advertise, world } = this.#parts;
    const { topology, learned } = world;
    const settings = advertiser.node.object.routerAdvertisement!;
    const packets = advertise(portId, topology, learned, false)
      .filter(({ to }) => this.#isForGuestsHere(to))
      .flatMap((born) => this.#toGuestsHere(born));
    if (packets.length === 0) {
      advertiser.dueAt = now + NOBODY_HERE_MS;
      return [];
    }
    advertiser.lastAt = now;
    advertiser.initial = Math.max(0, advertiser.initial - 1);
    const intervalMs = this.#intervalMs(settings.intervalSeconds);
    advertiser.dueAt = now + (advertiser.initial > 0 ? Math.min(intervalMs, INITIAL_INTERVAL_MS) : intervalMs);
    advertiser.farewell =
      settings.lifetimeSeconds === 0
        ? []
        : advertise(portId, topology, learned, true)
            .filter(({ to }) => this.#isForGuestsHere(to))
            .map((born) => ({ born, flooded: topology.bridgeByFlood(born.to) !== undefined }));
    return packets;
  }

  #intervalMs(largestSeconds: number): number {
    const part = largestSeconds >= SHORT_INTERVAL_SECONDS ? LEAST_PART : LEAST_PART_OF_SHORT;
    const largest = largestSeconds * 1000;
    const least = Math.max(LEAST_INTERVAL_MS, largest * part);
    return least + this.#parts.random() * (largest - least);
  }

  #takeWaiting(now: number): Injection[] {
    const packets: Injection[] = [];
    for (let at = this.#waiting.length - 1; at >= 0; at--) {
      if (this.#waiting[at]!.dueAt <= now) packets.push(...this.#waiting.splice(at, 1)[0]!.packets);
    }
    return packets;
  }

  /** A flood has guests everywhere; a port is bound to one host. */
  #isForGuestsHere(number: number): boolean {
    const { topology } = this.#parts.world;
    if (topology.bridgeByFlood(number) !== undefined) return true;
    return topology.portByNumber(number)?.binding?.hostId === this.#parts.hostId;
  }

  /** The copies of a frame for ports of this host; a flood is decided for each member, as a receiving host does. */
  #toGuestsHere({ to, frame }: Born): Injection[] {
    const { hostId, world, simulate, isPlugged } = this.#parts;
    const { topology, learned } = world;
    const bridge = topology.bridgeByFlood(to);
    if (bridge === undefined) return isPlugged(to) ? [{ sense: 'deliver', number: to, frame }] : [];
    return bridge.members.flatMap((id) => {
      const member = topology.port(id);
      if (member?.binding?.hostId !== hostId || !isPlugged(member.number)) return [];
      const { key } = keyOfFrame(frame, member.number, to);
      if (key === undefined) return [];
      const { actions } = simulate({ key, frame, lengthBytes: lengthAtMtu(frame) }, topology, learned);
      return applyActions(actions, frame).outputs.flatMap((output): Injection[] =>
        output.kind === 'output' ? [{ sense: 'deliver', number: output.port, frame: output.frame }] : [],
      );
    });
  }
}

/** A port of a router that forwards, with somebody at its other end. */
function advertises(topology: Topology, { adminUp, deviceId, peerId, binding, object }: PortNode): boolean {
  if (object.routerAdvertisement === undefined || !adminUp || topology.router(deviceId)?.adminUp === false)
    return false;
  return peerId !== undefined || binding !== undefined;
}

const bridgeOf = (topology: Topology, { peerId }: PortNode) => {
  const peer = peerId === undefined ? undefined : topology.port(peerId);
  return peer === undefined ? undefined : topology.bridge(peer.deviceId);
};
