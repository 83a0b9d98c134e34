// What the owner of an address answers to whoever asks for its MAC: made from the key of the request alone.

import { type Ip4, type Ip6, type Mac, parseIp6 } from '../packet/address.ts';
import { ARP, emitArp } from '../packet/arp.ts';
import { ETHER_TYPE } from '../packet/ethernet.ts';
import { PROTOCOL } from '../packet/ipv4.ts';
import { emitIpv6 } from '../packet/ipv6.ts';
import { emitNd, ND, ND_HOP_LIMIT } from '../packet/nd.ts';
import { ARP_SENDER_MAC_AT, etherTypeOf, FIELD, type FlowKey, FRAGMENT, getIp, getMac, getU16 } from './fields.ts';

const ALL_NODES = parseIp6('ff02::1')!;
const ALL_NODES_MAC = 0x333300000001 as Mac;

export interface NeighbourAnswer {
  /** The asker's MAC; that of all nodes where a duplicate is looked for. */
  readonly destination: Mac;
  /** What follows the Ethernet header: ARP, or an IPv6 packet. */
  readonly packet: Uint8Array;
}

/** To an ARP request (RFC 826) or a neighbour solicitation (RFC 4861 §7.2.4). Undefined: the key is of neither. */
export function neighbourAnswer(key: FlowKey, mac: Mac, router: boolean): NeighbourAnswer | undefined {
  const asker = getMac(key, FIELD.ethernetSource.at);
  if (etherTypeOf(key) === ETHER_TYPE.arp && key[FIELD.protocol.at] === ARP.request) {
    const packet = emitArp({
      operation: ARP.reply,
      senderMac: mac,
      senderIp: getIp(key, FIELD.destination.at) as Ip4,
      targetMac: getMac(key, ARP_SENDER_MAC_AT),
      targetIp: getIp(key, FIELD.source.at) as Ip4,
    });
    return { destination: asker, packet };
  }
  return isSolicitation(key) ? advertisement(key, asker, mac, router) : undefined;
}

function advertisement(key: FlowKey, asker: Mac, mac: Mac, router: boolean): NeighbourAnswer {
  const source = getIp(key, FIELD.translatedDestination.at) as Ip6;
  const askerIp = getIp(key, FIELD.source.at) as Ip6;
  // From the unspecified address: someone tests whether it may take the target. All are told.
  const solicited = askerIp !== 0n;
  const destination = solicited ? askerIp : ALL_NODES;
  const message = emitNd(
    {
      kind: 'neighbourAdvertisement',
      router,
      solicited,
      override: true,
      target: source,
      options: [{ kind: 'targetLinkAddress', mac }],
    },
    source,
    destination,
  );
  const header = { trafficClass: 0, flowLabel: 0, hopLimit: ND_HOP_LIMIT, extensions: [], protocol: PROTOCOL.icmp6 };
  const packet = emitIpv6({ ...header, source, destination }, message);
  return { destination: solicited ? asker : ALL_NODES_MAC, packet };
}

function isSolicitation(key: FlowKey): boolean {
  return (
    etherTypeOf(key) === ETHER_TYPE.ip6 &&
    key[FIELD.protocol.at] === PROTOCOL.icmp6 &&
    key[FIELD.fragment.at] === FRAGMENT.none &&
    getU16(key, FIELD.sourcePort.at) === ND.neighbourSolicitation
  );
}
