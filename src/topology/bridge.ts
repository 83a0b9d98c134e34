// A virtual switch. It exists on every host at once.
import Type, { type Static } from 'typebox';
import { formatIp, formatMac, type Ip, type Mac } from '../packet/address.ts';
import type { PortNode } from './nodes.ts';
import { type Checking, conflict, type Finding } from './problem.ts';
import { adminUp, type Id, inboundChainId, integerOr, mtuBytes, outboundChainId, resource } from './resource.ts';

export const bridgeSchema = resource(
  {
    adminUp,
    inboundChainId,
    outboundChainId,
    mtuBytes: Type.Optional(
      mtuBytes(
        'what its guests may send, told to them by DHCP and router advertisements; none: what the tunnel zones leave',
      ),
    ),
    macExpirySeconds: integerOr(300, 5, 86400, 'how long a learned address outlives the last packet from it'),
    floodKey: Type.Integer({ readOnly: true, description: 'number of its flood group, 22 bits' }),
  },
  'a virtual switch',
);
export type Bridge = Static<typeof bridgeSchema>;

/** Somebody on a bridge: a guest at a port of it, or a router port behind one. */
interface Resident {
  readonly owner: PortNode;
  /** The port of the bridge. */
  readonly at: PortNode;
}
interface Residents {
  readonly byIp: ReadonlyMap<Ip, readonly Resident[]>;
  /** Key `${vlan}/${mac}`. */
  readonly byMac: ReadonlyMap<string, readonly Resident[]>;
}

const placeOf = (at: PortNode, mac: Mac): string => `${at.vlan ?? 0}/${mac}`;

function residents(bridgeId: Id, { after, once }: Checking): Residents {
  return once(`residents/${bridgeId}`, () => {
    const byIp = new Map<Ip, Resident[]>();
    const byMac = new Map<string, Resident[]>();
    for (const id of after.bridge(bridgeId)?.portIds ?? []) {
      const at = after.port(id)!;
      const owner = ownerBehind(at, { after });
      if (owner === undefined) continue;
      const resident = { owner, at };
      for (const { ip } of owner.addresses) listAt(byIp, ip).push(resident);
      if (owner.mac !== undefined) listAt(byMac, placeOf(at, owner.mac)).push(resident);
    }
    return { byIp, byMac };
  });
}

/** A port that leads to another bridge has nobody of its own behind it. */
function ownerBehind(port: PortNode, { after }: Pick<Checking, 'after'>): PortNode | undefined {
  if (port.peerId === undefined) return port;
  const peer = after.port(port.peerId);
  return peer?.deviceKind === 'router' ? peer : undefined;
}

function listAt<K, V>(map: Map<K, V[]>, key: K): V[] {
  const list = map.get(key) ?? [];
  map.set(key, list);
  return list;
}

/** Addresses of this port, or of the router behind it, that another has on the same bridge. */
export function checkResident(port: PortNode, checking: Checking): Finding[] {
  const at = port.deviceKind === 'bridge' ? port : checking.after.port(port.peerId ?? '');
  const owner = at === undefined || at.deviceKind !== 'bridge' ? undefined : ownerBehind(at, checking);
  if (at === undefined || owner === undefined) return [];
  const { byIp, byMac } = residents(at.deviceId, checking);
  const taken = (path: string, what: string, holders: readonly Resident[] | undefined): Finding[] => {
    const other = holders?.find((holder) => holder.at.id !== at.id && holder.owner.id !== owner.id);
    if (other === undefined) return [];
    const holder = `${what} is that of ${checking.named('port', other.owner.id)}`;
    const where = checking.named('bridge', at.deviceId);
    return [conflict(path, `${holder} on ${where}: choose another`, [{ kind: 'port', id: other.owner.id }])];
  };
  return [
    ...owner.addresses.flatMap(({ ip }, index) =>
      taken(owner.id === port.id ? `/addresses/${index}` : '/peerId', formatIp(ip), byIp.get(ip)),
    ),
    ...(owner.mac === undefined
      ? []
      : taken(owner.id === port.id ? '/mac' : '/peerId', formatMac(owner.mac), byMac.get(placeOf(at, owner.mac)))),
  ];
}
