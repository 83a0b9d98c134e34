// The conditions of a rule in the words that people use: `--protocol tcp --destination-ports 80-90 --not source`.

import type { Match } from '../../topology/chain.ts';
import { usage } from '../exit.ts';
import type { Names } from '../names.ts';
import type { Flag } from './flags.ts';
import { argumentOf, flagName, formatValue, readInteger, readValue, type Schema } from './values.ts';

const ETHER_TYPES: Readonly<Record<string, number>> = { ip: 0x0800, arp: 0x0806, ip6: 0x86dd };
const PROTOCOLS: Readonly<Record<string, number>> = { icmp: 1, tcp: 6, udp: 17, icmp6: 58, sctp: 132 };
const TCP_FLAGS: Readonly<Record<string, number>> = {
  fin: 1,
  syn: 2,
  rst: 4,
  psh: 8,
  ack: 16,
  urg: 32,
  ece: 64,
  cwr: 128,
};

const numberOrName =
  (table: Readonly<Record<string, number>>) =>
  (word: string, name: string): number => {
    const known = table[word];
    if (known !== undefined) return known;
    if (/^(\d+|0x[0-9a-f]+)$/i.test(word)) return Number(word);
    throw usage(`--${name} is a number or one of ${Object.keys(table).join(', ')}, not ${word}`);
  };
const nameOr = (table: Readonly<Record<string, number>>, value: number, otherwise: string): string =>
  Object.entries(table).find(([, number]) => number === value)?.[0] ?? otherwise;

function readRange(word: string, name: string): { from: number; to: number } {
  const [first, last, ...more] = word.split('-');
  if (first === undefined || more.length > 0) throw usage(`--${name} is a port or a range like 80-90, not ${word}`);
  const from = readInteger(first, name);
  return { from, to: last === undefined ? from : readInteger(last, name) };
}

function readTcpFlags(word: string, name: string): { set: number; of: number } {
  const bits = (text: string): number => {
    let value = 0;
    for (const flag of text === '' || text === 'none' ? [] : text.split('+')) {
      const bit = TCP_FLAGS[flag];
      if (bit === undefined)
        throw usage(`--${name}: ${flag} is no TCP flag; there are ${Object.keys(TCP_FLAGS).join(', ')}`);
      value |= bit;
    }
    return value;
  };
  const [set, of, ...more] = word.split('/');
  if (set === undefined || of === undefined || more.length > 0) {
    throw usage(`--${name} is SET/LOOKED-AT like syn/syn+ack, not ${word}`);
  }
  return { set: bits(set), of: bits(of) };
}

function formatTcpFlags({ set, of }: { readonly set: number; readonly of: number }): string {
  const words = (value: number): string =>
    Object.entries(TCP_FLAGS)
      .filter(([, bit]) => (value & bit) !== 0)
      .map(([flag]) => flag)
      .join('+') || 'none';
  return `${words(set)}/${words(of)}`;
}

interface Words {
  readonly argument: string;
  readonly read: (word: string, name: string) => unknown;
  readonly format: (value: never) => string;
}

const range: Words = {
  argument: '<port[-port]>',
  read: readRange,
  format: ({ from, to }: { from: number; to: number }) => (from === to ? `${from}` : `${from}-${to}`),
};
const maskedMac: Words = {
  argument: '<mac[/mask]>',
  read: (word) => {
    const [mac, mask] = word.split('/');
    return mask === undefined ? { mac } : { mac, mask };
  },
  format: ({ mac, mask }: { mac: string; mask?: string }) => (mask === undefined ? mac : `${mac}/${mask}`),
};

/** Conditions that have words of their own; all others are as their schema says. */
const OWN: Partial<Record<keyof Match, Words>> = {
  etherType: {
    argument: '<ip|ip6|arp|number>',
    read: numberOrName(ETHER_TYPES),
    format: (value: number) => nameOr(ETHER_TYPES, value, `0x${value.toString(16).padStart(4, '0')}`),
  },
  protocol: {
    argument: '<tcp|udp|icmp|icmp6|sctp|number>',
    read: numberOrName(PROTOCOLS),
    format: (value: number) => nameOr(PROTOCOLS, value, String(value)),
  },
  etherSource: maskedMac,
  etherDestination: maskedMac,
  sourcePorts: range,
  destinationPorts: range,
  tcpFlags: { argument: '<set/of>', read: readTcpFlags, format: formatTcpFlags },
};

/** One flag for each condition, and --not and --invert. */
export function matchFlags(schema: Schema): Flag[] {
  const properties = Object.entries(schema.properties ?? {});
  const conditions = properties.map(([property]) => property);
  return properties.map(([property, inner]) => {
    const flag = flagName(property);
    const own = OWN[property as keyof Match];
    const common = { path: ['match', property], flag, description: inner.description ?? '', list: false };
    if (property === 'not') {
      const read = async (word: string) => word.split(',').map((name) => conditionNamed(name, conditions));
      return { ...common, argument: '<conditions>', removable: false, read };
    }
    if (property === 'untagged') {
      return { ...common, argument: '', removable: true, read: async () => true };
    }
    return {
      ...common,
      argument: own?.argument ?? argumentOf(inner, flag),
      removable: property !== 'invert',
      read: async (word: string, names: Names) =>
        own === undefined ? readValue(inner, word, flag, names) : own.read(word, flag),
    };
  });
}

function conditionNamed(name: string, conditions: readonly string[]): string {
  const found = conditions.find((condition) => condition === name || flagName(condition) === name);
  if (found === undefined)
    throw usage(`--not: ${name} is no condition; there are ${conditions.map(flagName).join(', ')}`);
  return found;
}

/** `protocol tcp, destination-ports 80-90, not source 10.0.0.0/8`; `anything` without conditions. */
export async function formatMatch(schema: Schema, match: Match, names: Names): Promise<string> {
  const words: string[] = [];
  for (const [property, inner] of Object.entries(schema.properties ?? {})) {
    const value = match[property as keyof Match];
    if (value === undefined || property === 'not' || property === 'invert') continue;
    const own = OWN[property as keyof Match];
    const text = own === undefined ? await formatValue(inner, value, names) : own.format(value as never);
    const not = match.not.includes(property) ? 'not ' : '';
    words.push(property === 'untagged' ? 'untagged' : `${not}${flagName(property)} ${text}`);
  }
  const all = words.join(', ') || 'anything';
  return match.invert ? `all but: ${all}` : all;
}
