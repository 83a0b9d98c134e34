// aya status: the whole on one page.

import type { Command } from 'commander';
import { columnsOf, rowOf } from './columns.ts';
import { type CliIo, type Context, contextOf, isAway } from './context.ts';
import { usage } from './exit.ts';
import { counted, formatTable } from './table.ts';
import { type StatusWatchOptions, watchStatus } from './watch.ts';

interface StatusOptions extends StatusWatchOptions {
  readonly watch?: boolean;
}

export function addStatus(program: Command, io: CliIo): void {
  program
    .command('status')
    .description('server, hosts, ports and drops on one page')
    .option('--watch', 'instead: print what hosts say of themselves, ports and addresses as it changes, until Ctrl-C')
    .option('--from <revision>', 'with --watch: all changes after this revision of status; none: from now on')
    .option('--host <host>', 'with --watch: of this host')
    .option('--kind <kind>', 'with --watch: alive, interface, port, mac or neighbour')
    .addHelpText('after', '\nExamples:\n  aya status\n  aya status --watch --host h1\n  aya status --watch --json')
    .action(async ({ watch, ...options }: StatusOptions, command: Command) => {
      const context = contextOf(io, command);
      if (watch === true) return watchStatus(context, options);
      const [stray] = Object.keys(options);
      if (stray !== undefined) throw usage(`--${stray} goes with --watch`);
      return status(context);
    });
}

async function status(context: Context): Promise<void> {
  const { client, names } = context;
  const version = await client.version();
  const { revision: statusRevision } = await client.statusPage({ limit: 1 });
  const hosts = await collect(client.list('host'));
  const ports = await collect(client.list('port'));
  const states = new Map<string, number>();
  for (const port of ports) {
    const state =
      port.hostId === undefined ? (port.peerId === undefined ? 'unplugged' : 'peered') : (port.status?.state ?? 'down');
    states.set(state, (states.get(state) ?? 0) + 1);
  }
  const drops = new Map<string, Drops>();
  const away: string[] = [];
  const lossy: string[] = [];
  for (const host of hosts) {
    try {
      const report = await client.counters(host.id);
      if (report.lost > 0) lossy.push(host.name || host.id);
      for (const { reason, words, packets } of report.drops) {
        drops.set(reason, { reason, words, packets: packets + (drops.get(reason)?.packets ?? 0) });
      }
    } catch (error) {
      if (!isAway(error)) throw error;
      away.push(host.name || host.id);
    }
  }
  if (context.json) {
    return context.outJson({
      version,
      statusRevision,
      hosts,
      ports: Object.fromEntries(states),
      drops: Object.fromEntries([...drops].map(([reason, { packets }]) => [reason, packets])),
      away,
    });
  }
  context.out(`${version.name} ${version.version} at ${client.url}, revision ${version.revision}\n\n`);
  const rows = [];
  for (const host of hosts) rows.push(await rowOf('host', host as never, names, context.io.nowMs()));
  context.out(rows.length === 0 ? 'no hosts\n' : formatTable(columnsOf('host'), rows));
  const list = [...states].map(([state, count]) => `${count} ${state}`).join(', ');
  context.out(`\n${counted(ports.length, 'port')}${list === '' ? '' : `: ${list}`}\n`);
  context.out(formatDrops([...drops.values()]));
  if (lossy.length > 0) context.out(`the counters are full, so sums are too low: ${lossy.join(', ')}\n`);
  if (away.length > 0) context.out(`not asked for drops, since away: ${away.join(', ')}\n`);
}

export interface Drops {
  readonly reason: string;
  readonly words: string;
  readonly packets: number;
}

/** `dropped 3 packets: no route (noRoute)`, the most frequent first, a line each. */
export function formatDrops(drops: readonly Drops[]): string {
  return drops
    .filter(({ packets }) => packets > 0)
    .sort((a, b) => b.packets - a.packets)
    .map(({ reason, words, packets }) => `dropped ${counted(packets, 'packet')}: ${words} (${reason})\n`)
    .join('');
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
