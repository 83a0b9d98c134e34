// The cloud of the demo as data, and as the API objects that it is made of.
//
//   red-web 10.1.1.0/24 ─┐                                       ┌─ blue-web 10.2.1.0/24
//                        red ── 100.64.1.0/30 ── provider ── 100.64.2.0/30 ── blue
//   red-db  10.1.2.0/24 ─┘      fd00:ff:1::/64           fd00:ff:2::/64     └─ blue-db  10.2.2.0/24
//   (MTU 1400)
//
// Each bridge of 10.T.B.0/24 is fd00:T:B::/64 as well; the router is .1 and ::1 on it.

import { randomUUID } from 'node:crypto';
import type { Operation } from '../client/client.ts';

export interface VmPlan {
  readonly name: string;
  readonly host: string;
  readonly mac: string;
  /** Lent by DHCP. */
  readonly address: string;
  /** Made by the guest from the advertised prefix and its MAC (RFC 4862, RFC 4291 appendix A). */
  readonly address6: string;
}
export interface BridgePlan {
  readonly name: string;
  readonly network: string;
  readonly network6: string;
  readonly gateway: string;
  readonly gateway6: string;
  readonly mtuBytes?: number;
  readonly vms: readonly VmPlan[];
}
export interface TenantPlan {
  /** Of the project and of its router. */
  readonly name: string;
  /** Everything of the tenant, for the provider's routes. */
  readonly networks: readonly string[];
  /** From the start there are a default route to the provider and the provider's routes back. */
  readonly attached: boolean;
  readonly uplink: {
    readonly router: readonly string[];
    readonly provider: readonly string[];
  };
  readonly bridges: readonly BridgePlan[];
}
export interface CloudPlan {
  readonly hosts: readonly string[];
  readonly tenants: readonly TenantPlan[];
}

export const SMALL_MTU_BYTES = 1400;
/** Nobody's (RFC 5737, RFC 3849): no route leads there. */
export const NOWHERE = '198.51.100.9';
export const NOWHERE6 = '2001:db8::9';

const bits = (address: string, length: number): string => `${address}/${length}`;

/** A bridge of tenant number `tenant` (1..9) with a VM on each of these hosts, in this order. */
export function bridgePlan(
  tenant: number,
  index: number,
  name: string,
  hosts: readonly string[],
  mtuBytes?: number,
): BridgePlan {
  const [net, net6] = [`10.${tenant}.${index}`, `fd00:${tenant}:${index}::`];
  const vms = hosts.map((host, at): VmPlan => {
    const number = at + 1;
    return {
      name: `${name}-${number}`,
      host,
      mac: `02:00:0${tenant}:0${index}:00:0${number}`,
      address: `${net}.${10 + number}`,
      address6: `${net6}${tenant}ff:fe0${index}:${number}`,
    };
  });
  const gateways = { gateway: `${net}.1`, gateway6: `${net6}1` };
  const sizes = mtuBytes === undefined ? {} : { mtuBytes };
  return { name, network: `${net}.0/24`, network6: `${net6}/64`, ...gateways, ...sizes, vms };
}

/** `attached`: see TenantPlan. */
export function tenantPlan(index: number, name: string, attached: boolean, bridges: readonly BridgePlan[]): TenantPlan {
  const link = (end: number) => [bits(`100.64.${index}.${end}`, 30), bits(`fd00:ff:${index}::${end}`, 64)];
  return {
    name,
    attached,
    networks: [`10.${index}.0.0/16`, `fd00:${index}::/32`],
    uplink: { router: link(2), provider: link(1) },
    bridges,
  };
}

export const CLOUD: CloudPlan = {
  hosts: ['host1', 'host2', 'host3'],
  tenants: [
    tenantPlan(1, 'red', true, [
      bridgePlan(1, 1, 'red-web', ['host1', 'host1', 'host2']),
      bridgePlan(1, 2, 'red-db', ['host3'], SMALL_MTU_BYTES),
    ]),
    tenantPlan(2, 'blue', false, [
      bridgePlan(2, 1, 'blue-web', ['host2', 'host3']),
      bridgePlan(2, 2, 'blue-db', ['host1']),
    ]),
  ],
};

export const vmsOf = (plan: CloudPlan): VmPlan[] =>
  plan.tenants.flatMap((each) => each.bridges.flatMap((one) => one.vms));

export const addressOf = (withLength: string): string => withLength.slice(0, withLength.indexOf('/'));

/** Ids of the objects by name, given out at the first asking. */
export class Ids {
  readonly #ids = new Map<string, string>();

  of(name: string): string {
    const id = this.#ids.get(name) ?? randomUUID();
    this.#ids.set(name, id);
    return id;
  }
}

