// What DHCPv4 answers (RFC 2131, 2132, 3442, 6842).

import { type Ip4, MAC_BROADCAST, parseIp4, parsePrefix } from '../packet/address.ts';
import {
  DHCP4,
  DHCP4_OP,
  type Dhcp4Message,
  type Dhcp4Options,
  type Dhcp4Route,
  emitDhcp4,
  parseDhcp4,
} from '../packet/dhcp4.ts';
import { networkOffset } from '../packet/ethernet.ts';
import { parseIpv4 } from '../packet/ipv4.ts';
import { parseUdp, UDP_PORT } from '../packet/udp.ts';
import { udpFrame } from './frame.ts';
import { DHCP_SERVER_MAC, type Lease, rawOptions } from './lease.ts';
import type { Walk } from './walk.ts';

const BROADCAST = 0xffffffff as Ip4;
const NONE = 0 as Ip4;

/** The frame that goes back to the guest; undefined when the message wants no answer or is not for this server. */
export function answerDhcp4(walk: Walk, lease: Lease): Uint8Array | undefined {
  const asked = parseMessage(walk.frame);
  if (asked === undefined || asked.op !== DHCP4_OP.request || asked.clientMac !== lease.mac) return undefined;
  const address = lease.address as Ip4;
  const serverId = lease.network.serverId!;
  if (asked.options.serverId !== undefined && asked.options.serverId !== serverId) return undefined;
  switch (asked.options.messageType) {
    case DHCP4.discover:
      return answer(asked, lease, DHCP4.offer, address);
    case DHCP4.request: {
      const wanted = asked.options.requestedAddress ?? asked.clientAddress;
      return answer(asked, lease, wanted === address ? DHCP4.ack : DHCP4.nak, address);
    }
    case DHCP4.inform:
      return answer(asked, lease, DHCP4.ack, NONE);
    default:
      return undefined;
  }
}

function answer(asked: Dhcp4Message, lease: Lease, messageType: number, address: Ip4): Uint8Array {
  const refused = messageType === DHCP4.nak;
  const serverId = lease.network.serverId!;
  const identity: Dhcp4Options = {
    messageType,
    serverId,
    ...(asked.options.clientId === undefined ? {} : { clientId: asked.options.clientId }),
    ...(asked.options.relayAgentInformation === undefined
      ? {}
      : { relayAgentInformation: asked.options.relayAgentInformation }),
  };
  const message = emitDhcp4({
    op: DHCP4_OP.reply,
    transactionId: asked.transactionId,
    seconds: 0,
    broadcast: asked.broadcast,
    clientAddress: refused ? NONE : asked.clientAddress,
    yourAddress: refused ? NONE : address,
    nextServer: NONE,
    relayAgent: asked.relayAgent,
    clientMac: asked.clientMac,
    options: refused
      ? { ...identity, message: 'that address is not yours' }
      : { ...identity, ...settings(lease, address) },
    rawOptions: refused ? [] : rawOptions(lease),
  });
  const broadcast = refused || (asked.broadcast && asked.clientAddress === 0);
  const to = asked.clientAddress !== 0 && !refused ? asked.clientAddress : broadcast ? BROADCAST : address;
  return udpFrame(
    { mac: DHCP_SERVER_MAC, ip: serverId, port: UDP_PORT.dhcp4Server },
    { mac: broadcast ? MAC_BROADCAST : asked.clientMac, ip: to, port: UDP_PORT.dhcp4Client },
    message,
  );
}

/** `address` 0: only settings are wanted, no lease. */
function settings(lease: Lease, address: Ip4): Dhcp4Options {
  const { subnet, prefix, hosts } = lease.network;
  const mask = (prefix.bits === 0 ? 0 : (0xffffffff << (32 - prefix.bits)) >>> 0) as Ip4;
  const gateway = parseOptional(subnet.gateway);
  const dnsServers = subnet.dnsServers.flatMap((server) => parseIp4(server) ?? []);
  const ntpServers = subnet.ntpServers.flatMap((server) => parseIp4(server) ?? []);
  const routes = classlessRoutes(lease, gateway);
  const hostname = hosts.get(lease.mac)?.hostname;
  const mtuBytes = subnet.mtuBytes ?? lease.bridge.mtuBytes;
  return {
    ...(address === 0
      ? {}
      : {
          leaseSeconds: subnet.leaseSeconds,
          renewSeconds: Math.floor(subnet.leaseSeconds / 2),
          rebindSeconds: Math.floor((subnet.leaseSeconds * 7) / 8),
        }),
    subnetMask: mask,
    broadcastAddress: (((prefix.ip as number) | ~mask) >>> 0) as Ip4,
    ...(routes.length === 0 ? {} : { classlessRoutes: routes }),
    ...(gateway === undefined ? {} : { routers: [gateway] }),
    ...(dnsServers.length === 0 ? {} : { dnsServers }),
    ...(hostname === undefined ? {} : { hostname }),
    ...(subnet.domainName === undefined ? {} : { domainName: subnet.domainName }),
    ...(subnet.domainSearch.length === 0 ? {} : { domainSearch: subnet.domainSearch }),
    ...(mtuBytes === undefined ? {} : { mtuBytes }),
    ...(ntpServers.length === 0 ? {} : { ntpServers }),
  };
}

/** With classless routes a client ignores the router option, so the default route is among them (RFC 3442). */
function classlessRoutes(lease: Lease, gateway: Ip4 | undefined): Dhcp4Route[] {
  const routes = lease.network.subnet.routes.flatMap((route) => {
    const destination = parsePrefix(route.destination);
    const via = parseIp4(route.gateway);
    return destination === undefined || via === undefined
      ? []
      : [{ destination: destination.ip as Ip4, bits: destination.bits, gateway: via }];
  });
  if (routes.length > 0 && gateway !== undefined) routes.push({ destination: NONE, bits: 0, gateway });
  return routes;
}

const parseOptional = (text: string | undefined): Ip4 | undefined => (text === undefined ? undefined : parseIp4(text));

function parseMessage(frame: Uint8Array): Dhcp4Message | undefined {
  const packet = parseIpv4(frame, networkOffset(frame), frame.length);
  const datagram = packet === undefined ? undefined : parseUdp(frame, packet.payloadAt, packet.end);
  return datagram === undefined ? undefined : parseDhcp4(frame, datagram.payloadAt, datagram.end);
}
