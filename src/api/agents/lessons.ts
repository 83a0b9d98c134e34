// Which learned addresses a host may tell of. What it says here turns the traffic of others, so a host that was taken
// over must not speak for ports of another host, nor fill the memory of everybody with addresses.

import { isGroupMac, parseIp, parseMac } from '../../packet/address.ts';
import type { Topology } from '../../topology/nodes.ts';
import type { Id } from '../../topology/resource.ts';
import type { MacStatus, NeighbourStatus } from '../../topology/status.ts';

export type LearnedStatus = MacStatus | NeighbourStatus;

/** Addresses of one port that one host may tell of: what an agent learns of neighbours; of MACs it takes fewer. */
const PER_PORT_MAX = 1024;
const VLAN_MAX = 4094;

export class Lessons {
  /** `<kind>/<id>` -> port. */
  readonly #places = new Map<string, Id>();
  /** Port -> how many of them. */
  readonly #counts = new Map<Id, number>();

  /** Whether it is taken, and then it counts. */
  take(status: LearnedStatus, hostId: Id, topology: Topology): boolean {
    const portId = placeOf(status, hostId, topology);
    if (portId === undefined) return false;
    const key = `${status.kind}/${status.id}`;
    if (this.#places.get(key) !== portId && (this.#counts.get(portId) ?? 0) >= PER_PORT_MAX) return false;
    this.forget(key);
    this.#places.set(key, portId);
    this.#counts.set(portId, (this.#counts.get(portId) ?? 0) + 1);
    return true;
  }

  /** `key`: `<kind>/<id>`. */
  forget(key: string): void {
    const portId = this.#places.get(key);
    if (portId === undefined) return;
    this.#places.delete(key);
    const count = this.#counts.get(portId)! - 1;
    if (count === 0) this.#counts.delete(portId);
    else this.#counts.set(portId, count);
  }

  clear(): void {
    this.#places.clear();
    this.#counts.clear();
  }
}

/** The port that the address is at; undefined when this host cannot have learned it there. */
function placeOf(status: LearnedStatus, hostId: Id, topology: Topology): Id | undefined {
  const [subject, second, third] = status.id.split(',');
  const port = topology.port(status.kind === 'mac' ? status.portId : subject!);
  if (port === undefined || (port.binding !== undefined && port.binding.hostId !== hostId)) return undefined;
  const mac = parseMac(status.kind === 'mac' ? third! : status.mac);
  if (mac === undefined || isGroupMac(mac)) return undefined;
  const fits =
    status.kind === 'mac'
      ? port.deviceId === subject && port.deviceKind === 'bridge' && Number(second) <= VLAN_MAX
      : port.deviceKind === 'router' && parseIp(second!) !== undefined;
  return fits ? port.id : undefined;
}
