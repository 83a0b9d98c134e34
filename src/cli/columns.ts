// What lists show of each kind: columns, and how a cell comes from the object. `aya <noun> show` shows everything.

import type { Answered } from '../client/client.ts';
import { KINDS, type Kind } from '../topology/kinds.ts';
import type { Names } from './names.ts';
import { type Cell, formatAge } from './table.ts';
import { propertiesOf } from './words/flags.ts';
import { formatMatch } from './words/match.ts';
import { flagName, formatValue } from './words/values.ts';

type Value = Readonly<Record<string, unknown>>;

/** Properties in lists, beside name and id; the header is the flag's name. */
const LISTED: Readonly<Record<Kind, readonly string[]>> = {
  project: ['quotas'],
  bridge: ['projectId', 'mtuBytes', 'inboundChainId', 'outboundChainId'],
  router: ['projectId', 'inboundChainId', 'outboundChainId'],
  port: ['deviceId', 'mac', 'addresses', 'vlan', 'wire', 'state'],
  route: ['routerId', 'destination', 'source', 'nextHop', 'portId', 'gateway', 'weight'],
  chain: ['projectId'],
  rule: ['chainId', 'position', 'match', 'action', 'jumpChainId'],
  addressSet: ['addresses'],
  portGroup: ['stateful'],
  dhcpSubnet: ['bridgeId', 'prefix', 'gateway', 'dnsServers', 'enabled'],
  dhcpHost: ['subnetId', 'mac', 'address', 'hostname'],
  host: ['alive', 'at', 'age'],
  tunnelZone: ['encapsulation', 'underlayMtuBytes', 'members'],
};

/** Cells that are not one property. */
const MADE: Readonly<Record<string, (value: Value, names: Names, nowMs: number) => Promise<Cell>>> = {
  wire: async (value, names) => {
    const { peerId, hostId, interfaceName } = value as Partial<Answered<'port'>>;
    if (peerId !== undefined) return `peer ${await names.nameOf(['port'], peerId)}`;
    if (hostId !== undefined) return `${await names.nameOf(['host'], hostId)}:${interfaceName}`;
    return undefined;
  },
  state: async (value) => {
    const { status, adminUp } = value as Partial<Answered<'port'>>;
    if (status === undefined) return undefined;
    // A port that is up and drops everything would be looked at last.
    const off = adminUp === false ? ', admin-up no' : '';
    return status.why === undefined ? `${status.state}${off}` : `${status.state}${off}: ${status.why}`;
  },
  alive: async (value) => (value as Partial<Answered<'host'>>).status?.alive,
  /** The configuration revision that the host forwards by. */
  at: async (value) => (value as Partial<Answered<'host'>>).status?.revision,
  age: async (value, _names, nowMs) => {
    const since = (value as Partial<Answered<'host'>>).status?.since;
    return since === undefined ? undefined : formatAge(nowMs - Date.parse(since));
  },
};

export const columnsOf = (kind: Kind): string[] => ['name', 'id', ...LISTED[kind].map(flagName)];

/** One cell, by property or made-up column. */
async function cellOf(kind: Kind, property: string, value: Value, names: Names, nowMs: number): Promise<Cell> {
  const made = MADE[property];
  if (made !== undefined) return made(value, names, nowMs);
  const schema = propertiesOf(kind)[property] ?? {};
  if (property === 'match') return formatMatch(schema, value[property] as Answered<'rule'>['match'], names);
  return formatValue(schema, value[property], names);
}

export async function rowOf(kind: Kind, value: Value, names: Names, nowMs: number): Promise<Record<string, Cell>> {
  const row: Record<string, Cell> = { name: String(value.name ?? ''), id: String(value.id) };
  for (const property of LISTED[kind]) row[flagName(property)] = await cellOf(kind, property, value, names, nowMs);
  return row;
}

/** Every property that has a value, then the live status. */
export async function pairsOf(kind: Kind, value: Value, names: Names, nowMs: number): Promise<[string, Cell][]> {
  const pairs: [string, Cell][] = [['kind', KINDS[kind].noun]];
  for (const property of Object.keys(propertiesOf(kind))) {
    const cell = await cellOf(kind, property, value, names, nowMs);
    if (cell !== undefined && cell !== '') pairs.push([flagName(property), cell]);
  }
  for (const property of LISTED[kind]) {
    if (property in MADE) pairs.push([flagName(property), await cellOf(kind, property, value, names, nowMs)]);
  }
  return pairs;
}
