// aya watch: what changes in the configuration, as it changes. aya status --watch: the same of what hosts say.

import type { Command } from 'commander';
import type { Answered, StatusFilters } from '../client/client.ts';
import { KINDS } from '../topology/kinds.ts';
import type { Status } from '../topology/status.ts';
import type { HostedStatusRef } from '../topology/wire.ts';
import { type CliIo, type Context, contextOf } from './context.ts';
import { CliError, EXIT, usage } from './exit.ts';

export interface StatusWatchOptions {
  readonly from?: string;
  readonly host?: string;
  readonly kind?: string;
}

export function addWatch(program: Command, io: CliIo): void {
  program
    .command('watch')
    .description('print changes as they happen, until Ctrl-C')
    .option('--from <revision>', 'all changes after this revision; none: from now on')
    .addHelpText('after', '\nExamples:\n  aya watch\n  aya watch --from 120 --json')
    .action(async (options: { readonly from?: string }, command: Command) =>
      watch(contextOf(io, command), options.from),
    );
}

async function watch(context: Context, from: string | undefined): Promise<void> {
  const start = revisionOf(from) ?? (await context.client.version()).revision;
  for await (const frame of context.client.watch(start, context.io.signal)) {
    if ('reset' in frame) throw tooOld(`the changes after revision ${start}`);
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
  checkTold(context);
}

/** `712  set      h1  port  vm1  up`: the revision of status, the host that says it, and what it says. */
export async function watchStatus(context: Context, { from, host, kind }: StatusWatchOptions): Promise<void> {
  const { client, names, io } = context;
  const start = revisionOf(from);
  const filters = {
    ...(host === undefined ? {} : { hostId: await names.idOf(['host'], host) }),
    ...(kind === undefined ? {} : { kind: kind as NonNullable<StatusFilters['kind']> }),
  };
  for await (const frame of client.watchStatus(start, filters, io.signal)) {
    if ('reset' in frame) throw tooOld(start === undefined ? 'changes' : `the changes after status revision ${start}`);
    if (!('put' in frame)) continue;
    if (context.json) {
      context.out(`${JSON.stringify(frame)}\n`);
      continue;
    }
    for (const { hostId, status } of frame.put) {
      const subject = await subjectOf(context, { hostId, kind: status.kind, id: status.id });
      context.out(`${frame.rev}  set      ${subject}  ${await wordsOf(context, status)}\n`);
    }
    for (const ref of frame.del) context.out(`${frame.rev}  deleted  ${await subjectOf(context, ref)}\n`);
  }
  checkTold(context);
}

function revisionOf(from: string | undefined): number | undefined {
  if (from !== undefined && !/^\d+$/.test(from)) throw usage(`--from is a revision, not ${from}`);
  return from === undefined ? undefined : Number(from);
}

const tooOld = (what: string): CliError =>
  new CliError(EXIT.missing, `${what} are no longer kept: list, then watch again`);

/** A watch ends when it is told to; else the server ended it. */
function checkTold({ io, client }: Context): void {
  if (!io.signal.aborted) throw new CliError(EXIT.unavailable, `${client.url} ended the watch: start it again`);
}

/** Host, kind, and what the status is about, by name where there is one. */
async function subjectOf({ names }: Context, { hostId, kind, id }: HostedStatusRef): Promise<string> {
  const host = `${await names.nameOf(['host'], hostId)}  ${kind}`;
  const [first = '', ...rest] = id.split(',');
  switch (kind) {
    case 'alive':
      return host;
    case 'interface':
      return `${host}  ${id}`;
    case 'port':
      return `${host}  ${await names.nameOf(['port'], id)}`;
    case 'mac':
      return `${host}  ${rest[1]} vlan ${rest[0]} on ${await names.nameOf(['bridge'], first)}`;
    case 'neighbour':
      return `${host}  ${rest[0]} of ${await names.nameOf(['port'], first)}`;
    default:
      return kind satisfies never;
  }
}

async function wordsOf({ names }: Context, status: Status): Promise<string> {
  switch (status.kind) {
    case 'alive':
      return `since ${status.since}, version ${status.version}`;
    case 'interface': {
      const port = status.portId === undefined ? '' : `, port ${await names.nameOf(['port'], status.portId)}`;
      return `${status.up ? 'up' : 'down'}${port}`;
    }
    case 'port':
      return status.why === undefined ? status.state : `${status.state}: ${status.why}`;
    case 'mac':
      return `at port ${await names.nameOf(['port'], status.portId)}`;
    case 'neighbour':
      return status.mac;
    default:
      return status satisfies never;
  }
}
