// simulate() alone, on the topology of the demo: packets of both families between guests of one bridge, of two bridges
// of one tenant, and of two tenants.

import type { Operation } from '../../src/client/client.ts';
import { CLOUD, Ids, joiningOperations, operationsOf, vmsOf } from '../../src/demo/cloud.ts';
import { keyOfFrame } from '../../src/flow/key.ts';
import { frameOf } from '../../src/packet/words.ts';
import type { Arrival, Learned } from '../../src/simulate/result.ts';
import { simulate } from '../../src/simulate/simulate.ts';
import { parseDocument } from '../../src/topology/document.ts';
import type { Kind, Resource } from '../../src/topology/kinds.ts';
import type { Topology } from '../../src/topology/nodes.ts';
import { applyChanges, emptyTopology } from '../../src/topology/snapshot.ts';
import type { OwnFigures } from './own.ts';

const RUNS = { full: { runs: 7, packets: 100_000 }, quick: { runs: 3, packets: 20_000 } } as const;
/** Guests of the demo have addresses that are configured: nothing has to be learned. */
const NOTHING_LEARNED: Learned = { macPort: () => undefined, neighbour: () => undefined };
/** By how far a packet goes. */
const WAYS = {
  bridge: ['red-web-1', 'red-web-3'],
  router: ['red-web-1', 'red-db-1'],
  tenants: ['red-web-2', 'blue-web-1'],
} as const;
const NS_PER_MS = 1e6;

/** Each way by itself, and all of them in turn. */
export function measureSimulation(quick: boolean): OwnFigures {
  const { runs, packets } = quick ? RUNS.quick : RUNS.full;
  const { topology, ids } = demoTopology();
  const ways = Object.entries(WAYS).map(([name, [from, to]]) => [name, arrivalsOf(topology, ids, from, to)] as const);
  for (const [name, arrivals] of ways) {
    for (const arrival of arrivals) {
      const { verdict, why } = simulate(arrival, topology, NOTHING_LEARNED);
      if (verdict !== 'forward') throw new Error(`${name}: a packet is not forwarded but: ${verdict}, ${why}`);
    }
  }
  const kiloPerSecond = (arrivals: readonly Arrival[]): number => {
    const start = process.hrtime.bigint();
    for (let at = 0; at < packets; at++) simulate(arrivals[at % arrivals.length]!, topology, NOTHING_LEARNED);
    return packets / (Number(process.hrtime.bigint() - start) / NS_PER_MS);
  };
  const all = ways.flatMap(([, arrivals]) => arrivals);
  kiloPerSecond(all);
  const rate = (arrivals: readonly Arrival[]) => ({
    unit: 'k/s',
    runs: Array.from({ length: runs }, () => kiloPerSecond(arrivals)),
  });
  return {
    simulate: rate(all),
    ...Object.fromEntries(ways.map(([name, arrivals]) => [`simulate_${name}`, rate(arrivals)])),
  };
}

/** The demo's cloud with all tenants joined, as a snapshot; numbers as a server would give them. */
export function demoTopology(): { readonly topology: Topology; readonly ids: Ids } {
  const ids = new Ids();
  const hosts = new Map(CLOUD.hosts.map((name, at) => [name, { id: ids.of(name), address: `172.31.${at + 1}.2` }]));
  const operations = [
    ...CLOUD.hosts.map((name): Operation => ({ op: 'create', kind: 'host', value: { id: ids.of(name), name } })),
    ...operationsOf(CLOUD, ids, hosts),
    ...joiningOperations(CLOUD, ids),
  ];
  const put = operations.map((operation, at) => resourceOf(operation, at + 1));
  const byId = new Map(put.map(({ value }) => [value.id, value as Record<string, unknown>]));
  for (const { kind, value } of put) {
    const port = value as Record<string, unknown>;
    if (kind !== 'port') continue;
    port.deviceKind = byId.get(port.deviceId as string)?.floodKey === undefined ? 'router' : 'bridge';
    const peer = byId.get(port.peerId as string);
    if (peer !== undefined) peer.peerId = port.id;
  }
  return { topology: applyChanges(emptyTopology(), { revision: 1, put, del: [] }).topology, ids };
}

/** What a server assigns is made up: `number` is nobody else's. */
function resourceOf(operation: Operation, number: number): Resource {
  if (operation.op !== 'create') throw new Error('the cloud of the demo is made of creations only');
  const kind: Kind = operation.kind;
  const parsed = parseDocument(kind, { id: new Ids().of(kind), ...operation.value }, 'create');
  if (parsed.problems !== undefined) throw new Error(`${kind}: ${JSON.stringify(parsed.problems)}`);
  const value: Record<string, unknown> = { ...parsed.value, revision: 1, createdAt: '', updatedAt: '' };
  if (kind === 'port') {
    value.tunnelKey = number;
    value.mac ??= `02:ff:00:00:00:${number.toString(16).padStart(2, '0')}`;
  }
  if (kind === 'bridge') value.floodKey = number;
  return { kind, value } as unknown as Resource;
}

function arrivalsOf(topology: Topology, ids: Ids, from: string, to: string): Arrival[] {
  const vms = new Map(vmsOf(CLOUD).map((vm) => [vm.name, vm]));
  const [a, b] = [vms.get(from)!, vms.get(to)!];
  const [here, there] = [topology.port(ids.of(from))!, topology.port(ids.of(to))!];
  const way = here.deviceId === there.deviceId ? b.mac : macOfGateway(topology, ids, from);
  return [
    `eth(${a.mac}, ${way}) ip(${a.address}, ${b.address}) tcp(40000, 80, syn)`,
    `eth(${a.mac}, ${way}) ip6(${a.address6}, ${b.address6}) udp(40000, 53) bytes(22)`,
  ].map((words) => {
    const frame = frameOf(words);
    const found = keyOfFrame(frame, here.number);
    if ('drop' in found) throw new Error(`${words} is no packet`);
    return { key: found.key, frame, lengthBytes: frame.length - 14 };
  });
}

function macOfGateway(topology: Topology, ids: Ids, guest: string): string {
  const bridge = CLOUD.tenants
    .flatMap(({ bridges }) => bridges)
    .find(({ vms }) => vms.some(({ name }) => name === guest))!;
  return topology.object('port', ids.of(`${bridge.name} gateway`))!.mac!;
}
