// Named sets that conditions of rules speak of.
import type { Static } from 'typebox';
import { type Checking, conflict, type Finding, invalid } from './problem.ts';
import { flag, listOf, prefix, resource } from './resource.ts';

export const addressSetSchema = resource(
  { addresses: listOf(prefix('a host is a /32 or /128'), 'IPv4 and IPv6 prefixes, at most 10,000') },
  'a set of addresses',
);
export type AddressSet = Static<typeof addressSetSchema>;

/** Membership is told by the ports (`portGroupIds`). */
export const portGroupSchema = resource(
  { stateful: flag(false, 'its members may see the same connection and share its state') },
  'a set of ports',
);
export type PortGroup = Static<typeof portGroupSchema>;

/** A set of more prefixes costs each host too much at every change of it. */
const ADDRESSES_MAX = 10_000;

export function checkAddressSet({ addresses }: AddressSet): Finding[] {
  if (addresses.length <= ADDRESSES_MAX) return [];
  const many = `${addresses.length} addresses are more than the ${ADDRESSES_MAX} that a set may hold`;
  return [invalid('/addresses', `${many}: merge some into shorter prefixes, or use two sets`)];
}

/** A stateful group shares connections between its members: they are on one device, and in no other such group. */
export function checkPortGroup(group: PortGroup, { after, users, named }: Checking): Finding[] {
  if (!group.stateful) return [];
  const ports = users('port.portGroupIds', group.id).flatMap((id) => after.port(id) ?? []);
  const [first] = ports;
  const stranger = ports.find((port) => port.deviceId !== first?.deviceId);
  if (first !== undefined && stranger !== undefined) {
    const both = `${named('port', first.id)} and ${named('port', stranger.id)} are in the group and on different devices`;
    return [
      conflict('/stateful', `${both}: members of a stateful group are on one device, take one out`, [
        { kind: 'port', id: first.id },
        { kind: 'port', id: stranger.id },
      ]),
    ];
  }
  for (const port of ports) {
    const other = port.groupIds.find((id) => id !== group.id && after.object('portGroup', id)?.stateful);
    if (other === undefined) continue;
    const twice = `${named('port', port.id)} is in stateful ${named('portGroup', other)} already`;
    return [conflict('/stateful', `${twice}: take it out of one of them`, [{ kind: 'port', id: port.id }])];
  }
  return [];
}
