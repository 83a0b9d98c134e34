// A virtual router. It exists on every host at once; its addresses and neighbours are those of its ports.
import type { Static } from 'typebox';
import { adminUp, inboundChainId, outboundChainId, resource } from './resource.ts';

export const routerSchema = resource({ adminUp, inboundChainId, outboundChainId }, 'a virtual router');
export type Router = Static<typeof routerSchema>;
