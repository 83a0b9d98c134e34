// A virtual router. It exists on every host at once; its addresses and neighbours are those of its ports.
import type { Static } from 'typebox';
import {
  formatPrefix,
  type InterfaceAddress,
  isIp6,
  isLinkLocalIp,
  networkOf,
  type Prefix,
  prefixContains,
} from '../packet/address.ts';
import type { PortNode } from './nodes.ts';
import { type Checking, conflict, type Finding } from './problem.ts';
import { adminUp, type Id, inboundChainId, outboundChainId, resource } from './resource.ts';

export const routerSchema = resource({ adminUp, inboundChainId, outboundChainId }, 'a virtual router');
export type Router = Static<typeof routerSchema>;

interface Network {
  readonly prefix: Prefix;
  readonly portId: Id;
}

const networkAt = ({ ip, bits }: InterfaceAddress): Prefix => ({ ip: networkOf(ip, bits), bits });

/** Pairs that are told of each port: a thousand networks in one place must not cost a million. */
const PAIRS_MAX = 4;

/** Pairs of networks of different ports that overlap, by each of the two ports; the first few. */
function overlaps(routerId: Id, { after, once }: Checking): ReadonlyMap<Id, readonly [Network, Network][]> {
  return once(`networks/${routerId}`, () => {
    const networks = (after.router(routerId)?.portIds ?? []).flatMap((portId) =>
      after
        .port(portId)!
        .addresses.filter(({ ip }) => !(isIp6(ip) && isLinkLocalIp(ip)))
        .map((address): Network => ({ prefix: networkAt(address), portId })),
    );
    networks.sort((a, b) => byAddress(a.prefix, b.prefix));
    const found = new Map<Id, [Network, Network][]>();
    const pairsOf = ({ portId }: Network): [Network, Network][] => {
      const pairs = found.get(portId) ?? [];
      found.set(portId, pairs);
      return pairs;
    };
    const isFull = (network: Network): boolean => (found.get(network.portId)?.length ?? 0) >= PAIRS_MAX;
    // Prefixes nest or are apart: in this order those that hold the next one are all on the stack.
    const stack: Network[] = [];
    for (const network of networks) {
      while (stack.length > 0 && !prefixContains(stack.at(-1)!.prefix, network.prefix.ip)) stack.pop();
      for (const outer of stack) {
        if (outer.portId === network.portId) continue;
        if (!isFull(network)) pairsOf(network).push([network, outer]);
        if (!isFull(outer)) pairsOf(outer).push([outer, network]);
      }
      stack.push(network);
    }
    return found;
  });
}

function byAddress(a: Prefix, b: Prefix): number {
  if (typeof a.ip !== typeof b.ip) return typeof a.ip === 'number' ? -1 : 1;
  return a.ip < b.ip ? -1 : a.ip > b.ip ? 1 : a.bits - b.bits;
}

/** Networks of this router port that another port of the router leads to as well. */
export function checkNetworks(port: PortNode, checking: Checking): Finding[] {
  const pairs = overlaps(port.deviceId, checking).get(port.id) ?? [];
  const prefixes = port.addresses.map((address) => formatPrefix(networkAt(address)));
  return pairs.map(([own, other]) => {
    const prefix = formatPrefix(own.prefix);
    const both = `${prefix} overlaps ${formatPrefix(other.prefix)} of ${checking.named('port', other.portId)}`;
    const where = checking.named('router', port.deviceId);
    const path = `/addresses/${prefixes.indexOf(prefix)}`;
    return conflict(path, `${both} on ${where}: choose another network`, [{ kind: 'port', id: other.portId }]);
  });
}
