// Frames of the conformance tests, and masks over them.

import { FIELD, type FieldName, type FlowKey, type FlowMask, markField, maskedKey, newKey } from '../../flow/fields.ts';
import { keyOfFrame } from '../../flow/key.ts';
import { type Ip4, type Ip6, MAC_BROADCAST, type Mac, parseIp4, parseIp6, parseMac } from '../../packet/address.ts';
import { ARP, emitArp } from '../../packet/arp.ts';
import { ETHER_TYPE, emitEthernet, type VlanTag } from '../../packet/ethernet.ts';
import { emitIpv4, PROTOCOL } from '../../packet/ipv4.ts';
import { EXTENSION, emitIpv6, type Ipv6Extension } from '../../packet/ipv6.ts';
import { emitNd } from '../../packet/nd.ts';
import { emitTcp, TCP } from '../../packet/tcp.ts';
import { emitUdp } from '../../packet/udp.ts';

export const MACS = ['02:aa:00:00:00:01', '02:aa:00:00:00:02', '02:aa:00:00:00:fe'].map((text) => parseMac(text)!) as [
  Mac,
  Mac,
  Mac,
];
export const IP4S = [parseIp4('10.9.0.1')!, parseIp4('10.9.0.2')!] as const;
export const IP6S = [parseIp6('fd09::1')!, parseIp6('fd09::2')!] as const;
const NO_BYTES = new Uint8Array(0);

export interface UdpOptions {
  readonly ttl?: number;
  readonly destination?: Mac;
  readonly destinationPort?: number;
  readonly payloadBytes?: number;
  readonly tags?: readonly VlanTag[];
  readonly id?: number;
}

export const tag = (vlan: number, tpid: number = ETHER_TYPE.vlan): VlanTag => ({
  tpid,
  priority: 0,
  dropEligible: false,
  vlan,
});

function frameOf(etherType: number, payload: Uint8Array, options: UdpOptions = {}): Uint8Array {
  const { destination = MACS[1], tags = [] } = options;
  return emitEthernet({ destination, source: MACS[0], tags, etherType }, payload);
}

function payloadOf({ payloadBytes = 32 }: UdpOptions): Uint8Array {
  return Uint8Array.from({ length: payloadBytes }, (_, at) => at);
}

const udpPorts = ({ destinationPort = 53 }: UdpOptions) => ({ sourcePort: 4000, destinationPort });

function ip4(
  protocol: number,
  payload: Uint8Array,
  options: UdpOptions,
  part = { offset: 0, more: false },
): Uint8Array {
  const header = {
    trafficClass: 0,
    id: options.id ?? 1,
    dontFragment: false,
    moreFragments: part.more,
    fragmentOffset: part.offset,
    ttl: options.ttl ?? 64,
    protocol,
    source: IP4S[0],
    destination: IP4S[1],
    options: NO_BYTES,
  };
  return frameOf(ETHER_TYPE.ip4, emitIpv4(header, payload), options);
}

function ip6(
  protocol: number,
  payload: Uint8Array,
  options: UdpOptions,
  extensions: readonly Ipv6Extension[] = [],
  [source, destination]: readonly [Ip6, Ip6] = IP6S,
): Uint8Array {
  const hopLimit = options.ttl ?? 64;
  const header = { trafficClass: 0, flowLabel: 0, hopLimit, source, destination, extensions, protocol };
  return frameOf(ETHER_TYPE.ip6, emitIpv6(header, payload), options);
}

export function udp4(options: UdpOptions = {}): Uint8Array {
  return ip4(PROTOCOL.udp, emitUdp(udpPorts(options), payloadOf(options), ...IP4S), options);
}

export function udp6(options: UdpOptions = {}): Uint8Array {
  return ip6(PROTOCOL.udp, emitUdp(udpPorts(options), payloadOf(options), ...IP6S), options);
}

