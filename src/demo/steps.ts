// The steps of the demo: what is done, what is expected, what was seen. Everything is measured with programs that know
// nothing of Ayatori.

import { iperf } from '../lab/iperf.ts';
import { median, type PingError, type PingResult, ping } from '../lab/ping.ts';
import { learnedPathMtu, traceroute } from '../lab/traceroute.ts';
import { addressOf, joiningOperations, NOWHERE, NOWHERE6, SMALL_MTU_BYTES } from './cloud.ts';
import type { World } from './world.ts';

export interface Outcome {
  readonly ok: boolean;
  readonly seen: string;
  /** Latency or throughput. */
  readonly figure?: string;
}
export interface Step {
  readonly name: string;
  readonly expected: string;
  run(world: World): Promise<Outcome>;
}

type Family = 4 | 6;
const FAMILIES = [4, 6] as const;
const PINGS = 20;

export const STEPS: readonly Step[] = [
  {
    name: 'DHCPv4',
    expected: 'each VM has its address, router and MTU',
    async run(world) {
      const start = performance.now();
      const guests = [...world.guests.values()];
      const wrong: string[] = [];
      let slowestMs = 0;
      for (const { name, vms, gateway, mtuBytes } of world.plan.tenants.flatMap(({ bridges }) => bridges)) {
        await Promise.all(
          vms.map(async (vm) => {
            const lease = await world.lease(world.guest(vm.name));
            slowestMs = Math.max(slowestMs, performance.now() - start);
            const right =
              lease.ip_address === vm.address &&
              lease.routers === gateway &&
              (mtuBytes === undefined || lease.interface_mtu === String(mtuBytes));
            if (!right) wrong.push(`${vm.name} on ${name} got ${lease.ip_address}, router ${lease.routers}`);
          }),
        );
      }
      const seen = `${guests.length - wrong.length} of ${guests.length} leases right`;
      return { ok: wrong.length === 0, seen: [seen, ...wrong].join('; '), figure: `all in ${seconds(slowestMs)}` };
    },
  },
  {
    name: 'router advertisement',
    expected: 'each VM made its IPv6 address',
    async run(world) {
      const start = performance.now();
      const guests = [...world.guests.values()];
      const times = await Promise.all(guests.map((guest) => world.advertised(guest)));
      const figure = `all in ${seconds(Math.max(...times) - start)}`;
      return { ok: true, seen: `${times.length} of ${guests.length} addresses right`, figure };
    },
  },
  ...pings('one bridge, one host', 'red-web-1', 'red-web-2'),
  ...pings('one bridge, two hosts', 'red-web-1', 'red-web-3'),
  ...pings('routed, two hosts', 'red-web-1', 'red-db-1'),
  throughput('one bridge, two hosts', 'red-web-1', 'red-web-3', 4),
  throughput('routed, two hosts', 'red-web-1', 'red-db-1', 4),
  throughput('routed, two hosts', 'red-web-1', 'red-db-1', 6),
  ...FAMILIES.map(oversized),
  ...FAMILIES.map(unroutable),
  {
    name: 'rule blocks',
    expected: 'no ping passes, TCP still does',
    async run(world) {
      const [from, to] = [world.guest('red-web-1'), world.guest('red-web-3')];
      const liveMs = await world.change([
        { op: 'create', kind: 'chain', value: { id: world.ids.of('guard'), name: 'guard' } },
        {
          op: 'create',
          kind: 'rule',
          value: {
            chainId: world.ids.of('guard'),
            match: { protocol: 1, source: `${from.plan.address}/32` },
            action: 'drop',
          },
        },
        {
          op: 'update',
          kind: 'port',
          id: world.ids.of('red-web-3'),
          value: { outboundChainId: world.ids.of('guard') },
        },
      ]);
      const blocked = await ping(from.namespace, to.plan.address, { count: 5, intervalMs: 20, waitMs: 500 });
      const tcp = await iperf(from.namespace, to.namespace, to.plan.address, { seconds: 1 });
      return {
        ok: blocked.received === 0 && tcp.bitsPerSecond > 0,
        seen: `${received(blocked)}, TCP at ${rate(tcp.bitsPerSecond)}`,
        figure: `live in ${milliseconds(liveMs)}`,
      };
    },
  },
  {
    name: 'rule removed',
    expected: 'every ping passes',
    async run(world) {
      const liveMs = await world.change([
        { op: 'update', kind: 'port', id: world.ids.of('red-web-3'), value: { outboundChainId: null } },
        { op: 'delete', kind: 'chain', id: world.ids.of('guard') },
      ]);
      const result = await pingGuest(world, 'red-web-1', 'red-web-3', 4);
      return { ok: whole(result), seen: received(result), figure: `live in ${milliseconds(liveMs)}` };
    },
  },
  ...FAMILIES.map(isolated),
  {
    name: 'tenants joined',
    expected: 'every ping passes, both families',
    async run(world) {
      const liveMs = await world.change(joiningOperations(world.plan, world.ids));
      const results = [];
      for (const family of FAMILIES) results.push(await pingGuest(world, 'red-web-1', 'blue-web-2', family));
      return {
        ok: results.every(whole),
        seen: results.map(received).join(', '),
        figure: `live in ${milliseconds(liveMs)}, ${latency(results[0]!)}`,
      };
    },
  },
  ...FAMILIES.map(hops),
  throughput('between tenants', 'red-web-1', 'blue-web-2', 4),
  {
    name: 'host audit',
    expected: 'no difference on any host',
    async run(world) {
      const start = performance.now();
      const reports = await world.deployment.audit();
      const differences = reports.flatMap(({ name, differences: found }) =>
        found.map(({ flow, installed, expected }) => `${name}: ${flow} does ${installed}, should ${expected}`),
      );
      const flows = reports.reduce((sum, report) => sum + report.flows, 0);
      return {
        ok: differences.length === 0,
        seen: [`${differences.length} differences in ${flows} flows`, ...differences.slice(0, 5)].join('; '),
        figure: milliseconds(performance.now() - start),
      };
    },
  },
  {
    name: 'logs',
    expected: 'no warning, no error',
    async run(world) {
      const troubles = world.deployment.troubles();
      return { ok: troubles.length === 0, seen: [`${troubles.length} lines`, ...troubles.slice(0, 5)].join('; ') };
    },
  },
];

