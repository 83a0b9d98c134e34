// aya status: the whole on one page. aya watch: what changes, as it changes.

import type { Command } from 'commander';
import type { Answered } from '../client/client.ts';
import { KINDS } from '../topology/kinds.ts';
import { columnsOf, rowOf } from './columns.ts';
import { type CliIo, type Context, contextOf, isAway } from './context.ts';
import { CliError, EXIT } from './exit.ts';
import { counted, formatTable } from './table.ts';

export function addStatus(program: Command, io: CliIo): void {
  program
    .command('status')
    .description('server, hosts, ports and drops on one page')
    .addHelpText('after', '\nExample:\n  aya status')
    .action(async (_options: object, command: Command) => status(contextOf(io, command)));
  program
    .command('watch')
    .description('print changes as they happen, until Ctrl-C')
    .option('--from <revision>', 'all changes after this revision; none: from now on')
    .addHelpText('after', '\nExamples:\n  aya watch\n  aya watch --from 120 --json')
    .action(async (options: { readonly from?: string }, command: Command) =>
      watch(contextOf(io, command), options.from),
    );
}

async function status(context: Context): Promise<void> {
  const { client, names } = context;
  const version = await client.version();
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

async function watch(context: Context, from: string | undefined): Promise<void> {
  if (from !== undefined && !/^\d+$/.test(from)) throw new CliError(EXIT.usage, `--from is a revision, not ${from}`);
  const start = from === undefined ? (await context.client.version()).revision : Number(from);
  for await (const frame of context.client.watch(start, context.io.signal)) {
    if ('reset' in frame)
      throw new CliError(
        EXIT.missing,
        `the changes after revision ${start} are no longer kept: list, then watch again`,
      );
    if (!('put' in frame)) continue;
    if (context.json) {
      context.out(`${JSON.stringify(frame)}\n`);
      continue;
    }
    for (const { kind, value } of frame.put) {
      const named = (value as Answered<typeof kind>).name;
      context.out(`${frame.rev}  set      ${KINDS[kind].noun}  ${named === '' ? '' : `${named}  `}${value.id}\n`);
    }
    for (const { kind, id } of frame.del) context.out(`${frame.rev}  deleted  ${KINDS[kind].noun}  ${id}\n`);
  }
  if (!context.io.signal.aborted)
    throw new CliError(EXIT.unavailable, `${context.client.url} ended the watch: start it again`);
}
