// The physical side: hosts, what they report of their interfaces, and the zones in which they tunnel to each other.
import Type, { type Static } from 'typebox';
import { id, integerOr, ip, resource } from './resource.ts';

export const hostSchema = resource({}, 'a hypervisor that runs an agent');
export type Host = Static<typeof hostSchema>;

export const tunnelZoneSchema = resource(
  {
    encapsulation: Type.Literal('vxlan', { default: 'vxlan', description: 'format on the wire' }),
    udpPort: integerOr(6677, 1, 65535, 'of the tunnel'),
    members: Type.Array(
      Type.Object(
        { hostId: id('host', 'member'), address: ip('its underlay address') },
        { additionalProperties: false },
      ),
      { description: 'hosts and their addresses; two hosts tunnel when they share a zone', default: [] },
    ),
  },
  'hosts that reach each other over one underlay',
);
export type TunnelZone = Static<typeof tunnelZoneSchema>;
