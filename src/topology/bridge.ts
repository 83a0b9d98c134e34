// A virtual switch. It exists on every host at once.
import Type, { type Static } from 'typebox';
import { adminUp, inboundChainId, integerOr, mtuBytes, outboundChainId, resource } from './resource.ts';

export const bridgeSchema = resource(
  {
    adminUp,
    inboundChainId,
    outboundChainId,
    mtuBytes: Type.Optional(mtuBytes('what its guests may send, told to them by DHCP and router advertisements')),
    macExpirySeconds: integerOr(300, 5, 86400, 'how long a learned address outlives the last packet from it'),
    floodKey: Type.Integer({ readOnly: true, description: 'number of its flood group, 22 bits' }),
  },
  'a virtual switch',
);
export type Bridge = Static<typeof bridgeSchema>;
