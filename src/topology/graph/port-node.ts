// Ports: the node of one, and what differs between two of them.

import { parseInterfaceAddress, parseMac } from '../../packet/address.ts';
import type { Change, PortNode } from '../nodes.ts';
import type { Port } from '../port.ts';
import type { Id } from '../resource.ts';
import { same } from './same.ts';

const ROUTER_MTU_BYTES = 1500; // Ethernet's, RFC 894

/**
 * `deviceKind`: what the device is known to be; while it is not known the port itself says, as it was told.
 * `overlayMtuBytes`: what the tunnels carry, when that is known.
 */
export function portNode(
  object: Port,
  deviceKind: 'bridge' | 'router' | undefined,
  overlayMtuBytes: number | undefined,
): PortNode {
  const kind = deviceKind ?? object.deviceKind ?? 'bridge';
  const { hostId, interfaceName } = object;
  return {
    id: object.id,
    name: object.name,
    number: object.tunnelKey,
    deviceId: object.deviceId,
    deviceKind: kind,
    adminUp: object.adminUp,
    mac: object.mac === undefined ? undefined : parseMac(object.mac),
    addresses: object.addresses.map(parseInterfaceAddress).filter((address) => address !== undefined),
    vlan: kind === 'bridge' ? object.vlan : undefined,
    mtuBytes: object.mtuBytes ?? defaultMtuBytes(object, kind, overlayMtuBytes),
    inboundChainId: object.inboundChainId,
    outboundChainId: object.outboundChainId,
    antiSpoofing: object.antiSpoofing,
    groupIds: object.portGroupIds,
    peerId: object.peerId,
    binding: hostId === undefined || interfaceName === undefined ? undefined : { hostId, interfaceName },
    object,
  };
}

/** A bound router port leads out of the overlay: to whatever network its interface is on. */
function defaultMtuBytes({ hostId }: Port, kind: 'bridge' | 'router', overlayMtuBytes = ROUTER_MTU_BYTES): number {
  if (kind === 'bridge') return ROUTER_MTU_BYTES;
  return hostId === undefined ? overlayMtuBytes : Math.min(overlayMtuBytes, ROUTER_MTU_BYTES);
}

/** A port that packets can leave by. */
export const isPluggable = (port: PortNode): boolean =>
  port.adminUp && (port.peerId !== undefined || port.binding !== undefined);

/** Rising numbers; ids where a number is there twice. */
export const byNumber = (a: PortNode, b: PortNode): number => a.number - b.number || (a.id < b.id ? -1 : 1);

// What no packet depends on.
const bare = ({ object, ...node }: PortNode) => {
  const { revision, createdAt, updatedAt, tags, projectId, ...rest } = object;
  return { ...node, object: rest };
};

const placeless = (port: PortNode) => {
  const { binding, object, ...node } = bare(port);
  const { hostId, interfaceName, ...rest } = object;
  return { ...node, object: rest };
};

/** Adds what differs to `changes`. */
export function portChanges(id: Id, was: PortNode | undefined, now: PortNode | undefined, changes: Change[]): void {
  const [left, joined] = [was?.groupIds ?? [], now?.groupIds ?? []];
  for (const group of new Set([...left, ...joined])) {
    if (left.includes(group) !== joined.includes(group)) changes.push({ kind: 'portGroup', id: group, portId: id });
  }
  if (was === undefined || now === undefined) {
    changes.push({ kind: 'port', id, placed: false });
  } else if (was !== now && !same(bare(was), bare(now))) {
    const moved = was.binding !== undefined && now.binding !== undefined && same(placeless(was), placeless(now));
    changes.push({ kind: 'port', id, placed: moved });
  }
}
