// Neighbour discovery for IPv6 (RFC 4861): router solicitation and advertisement, neighbour solicitation and
// advertisement, redirect, with their options; RDNSS and DNSSL of RFC 8106. Both sides of a message include the ICMPv6
// header. Whether a message may be believed (hop limit 255, RFC 4861 §6.1, 7.1) is for the caller to ask.

import {
  formatIp6,
  formatMac,
  type Ip6,
  type Mac,
  readIp6,
  readMac,
  readU16,
  readU32,
  writeIp,
  writeMac,
  writeU32,
} from './address.ts';
import { emitIcmp6, ICMP_BYTES } from './icmp.ts';
import { emitDomains, parseDomains } from './option.ts';

export const ND = {
  routerSolicitation: 133,
  routerAdvertisement: 134,
  neighbourSolicitation: 135,
  neighbourAdvertisement: 136,
  redirect: 137,
} as const;
export const ND_HOP_LIMIT = 255;

const OPTION = { source: 1, target: 2, prefix: 3, mtu: 5, dnsServers: 25, dnsSearch: 31 } as const;

export type NdMessage =
  | { readonly kind: 'routerSolicitation'; readonly options: readonly NdOption[] }
  | {
      readonly kind: 'routerAdvertisement';
      /** That hosts should use; 0: not said. */
      readonly hopLimit: number;
      /** Addresses by DHCPv6. */
      readonly managed: boolean;
      /** Other things by DHCPv6. */
      readonly other: boolean;
      /** As a default router; 0: it is none. */
      readonly lifetimeSeconds: number;
      readonly reachableMs: number;
      readonly retransmitMs: number;
      readonly options: readonly NdOption[];
    }
  | { readonly kind: 'neighbourSolicitation'; readonly target: Ip6; readonly options: readonly NdOption[] }
  | {
      readonly kind: 'neighbourAdvertisement';
      readonly router: boolean;
      readonly solicited: boolean;
      readonly override: boolean;
      readonly target: Ip6;
      readonly options: readonly NdOption[];
    }
  | {
      readonly kind: 'redirect';
      readonly target: Ip6;
      readonly destination: Ip6;
      readonly options: readonly NdOption[];
    };

export type NdOption =
  | { readonly kind: 'sourceLinkAddress'; readonly mac: Mac }
  | { readonly kind: 'targetLinkAddress'; readonly mac: Mac }
  | {
      readonly kind: 'prefix';
      readonly prefix: Ip6;
      readonly bits: number;
      readonly onLink: boolean;
      readonly autonomous: boolean;
      readonly validSeconds: number;
      readonly preferredSeconds: number;
    }
  | { readonly kind: 'mtu'; readonly mtuBytes: number }
  | { readonly kind: 'dnsServers'; readonly lifetimeSeconds: number; readonly servers: readonly Ip6[] }
  | { readonly kind: 'dnsSearch'; readonly lifetimeSeconds: number; readonly domains: readonly string[] }
  /** `data` follows type and length: 8 n + 6 bytes. */
  | { readonly kind: 'other'; readonly type: number; readonly data: Uint8Array };

/** `at` is where the ICMPv6 header begins. */
export function parseNd(bytes: Uint8Array, at: number, end: number): NdMessage | undefined {
  if (end - at < ICMP_BYTES) return undefined;
  const type = bytes[at]!;
  const fixedBytes = FIXED_BYTES[type];
  if (fixedBytes === undefined || end - at < fixedBytes) return undefined;
  const options = parseOptions(bytes, at + fixedBytes, end);
  if (options === undefined) return undefined;
  const flags = bytes[at + 4]!;
  switch (type) {
    case ND.routerSolicitation:
      return { kind: 'routerSolicitation', options };
    case ND.routerAdvertisement:
      return {
        kind: 'routerAdvertisement',
        hopLimit: flags,
        managed: (bytes[at + 5]! & 0x80) !== 0,
        other: (bytes[at + 5]! & 0x40) !== 0,
        lifetimeSeconds: readU16(bytes, at + 6),
        reachableMs: readU32(bytes, at + 8),
        retransmitMs: readU32(bytes, at + 12),
        options,
      };
    case ND.neighbourSolicitation:
      return { kind: 'neighbourSolicitation', target: readIp6(bytes, at + 8), options };
    case ND.neighbourAdvertisement:
      return {
        kind: 'neighbourAdvertisement',
        router: (flags & 0x80) !== 0,
        solicited: (flags & 0x40) !== 0,
        override: (flags & 0x20) !== 0,
        target: readIp6(bytes, at + 8),
        options,
      };
    default:
      return { kind: 'redirect', target: readIp6(bytes, at + 8), destination: readIp6(bytes, at + 24), options };
  }
}

