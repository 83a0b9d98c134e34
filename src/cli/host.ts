// aya host add|join-token|audit|flows|counters: hosts join, and are asked what is in their kernel.

import type { Command } from 'commander';
import type { Answered } from '../client/client.ts';
import { type CliIo, type Context, contextOf } from './context.ts';
import { CliError, EXIT, exitCodeOf, sentenceOf } from './exit.ts';
import { counted, formatAge, formatPairs, formatTable } from './table.ts';

export function addHostVerbs(group: Command, io: CliIo): void {
  group
    .command('add <name>')
    .description('create a host and print the join token that its agent needs, once')
    .addHelpText('after', '\nExample:\n  aya host add h1\n  (on h1)  aya agent --join-token TOKEN')
    .action(async (name: string, _options: object, command: Command) => {
      const context = contextOf(io, command);
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
    .addHelpText('after', '\nExample:\n  aya host counters h1')
    .action(async (name: string, _options: object, command: Command) => counters(contextOf(io, command), name));
}

async function counters(context: Context, name: string): Promise<void> {
  const report = await context.client.counters(await context.names.idOf(['host'], name));
  if (context.json) return context.outJson(report);
  const rows = [];
  for (const { kind, id, name: reason, portId, packets, bytes } of report.counters) {
    const port = portId === undefined ? undefined : await context.names.nameOf(['port'], portId);
    rows.push({ kind, what: reason ?? (portId === undefined ? id : undefined), port, packets, bytes });
  }
  if (rows.length > 0) context.out(formatTable(['kind', 'what', 'port', 'packets', 'bytes'], rows));
  const own = Object.entries(report.agent);
  if (own.length > 0) context.out(`\n${formatPairs(own)}`);
}

/** The token alone on standard output: a script can take it. What to do with it goes to standard error. */
async function printJoinToken(context: Context, host: Answered<'host'>): Promise<void> {
  const { joinToken, expiresAt } = await context.client.joinToken(host.id);
  if (context.json) return context.outJson({ host, joinToken, expiresAt });
  context.out(`${joinToken}\n`);
  context.io.error(`On ${host.name || host.id}, once and before ${expiresAt}: aya agent --join-token TOKEN\n`);
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