function pings(where: string, from: string, to: string): Step[] {
  return FAMILIES.map((family) => ({
    name: `ping${suffix(family)}, ${where}`,
    expected: `${PINGS} of ${PINGS}`,
    async run(world) {
      const result = await pingGuest(world, from, to, family);
      return { ok: whole(result), seen: received(result), figure: latency(result) };
    },
  }));
}

function throughput(where: string, from: string, to: string, family: Family): Step {
  return {
    name: `TCP${suffix(family)}, ${where}`,
    expected: 'iperf3 runs for 2 s',
    async run(world) {
      const server = world.guest(to);
      const result = await iperf(world.guest(from).namespace, server.namespace, address(server.plan, family));
      const figure = rate(result.bitsPerSecond);
      return { ok: result.bitsPerSecond > 0, seen: `${result.retransmits} retransmits`, figure };
    },
  };
}

/** A packet that is larger than the link behind the router, and what the guest's kernel makes of the answer. */
function oversized(family: Family): Step {
  const name = family === 4 ? 'fragmentation needed' : 'packet too big';
  // 1500 bytes with the IP and ICMP headers, as large as the guest's own link takes.
  const payloadBytes = family === 4 ? 1472 : 1452;
  return {
    name,
    expected: `the router says MTU ${SMALL_MTU_BYTES}, the guest heeds it`,
    async run(world) {
      const guest = world.guest('red-web-1');
      const to = address(world.guest('red-db-1').plan, family);
      const [web] = world.plan.tenants[0]!.bridges;
      const router = family === 4 ? web!.gateway : web!.gateway6;
      const large = await ping(guest.namespace, to, { count: 1, payloadBytes, dontFragment: true });
      const learned = await learnedPathMtu(guest.namespace, to);
      const fitting = { payloadBytes: payloadBytes - (1500 - SMALL_MTU_BYTES), dontFragment: true };
      const fits = await ping(guest.namespace, to, fitting);
      const error = large.errors[0];
      return {
        ok:
          error?.from === router &&
          error.mtuBytes === SMALL_MTU_BYTES &&
          large.received === 0 &&
          learned === SMALL_MTU_BYTES &&
          whole(fits),
        seen: `${told(error)}; path MTU ${learned ?? 'unknown'}; ${received(fits)} that fit`,
      };
    },
  };
}