/** The whole ICMPv6 message; its checksum covers the addresses that the packet will carry. */
export function emitNd(message: NdMessage, source: Ip6, destination: Ip6): Uint8Array {
  const type = ND[message.kind];
  const options = message.options.map(emitOption);
  const fixedBytes = FIXED_BYTES[type]! - ICMP_BYTES;
  const body = new Uint8Array(options.reduce((sum, option) => sum + option.length, fixedBytes));
  let rest = 0;
  switch (message.kind) {
    case 'routerSolicitation':
      break;
    case 'routerAdvertisement':
      rest = message.hopLimit * 2 ** 24 + message.lifetimeSeconds;
      rest += (message.managed ? 0x800000 : 0) + (message.other ? 0x400000 : 0);
      writeU32(body, 0, message.reachableMs);
      writeU32(body, 4, message.retransmitMs);
      break;
    case 'neighbourSolicitation':
      writeIp(body, 0, message.target);
      break;
    case 'neighbourAdvertisement':
      rest = (message.router ? 2 ** 31 : 0) + (message.solicited ? 2 ** 30 : 0) + (message.override ? 2 ** 29 : 0);
      writeIp(body, 0, message.target);
      break;
    case 'redirect':
      writeIp(body, 0, message.target);
      writeIp(body, 16, message.destination);
      break;
    default:
      message satisfies never;
  }
  let at = fixedBytes;
  for (const option of options) {
    body.set(option, at);
    at += option.length;
  }
  return emitIcmp6({ type, code: 0, rest }, body, source, destination);
}

/** `nd neighbour-solicitation who-has fd00::1 source-mac 02:…`. */
export function formatNd(message: NdMessage): string {
  const options = message.options.map((option) => ` ${formatOption(option)}`).join('');
  switch (message.kind) {
    case 'routerSolicitation':
      return `nd router-solicitation${options}`;
    case 'routerAdvertisement': {
      const flags = `${message.managed ? ' managed' : ''}${message.other ? ' other' : ''}`;
      return `nd router-advertisement lifetime ${message.lifetimeSeconds}${flags}${options}`;
    }
    case 'neighbourSolicitation':
      return `nd neighbour-solicitation who-has ${formatIp6(message.target)}${options}`;
    case 'neighbourAdvertisement': {
      const flags = `${message.router ? ' router' : ''}${message.solicited ? ' solicited' : ''}`;
      const override = message.override ? ' override' : '';
      return `nd neighbour-advertisement ${formatIp6(message.target)}${flags}${override}${options}`;
    }
    case 'redirect':
      return `nd redirect ${formatIp6(message.destination)} to ${formatIp6(message.target)}${options}`;
  }
}

/** The source link-layer address of a solicitation or router advertisement, the target's of an advertisement. */
export function linkAddressOf(message: NdMessage): Mac | undefined {
  const target = message.kind === 'neighbourAdvertisement' || message.kind === 'redirect';
  for (const option of message.options) {
    if (option.kind === (target ? 'targetLinkAddress' : 'sourceLinkAddress')) return option.mac;
  }
  return undefined;
}

/** Bytes before the options, ICMPv6 header included. */
const FIXED_BYTES: Readonly<Record<number, number>> = {
  [ND.routerSolicitation]: 8,
  [ND.routerAdvertisement]: 16,
  [ND.neighbourSolicitation]: 24,
  [ND.neighbourAdvertisement]: 24,
  [ND.redirect]: 40,
};

/** A message with an option of length 0 or one that is cut off must be discarded (RFC 4861 §4.6). */
function parseOptions(bytes: Uint8Array, at: number, end: number): NdOption[] | undefined {
  const options: NdOption[] = [];
  for (let next = at; next < end; ) {
    if (end - next < 8) return undefined;
    const length = bytes[next + 1]! * 8;
    if (length === 0 || length > end - next) return undefined;
    options.push(parseOption(bytes, next, next + length));
    next += length;
  }
  return options;
}

