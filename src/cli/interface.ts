// aya interface list|show: the interfaces that hosts report. Read-only: what is plugged in is the port's to say.

import type { Command } from 'commander';
import type { Interface } from '../client/client.ts';
import { type CliIo, type Context, contextOf } from './context.ts';
import { usage } from './exit.ts';
import { type Cell, formatPairs, formatTable } from './table.ts';
import { readValue } from './words/values.ts';

interface ListOptions {
  readonly host?: string;
  readonly name?: string;
  readonly up?: string | true;
  readonly port?: string;
}

const COLUMNS = ['host', 'name', 'up', 'mac', 'mtu-bytes', 'addresses', 'port'] as const;

export function addInterface(program: Command, io: CliIo): void {
  const group = program.command('interface').description('interfaces of hosts, as the hosts report them');
  group
    .command('list')
    .description('list interfaces')
    .option('--host <host>', 'of this host')
    .option('--name <name>', 'of this name')
    .option('--up [yes|no]', 'raised and with carrier, or not')
    .option('--port <port>', 'that this port is plugged into')
    .addHelpText('after', '\nExamples:\n  aya interface list --host h1\n  aya interface list --up no --json')
    .action(async (options: ListOptions, command: Command) => list(contextOf(io, command), options));
  group
    .command('show <host:interface>')
    .description('show an interface of a host')
    .addHelpText('after', '\nExample:\n  aya interface show h1:tap0')
    .action(async (where: string, _options: object, command: Command) => show(contextOf(io, command), where));
}

async function list(context: Context, options: ListOptions): Promise<void> {
  const { client, names } = context;
  const { host, name, port } = options;
  const up =
    options.up === undefined
      ? undefined
      : await readValue({ type: 'boolean' }, options.up === true ? 'yes' : options.up, 'up', names);
  const found: Interface[] = [];
  const filters = {
    ...(host === undefined ? {} : { hostId: await names.idOf(['host'], host) }),
    ...(name === undefined ? {} : { name }),
    ...(up === undefined ? {} : { up: up === true }),
    ...(port === undefined ? {} : { portId: await names.idOf(['port'], port) }),
  };
  for await (const one of client.interfaces(filters)) found.push(one);
  if (context.json) return context.outJson(found);
  if (found.length === 0) return context.out('no interfaces\n');
  const rows = await Promise.all(found.map((one) => rowOf(context, one)));
  rows.sort((a, b) => String(a.host).localeCompare(String(b.host)) || String(a.name).localeCompare(String(b.name)));
  context.out(formatTable(COLUMNS, rows));
}

async function show(context: Context, where: string): Promise<void> {
  const { host, interfaceName } = placeOf(where);
  const found = await context.client.interface(await context.names.idOf(['host'], host), interfaceName);
  if (context.json) return context.outJson(found);
  const row = await rowOf(context, found);
  context.out(formatPairs(COLUMNS.map((column) => [column, row[column]])));
}

async function rowOf({ names }: Context, one: Interface): Promise<Record<(typeof COLUMNS)[number], Cell>> {
  return {
    host: await names.nameOf(['host'], one.hostId),
    name: one.name,
    up: one.up,
    mac: one.mac,
    'mtu-bytes': one.mtuBytes,
    addresses: one.addresses.join(','),
    port: one.portId === undefined ? undefined : await names.nameOf(['port'], one.portId),
  };
}

/** The parts of HOST:INTERFACE. The last colon divides: an interface's name may hold none. */
export function placeOf(where: string): { readonly host: string; readonly interfaceName: string } {
  const colon = where.lastIndexOf(':');
  if (colon <= 0 || colon === where.length - 1) {
    throw usage(`an interface is named HOST:INTERFACE, like h1:tap0, not ${where}`);
  }
  return { host: where.slice(0, colon), interfaceName: where.slice(colon + 1) };
}
