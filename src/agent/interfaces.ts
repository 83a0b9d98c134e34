// What the host has: its network interfaces and its routes to other hosts, as iproute2 tells them. Changes are noticed
// through `ip monitor`: any line of it means "look again".

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import type { UnderlayHost } from '../datapath/datapath.ts';
import type { Log } from '../lib/log.ts';
import { formatIp, type Ip, parseIp } from '../packet/address.ts';
import type { Topology } from '../topology/nodes.ts';
import type { Id } from '../topology/resource.ts';
import type { InterfaceStatus } from '../topology/status.ts';

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
  /** Undefined when there is no route now. */
  route(ends: TunnelEnds): Promise<UnderlayHost | undefined>;
  raise(interfaceName: string): Promise<void>;
  /** Calls back, at once and not too often, when interfaces or addresses may have changed. Returns its undo. */
  watch(onChange: () => void): () => void;
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

export function interfaceStatus(found: InterfaceInfo, portId: Id | undefined): InterfaceStatus {
  const { name, mac, mtuBytes, up, addresses } = found;
  return { kind: 'interface', id: name, mac, mtuBytes, up, addresses, ...(portId === undefined ? {} : { portId }) };
}

const run = promisify(execFile);
/** `ip monitor` that died is started again after this. */
const MONITOR_RESTART_MS = 1000;
/** Lines of one change come together. */
const SETTLE_MS = 20;

/** The machine, or rather the network namespace, that this process runs in. */
export function thisMachine(log: Log): Machine {
  return {
    interfaces: async () => {
      const { stdout } = await run('ip', ['-d', '-j', 'address', 'show'], { maxBuffer: 64 * 1024 * 1024 });
      return parseInterfaces(stdout);
    },
    route: async (ends) => {
      try {
        const { stdout } = await run('ip', [
          '-d',
          '-j',
          'route',
          'get',
          formatIp(ends.remote),
          'from',
          formatIp(ends.local),
        ]);
        const name = parseRoute(stdout);
        if (name === undefined) return undefined;
        const { stdout: link } = await run('ip', ['-j', 'link', 'show', 'dev', name]);
        const mtuBytes = (JSON.parse(link) as IpLink[])[0]?.mtu;
        return mtuBytes === undefined ? undefined : { ...endsOnly(ends), interfaceName: name, mtuBytes };
      } catch {
        // "Network is unreachable" and the like: no route now; the caller asks again.
        return undefined;
      }
    },
    raise: async (name) => void (await run('ip', ['link', 'set', 'dev', name, 'up'])),
    watch: (onChange) => watchInterfaces(onChange, log),
  };
}

const endsOnly = ({ local, remote }: TunnelEnds) => ({ local, remote });

interface IpLink {
  readonly ifindex: number;
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly operstate: string;
  readonly address?: string;
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
    });
  }
  return found;
}

/** The interface in the output of `ip -j route get`. */
export function parseRoute(json: string): string | undefined {
  const [route] = JSON.parse(json) as { readonly dev?: string; readonly type?: string }[];
  return route === undefined || (route.type ?? 'unicast') !== 'unicast' ? undefined : route.dev;
}

function watchInterfaces(onChange: () => void, log: Log): () => void {
  let child: ChildProcess | undefined;
  let timer: NodeJS.Timeout | undefined;
  let settling: NodeJS.Timeout | undefined;
  let stopped = false;
  const start = (): void => {
    child = spawn('ip', ['-o', 'monitor', 'link', 'address', 'route'], { stdio: ['ignore', 'pipe', 'ignore'] });
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
