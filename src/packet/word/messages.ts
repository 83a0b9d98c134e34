// The words that are messages and bring their lower layers: neighbour discovery, DHCP, DHCPv6.

import {
  groupMacOf,
  type Ip4,
  type Ip6,
  linkLocalOf,
  MAC_BROADCAST,
  type Mac,
  parseIp4,
  parseIp6,
  parseMac,
  parsePrefix,
  solicitedNodeOf,
  writeMac,
  writeU32,
} from '../address.ts';
import { DHCP4, DHCP4_OP, dhcp4OptionCode, emitDhcp4 } from '../dhcp4.ts';
import { DHCP6, dhcp6OptionCode, emitDhcp6 } from '../dhcp6.ts';
import { emitIcmp6, parseIcmp } from '../icmp.ts';
import { PROTOCOL } from '../ipv4.ts';
import { emitNd, ND_HOP_LIMIT, type NdMessage, type NdOption } from '../nd.ts';
import { joinBytes } from '../option.ts';
import { UDP_PORT } from '../udp.ts';
import { type Arguments, oneOf } from './arguments.ts';
import { type Below, ethWord, ip6Word, type Kind, type Rest, six } from './kind.ts';

const ALL_NODES = ((0xff02n << 112n) | 1n) as Ip6;
const ALL_ROUTERS = ((0xff02n << 112n) | 2n) as Ip6;
const DHCP6_SERVERS = ((0xff02n << 112n) | 0x10002n) as Ip6;

export const MESSAGE_KINDS: Readonly<Record<string, Kind>> = {
  ns: nd(readNs, (message) => solicitedNodeOf((message as { target: Ip6 }).target)),
  na: nd(readNa, () => ALL_NODES),
  rs: nd(readRs, () => ALL_ROUTERS),
  ra: nd(readRa, () => ALL_NODES),
  dhcp: { after: ['udp'], below: belowDhcp, emit: emitDhcp },
  dhcp6: { after: ['udp'], below: belowDhcp6, emit: emitDhcp6Word },
};

// ---- neighbour discovery -----------------------------------------------------------------------------------

interface NdWord {
  readonly message: NdMessage;
  readonly mac: Mac | undefined;
}

/** Without a MAC nothing is known of the layers below. */
function nd(read: (args: Arguments) => NdWord, destinationOf: (message: NdMessage) => Ip6): Kind {
  return {
    after: ['ip6'],
    protocol: PROTOCOL.icmp6,
    hopLimit: ND_HOP_LIMIT,
    below: (args) => {
      const { message, mac } = read(args);
      if (mac === undefined) return undefined;
      const destination = destinationOf(message);
      const source = message.kind === 'neighbourAdvertisement' ? message.target : linkLocalOf(mac);
      return { eth: ethWord(mac, groupMacOf(destination)), network: ip6Word(source, destination) };
    },
    emit: (args, rest, below) => {
      const { source, destination } = six(below);
      const alone = emitNd(read(args).message, source, destination);
      const { type, code, rest: flags, payloadAt } = parseIcmp(alone, 0, alone.length)!;
      const body = joinBytes([alone.subarray(payloadAt), rest.emit()]);
      return emitIcmp6({ type, code, rest: flags }, body, source, destination);
    },
  };
}

const sourceOption = (mac: Mac | undefined): NdOption[] =>
  mac === undefined ? [] : [{ kind: 'sourceLinkAddress', mac }];

function readNs(args: Arguments): NdWord {
  const target = args.next('target IPv6 address', parseIp6);
  const mac = args.optional('source MAC', parseMac);
  return { message: { kind: 'neighbourSolicitation', target, options: sourceOption(mac) }, mac };
}

function readNa(args: Arguments): NdWord {
  const [router, solicited, override] = [args.flag('router'), args.flag('solicited'), args.flag('override')];
  const target = args.next('target IPv6 address', parseIp6);
  const mac = args.optional('target MAC', parseMac);
  const options: NdOption[] = mac === undefined ? [] : [{ kind: 'targetLinkAddress', mac }];
  return { message: { kind: 'neighbourAdvertisement', router, solicited, override, target, options }, mac };
}

function readRs(args: Arguments): NdWord {
  const mac = args.next('source MAC', parseMac);
  return { message: { kind: 'routerSolicitation', options: sourceOption(mac) }, mac };
}

function readRa(args: Arguments): NdWord {
  const [managed, other] = [args.flag('managed'), args.flag('other')];
  const mac = args.next('source MAC', parseMac);
  const lifetimeSeconds = args.number('lifetime', 0xffff) ?? 1800;
  const prefix = args.keyed('prefix', 'IPv6 prefix', (text) => (text.includes(':') ? parsePrefix(text) : undefined));
  const mtuBytes = args.number('mtu', 0xffffffff);
  const options = sourceOption(mac);
  if (mtuBytes !== undefined) options.push({ kind: 'mtu', mtuBytes });
  if (prefix !== undefined) {
    const lifetimes = { validSeconds: 86_400, preferredSeconds: 14_400 };
    const { ip, bits } = prefix;
    options.push({ kind: 'prefix', prefix: ip as Ip6, bits, onLink: true, autonomous: true, ...lifetimes });
  }
  const times = { lifetimeSeconds, reachableMs: 0, retransmitMs: 0 };
  return { message: { kind: 'routerAdvertisement', hopLimit: 64, managed, other, ...times, options }, mac };
}

