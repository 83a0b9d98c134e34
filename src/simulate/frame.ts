// Packets that the virtual network makes, in one call each.

import { ETHER_TYPE, PROTOCOL } from '../flow/fields.ts';
import type { Ip, Ip4, Ip6, Mac } from '../packet/address.ts';
import { emitEthernet } from '../packet/ethernet.ts';
import { emitIpv4 } from '../packet/ipv4.ts';
import { emitIpv6 } from '../packet/ipv6.ts';
import { emitUdp } from '../packet/udp.ts';

/** An IPv4 or IPv6 packet, by the family of its addresses. */
export function emitIp(source: Ip, destination: Ip, protocol: number, ttl: number, payload: Uint8Array): Uint8Array {
  if (typeof source === 'number') {
    const header = {
      trafficClass: 0,
      id: 0,
      dontFragment: false,
      moreFragments: false,
      fragmentOffset: 0,
      ttl,
      protocol,
      source: source as Ip4,
      destination: destination as Ip4,
      options: new Uint8Array(0),
    };
    return emitIpv4(header, payload);
  }
  const header = {
    trafficClass: 0,
    flowLabel: 0,
    hopLimit: ttl,
    source: source as Ip6,
    destination: destination as Ip6,
    extensions: [],
    protocol,
  };
  return emitIpv6(header, payload);
}

/** An untagged frame around an IP packet. */
export function ipFrame(destination: Mac, source: Mac, packet: Uint8Array): Uint8Array {
  const etherType = packet[0]! >> 4 === 4 ? ETHER_TYPE.ip4 : ETHER_TYPE.ip6;
  return emitEthernet({ destination, source, tags: [], etherType }, packet);
}

export interface Endpoint {
  readonly mac: Mac;
  readonly ip: Ip;
  readonly port: number;
}

export function udpFrame(from: Endpoint, to: Endpoint, payload: Uint8Array): Uint8Array {
  const datagram = emitUdp({ sourcePort: from.port, destinationPort: to.port }, payload, from.ip, to.ip);
  return ipFrame(to.mac, from.mac, emitIp(from.ip, to.ip, PROTOCOL.udp, 64, datagram));
}
