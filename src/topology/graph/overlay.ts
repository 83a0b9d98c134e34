// What the underlay leaves for the packets of guests.

import { familyOf, parseIp } from '../../packet/address.ts';
import type { TunnelZone } from '../host.ts';

/** Outer IP and UDP header, VXLAN (RFC 7348) and the guest's own Ethernet header. */
const OVERHEAD_BYTES = { 4: 20 + 8 + 8 + 14, 6: 40 + 8 + 8 + 14 } as const;
/** Every link of IPv6 carries as much (RFC 8200 §5). What is too long for its underlay all the same is fragmented there. */
const LEAST_BYTES = 1280;

/** L3 bytes that fit every zone which says what it carries; undefined: none says so. */
export function overlayMtuBytes(zones: Iterable<TunnelZone>): number | undefined {
  let least: number | undefined;
  for (const { underlayMtuBytes, members } of zones) {
    if (underlayMtuBytes === undefined) continue;
    const address = parseIp(members[0]?.address ?? '');
    const fits = Math.max(
      LEAST_BYTES,
      underlayMtuBytes - OVERHEAD_BYTES[address === undefined ? 4 : familyOf(address)],
    );
    if (least === undefined || fits < least) least = fits;
  }
  return least;
}
