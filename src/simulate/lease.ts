// What DHCP gives a guest, in either family, and who says so.

import { type Ip, type Mac, parseMac } from '../packet/address.ts';
import type { BridgeNode, DhcpNode } from '../topology/nodes.ts';

/** Locally administered; the same everywhere, so that a guest that moves finds its server again. */
export const DHCP_SERVER_MAC = parseMac('02:61:79:61:00:01') as Mac;

/** What a guest is given. */
export interface Lease {
  readonly bridge: BridgeNode;
  readonly network: DhcpNode;
  /** Undefined: there is a subnet, but no address for this guest. */
  readonly address: Ip | undefined;
  readonly mac: Mac;
}

/** Raw options of the subnet and of the host; the host's win. */
export function rawOptions(lease: Lease): { readonly code: number; readonly data: Uint8Array }[] {
  const byCode = new Map<number, Uint8Array>();
  for (const option of lease.network.subnet.options) byCode.set(option.code, bytesOfHex(option.hex));
  for (const option of lease.network.hosts.get(lease.mac)?.options ?? [])
    byCode.set(option.code, bytesOfHex(option.hex));
  return [...byCode].map(([code, data]) => ({ code, data }));
}

function bytesOfHex(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
