// aya host add|join-token|audit|flows|counters: hosts join, and are asked what is in their kernel.

import type { Command } from 'commander';
import type { Answered, CountersReport } from '../client/client.ts';
import { type CliIo, type Context, contextOf } from './context.ts';
import { CliError, EXIT, exitCodeOf, sentenceOf } from './exit.ts';
import { formatDrops } from './status.ts';
import { counted, formatAge, formatPairs, formatTable, type Row } from './table.ts';

export function addHostVerbs(group: Command, io: CliIo): void {
  group
    .command('add <name>')
    .description('create a host and print the join token that its agent needs, once')
    .addHelpText('after', '\nExample:\n  aya host add h1\n  (on h1)  export AYATORI_JOIN_TOKEN=…; aya agent')
    .action(async (name: string, _options: object, command: Command) => {
      const context = contextOf(io, command);
      // Names need not be unique, but a host that is added twice is one that was to join again.
      for await (const { id } of context.client.list('host', { name })) {
        throw new CliError(
          EXIT.conflict,
          `there is a host ${name} already (${id}): aya host join-token ${name} prints another token for it`,
        );
      }
      const host = await context.client.create('host', { name });
      await printJoinToken(context, host);
    });
  group
    .command('join-token <host>')
    .description('print another join token, for a host that is to join again')
    .addHelpText('after', '\nExample:\n  aya host join-token h1')
    .action(async (name: string, _options: object, command: Command) => {
      const context = contextOf(io, command);
      const id = await context.names.idOf(['host'], name);
      await printJoinToken(context, await context.client.get('host', id));
    });
  group
    .command('audit [host]')
    .description('compare every flow in the kernel of a host, or of all, with a fresh computation')
    .addHelpText(
      'after',
      `\nExamples:\n  aya host audit\n  aya host audit h1\n\nExit code ${EXIT.different}: there are differences.`,
    )
    .action(async (name: string | undefined, _options: object, command: Command) =>
      audit(contextOf(io, command), name),
    );
  group
    .command('flows <host>')
    .description('show the busiest flows in the kernel of a host')
    .addHelpText('after', '\nExample:\n  aya host flows h1')
    .action(async (name: string, _options: object, command: Command) => flows(contextOf(io, command), name));
  group
    .command('counters <host>')
    .description('show what a host has counted: ports, rules, drops, what came up to its agent')
    .option('--port <port>', 'only those of this port')
    .addHelpText('after', '\nExamples:\n  aya host counters h1\n  aya host counters h1 --port vm1')
    .action(async (name: string, options: { readonly port?: string }, command: Command) =>
      counters(contextOf(io, command), name, options.port),
    );
}

async function counters(context: Context, name: string, port: string | undefined): Promise<void> {
  const { client, names } = context;
  const hostId = await names.idOf(['host'], name);
  const report = await client.counters(hostId, port === undefined ? undefined : await names.idOf(['port'], port));
  if (context.json) return context.outJson(report);
  const rows = [];
  for (const counter of report.counters) rows.push(await counterRow(context, report, counter));
  if (rows.length > 0) context.out(formatTable(['kind', 'what', 'port', 'packets', 'bytes'], rows));
  if (report.total > rows.length) {
    context.out(`the largest ${rows.length} of ${report.total} counters; --port PORT shows those of one port\n`);
  }
  if (port !== undefined) return;
  const drops = formatDrops(report.drops);
  if (drops !== '') context.out(`\n${drops}`);
  if (report.lost > 0) context.out(`${counted(report.lost, 'packet')} found no room among the counters\n`);
  const own = Object.entries(report.agent);
  if (own.length > 0) context.out(`\n${formatPairs(own)}`);
}

type Counted = CountersReport['counters'][number];

/** Names of ports and hosts instead of numbers where they are known. */
async function counterRow({ names }: Context, report: CountersReport, counter: Counted): Promise<Row> {
  const { kind, portId, at, hostId, packets, bytes } = counter;
  const what = hostId === undefined ? whatOf(counter, report) : await names.nameOf(['host'], hostId);
  const port = portId === undefined ? at : await names.nameOf(['port'], portId);
  return { kind, what, port, packets, bytes };
}

/** A reason with its words, a cause, or the number that only the kernel knows. */
function whatOf({ kind, id, name }: Counted, { drops }: CountersReport): string | number | undefined {
  const words = kind === 'drop' ? drops.find(({ reason }) => reason === name)?.words : undefined;
  if (name !== undefined) return words === undefined ? name : `${name} (${words})`;
  return kind === 'portRx' || kind === 'portTx' || kind === 'lost' ? undefined : id;
}

/** The token alone on standard output: a script can take it. What to do with it goes to standard error, where logs are: without it. */
async function printJoinToken(context: Context, host: Answered<'host'>): Promise<void> {
  const { joinToken, expiresAt } = await context.client.joinToken(host.id);
  if (context.json) return context.outJson({ host, joinToken, expiresAt });
  context.out(`${joinToken}\n`);
  const where = host.name || host.id;
  context.io.error(
    `On ${where}, as root, once and before ${expiresAt}, with this token; one of:\n` +
      '  export AYATORI_JOIN_TOKEN=…; aya agent   it stays out of the process list\n' +
      `  aya agent --join-token …                 all users of ${where} can see it while the agent runs\n`,
  );
}

async function audit(context: Context, name: string | undefined): Promise<void> {
  const hosts: Answered<'host'>[] = [];
  if (name !== undefined) hosts.push(await context.client.get('host', await context.names.idOf(['host'], name)));
  else for await (const host of context.client.list('host')) hosts.push(host);
  const reports: unknown[] = [];
  let different = 0;
  let failure: unknown;
  for (const host of hosts) {
    try {
      const report = await context.client.audit(host.id);
      reports.push(report);
      different += report.differences.length;
      if (context.json) continue;
      const found =
        report.differences.length === 0 ? 'no difference' : counted(report.differences.length, 'difference');
      context.out(
        `${host.name || host.id}: ${counted(report.flows, 'flow')} at revision ${report.revision}, ${found}\n`,
      );
      for (const one of report.differences) {
        context.out(`  ${one.flow}\n    installed  ${one.installed}\n    expected   ${one.expected}\n`);
      }
    } catch (error) {
      failure = error;
      context.io.error(`${host.name || host.id}: ${sentenceOf(error)}\n`);
    }
  }
  if (context.json) context.outJson(reports);
  if (different > 0)
    throw new CliError(EXIT.different, `${counted(different, 'flow')} in the kernel differ from what they should be`);
  if (failure !== undefined) throw new CliError(exitCodeOf(failure), 'not every host could be asked');
}

async function flows(context: Context, name: string): Promise<void> {
  const report = await context.client.flows(await context.names.idOf(['host'], name));
  if (context.json) return context.outJson(report);
  context.out(`${counted(report.total, 'flow')} under ${counted(report.masks, 'mask')}\n`);
  const rows = report.flows.map(({ idleMs, ...flow }) => ({ ...flow, idle: formatAge(idleMs) }));
  if (rows.length > 0) context.out(formatTable(['packets', 'bytes', 'idle', 'match', 'actions', 'why'], rows));
}
