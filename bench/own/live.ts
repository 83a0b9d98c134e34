// Figures of the running agent: what the first packet of a flow waits for, how many misses a second go all the way
// (kernel, ring, agent, flow installed, packet sent on and received at the other host), and memory.
//
// A rule that looks at source ports makes every source port a flow of its own. It is there only for this.

import { randomUUID } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { NUMBERS, STRUCTS } from '../../src/datapath/contract.ts';
import { BpfMap, u32Bytes } from '../../src/datapath/ebpf/maps.ts';
import { closeFd, openPinnedMap } from '../../src/datapath/ebpf/sys.ts';
import type { Hypervisor } from '../../src/demo/deployment.ts';
import type { WovenAyatori } from '../beds/ayatori.ts';
import type { Bed } from '../beds/bed.ts';
import { perMs } from '../metrics.ts';
import { counting, PORTS, send } from '../tools.ts';
import type { OwnFigures } from './own.ts';

export interface Live {
  readonly traffic: string;
  readonly ayatori: WovenAyatori;
  readonly quick: boolean;
}

/** What is sent at once is at most what the ring holds while the agent is busy: 16 MiB at 400 bytes a record. */
const BURST_FLOWS = 12_000;
/** Of each of two guests. */
const BURSTS = { full: 4, quick: 1 } as const;
/** The agent's code is cold before. */
const WARM_FLOWS = 4000;
const IDLE_MS = 500;
const FIRST_PACKETS = { full: 1000, quick: 200 } as const;
/** The agent may have written its own budgets while packets were being sent. */
const TRIES = 3;
const FIRST_PORT = 1024;
const PORTS_END = 65_536;
const AMPLE = 10_000_000;
const NS_PER_US = 1000;
const KB_PER_MB = 1000;

export async function measureLive(live: Live): Promise<OwnFigures> {
  const { ayatori } = live;
  const host = ayatori.deployment.hypervisor('host1');
  const bedOf = (job: string): Bed => ayatori.beds.find((bed) => bed.job === job)!;
  const idle = memoryOf('agent_idle', host.agent.pid);
  await lookAtSourcePorts(ayatori);
  // From two guests: one may have 65,536 flows. The first of a kind brings its mask, and with it the agent's own budgets.
  const senders = ['l3', 'l2'].map((job) => new Sender(live, host, bedOf(job)));
  for (const sender of senders) await sender.misses(1);
  for (const sender of senders) await sender.misses(WARM_FLOWS);
  const first = await firstPackets(live, bedOf('l3'));
  const bursts = live.quick ? BURSTS.quick : BURSTS.full;
  const misses: number[] = [];
  for (const sender of senders) {
    for (let burst = 0; burst < bursts; burst++) {
      const seen = await sender.misses(BURST_FLOWS);
      if (seen !== undefined) misses.push(seen);
    }
  }
  if (misses.length === 0) throw new Error('of every burst of new flows some packets did not arrive');
  const flows = (await ayatori.deployment.client.counters(host.id)).agent.flows!;
  return {
    ...first,
    misses: { unit: 'k/s', runs: misses },
    agent_flows: { unit: 'flows', runs: [flows] },
    ...memoryOf('agent', host.agent.pid),
    ...idle,
    ...memoryOf('server', ayatori.deployment.serverProcess.pid),
  };
}

async function lookAtSourcePorts({ deployment, ports }: WovenAyatori): Promise<void> {
  const chainId = randomUUID();
  const match = { protocol: 17, sourcePorts: { from: 9, to: 9 } };
  const { revision } = await deployment.client.transaction([
    { op: 'create', kind: 'chain', value: { id: chainId, name: 'source ports' } },
    { op: 'create', kind: 'rule', value: { chainId, match: { ...match, not: [], invert: false }, action: 'drop' } },
    ...[ports.l2[0], ports.l3[0]].map(
      (id) => ({ op: 'update', kind: 'port', id, value: { inboundChainId: chainId } }) as const,
    ),
  ]);
  await deployment.live(revision);
}

/** A guest whose source ports are used once each: a second time they would be no misses. */
class Sender {
  readonly #live: Live;
  readonly #host: Hypervisor;
  readonly #bed: Bed;
  #port = FIRST_PORT;

  constructor(live: Live, host: Hypervisor, bed: Bed) {
    this.#live = live;
    this.#host = host;
    this.#bed = bed;
  }

  /** Thousands a second, over the time from the first to the last that arrives; undefined when some did not. */
  async misses(count: number): Promise<number | undefined> {
    const { traffic } = this.#live;
    const { sender, receiver, from, address } = this.#bed;
    for (let tries = 0; tries < TRIES && this.#port + count <= PORTS_END; tries++) {
      raiseBudgets(this.#host);
      const words = ['udp-flows', from, address, PORTS.count, this.#port, count];
      this.#port += count;
      const { packets, ns } = await counting(receiver, traffic, IDLE_MS, () => send(sender, traffic, words));
      if (packets === count) return perMs(packets, ns);
    }
    return undefined;
  }
}

/** The agent writes its own budgets again whenever the list of masks changes. */
function raiseBudgets({ host, id }: Hypervisor): void {
  const [path] = globSync(join(host.directory, 'bpf', id, `v${NUMBERS.CONTRACT_VERSION}`, 'settings'));
  const pinned = path === undefined ? undefined : openPinnedMap(path, 'settings');
  if (pinned === undefined) throw new Error(`the settings of ${host.name} are not pinned below ${host.directory}`);
  try {
    const map = new BpfMap(pinned);
    const settings = map.get(u32Bytes(0))!;
    const view = new DataView(settings.buffer);
    for (const field of ['miss_rate', 'miss_burst'] as const) view.setUint32(STRUCTS.settings.at[field], AMPLE, true);
    map.set(u32Bytes(0), settings);
  } finally {
    closeFd(pinned.fd);
  }
}

/** What the first round trip of a flow takes beyond its second: one miss, since the way back has its flow. */
async function firstPackets({ traffic, quick }: Live, bed: Bed): Promise<OwnFigures> {
  const count = quick ? FIRST_PACKETS.quick : FIRST_PACKETS.full;
  const seen = await send<Record<string, number>>(bed.sender, traffic, [
    'udp-first',
    bed.address,
    PORTS.udpEcho,
    count,
  ]);
  if (seen.lost !== 0) throw new Error(`${seen.lost} of ${count} first packets got no answer`);
  const us = (name: string) => ({ unit: 'µs', runs: [seen[name]! / NS_PER_US] });
  return { first_packet_added_p50: us('addedP50'), first_packet_added_p99: us('addedP99') };
}

/** All that is resident, and what of it is the process's own: the program itself is shared by all that run it. */
function memoryOf(name: string, pid: number): OwnFigures {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const mb = (field: string) => ({
    unit: 'MB',
    runs: [Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / KB_PER_MB],
  });
  return { [`${name}_memory`]: mb('VmRSS'), [`${name}_memory_own`]: mb('RssAnon') };
}
