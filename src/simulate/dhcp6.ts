// What DHCPv6 answers (RFC 8415). The server is stateless: an address is the guest's as long as the model says so, so
// releases and declines are only acknowledged.

import { type Ip6, linkLocalOf, parseIp, prefixContains, writeMac } from '../packet/address.ts';
import {
  DHCP6,
  DHCP6_STATUS,
  type Dhcp6Association,
  type Dhcp6Message,
  type Dhcp6Options,
  emitDhcp6,
  parseDhcp6,
} from '../packet/dhcp6.ts';
import { networkOffset } from '../packet/ethernet.ts';
import { parseIpv6 } from '../packet/ipv6.ts';
import { parseUdp, UDP_PORT } from '../packet/udp.ts';
import { udpFrame } from './frame.ts';
import { DHCP_SERVER_MAC, type Lease, rawOptions } from './lease.ts';
import type { Walk } from './walk.ts';

/** DUID-LL (RFC 8415 §11.4): type 3, hardware type 1, MAC. */
const SERVER_ID = serverDuid();
/** Messages that name the server they are for, and those that must not (RFC 8415 §16). */
const NAMES_SERVER: readonly number[] = [DHCP6.request, DHCP6.renew, DHCP6.release, DHCP6.decline];
const NAMES_NO_SERVER: readonly number[] = [DHCP6.solicit, DHCP6.confirm, DHCP6.rebind];

/** The frame that goes back to the guest; undefined when the message is not for this server. */
export function answerDhcp6(walk: Walk, lease: Lease): Uint8Array | undefined {
  const packet = parseIpv6(walk.frame, networkOffset(walk.frame), walk.frame.length);
  const datagram = packet === undefined ? undefined : parseUdp(walk.frame, packet.payloadAt, packet.end);
  const asked = datagram === undefined ? undefined : parseDhcp6(walk.frame, datagram.payloadAt, datagram.end);
  if (packet === undefined || asked === undefined || !isForUs(asked)) return undefined;
  const options = answerOptions(asked, lease);
  if (options === undefined) return undefined;
  const rapid = asked.messageType === DHCP6.solicit && asked.options.rapidCommit !== undefined;
  const message = emitDhcp6({
    messageType: asked.messageType === DHCP6.solicit && !rapid ? DHCP6.advertise : DHCP6.reply,
    transactionId: asked.transactionId,
    options: {
      ...(asked.options.clientId === undefined ? {} : { clientId: asked.options.clientId }),
      serverId: SERVER_ID,
      ...(rapid ? { rapidCommit: true as const } : {}),
      ...options,
    },
    rawOptions: rawOptions(lease),
  });
  return udpFrame(
    { mac: DHCP_SERVER_MAC, ip: linkLocalOf(DHCP_SERVER_MAC), port: UDP_PORT.dhcp6Server },
    { mac: lease.mac, ip: packet.source, port: UDP_PORT.dhcp6Client },
    message,
  );
}

function isForUs(asked: Dhcp6Message): boolean {
  const { serverId, clientId } = asked.options;
  if (NAMES_NO_SERVER.includes(asked.messageType)) return serverId === undefined && clientId !== undefined;
  if (NAMES_SERVER.includes(asked.messageType))
    return clientId !== undefined && serverId !== undefined && equal(serverId, SERVER_ID);
  return asked.messageType === DHCP6['information-request'] && (serverId === undefined || equal(serverId, SERVER_ID));
}

function answerOptions(asked: Dhcp6Message, lease: Lease): Dhcp6Options | undefined {
  const associations = asked.options.associations ?? [];
  switch (asked.messageType) {
    case DHCP6.solicit:
    case DHCP6.request:
    case DHCP6.renew:
    case DHCP6.rebind:
      return { ...settings(lease), associations: associations.map((association) => assigned(association, lease)) };
    case DHCP6.confirm: {
      const named = associations.flatMap((association) => association.addresses);
      if (named.length === 0) return undefined;
      const onLink = named.every(({ address }) => prefixContains(lease.network.prefix, address));
      return {
        status: onLink ? success('all on this link') : { code: DHCP6_STATUS.notOnLink, message: 'not on this link' },
      };
    }
    case DHCP6.release:
    case DHCP6.decline:
      return { status: success('taken note') };
    default:
      return settings(lease);
  }
}

const success = (message: string) => ({ code: DHCP6_STATUS.success, message });

/** The guest's address; others that it names are taken back by a lifetime of 0. */
function assigned(asked: Dhcp6Association, lease: Lease): Dhcp6Association {
  const { leaseSeconds } = lease.network.subnet;
  const own = lease.address as Ip6 | undefined;
  const gone = asked.addresses
    .filter(({ address }) => address !== own)
    .map(({ address }) => ({ address, preferredSeconds: 0, validSeconds: 0 }));
  if (own === undefined) {
    const status = { code: DHCP6_STATUS.noAddresses, message: 'no address for this guest' };
    return { iaid: asked.iaid, renewSeconds: 0, rebindSeconds: 0, addresses: gone, status };
  }
  return {
    iaid: asked.iaid,
    renewSeconds: Math.floor(leaseSeconds / 2),
    rebindSeconds: Math.floor((leaseSeconds * 4) / 5),
    addresses: [{ address: own, preferredSeconds: leaseSeconds, validSeconds: leaseSeconds }, ...gone],
  };
}

function settings(lease: Lease): Dhcp6Options {
  const { subnet } = lease.network;
  const dnsServers = ip6s(subnet.dnsServers);
  const sntpServers = ip6s(subnet.ntpServers);
  const domains =
    subnet.domainSearch.length > 0 || subnet.domainName === undefined ? subnet.domainSearch : [subnet.domainName];
  return {
    ...(dnsServers.length === 0 ? {} : { dnsServers }),
    ...(domains.length === 0 ? {} : { domainSearch: domains }),
    ...(sntpServers.length === 0 ? {} : { sntpServers }),
  };
}

const ip6s = (texts: readonly string[]): Ip6[] =>
  texts.map((text) => parseIp(text)).filter((ip): ip is Ip6 => typeof ip === 'bigint');

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

function serverDuid(): Uint8Array {
  const bytes = new Uint8Array(10);
  bytes.set([0, 3, 0, 1]);
  writeMac(bytes, 4, DHCP_SERVER_MAC);
  return bytes;
}
