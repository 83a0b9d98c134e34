// The nodes of a random world, for comparison.

import type { RouterNode, Topology } from '../nodes.ts';
import type { Id } from '../resource.ts';
import { sampleId } from './samples.ts';

export const ids = (kind: 'bridge' | 'router' | 'port' | 'chain' | 'addressSet', most: number): Id[] =>
  Array.from({ length: most }, (_, n) => sampleId(kind, n + 1));
export const routesOf = (router: RouterNode | undefined) => [...(router?.routes.entries() ?? [])];

export const plainBridge = (topology: Topology, id: Id) => {
  const node = topology.bridge(id);
  return node && { ...node, macs: new Map(node.macs), neighbours: new Map(node.neighbours) };
};

/** Every node that there may be in a random world, as plain values by name. */
export function nodesOf(topology: Topology): Map<string, unknown> {
  const nodes = new Map<string, unknown>();
  for (const id of ids('port', 9)) nodes.set(`port ${id}`, topology.port(id));
  for (const id of ids('bridge', 4)) nodes.set(`bridge ${id}`, plainBridge(topology, id));
  for (const id of ids('router', 3)) {
    const router = topology.router(id);
    nodes.set(`router ${id}`, router && { ...router, routes: routesOf(router) });
  }
  for (const id of ids('chain', 5)) nodes.set(`chain ${id}`, topology.chain(id));
  for (const id of ids('addressSet', 3)) {
    const set = topology.addressSet(id);
    nodes.set(`addressSet ${id}`, set && { ...set, prefixes: [...set.prefixes.entries()] });
  }
  for (let n = 1; n < 10; n++) nodes.set(`number ${n}`, topology.portByNumber(n)?.id);
  for (let n = 1; n < 5; n++) nodes.set(`flood ${n}`, topology.bridgeByFlood(100_000 + n)?.id);
  return nodes;
}
