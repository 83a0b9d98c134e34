// Who asks for what walks need. A neighbour is asked for by ARP or neighbour solicitation, again with growing pauses,
// and given up after a while; a device is asked of the server (subscriptions.ts). Answers come as changes like any other.

import type { Injection } from '../../datapath/datapath.ts';
import type { Ip } from '../../packet/address.ts';
import type { Born, Learned, Need } from '../../simulate/result.ts';
import type { Topology } from '../../topology/nodes.ts';
import type { Id } from '../../topology/resource.ts';
import { ASK_GIVE_UP_MS, ASK_RETRY_MS, ASKS_MAX, ASKS_PER_PORT } from '../limits.ts';
import type { Subscriptions } from '../subscriptions.ts';
import { questionOfNeed } from './parking.ts';

type NeighbourNeed = Extract<Need, { kind: 'neighbour' }>;

interface Ask {
  readonly need: NeighbourNeed;
  /** The port whose packet asked first. */
  readonly port: number;
  readonly since: number;
  pauseMs: number;
  nextAt: number;
}

/** The part of simulate/ that makes the question's frames. */
export type Solicit = (need: NeighbourNeed, topology: Topology, learned: Learned) => readonly Born[];

export interface AskerOptions {
  readonly solicit: Solicit;
  readonly world: { readonly topology: Topology; readonly learned: Learned };
  readonly inject: (packets: readonly Injection[]) => void;
  /** Nobody answered. */
  readonly giveUp: (portId: Id, ip: Ip, now: number) => void;
  readonly subscriptions: Subscriptions;
}

export class Asker {
  readonly #options: AskerOptions;
  readonly #asks = new Map<string, Ask>();
  readonly #perPort = new Map<number, number>();

  constructor(options: AskerOptions) {
    this.#options = options;
  }

  get subscriptions(): Subscriptions {
    return this.#options.subscriptions;
  }

  /**
   * Asks, unless it is being asked already. False: asking would not help, or there is too much to ask for, in all or
   * for this port: a guest that scans an empty network must not keep others from finding their neighbours.
   */
  ask(need: Need, port: number, now: number): boolean {
    if (need.kind === 'device') return this.subscriptions.ask(need.deviceId, now);
    const question = questionOfNeed(need);
    if (this.#asks.has(question)) return true;
    const asking = this.#perPort.get(port) ?? 0;
    if (this.#asks.size >= ASKS_MAX || asking >= ASKS_PER_PORT) return false;
    const ask: Ask = { need, port, since: now, pauseMs: ASK_RETRY_MS, nextAt: now };
    this.#asks.set(question, ask);
    this.#perPort.set(port, asking + 1);
    this.#send(ask, now);
    return true;
  }

  /** Asks a known neighbour once more, so that its entry lives on; silence has no consequence here. */
  refresh(need: Omit<NeighbourNeed, 'kind'>): void {
    this.#inject({ kind: 'neighbour', ...need });
  }

  /** Asks again what is due, gives up what is over. */
  turn(now: number): void {
    const { learned } = this.#options.world;
    for (const [question, ask] of this.#asks) {
      if (learned.neighbour(ask.need.portId, ask.need.ip) !== undefined) {
        this.#end(question, ask);
      } else if (now - ask.since >= ASK_GIVE_UP_MS) {
        this.#end(question, ask);
        this.#options.giveUp(ask.need.portId, ask.need.ip, now);
      } else if (ask.nextAt <= now) {
        this.#send(ask, now);
      }
    }
  }

  #end(question: string, { port }: Ask): void {
    this.#asks.delete(question);
    const left = this.#perPort.get(port)! - 1;
    if (left === 0) this.#perPort.delete(port);
    else this.#perPort.set(port, left);
  }

  #send(ask: Ask, now: number): void {
    this.#inject(ask.need);
    ask.nextAt = now + ask.pauseMs;
    ask.pauseMs *= 2;
  }

  #inject(need: NeighbourNeed): void {
    const { solicit, world, inject } = this.#options;
    const born = solicit(need, world.topology, world.learned);
    if (born.length > 0) inject(born.map(({ to, frame }) => ({ sense: 'deliver', number: to, frame })));
  }
}
