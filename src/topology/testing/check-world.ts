// The world that the tests of checks change.

import { check } from '../check.ts';
import type { Kind, Objects, Resource, ResourceRef } from '../kinds.ts';
import { applyChanges, emptyTopology } from '../snapshot.ts';
import { putAll, sample, sampleId } from './samples.ts';

export const id = sampleId;
export const NOWHERE = '99999999-9999-4999-8999-999999999999';

export const port = (n: number, fields: Partial<Objects['port']>) => sample('port', n, fields);
export const guest = (n: number, fields: Partial<Objects['port']> = {}) =>
  port(n, { deviceId: id('bridge', 1), ...fields });
export const leg = (n: number, fields: Partial<Objects['port']> = {}) =>
  port(n, { deviceId: id('router', 1), ...fields });
export const route = (n: number, fields: Partial<Objects['route']>) =>
  sample('route', n, { routerId: id('router', 1), destination: '10.9.0.0/16', nextHop: 'port', ...fields });
export const rule = (n: number, fields: Partial<Objects['rule']> = {}, match: Partial<Objects['rule']['match']> = {}) =>
  sample('rule', n, {
    chainId: id('chain', 1),
    action: 'accept',
    match: { not: [], invert: false, ...match },
    ...fields,
  });
export const subnet = (n: number, fields: Partial<Objects['dhcpSubnet']>) =>
  sample('dhcpSubnet', n, { bridgeId: id('bridge', 1), prefix: '10.5.0.0/24', gateway: '10.5.0.1', ...fields });
export const lease = (n: number, fields: Partial<Objects['dhcpHost']>) =>
  sample('dhcpHost', n, { subnetId: id('dhcpSubnet', 1), mac: '02:00:00:00:05:09', address: '10.5.0.9', ...fields });

/** Two bridges, two routers, a wire between, chains that jump: nothing wrong with it. */
export const WORLD: Resource[] = [
  sample('project', 1, { name: 'red', quotas: { bridge: 1 } }),
  sample('project', 2, { name: 'blue' }),
  sample('host', 1, { name: 'h1' }),
  sample('host', 2, { name: 'h2' }),
  sample('bridge', 1, { name: 'lan', projectId: id('project', 1) }),
  sample('bridge', 2, { name: 'dmz' }),
  sample('router', 1, { name: 'r1' }),
  sample('router', 2, { name: 'r2' }),
  guest(1, {
    name: 'web',
    mac: '02:00:00:00:00:01',
    addresses: ['10.1.0.11/24'],
    hostId: id('host', 1),
    interfaceName: 'tap1',
  }),
  guest(2, { name: 'to r1', peerId: id('port', 3), projectId: id('project', 1) }),
  leg(3, {
    name: 'to lan',
    mac: '02:00:00:00:00:03',
    addresses: ['10.1.0.1/24', 'fd00:1::1/64'],
    peerId: id('port', 2),
    portGroupIds: [id('portGroup', 1)],
  }),
  leg(4, { name: 'uplink', mac: '02:00:00:00:00:04', addresses: ['192.0.2.2/24'], projectId: id('project', 2) }),
  port(5, { name: 'other', deviceId: id('router', 2), mac: '02:00:00:00:00:05' }),
  port(6, { name: 'trunk', deviceId: id('bridge', 2) }),
  guest(7, { name: 'spare' }),
  guest(8, { name: 'vlan 5', mac: '02:00:00:00:00:08', vlan: 5 }),
  sample('portGroup', 1, { name: 'edge', stateful: true }),
  sample('portGroup', 2, { name: 'more', stateful: true }),
  sample('portGroup', 3, { name: 'plain' }),
  route(1, { name: 'default', destination: '0.0.0.0/0', portId: id('port', 4), gateway: '192.0.2.1' }),
  sample('chain', 1, { name: 'in' }),
  sample('chain', 2, { name: 'web' }),
  sample('chain', 3, { name: 'log' }),
  rule(
    1,
    { name: 'to web', position: 10, action: 'jump', jumpChainId: id('chain', 2) },
    { sourceSetId: id('addressSet', 1) },
  ),
  rule(2, { chainId: id('chain', 2), position: 10, action: 'jump', jumpChainId: id('chain', 3) }),
  sample('addressSet', 1, { name: 'office', addresses: ['198.51.100.0/24'] }),
  subnet(1, { name: 'guests' }),
  lease(1, { name: 'printer' }),
  sample('tunnelZone', 1, { name: 'underlay', members: [{ hostId: id('host', 1), address: '172.16.0.1' }] }),
];

export const before = applyChanges(emptyTopology(), putAll(...WORLD)).topology;

export const del = (...refs: ResourceRef[]): ResourceRef[] => refs;
export const ref = (kind: Kind, n: number): ResourceRef => ({ kind, id: id(kind, n) });

/** All that is said about a change of the world: status, code, path, message; #n stands for the id of object n. */
export function problems(put: readonly Resource[], deleted: readonly ResourceRef[] = []): string[] {
  const change = { revision: 2, put, del: deleted };
  const { topology: after } = applyChanges(before, change);
  return check(change, before, after).map(
    ({ code, status, path, message }) =>
      `${status} ${code} ${path} ${message.replaceAll(/ ?\(?[0-9a-f]{8}-0000-4000-8000-0*([0-9a-f]+)\)?/g, (_, n: string) => `#${Number.parseInt(n, 16)}`)}`,
  );
}

/** A change, and all that is said about it. */
export type Row = readonly [what: string, put: readonly Resource[], expected: readonly string[]];
