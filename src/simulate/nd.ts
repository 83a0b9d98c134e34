// ARP and neighbour discovery as the virtual network speaks them: questions of routers, answers for known neighbours,
// router advertisements (RFC 826, 4861, 8106).

import { ETHER_TYPE, etherTypeOf, FIELD, type FlowKey, getMac, PROTOCOL } from '../flow/fields.ts';
import { neighbourAnswer } from '../flow/neighbour-answer.ts';
import {
  groupMacOf,
  type Ip,
  type Ip4,
  type Ip6,
  isLinkLocalIp,
  linkLocalOf,
  MAC_BROADCAST,
  type Mac,
  networkOf,
  parseIp,
  parseIp6,
  parsePrefix,
  prefixContains,
  solicitedNodeOf,
} from '../packet/address.ts';
import { ARP, emitArp } from '../packet/arp.ts';
import { emitEthernet } from '../packet/ethernet.ts';
import { emitNd, ND_HOP_LIMIT, type NdMessage, type NdOption } from '../packet/nd.ts';
import type { PortNode, Topology } from '../topology/nodes.ts';
import { emitIp, ipFrame } from './frame.ts';
import type { Birth } from './walk.ts';

const ALL_NODES = parseIp6('ff02::1')!;
const UNSPECIFIED_MAC = 0 as Mac;
/** RFC 4861 §6.2.1: AdvValidLifetime and AdvPreferredLifetime. */
const PREFIX_VALID_SECONDS = 2_592_000;
const PREFIX_PREFERRED_SECONDS = 604_800;
/** RFC 8106 §5.1: three times the interval between advertisements. */
const DNS_LIFETIME_INTERVALS = 3;

/**
 * What the owner of `mac` answers to the ARP request or neighbour solicitation with this key; to the asker's MAC even
 * where detection of a duplicate has it sent to all nodes, since the data path sends it to the asker only.
 */
export function neighbourReply(key: FlowKey, mac: Mac, router: boolean): Uint8Array | undefined {
  const answer = neighbourAnswer(key, mac, router);
  if (answer === undefined) return undefined;
  const destination = getMac(key, FIELD.ethernetSource.at);
  return emitEthernet({ destination, source: mac, tags: [], etherType: etherTypeOf(key) }, answer.packet);
}

/** The question who has an address, asked out of a router port; undefined when the port has no address to ask from. */
export function solicitation(port: PortNode, ip: Ip): Uint8Array | undefined {
  const { mac } = port;
  if (mac === undefined) return undefined;
  const source = addressTowards(port, ip) ?? (typeof ip === 'bigint' ? linkLocalOf(mac) : undefined);
  if (source === undefined) return undefined;
  if (typeof ip === 'number') {
    const request = emitArp({
      operation: ARP.request,
      senderMac: mac,
      senderIp: source as Ip4,
      targetMac: UNSPECIFIED_MAC,
      targetIp: ip as Ip4,
    });
    return emitEthernet({ destination: MAC_BROADCAST, source: mac, tags: [], etherType: ETHER_TYPE.arp }, request);
  }
  const group = solicitedNodeOf(ip as Ip6);
  const message: NdMessage = {
    kind: 'neighbourSolicitation',
    target: ip as Ip6,
    options: [{ kind: 'sourceLinkAddress', mac }],
  };
  return discoveryFrame(groupMacOf(group), mac, source as Ip6, group, message);
}

/**
 * An advertisement of the router at this port, to one guest or to all; nothing when the port does not advertise. `last`:
 * it ceases to be one (RFC 4861 §6.2.5).
 */
export function routerAdvertisement(
  topology: Topology,
  port: PortNode,
  to: { readonly ip: Ip; readonly mac: Mac } | undefined,
  last = false,
): Birth[] {
  const settings = port.object.routerAdvertisement;
  const { mac } = port;
  if (settings === undefined || mac === undefined) return [];
  const options: NdOption[] = [{ kind: 'sourceLinkAddress', mac }];
  const mtuBytes = linkMtu(topology, port);
  if (mtuBytes !== undefined) options.push({ kind: 'mtu', mtuBytes });
  for (const prefix of advertisedPrefixes(port)) {
    options.push({
      kind: 'prefix',
      prefix: prefix.ip as Ip6,
      bits: prefix.bits,
      onLink: true,
      autonomous: settings.autonomous && prefix.bits === 64,
      validSeconds: PREFIX_VALID_SECONDS,
      preferredSeconds: PREFIX_PREFERRED_SECONDS,
    });
  }
  const servers = settings.dnsServers
    .map((server) => parseIp(server))
    .filter((ip): ip is Ip6 => typeof ip === 'bigint');
  if (servers.length > 0) {
    options.push({ kind: 'dnsServers', lifetimeSeconds: settings.intervalSeconds * DNS_LIFETIME_INTERVALS, servers });
  }
  const message: NdMessage = {
    kind: 'routerAdvertisement',
    hopLimit: 64,
    managed: settings.managed,
    other: settings.otherConfiguration,
    lifetimeSeconds: last ? 0 : settings.lifetimeSeconds,
    reachableMs: 0,
    retransmitMs: 0,
    options,
  };
  const destination = (to?.ip ?? ALL_NODES) as Ip6;
  const frame = discoveryFrame(to?.mac ?? groupMacOf(ALL_NODES), mac, linkLocalOf(mac), destination, message);
  return [{ from: { kind: 'leave', port }, frame }];
}

function advertisedPrefixes(port: PortNode): { readonly ip: Ip; readonly bits: number }[] {
  const own = port.addresses
    .filter((address) => typeof address.ip === 'bigint' && !isLinkLocalIp(address.ip))
    .map((address) => ({ ip: networkOf(address.ip, address.bits), bits: address.bits }));
  const more = (port.object.routerAdvertisement?.prefixes ?? []).flatMap((text) => parsePrefix(text) ?? []);
  return [...own, ...more.filter((prefix) => typeof prefix.ip === 'bigint')];
}

/** What is set, of the bridge before the port; else what the tunnels carry, when that is known. */
function linkMtu(topology: Topology, port: PortNode): number | undefined {
  const peer = port.peerId === undefined ? undefined : topology.port(port.peerId);
  const bridge = peer === undefined ? undefined : topology.bridge(peer.deviceId);
  const own = bridge === undefined ? undefined : topology.object('bridge', bridge.id)?.mtuBytes;
  return own ?? port.object.mtuBytes ?? bridge?.mtuBytes;
}

/** The port's address in the network of `ip`, else its first of that family. */
function addressTowards(port: PortNode, ip: Ip): Ip | undefined {
  const family = port.addresses.filter((address) => typeof address.ip === typeof ip);
  const near = family.find((address) =>
    prefixContains({ ip: networkOf(address.ip, address.bits), bits: address.bits }, ip),
  );
  return (near ?? family[0])?.ip;
}

function discoveryFrame(
  destinationMac: Mac,
  sourceMac: Mac,
  source: Ip6,
  destination: Ip6,
  message: NdMessage,
): Uint8Array {
  const packet = emitIp(source, destination, PROTOCOL.icmp6, ND_HOP_LIMIT, emitNd(message, source, destination));
  return ipFrame(destinationMac, sourceMac, packet);
}