function unroutable(family: Family): Step {
  return {
    name: `no route${suffix(family)}`,
    expected: 'the provider router says unreachable',
    async run(world) {
      const from = world.guest('red-web-1').namespace;
      const result = await ping(from, family === 4 ? NOWHERE : NOWHERE6, { waitMs: 500 });
      return refused(result, providerAddress(world, family));
    },
  };
}

/** No route leads from one tenant to the other: each side is told so by the first router that knows none. */
function isolated(family: Family): Step {
  return {
    name: `tenants apart${suffix(family)}`,
    expected: 'routers say unreachable, both ways',
    async run(world) {
      const [red, blue] = [world.guest('red-web-1'), world.guest('blue-web-2')];
      const out = await ping(red.namespace, address(blue.plan, family), { waitMs: 500 });
      const back = await ping(blue.namespace, address(red.plan, family), { waitMs: 500 });
      const [web] = world.plan.tenants[1]!.bridges;
      const [there, here] = [
        refused(out, providerAddress(world, family)),
        refused(back, family === 4 ? web!.gateway : web!.gateway6),
      ];
      return { ok: there.ok && here.ok, seen: `${there.seen}; ${here.seen}` };
    },
  };
}

/** Of the provider's port towards the first tenant. */
const providerAddress = (world: World, family: Family): string =>
  addressOf(world.plan.tenants[0]!.uplink.provider[family === 4 ? 0 : 1]!);

function refused(result: PingResult, router: string): Outcome {
  const error = result.errors.find(({ text }) => /unreachable/i.test(text));
  const ok = result.received === 0 && error?.from === router;
  const passed = result.received > 0 ? `${received(result)} passed, ` : '';
  return { ok, seen: `${passed}${told(error ?? result.errors[0])}` };
}

function hops(family: Family): Step {
  return {
    name: `traceroute${suffix(family)}`,
    expected: 'red, provider, blue, VM',
    async run(world) {
      const [red, blue] = world.plan.tenants;
      const target = address(world.guest('blue-web-2').plan, family);
      const at = family === 4 ? 0 : 1;
      const [web] = red!.bridges;
      const expected = [
        family === 4 ? web!.gateway : web!.gateway6,
        addressOf(red!.uplink.provider[at]!),
        addressOf(blue!.uplink.router[at]!),
        target,
      ];
      const found = await traceroute(world.guest('red-web-1').namespace, target);
      const seen = found.map((hop) => `${hop.address ?? '*'}${hop.note ? ` ${hop.note}` : ''}`).join(' ');
      return { ok: seen === expected.join(' '), seen };
    },
  };
}

function pingGuest(world: World, from: string, to: string, family: Family): Promise<PingResult> {
  const target = address(world.guest(to).plan, family);
  return ping(world.guest(from).namespace, target, { count: PINGS, intervalMs: 20 });
}

const address = (plan: { readonly address: string; readonly address6: string }, family: Family): string =>
  family === 4 ? plan.address : plan.address6;

const whole = (result: PingResult): boolean =>
  result.sent > 0 && result.received === result.sent && result.duplicates === 0 && result.errors.length === 0;

function received(result: PingResult): string {
  const twice = result.duplicates > 0 ? `, ${result.duplicates} twice` : '';
  return `${result.received} of ${result.sent}${twice}`;
}

const told = (error: PingError | undefined): string =>
  error ? `${error.from ?? 'own kernel'}: ${error.text.replace(/^Destination /, '')}` : 'no ICMP error';

/** The first packet meets no flow; the others do. */
function latency(result: PingResult): string {
  const [first, ...others] = result.timesMs;
  if (first === undefined) return '';
  return `first ${milliseconds(first)}, then ${milliseconds(median(others))}`;
}

function suffix(family: Family): string {
  return family === 4 ? '' : ' v6';
}
const milliseconds = (ms: number): string => `${ms < 10 ? ms.toFixed(2) : ms.toFixed(0)} ms`;
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
const rate = (bitsPerSecond: number): string =>
  bitsPerSecond >= 1e9 ? `${(bitsPerSecond / 1e9).toFixed(1)} Gbit/s` : `${(bitsPerSecond / 1e6).toFixed(0)} Mbit/s`;