/** A known option of a wrong length is kept as bytes. */
function parseOption(bytes: Uint8Array, at: number, end: number): NdOption {
  const length = end - at;
  switch (bytes[at]!) {
    case OPTION.source:
      if (length === 8) return { kind: 'sourceLinkAddress', mac: readMac(bytes, at + 2) };
      break;
    case OPTION.target:
      if (length === 8) return { kind: 'targetLinkAddress', mac: readMac(bytes, at + 2) };
      break;
    case OPTION.prefix:
      if (length !== 32) break;
      return {
        kind: 'prefix',
        prefix: readIp6(bytes, at + 16),
        bits: bytes[at + 2]!,
        onLink: (bytes[at + 3]! & 0x80) !== 0,
        autonomous: (bytes[at + 3]! & 0x40) !== 0,
        validSeconds: readU32(bytes, at + 4),
        preferredSeconds: readU32(bytes, at + 8),
      };
    case OPTION.mtu:
      if (length === 8) return { kind: 'mtu', mtuBytes: readU32(bytes, at + 4) };
      break;
    case OPTION.dnsServers: {
      if (length < 24 || length % 16 !== 8) break;
      const servers: Ip6[] = [];
      for (let next = at + 8; next < end; next += 16) servers.push(readIp6(bytes, next));
      return { kind: 'dnsServers', lifetimeSeconds: readU32(bytes, at + 4), servers };
    }
    case OPTION.dnsSearch: {
      const domains = parseDomains(bytes, at + 8, end);
      if (length < 16 || domains === undefined) break;
      return { kind: 'dnsSearch', lifetimeSeconds: readU32(bytes, at + 4), domains };
    }
  }
  return { kind: 'other', type: bytes[at]!, data: bytes.subarray(at + 2, end) };
}

function emitOption(option: NdOption): Uint8Array {
  switch (option.kind) {
    case 'sourceLinkAddress':
    case 'targetLinkAddress': {
      const bytes = newOption(option.kind === 'sourceLinkAddress' ? OPTION.source : OPTION.target, 8);
      writeMac(bytes, 2, option.mac);
      return bytes;
    }
    case 'prefix': {
      const bytes = newOption(OPTION.prefix, 32);
      bytes[2] = option.bits;
      bytes[3] = (option.onLink ? 0x80 : 0) | (option.autonomous ? 0x40 : 0);
      writeU32(bytes, 4, option.validSeconds);
      writeU32(bytes, 8, option.preferredSeconds);
      writeIp(bytes, 16, option.prefix);
      return bytes;
    }
    case 'mtu': {
      const bytes = newOption(OPTION.mtu, 8);
      writeU32(bytes, 4, option.mtuBytes);
      return bytes;
    }
    case 'dnsServers': {
      const bytes = newOption(OPTION.dnsServers, 8 + option.servers.length * 16);
      writeU32(bytes, 4, option.lifetimeSeconds);
      option.servers.forEach((server, index) => {
        writeIp(bytes, 8 + index * 16, server);
      });
      return bytes;
    }
    case 'dnsSearch': {
      const domains = emitDomains(option.domains);
      const bytes = newOption(OPTION.dnsSearch, 8 + domains.length);
      writeU32(bytes, 4, option.lifetimeSeconds);
      bytes.set(domains, 8);
      return bytes;
    }
    case 'other': {
      const bytes = newOption(option.type, 2 + option.data.length);
      bytes.set(option.data, 2);
      return bytes;
    }
  }
}

function newOption(type: number, leastBytes: number): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(leastBytes / 8) * 8);
  bytes[0] = type;
  bytes[1] = bytes.length / 8;
  return bytes;
}

function formatOption(option: NdOption): string {
  switch (option.kind) {
    case 'sourceLinkAddress':
      return `source-mac ${formatMac(option.mac)}`;
    case 'targetLinkAddress':
      return `target-mac ${formatMac(option.mac)}`;
    case 'prefix':
      return `prefix ${formatIp6(option.prefix)}/${option.bits}`;
    case 'mtu':
      return `mtu ${option.mtuBytes}`;
    case 'dnsServers':
      return `dns ${option.servers.map(formatIp6).join(',')}`;
    case 'dnsSearch':
      return `search ${option.domains.join(',')}`;
    case 'other':
      return `option ${option.type}`;
  }
}
