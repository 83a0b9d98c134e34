// OVN, with the data path of Open vSwitch in user space: what runs where the kernel has no openvswitch module. Its
// databases and daemons are started here by hand, all on UNIX sockets below the lab's directory; no service of the
// machine is used.
//
//   northbound, southbound, ovn-northd                          on the first host
//   conf.db, ovs-vswitchd, ovn-controller; br-int, br-underlay   on each host

import { accessSync, constants, mkdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { ipBatch, run } from '../../src/lab/command.ts';
import { GUEST_INTERFACE, type Lab } from '../../src/lab/lab.ts';
import type { Namespace } from '../../src/lab/namespace.ts';
import { waitFor } from '../../src/lab/wait.ts';
import type { JobName } from '../names.ts';
import {
  addGuests,
  addressHosts,
  addressOf,
  bedOf,
  GUEST_MACS,
  PLANS,
  twoHosts,
  WIRE,
  WIRE_ADDRESSES,
  type Woven,
} from './bed.ts';

const SCHEMAS = {
  northbound: '/usr/share/ovn/ovn-nb.ovsschema',
  southbound: '/usr/share/ovn/ovn-sb.ovsschema',
  host: '/usr/share/openvswitch/vswitch.ovsschema',
} as const;
const PROGRAMS = [
  'ovsdb-tool',
  'ovsdb-server',
  'ovs-vsctl',
  'ovs-vswitchd',
  'ovn-nbctl',
  'ovn-northd',
  'ovn-controller',
] as const;
const UNDERLAY_BRIDGE = 'br-underlay';
/** A MAC for each port of the router, by the guest behind it. */
const ROUTER_MACS = ['02:00:00:00:72:f1', '02:00:00:00:72:f2'] as const;

/** Why OVN cannot be measured here; undefined: it can. `path`: where programs are looked for. */
export function whyNoOvn(path: string): string | undefined {
  const folders = path.split(delimiter);
  const missing = [
    ...PROGRAMS.filter((name) => !folders.some((folder) => isThere(join(folder, name)))),
    ...Object.values(SCHEMAS).filter((file) => !isThere(file)),
  ];
  if (missing.length === 0) return undefined;
  return `not installed (no ${missing[0]}): aya bench --install, or apt-get install ovn-central ovn-host openvswitch-switch`;
}

function isThere(file: string): boolean {
  try {
    accessSync(file, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

export async function weaveOvn(lab: Lab, jobs: readonly JobName[]): Promise<Woven> {
  const directory = join(lab.directory, 'ovn');
  mkdirSync(directory);
  const hosts = await twoHosts(lab, 'ovn');
  const northbound = await startCentral(hosts[0], directory);
  const chassis = await Promise.all(
    hosts.map((host, at) => startChassis(host, WIRE_ADDRESSES[at]!, directory, join(directory, 'central.sock'))),
  );
  await addressHosts(hosts, UNDERLAY_BRIDGE);
  const beds = [];
  for (const job of jobs) {
    const guests = await addGuests(lab, `ovn-${job}`, job, hosts, `guest-${job}`);
    // The data path in user space takes no packets with a partial checksum, and no super-packets.
    for (const guest of guests) await guest.run(['ethtool', '-K', GUEST_INTERFACE, 'tx', 'off']);
    await northbound(networkOf(job));
    for (const [at, vsctl] of chassis.entries()) await vsctl(portOf(job, at));
    beds.push(bedOf('ovn', job, guests));
  }
  await northbound(['--wait=hv', '--timeout=30', 'sync']);
  return { beds, hosts };
}

type Command = (words: readonly string[]) => Promise<unknown>;

/** Gives what writes to the northbound database. */
async function startCentral(host: Namespace, directory: string): Promise<Command> {
  const file = (name: string) => join(directory, name);
  await run(['ovsdb-tool', 'create', file('nb.db'), SCHEMAS.northbound]);
  await run(['ovsdb-tool', 'create', file('sb.db'), SCHEMAS.southbound]);
  const socket = file('central.sock');
  await serve(host, 'ovn-databases', [file('nb.db'), file('sb.db')], directory, 'central');
  await host.spawn('ovn-northd', [
    'ovn-northd',
    `--ovnnb-db=unix:${socket}`,
    `--ovnsb-db=unix:${socket}`,
    `--unixctl=${file('northd.ctl')}`,
  ]);
  return (words) => run(['ovn-nbctl', `--db=unix:${socket}`, ...words], { deadlineMs: 40_000 });
}

/** Gives what writes to the host's database. */
async function startChassis(host: Namespace, address: string, parent: string, central: string): Promise<Command> {
  const directory = join(parent, host.name);
  mkdirSync(directory);
  const file = (name: string) => join(directory, name);
  const socket = `unix:${file('conf.sock')}`;
  const environment = ['env', `OVS_RUNDIR=${directory}`, `OVN_RUNDIR=${directory}`, `OVS_LOGDIR=${directory}`];
  await run(['ovsdb-tool', 'create', file('conf.db'), SCHEMAS.host]);
  await serve(host, 'ovs-database', [file('conf.db')], directory, 'conf');
  const vsctl: Command = (words) =>
    host.run([...environment, 'ovs-vsctl', `--db=${socket}`, '--timeout=20', ...words], { deadlineMs: 25_000 });
  await vsctl(['--no-wait', 'init']);
  await host.spawn('ovs-vswitchd', [...environment, 'ovs-vswitchd', socket, `--unixctl=${file('vswitchd.ctl')}`]);
  await vsctl([
    ...['add-br', UNDERLAY_BRIDGE, '--', 'set', 'bridge', UNDERLAY_BRIDGE, 'datapath_type=netdev'],
    ...['--', 'add-port', UNDERLAY_BRIDGE, WIRE],
    ...['--', 'add-br', 'br-int', '--', 'set', 'bridge', 'br-int', 'datapath_type=netdev', 'fail-mode=secure'],
    ...['--', 'set', 'open_vswitch', '.', `external-ids:system-id=${host.name}`],
    `external-ids:ovn-remote=unix:${central}`,
    'external-ids:ovn-encap-type=geneve',
    `external-ids:ovn-encap-ip=${address}`,
    'external-ids:ovn-bridge-datapath-type=netdev',
  ]);
  await ipBatch(host.fullName, [`link set ${UNDERLAY_BRIDGE} mtu 1610 up`]);
  await host.spawn('ovn-controller', [...environment, 'ovn-controller', socket]);
  return vsctl;
}

/** A database server on `<name>.sock` below the directory. */
async function serve(host: Namespace, label: string, databases: readonly string[], directory: string, name: string) {
  const socket = join(directory, `${name}.sock`);
  await host.spawn(label, [
    'ovsdb-server',
    ...databases,
    `--remote=punix:${socket}`,
    `--unixctl=${join(directory, `${name}.ctl`)}`,
  ]);
  await waitFor(() => isThere(socket), { what: `${label} to listen` });
}

const switchPort = (job: JobName, at: number): string => `${job}-${at + 1}`;

/** The interface of the guest becomes the port of that name. */
const portOf = (job: JobName, at: number): string[] => [
  ...['add-port', 'br-int', `guest-${job}`],
  ...['--', 'set', 'interface', `guest-${job}`, `external-ids:iface-id=${switchPort(job, at)}`],
];

/** One switch for l2; two, with a router between them, for l3. */
function networkOf(job: JobName): string[] {
  const guest = (network: string, at: 0 | 1): string[] => [
    ...['--', 'lsp-add', network, switchPort(job, at)],
    ...['--', 'lsp-set-addresses', switchPort(job, at)],
    `${GUEST_MACS[job][at]} ${addressOf(PLANS[job].addresses[at])}`,
  ];
  if (job === 'l2') return ['ls-add', 'l2', ...guest('l2', 0), ...guest('l2', 1)];
  const side = (at: 0 | 1): string[] => {
    const [network, outlet, inlet] = [`l3-net${at + 1}`, `r-net${at + 1}`, `net${at + 1}-r`];
    return [
      ...['--', 'ls-add', network, ...guest(network, at)],
      ...['--', 'lrp-add', 'l3', outlet, ROUTER_MACS[at], `${PLANS.l3.gateways![at]}/24`],
      ...['--', 'lsp-add', network, inlet, '--', 'lsp-set-type', inlet, 'router'],
      ...['--', 'lsp-set-addresses', inlet, 'router', '--', 'lsp-set-options', inlet, `router-port=${outlet}`],
    ];
  };
  return ['lr-add', 'l3', ...side(0), ...side(1)];
}
