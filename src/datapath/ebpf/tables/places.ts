// Where ports are: `delivery` is what holds, `places` holds as much of it as has room there, for quicker look-ups. An entry
// of `places` goes before that of `delivery` changes and comes after, so the program never finds there what is not so.

import { bytesOf, NUMBERS, STRUCTS } from '../../contract.ts';
import { type BpfMap, u32At, u32Bytes } from '../maps.ts';

const { delivery_entry: DELIVERY, place: PLACE } = STRUCTS;
const NOWHERE = bytesOf(PLACE.bytes).bytes;

export class KernelPlaces {
  readonly #delivery: BpfMap;
  readonly #places: BpfMap;
  /** Whose entry is where. */
  readonly #numbers = new Map<number, number>();

  /** Takes over what is in `delivery`. */
  constructor(delivery: BpfMap, places: BpfMap) {
    this.#delivery = delivery;
    this.#places = places;
    const used: number[] = [];
    places.forEachInUse((at) => used.push(at));
    for (const at of used) this.#clear(at);
    this.forEach((port, entry) => {
      this.#bringNear(port, entry);
    });
  }

  get(port: number): Uint8Array | undefined {
    return this.#delivery.get(u32Bytes(port));
  }

  /** `entry`: a `delivery_entry`; undefined: nowhere. */
  set(port: number, entry: Uint8Array | undefined): void {
    const at = port % NUMBERS.PLACES;
    if (this.#numbers.get(at) === port) this.#clear(at);
    if (entry === undefined) {
      this.#delivery.delete(u32Bytes(port));
      return;
    }
    this.#delivery.set(u32Bytes(port), entry);
    this.#bringNear(port, entry);
  }

  /** The entry is a view that is valid during the call. */
  forEach(visit: (port: number, entry: Uint8Array) => void): void {
    this.#delivery.forEach((key, value) => {
      visit(u32At(key), value);
    });
  }

  #bringNear(port: number, entry: Uint8Array): void {
    const at = port % NUMBERS.PLACES;
    if (port === 0 || this.#numbers.has(at)) return;
    const from = new DataView(entry.buffer, entry.byteOffset);
    const remote = from.getUint32(DELIVERY.at.kind, true) === NUMBERS.DELIVER_REMOTE;
    const index = from.getUint32(remote ? DELIVERY.at.host : DELIVERY.at.ifindex, true);
    if (index > NUMBERS.PLACE_INDEX) return;
    const tap = (from.getUint32(DELIVERY.at.flags, true) & NUMBERS.PORT_TAP) !== 0;
    const where = (index | (remote ? NUMBERS.PLACE_REMOTE : 0) | (tap ? NUMBERS.PLACE_TAP : 0)) >>> 0;
    const traffic = from.getUint32(DELIVERY.at.traffic, true);
    const { bytes, view } = bytesOf(PLACE.bytes);
    view.setUint32(PLACE.at.number, port, true);
    view.setUint32(PLACE.at.where, where, true);
    view.setUint32(PLACE.at.traffic, traffic, true);
    view.setUint32(PLACE.at.check, (port ^ where ^ traffic ^ NUMBERS.PLACE_CHECK) >>> 0, true);
    this.#places.set(u32Bytes(at), bytes);
    this.#numbers.set(at, port);
  }

  #clear(at: number): void {
    this.#places.set(u32Bytes(at), NOWHERE);
    this.#numbers.delete(at);
  }
}
