// What the host has: its network interfaces and its routes to other hosts, as iproute2 tells them. Changes are noticed
// through `ip monitor`: any line of it means "look again".

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { lookup } from 'node:dns/promises';
import { promisify } from 'node:util';
import type { Log } from '../../lib/log.ts';
import { formatIp, type Ip, parseIp } from '../../packet/address.ts';
import type { Topology } from '../../topology/nodes.ts';
import type { Id } from '../../topology/resource.ts';
import type { InterfaceStatus } from '../../topology/status.ts';

export interface InterfaceInfo {
  readonly name: string;
  readonly ifindex: number;
  readonly mac: string;
  readonly mtuBytes: number;
  /** Administratively up. */
  readonly raised: boolean;
  /** Carries packets: taps and the like do not say and count as up. */
  readonly up: boolean;
  readonly addresses: readonly string[];
  /** Delivered by plain redirect: everything but a veth whose other end is in another namespace. */
  readonly tap: boolean;
  /** The bond, bridge or the like that it is a member of. */
  readonly master?: string;
  /** What its packets go through: the parent of a VLAN, the other end of a pair when that is in this namespace. */
  readonly parent?: string;
}

/** One end of a tunnel: addresses of this host and of another one in a zone that both are in. */
export interface TunnelEnds {
  readonly hostId: Id;
  readonly local: Ip;
  readonly remote: Ip;
}

/** What `agent.ts` needs to know of the machine; tests bring their own. */
export interface Machine {
  interfaces(): Promise<ReadonlyMap<string, InterfaceInfo>>;
  /** How packets to the other ends leave; those without a route now are left out. */
  routes(ends: readonly TunnelEnds[]): Promise<ReadonlyMap<Id, Route>>;
  /** The interfaces by which packets to these servers (URLs) leave; those without an address or a route are left out. */
  interfacesTo(servers: readonly string[]): Promise<ReadonlySet<string>>;
  raise(interfaceName: string): Promise<void>;
  /** Calls back, at once and not too often, when interfaces, addresses or routes may have changed. Returns its undo. */
  watch(onChange: () => void): () => void;
}

export interface Route extends TunnelEnds {
  readonly interfaceName: string;
}

/** The other hosts to which there is a tunnel: those of the first zone, by id, that both are in. */
export function tunnelEnds(hostId: Id, topology: Topology): TunnelEnds[] {
  const ends = new Map<Id, TunnelEnds>();
  for (const zone of [...topology.objects('tunnelZone').values()].sort((a, b) => (a.id < b.id ? -1 : 1))) {
    const own = zone.members.find((member) => member.hostId === hostId);
    const local = own === undefined ? undefined : parseIp(own.address);
    if (local === undefined) continue;
    for (const member of zone.members) {
      const remote = parseIp(member.address);
      if (member.hostId === hostId || remote === undefined || ends.has(member.hostId)) continue;
      ends.set(member.hostId, { hostId: member.hostId, local, remote });
    }
  }
  return [...ends.values()];
}

/** Devices that data paths of this program make for themselves; no business of ports, nor of people. */
const OWN_DEVICE = /^aya-(vx|inj[01])$/;
export const isOwnDevice = (name: string): boolean => OWN_DEVICE.test(name);

/** What the host needs to be a host; with a port on it the host would be cut off, and could not be told to undo it. */
export type Lifelines = ReadonlySet<string>;

/**
 * Interfaces by which packets to servers and to other hosts leave (`used`), those with an address that tunnels start from
 * (`local`), and whatever carries these: members of bonds and bridges, parents of VLANs, and so on downwards.
 */
export function lifelinesAmong(
  interfaces: ReadonlyMap<string, InterfaceInfo>,
  used: Iterable<string>,
  local: ReadonlySet<Ip>,
): Lifelines {
  const members = Map.groupBy(interfaces.values(), ({ master }) => master);
  const own = [...interfaces.values()].filter(({ addresses }) =>
    addresses.some((address) => {
      const ip = parseIp(address.slice(0, address.indexOf('/')));
      return ip !== undefined && local.has(ip);
    }),
  );
  const lifelines = new Set([...used, ...own.map(({ name }) => name)]);
  // A set is walked through to what is added meanwhile.
  for (const name of lifelines) {
    for (const member of members.get(name) ?? []) lifelines.add(member.name);
    const parent = interfaces.get(name)?.parent;
    if (parent !== undefined) lifelines.add(parent);
  }
  return lifelines;
}

/** Why the interface cannot carry a port; undefined: it can. */
export function whyReserved({ name }: InterfaceInfo, lifelines: Lifelines): string | undefined {
  if (isOwnDevice(name)) return `interface ${name} is the data path's own device: bind the port to another one`;
  if (!lifelines.has(name)) return undefined;
  return `interface ${name} carries the tunnels of the host or its connection to a server: bind the port to another one`;
}

export function interfaceStatus(found: InterfaceInfo, portId: Id | undefined): InterfaceStatus {
  const { name, mac, mtuBytes, up, addresses } = found;
  return { kind: 'interface', id: name, mac, mtuBytes, up, addresses, ...(portId === undefined ? {} : { portId }) };
}

const run = promisify(execFile);
/** Of an interface listing or a batch of routes. */
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
/** `ip monitor` that died is started again after this. */
const MONITOR_RESTART_MS = 1000;
/** It ends with the agent, however that ends. */
const MONITOR = ['--pdeathsig', 'KILL', 'ip', '-o', 'monitor', 'link', 'address', 'route'];
/** Lines of one change come together. */
const SETTLE_MS = 20;
/** A name server may be silent, the more so when the network is being changed. */
const LOOKUP_MS = 2000;

