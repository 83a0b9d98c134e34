// What a message of a DHCP client looks like: to ports, which let it through unaddressed, and to the server.

import { PROTOCOL } from '../flow/fields.ts';
import { UDP_PORT } from '../packet/udp.ts';
import type { Walk } from './walk.ts';

const DHCP = {
  4: { client: UDP_PORT.dhcp4Client, server: UDP_PORT.dhcp4Server },
  6: { client: UDP_PORT.dhcp6Client, server: UDP_PORT.dhcp6Server },
} as const;

export function isDhcp(walk: Walk, family: 4 | 6): boolean {
  const { view } = walk;
  if (view.protocol() !== PROTOCOL.udp || !walk.hasTransportHeader()) return false;
  return view.sourcePort() === DHCP[family].client && view.destinationPort() === DHCP[family].server;
}
