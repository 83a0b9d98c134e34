// How questions are spelled: by walks as tags, by changes as touches. One place, so that they cannot differ.

import { formatIp, formatMac, type Ip, type Ip4, type Ip6, type Mac } from '../packet/address.ts';
import type { Id } from '../topology/resource.ts';

export const QUESTION = {
  /** The port's own fields, its peer and whether it is bound; not where. */
  port: (id: Id) => `port/${id}`,
  bridge: (id: Id) => `bridge/${id}`,
  router: (id: Id) => `router/${id}`,
  /** Which ports a flood goes to. */
  members: (bridgeId: Id) => `members/${bridgeId}`,
  /** With a prefix: the bits of the destination that were looked at. */
  routes: (routerId: Id) => `routes/${routerId}`,
  /** With upTo: the last position that was tried. */
  chain: (id: Id) => `chain/${id}`,
  /** With a prefix: the bits of the address that were looked at. */
  addressSet: (id: Id) => `set/${id}`,
  portGroup: (id: Id) => `group/${id}`,
  dhcp: (bridgeId: Id) => `dhcp/${bridgeId}`,
  /** Where a MAC is on a bridge: configured or learned. */
  mac: (bridgeId: Id, vlan: number, mac: Mac) => `mac/${bridgeId}/${vlan}/${mac}`,
  /** Who has an address: on a bridge by configuration, at a router port as learned. */
  neighbour: (bridgeOrPortId: Id, ip: Ip) => `neighbour/${bridgeOrPortId}/${ip}`,
} as const;

/** For people: numbers in a question as the addresses that they are. */
export function formatQuestion(question: string): string {
  const [kind, id, ...rest] = question.split('/');
  const last = rest.at(-1);
  if (last === undefined) return question;
  if (kind === 'mac') return [kind, id, ...rest.slice(0, -1), formatMac(Number(last) as Mac)].join('/');
  const number = BigInt(last);
  return `${kind}/${id}/${formatIp(number > 0xffffffffn ? (number as Ip6) : (Number(number) as Ip4))}`;
}
