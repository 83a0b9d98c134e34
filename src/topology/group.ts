// Named sets that conditions of rules speak of.
import type { Static } from 'typebox';
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
