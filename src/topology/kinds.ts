// The table of kinds: it drives storage keys, the API's paths, references, the command line and the documentation.

import type { TObject } from 'typebox';
import { type Bridge, bridgeSchema } from './bridge.ts';
import { type Chain, chainSchema, type Rule, ruleSchema } from './chain.ts';
import { type DhcpHost, type DhcpSubnet, dhcpHostSchema, dhcpSubnetSchema } from './dhcp.ts';
import { type AddressSet, addressSetSchema, type PortGroup, portGroupSchema } from './group.ts';
import { type Host, hostSchema, type TunnelZone, tunnelZoneSchema } from './host.ts';
import { type Port, portSchema } from './port.ts';
import { type Project, projectSchema } from './project.ts';
import { type Route, routeSchema } from './route.ts';
import { type Router, routerSchema } from './router.ts';

export interface Objects {
  project: Project;
  bridge: Bridge;
  router: Router;
  port: Port;
  route: Route;
  chain: Chain;
  rule: Rule;
  addressSet: AddressSet;
  portGroup: PortGroup;
  dhcpSubnet: DhcpSubnet;
  dhcpHost: DhcpHost;
  host: Host;
  tunnelZone: TunnelZone;
}
export type Kind = keyof Objects;

export interface KindInfo {
  /** In the API's paths: /v1/<plural>. */
  readonly plural: string;
  /** On the command line: aya <noun>. */
  readonly noun: string;
  readonly schema: TObject;
  /** Properties that never change after create. */
  readonly fixed: readonly string[];
  /** The property that names the object it lives and dies with: deleting that one deletes this one. */
  readonly owner?: string;
}

export const KINDS: Readonly<Record<Kind, KindInfo>> = {
  project: { plural: 'projects', noun: 'project', schema: projectSchema, fixed: [] },
  bridge: { plural: 'bridges', noun: 'bridge', schema: bridgeSchema, fixed: [] },
  router: { plural: 'routers', noun: 'router', schema: routerSchema, fixed: [] },
  port: { plural: 'ports', noun: 'port', schema: portSchema, fixed: ['deviceId'] },
  route: { plural: 'routes', noun: 'route', schema: routeSchema, fixed: ['routerId'], owner: 'routerId' },
  chain: { plural: 'chains', noun: 'chain', schema: chainSchema, fixed: [] },
  rule: { plural: 'rules', noun: 'rule', schema: ruleSchema, fixed: ['chainId'], owner: 'chainId' },
  addressSet: { plural: 'address-sets', noun: 'address-set', schema: addressSetSchema, fixed: [] },
  portGroup: { plural: 'port-groups', noun: 'port-group', schema: portGroupSchema, fixed: [] },
  dhcpSubnet: {
    plural: 'dhcp-subnets',
    noun: 'dhcp',
    schema: dhcpSubnetSchema,
    fixed: ['bridgeId'],
    owner: 'bridgeId',
  },
  dhcpHost: { plural: 'dhcp-hosts', noun: 'dhcp-host', schema: dhcpHostSchema, fixed: ['subnetId'], owner: 'subnetId' },
  host: { plural: 'hosts', noun: 'host', schema: hostSchema, fixed: [] },
  tunnelZone: { plural: 'tunnel-zones', noun: 'zone', schema: tunnelZoneSchema, fixed: [] },
};
export const KIND_NAMES = Object.keys(KINDS) as Kind[];

/** Any stored object together with its kind. */
export type Resource = { [K in Kind]: { readonly kind: K; readonly value: Objects[K] } }[Kind];
export interface ResourceRef {
  readonly kind: Kind;
  readonly id: string;
}
