// Fragments of one datagram: later ones are given the L4 ports of their first (rule 9 of key.ts, its second half).

import { parsePacket } from '../packet/packet.ts';
import { etherTypeOf, FIELD, type FlowKey, getIp } from './fields.ts';

const PORTS_AT = FIELD.sourcePort.at;
const PORTS_END = FIELD.destinationPort.at + FIELD.destinationPort.bytes;

/** The identification in the header of a fragment; 0 when the frame is none. */
export const fragmentIdOf = (frame: Uint8Array): number => parsePacket(frame)?.fragment?.id ?? 0;

/** Names a datagram among those of one port: what is_same_datagram of bpf/parse.h compares. `id`: of the fragment. */
export function datagramOf(key: FlowKey, id: number): string {
  const tags = `${key.subarray(FIELD.vlan.at, FIELD.innerVlan.at + FIELD.innerVlan.bytes)} ${key[FIELD.vlanBits.at]}`;
  const addresses = `${getIp(key, FIELD.source.at)} ${getIp(key, FIELD.destination.at)}`;
  return `${id} ${addresses} ${tags} ${key[FIELD.protocol.at]} ${etherTypeOf(key)}`;
}

/** A copy of both port words, as a first fragment leaves them for those that follow. */
export const portsOf = (key: FlowKey): Uint8Array => key.slice(PORTS_AT, PORTS_END);

export function setPorts(key: FlowKey, ports: Uint8Array): void {
  key.set(ports, PORTS_AT);
}
