// Several hosts in one process: an IP network that carries the tunnel packets of memory data paths to each other.

import { formatIp, type Ip } from '../../packet/address.ts';
import { MemoryDatapath, type MemoryOptions, type Sent } from '../memory.ts';

/** Something that a host sent: to one of its guests, or over the underlay. */
export type UnderlayEvent = Sent & { readonly host: Ip };

export class MemoryUnderlay {
  readonly #hosts = new Map<Ip, MemoryDatapath>();
  readonly #unreachable = new Set<Ip>();
  readonly #onTheWire: Extract<Sent, { kind: 'tunnel' }>[] = [];
  #carrying = false;
  #events: UnderlayEvent[] = [];

  /** A data path that tunnels from this underlay address. */
  host(address: Ip, options: Omit<MemoryOptions, 'onOutput'>): MemoryDatapath {
    if (this.#hosts.has(address)) throw new Error(`${formatIp(address)} is the address of another host`);
    const host = new MemoryDatapath({
      ...options,
      onOutput: (output) => {
        this.#events.push({ ...output, host: address });
        if (output.kind === 'tunnel') this.#carry(output);
      },
    });
    this.#hosts.set(address, host);
    return host;
  }

  /** What was sent since the last call, in order. */
  take(): UnderlayEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** Cuts a host off the underlay, or joins it again. What is sent to or from it meanwhile is lost. */
  setReachable(address: Ip, reachable: boolean): void {
    if (reachable) this.#unreachable.delete(address);
    else this.#unreachable.add(address);
  }

  /** At once, in the middle of what the sender does; what is sent meanwhile follows, one after the other. */
  #carry(packet: Extract<Sent, { kind: 'tunnel' }>): void {
    this.#onTheWire.push(packet);
    if (this.#carrying) return;
    this.#carrying = true;
    try {
      for (let next = this.#onTheWire.shift(); next !== undefined; next = this.#onTheWire.shift()) {
        if (this.#unreachable.has(next.local) || this.#unreachable.has(next.remote)) continue;
        this.#hosts.get(next.remote)?.receiveTunnel(next.local, next.key, next.frame);
      }
    } finally {
      this.#carrying = false;
    }
  }
}