export interface HostRecord {
  readonly id: string;
  /** Underlay. */
  readonly address: string;
}

/** All operations that weave the cloud, for one transaction. No route joins the tenants: only one is attached. */
export function operationsOf(plan: CloudPlan, ids: Ids, hosts: ReadonlyMap<string, HostRecord>): Operation[] {
  const members = [...hosts.values()].map(({ id, address }) => ({ hostId: id, address }));
  return [
    { op: 'create', kind: 'tunnelZone', value: { name: 'underlay', members } },
    { op: 'create', kind: 'router', value: { id: ids.of('provider'), name: 'provider' } },
    ...plan.tenants.flatMap((each) => tenantOperations(each, ids, hosts)),
  ];
}

function tenantOperations(plan: TenantPlan, ids: Ids, hosts: ReadonlyMap<string, HostRecord>): Operation[] {
  const projectId = ids.of(`project ${plan.name}`);
  const routerId = ids.of(plan.name);
  const uplinkId = ids.of(`${plan.name} uplink`);
  return [
    { op: 'create', kind: 'project', value: { id: projectId, name: plan.name } },
    { op: 'create', kind: 'router', value: { id: routerId, name: plan.name, projectId } },
    port(uplinkId, `${plan.name} uplink`, {
      projectId,
      deviceId: routerId,
      addresses: [...plan.uplink.router],
      peerId: ids.of(`provider ${plan.name}`),
    }),
    port(ids.of(`provider ${plan.name}`), `provider ${plan.name}`, {
      deviceId: ids.of('provider'),
      addresses: [...plan.uplink.provider],
    }),
    ...(plan.attached ? attachingOperations(plan, ids) : []),
    ...plan.bridges.flatMap((each) => bridgeOperations(each, { projectId, routerId }, ids, hosts)),
  ];
}

function bridgeOperations(
  plan: BridgePlan,
  owner: { readonly projectId: string; readonly routerId: string },
  ids: Ids,
  hosts: ReadonlyMap<string, HostRecord>,
): Operation[] {
  const { projectId, routerId } = owner;
  const bridgeId = ids.of(plan.name);
  const size = plan.mtuBytes === undefined ? {} : { mtuBytes: plan.mtuBytes };
  return [
    { op: 'create', kind: 'bridge', value: { id: bridgeId, name: plan.name, projectId, ...size } },
    port(ids.of(`${plan.name} gateway`), `${plan.name} gateway`, {
      projectId,
      deviceId: routerId,
      addresses: [bits(plan.gateway, 24), bits(plan.gateway6, 64)],
      peerId: ids.of(`${plan.name} router`),
      routerAdvertisement: {},
      ...size,
    }),
    port(ids.of(`${plan.name} router`), `${plan.name} router`, { projectId, deviceId: bridgeId }),
    {
      op: 'create',
      kind: 'dhcpSubnet',
      value: { projectId, bridgeId, prefix: plan.network, gateway: plan.gateway, dnsServers: [plan.gateway] },
    },
    ...plan.vms.map((vm) =>
      port(ids.of(vm.name), vm.name, {
        projectId,
        deviceId: bridgeId,
        mac: vm.mac,
        addresses: [bits(vm.address, 24), bits(vm.address6, 64)],
        antiSpoofing: true,
        hostId: hosts.get(vm.host)?.id,
        interfaceName: vm.name,
      }),
    ),
  ];
}

type PortDraft = Extract<Operation, { op: 'create'; kind: 'port' }>['value'];
const port = (id: string, name: string, value: PortDraft): Operation => ({
  op: 'create',
  kind: 'port',
  value: { id, name, ...value },
});

/** Routes of a tenant to the provider and back, of both families. */
function attachingOperations(plan: TenantPlan, ids: Ids): Operation[] {
  const route = (router: string, port: string, destination: string, gateway: string): Operation => ({
    op: 'create',
    kind: 'route',
    value: {
      routerId: ids.of(router),
      destination,
      nextHop: 'port',
      portId: ids.of(port),
      gateway: addressOf(gateway),
    },
  });
  return ['0.0.0.0/0', '::/0'].flatMap((everywhere, family) => [
    route(plan.name, `${plan.name} uplink`, everywhere, plan.uplink.provider[family]!),
    route('provider', `provider ${plan.name}`, plan.networks[family]!, plan.uplink.router[family]!),
  ]);
}

/** What lets all tenants reach each other: those that are not attached become so. */
export const joiningOperations = (plan: CloudPlan, ids: Ids): Operation[] =>
  plan.tenants.filter(({ attached }) => !attached).flatMap((each) => attachingOperations(each, ids));