// ---- DHCP --------------------------------------------------------------------------------------------------

const DHCP4_OF_SERVER: ReadonlySet<number> = new Set([DHCP4.offer, DHCP4.ack, DHCP4.nak]);
const DHCP6_OF_SERVER: ReadonlySet<number> = new Set([DHCP6.advertise, DHCP6.reply]);

function belowDhcp(args: Arguments): Below | undefined {
  const type = args.next('DHCP message', oneOf(DHCP4));
  if (DHCP4_OF_SERVER.has(type)) return undefined;
  return {
    eth: ethWord(args.next('client MAC', parseMac), MAC_BROADCAST),
    network: 'ip(0.0.0.0, 255.255.255.255)',
    udp: `udp(${UDP_PORT.dhcp4Client}, ${UDP_PORT.dhcp4Server})`,
  };
}

function emitDhcp(args: Arguments, rest: Rest): Uint8Array {
  const broadcast = args.flag('broadcast');
  const messageType = args.next('DHCP message', oneOf(DHCP4));
  const clientMac = args.next('client MAC', parseMac);
  const requestedAddress = args.optional('requested IPv4 address', parseIp4);
  const serverId = args.keyed('server', 'IPv4 address', parseIp4);
  const hostname = args.keyed('hostname', 'name', (text) => text);
  const fromServer = DHCP4_OF_SERVER.has(messageType);
  const asked = (['subnetMask', 'routers', 'dnsServers', 'domainName', 'mtuBytes', 'classlessRoutes'] as const).map(
    dhcp4OptionCode,
  );
  const message = emitDhcp4({
    op: fromServer ? DHCP4_OP.reply : DHCP4_OP.request,
    transactionId: args.number('xid', 0xffffffff) ?? 1,
    seconds: 0,
    broadcast,
    clientAddress: args.keyed('client', 'IPv4 address', parseIp4) ?? (0 as Ip4),
    yourAddress: args.keyed('yours', 'IPv4 address', parseIp4) ?? (0 as Ip4),
    nextServer: 0 as Ip4,
    relayAgent: 0 as Ip4,
    clientMac,
    options: {
      messageType,
      ...(requestedAddress === undefined ? {} : { requestedAddress }),
      ...(serverId === undefined ? {} : { serverId }),
      ...(hostname === undefined ? {} : { hostname }),
      ...(fromServer ? {} : { parameterRequestList: Uint8Array.from(asked) }),
    },
    rawOptions: [],
  });
  return joinBytes([message, rest.emit()]);
}

function belowDhcp6(args: Arguments): Below | undefined {
  const type = args.next('DHCPv6 message', oneOf(DHCP6));
  if (DHCP6_OF_SERVER.has(type)) return undefined;
  const mac = args.next('client MAC', parseMac);
  return {
    eth: ethWord(mac, groupMacOf(DHCP6_SERVERS)),
    network: ip6Word(linkLocalOf(mac), DHCP6_SERVERS),
    udp: `udp(${UDP_PORT.dhcp6Client}, ${UDP_PORT.dhcp6Server})`,
  };
}

function emitDhcp6Word(args: Arguments, rest: Rest): Uint8Array {
  const rapid = args.flag('rapid');
  const messageType = args.next('DHCPv6 message', oneOf(DHCP6));
  const mac = args.next('client MAC', parseMac);
  const address = args.optional('IPv6 address', parseIp6);
  const server = args.keyed('server', 'MAC', parseMac);
  const lifetimes = { preferredSeconds: 0, validSeconds: 0 };
  const addresses = address === undefined ? [] : [{ address, ...lifetimes }];
  const associations = [{ iaid: 1, renewSeconds: 0, rebindSeconds: 0, addresses }];
  const asked = (['dnsServers', 'domainSearch'] as const).map(dhcp6OptionCode);
  const message = emitDhcp6({
    messageType,
    transactionId: args.number('xid', 0xffffff) ?? 1,
    options: {
      clientId: duidOf(mac),
      ...(server === undefined ? {} : { serverId: duidOf(server) }),
      ...(rapid ? { rapidCommit: true } : {}),
      ...(DHCP6_OF_SERVER.has(messageType) ? {} : { optionRequest: asked, elapsedTime: 0 }),
      ...(messageType === DHCP6['information-request'] ? {} : { associations }),
    },
    rawOptions: [],
  });
  return joinBytes([message, rest.emit()]);
}

/** DUID-LL for Ethernet (RFC 8415 §11.4). */
function duidOf(mac: Mac): Uint8Array {
  const duid = new Uint8Array(10);
  writeU32(duid, 0, 0x00030001);
  writeMac(duid, 4, mac);
  return duid;
}