/** The machine, or rather the network namespace, that this process runs in. */
export function thisMachine(log: Log): Machine {
  return {
    interfaces: async () => parseInterfaces((await run('ip', ['-d', '-j', 'address', 'show'], LARGE)).stdout),
    routes: async (ends) => parseRoutes(await routeOutput(ends), ends),
    interfacesTo,
    raise: async (name) => void (await run('ip', ['link', 'set', 'dev', name, 'up'])),
    watch: (onChange) => watchInterfaces(onChange, log),
  };
}

const LARGE = { maxBuffer: OUTPUT_BYTES_MAX };

/** One process for all; an address without a route makes it complain and go on. */
const routeOutput = (ends: readonly TunnelEnds[]): Promise<string> =>
  askRoutes(ends.map((end) => `${formatIp(end.remote)} from ${formatIp(end.local)}`));

async function interfacesTo(servers: readonly string[]): Promise<ReadonlySet<string>> {
  const hosts = servers.map((server) => new URL(server).hostname.replace(/^\[|\]$/g, ''));
  const found = await Promise.all(hosts.map((host) => within(LOOKUP_MS, lookup(host, { all: true }), [])));
  const addresses = found.flat().map(({ address }) => address);
  const names = new Set<string>();
  if (addresses.length === 0) return names;
  for (const line of (await askRoutes(addresses)).split('\n')) {
    if (line === '') continue;
    const [route] = JSON.parse(line) as { readonly dev?: string }[];
    if (route?.dev !== undefined) names.add(route.dev);
  }
  return names;
}

/** The value, or the other one when it is late or fails. */
async function within<T>(limitMs: number, value: Promise<T>, otherwise: T): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<T>((resolve) => {
    timer = setTimeout(() => resolve(otherwise), limitMs);
  });
  try {
    return await Promise.race([value.catch(() => otherwise), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** `ip route get` of each; a line of output for each that has a route. */
function askRoutes(questions: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile('ip', ['-force', '-j', '-batch', '-'], LARGE, (error, stdout) => {
      if (error !== null && typeof error.code !== 'number') reject(error);
      else resolve(stdout);
    });
    child.stdin?.on('error', reject);
    child.stdin?.end(questions.map((question) => `route get ${question}\n`).join(''));
  });
}

interface IpLink {
  readonly ifindex: number;
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly operstate: string;
  readonly address?: string;
  readonly master?: string;
  /** Another interface of this namespace; for one elsewhere there is a number in its place. */
  readonly link?: string | null;
  readonly link_netnsid?: number;
  readonly linkinfo?: { readonly info_kind?: string };
  readonly addr_info?: readonly { readonly local?: string; readonly prefixlen?: number }[];
}

/** The output of `ip -d -j address show`, without loopback. */
export function parseInterfaces(json: string): Map<string, InterfaceInfo> {
  const found = new Map<string, InterfaceInfo>();
  for (const link of JSON.parse(json) as IpLink[]) {
    if (link.ifname === undefined || link.flags.includes('LOOPBACK')) continue;
    found.set(link.ifname, {
      name: link.ifname,
      ifindex: link.ifindex,
      mac: link.address ?? '',
      mtuBytes: link.mtu,
      raised: link.flags.includes('UP'),
      up: link.flags.includes('UP') && (link.operstate === 'UP' || link.operstate === 'UNKNOWN'),
      addresses: (link.addr_info ?? []).flatMap(({ local, prefixlen }) =>
        local === undefined ? [] : [`${local}/${prefixlen}`],
      ),
      tap: !(link.linkinfo?.info_kind === 'veth' && link.link_netnsid !== undefined),
      ...(link.master === undefined ? {} : { master: link.master }),
      ...(typeof link.link === 'string' ? { parent: link.link } : {}),
    });
  }
  return found;
}

/** The output of a batch of `ip -j route get`, a line each, for those of the ends that it names. */
export function parseRoutes(output: string, ends: readonly TunnelEnds[]): Map<Id, Route> {
  const interfaceOf = new Map<Ip, string>();
  for (const line of output.split('\n')) {
    if (line === '') continue;
    const [route] = JSON.parse(line) as { readonly dst?: string; readonly dev?: string; readonly type?: string }[];
    const ip = parseIp(route?.dst ?? '');
    if (ip !== undefined && route?.dev !== undefined && (route.type ?? 'unicast') === 'unicast') {
      interfaceOf.set(ip, route.dev);
    }
  }
  const routes = new Map<Id, Route>();
  for (const end of ends) {
    const interfaceName = interfaceOf.get(end.remote);
    if (interfaceName !== undefined) routes.set(end.hostId, { ...end, interfaceName });
  }
  return routes;
}

function watchInterfaces(onChange: () => void, log: Log): () => void {
  let child: ChildProcess | undefined;
  let timer: NodeJS.Timeout | undefined;
  let settling: NodeJS.Timeout | undefined;
  let stopped = false;
  const start = (): void => {
    child = spawn('setpriv', MONITOR, { stdio: ['ignore', 'pipe', 'ignore'] });
    child.stdout?.on('data', () => {
      settling ??= setTimeout(() => {
        settling = undefined;
        onChange();
      }, SETTLE_MS);
    });
    child.on('error', (error) => log.error('ip monitor cannot be started: changes of interfaces go unseen', { error }));
    child.on('exit', () => {
      if (stopped) return;
      // What happened meanwhile went unseen, so look again as soon as it runs.
      timer = setTimeout(() => {
        start();
        onChange();
      }, MONITOR_RESTART_MS);
    });
  };
  start();
  return () => {
    stopped = true;
    clearTimeout(timer);
    clearTimeout(settling);
    child?.kill();
  };
}