export function tcp4(flags: number = TCP.syn): Uint8Array {
  const header = { sourcePort: 4000, destinationPort: 80, sequence: 1, acknowledgement: 0, flags, window: 1000 };
  return ip4(PROTOCOL.tcp, emitTcp({ ...header, urgent: 0, options: NO_BYTES }, NO_BYTES, ...IP4S), {});
}

/** The two fragments of one datagram. */
export function fragments4(options: UdpOptions = {}): [Uint8Array, Uint8Array] {
  const datagram = emitUdp(udpPorts(options), payloadOf({ payloadBytes: 80 }), ...IP4S);
  return [
    ip4(PROTOCOL.udp, datagram.subarray(0, 48), options, { offset: 0, more: true }),
    ip4(PROTOCOL.udp, datagram.subarray(48), options, { offset: 48, more: false }),
  ];
}

export function fragments6(options: UdpOptions = {}): [Uint8Array, Uint8Array] {
  const datagram = emitUdp(udpPorts(options), payloadOf({ payloadBytes: 80 }), ...IP6S);
  const part = (offset: number, more: boolean): Ipv6Extension[] => [
    { protocol: EXTENSION.fragment, offset, more, id: options.id ?? 1 },
  ];
  return [
    ip6(PROTOCOL.udp, datagram.subarray(0, 48), options, part(0, true)),
    ip6(PROTOCOL.udp, datagram.subarray(48), options, part(48, false)),
  ];
}

export function extended6(): Uint8Array {
  const options = new Uint8Array(6);
  const headers = [EXTENSION.hopByHop, EXTENSION.destination].map((protocol) => ({ protocol, data: options }));
  return ip6(PROTOCOL.udp, emitUdp(udpPorts({}), payloadOf({}), ...IP6S), {}, headers);
}

export function arp(operation: number = ARP.request, tags: readonly VlanTag[] = []): Uint8Array {
  const [senderIp, targetIp] = IP4S as readonly [Ip4, Ip4];
  const payload = emitArp({ operation, senderMac: MACS[0], senderIp, targetMac: 0 as Mac, targetIp });
  return frameOf(ETHER_TYPE.arp, payload, { destination: MAC_BROADCAST, tags });
}

/** For IP6S[1]. From the unspecified address there is no link-layer address option. */
export function solicitation(source: Ip6 = IP6S[0]): Uint8Array {
  const group = parseIp6('ff02::1:ff00:2')!;
  const options = source === 0n ? [] : [{ kind: 'sourceLinkAddress' as const, mac: MACS[0] }];
  const message = emitNd({ kind: 'neighbourSolicitation', target: IP6S[1], options }, source, group);
  return ip6(PROTOCOL.icmp6, message, { ttl: 255, destination: parseMac('33:33:ff:00:00:02')! }, [], [source, group]);
}

/** Something that no test sends otherwise: when it arrives, everything sent before has. */
export function marker(): Uint8Array {
  return frameOf(
    0x88b5,
    Uint8Array.from({ length: 46 }, (_, at) => 0xff - at),
  );
}

export const BASE: readonly FieldName[] = ['port', 'flood', 'etherType'];

/** All fields that there are. */
export function everything(): FlowMask {
  const mask = newKey();
  for (const name of Object.keys(FIELD) as FieldName[]) if (name !== 'mask') markField(mask, FIELD[name]);
  return mask;
}

export function maskOf(...fields: readonly FieldName[]): FlowMask {
  const mask = newKey();
  for (const name of [...BASE, ...fields]) markField(mask, FIELD[name]);
  return mask;
}

export function keyFor(frame: Uint8Array, port: number, flood = 0): FlowKey {
  const { key } = keyOfFrame(frame, port, flood);
  if (key === undefined) throw new Error('the frame has no key');
  return key;
}

/** Key and mask of the class of a frame by these fields (port, flood and ether type always). */
export function classOf(frame: Uint8Array, port: number, fields: readonly FieldName[] = [], flood = 0) {
  const mask = maskOf(...fields);
  return { key: maskedKey(keyFor(frame, port, flood), mask), mask };
}
