// The physical side: hosts, what they report of their interfaces, and the zones in which they tunnel to each other.
import Type, { type Static } from 'typebox';
import { familyOf, isMulticastIp, parseIp } from '../packet/address.ts';
import { type Checking, conflict, type Finding, invalid } from './problem.ts';
import { type Id, id, ip, mtuBytes, resource } from './resource.ts';

export const hostSchema = resource({}, 'a hypervisor that runs an agent');
export type Host = Static<typeof hostSchema>;

export const tunnelZoneSchema = resource(
  {
    encapsulation: Type.Literal('vxlan', { default: 'vxlan', description: 'format on the wire' }),
    members: Type.Array(
      Type.Object(
        { hostId: id('host', 'member'), address: ip('its underlay address') },
        { additionalProperties: false },
      ),
      { description: 'hosts and their addresses; two hosts tunnel when they share a zone', default: [] },
    ),
    underlayMtuBytes: Type.Optional(
      mtuBytes(
        'what the underlay carries; the MTU of bridges and router ports that have none of their own is then what it ' +
          'leaves to guests: 50 bytes less, 70 on IPv6',
      ),
    ),
  },
  'hosts that reach each other over one underlay',
);
export type TunnelZone = Static<typeof tunnelZoneSchema>;

/** An underlay address names one host, in all zones: that is how tunnel packets are known. */
export function checkTunnelZone(zone: TunnelZone, checking: Checking): Finding[] {
  const owners = checking.once('underlay', () => underlayOwners(checking));
  const family = familyOf(parseIp(zone.members[0]?.address ?? '0.0.0.0')!);
  return zone.members.flatMap(({ hostId, address }, index): Finding[] => {
    const found: Finding[] = [];
    const first = zone.members.findIndex((member) => member.hostId === hostId);
    if (first < index) {
      const twice = `${checking.named('host', hostId)} is a member already, with ${zone.members[first]!.address}`;
      found.push(invalid(`/members/${index}/hostId`, `${twice}: leave one out`));
    }
    const ip = parseIp(address)!;
    const path = `/members/${index}/address`;
    if (isMulticastIp(ip) || ip === 0 || ip === 0n) {
      found.push(invalid(path, `${address} is no address of a host: give the one that it has in the underlay`));
    }
    if (familyOf(ip) !== family) {
      found.push(invalid(path, `${address} is not IPv${family} as the first member's: use one family in a zone`));
    }
    const other = [...(owners.get(address) ?? [])].find((owner) => owner !== hostId);
    if (other !== undefined) {
      const taken = `${address} is the underlay address of ${checking.named('host', other)}`;
      found.push(conflict(path, `${taken}: give another`, [{ kind: 'host', id: other }]));
    }
    return found;
  });
}

function underlayOwners({ after }: Checking): ReadonlyMap<string, ReadonlySet<Id>> {
  const owners = new Map<string, Set<Id>>();
  for (const { members } of after.objects('tunnelZone').values()) {
    for (const { hostId, address } of members) owners.set(address, (owners.get(address) ?? new Set()).add(hostId));
  }
  return owners;
}
