// What came up from the data path, in the terms of simulate(): and back again.

import type { Injection, Miss } from '../../datapath/datapath.ts';
import { type FlowKey, floodOf, portOf } from '../../flow/fields.ts';
import type { UpCause } from '../../flow/reasons.ts';
import { lengthAtMtu } from '../../packet/length.ts';
import type { Arrival } from '../../simulate/result.ts';

/** A packet that waits for its verdict. */
export interface Packet {
  readonly arrival: Arrival;
  readonly cause: UpCause;
  readonly gsoBytes: number;
}

/** Views the frame in place: valid until the next poll, or for good after `keep`. */
export function packetOf(miss: Miss): Packet {
  const lengthBytes = lengthAtMtu(miss.frame, miss.frameBytes, miss.gsoBytes);
  return {
    arrival: { key: miss.key, frame: miss.frame, lengthBytes },
    cause: miss.cause,
    gsoBytes: miss.gsoBytes,
  };
}

/** A copy that outlives the ring. */
export function keep(packet: Packet): Packet {
  const { arrival } = packet;
  return { ...packet, arrival: { ...arrival, key: arrival.key.slice(), frame: arrival.frame.slice() } };
}

/** The packet once more, now that there is a flow for it. */
export function again(packet: Packet): Injection {
  const { key, frame } = packet.arrival;
  const sense = floodOf(key) === 0 ? 'from' : 'member';
  return { sense, number: portOf(key), frame, gsoBytes: packet.gsoBytes };
}

/** A class without a packet: its masked key is a packet of it. Without a frame nothing is born of it. */
export function arrivalOfKey(key: FlowKey): Arrival {
  return { key, frame: new Uint8Array(0), lengthBytes: 0 };
}
