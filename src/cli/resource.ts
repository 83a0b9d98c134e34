// aya <noun> list|show|create|set|delete, the same for every kind, driven by the table of kinds and their schemas.

import type { Command } from 'commander';
import type { Answered, Filters } from '../client/client.ts';
import { KINDS, type Kind } from '../topology/kinds.ts';
import { columnsOf, pairsOf, rowOf } from './columns.ts';
import { type CliIo, type Context, contextOf } from './context.ts';
import { CliError, EXIT, FLAG_AT, usage } from './exit.ts';
import { formatPairs, formatTable } from './table.ts';
import { addFlags, flagAt, missingFlags, type Options, propertiesOf, readFlags } from './words/flags.ts';
import { choicesOf, flagName, readValue } from './words/values.ts';

/** One example for each verb; `create` is where the flags are. */
const EXAMPLES: Readonly<Record<Kind, string>> = {
  project: 'red --quotas bridge=3,port=100',
  bridge: 'web --mtu-bytes 1450 --project red',
  router: 'edge --inbound-chain guard',
  port: 'vm1 --device web --mac 02:00:00:00:00:01 --addresses 10.0.1.11/24 --anti-spoofing',
  route: '--router edge --destination 0.0.0.0/0 --via uplink --gateway 203.0.113.1',
  chain: 'guard',
  rule: '--chain guard --drop --protocol tcp --destination-ports 80-90 --source 10.0.0.0/8 --not source',
  addressSet: 'friends --addresses 10.0.0.0/8,2001:db8::/32',
  portGroup: 'uplinks --stateful',
  dhcpSubnet:
    '--bridge web --prefix 10.0.1.0/24 --gateway 10.0.1.1 --dns-servers 10.0.1.1 --routes 10.2.0.0/16=10.0.1.2',
  dhcpHost: '--subnet lan --mac 02:00:00:00:00:02 --address 10.0.1.12 --hostname vm2',
  host: 'h1',
  tunnelZone: 'underlay --members h1=192.0.2.1,h2=192.0.2.2 --underlay-mtu-bytes 1600',
};

const article = (noun: string): string => (/^[aeiou]/.test(noun) ? `an ${noun}` : `a ${noun}`);

/** Runs an action and names the flag that a refusal points at. */
const blamingFlags =
  <A extends unknown[]>(kind: Kind, action: (...args: A) => Promise<void>) =>
  async (...args: A): Promise<void> => {
    try {
      await action(...args);
    } catch (error) {
      if (error instanceof Error) FLAG_AT.set(error, (path) => flagAt(kind, path));
      throw error;
    }
  };

export function addResource(program: Command, kind: Kind, io: CliIo): Command {
  const { noun, schema } = KINDS[kind];
  const group = program.command(noun).description((schema as { description?: string }).description ?? '');
  addList(group, kind, io);
  group
    .command('show <name>')
    .description(`show ${article(noun)} by name or id`)
    .addHelpText('after', `\nExample:\n  aya ${noun} show NAME`)
    .action(async (name: string, _options: Options, command: Command) => show(contextOf(io, command), kind, name));

  const create = group.command('create [name]').description(`create ${article(noun)}`);
  addFlags(create, kind, 'create');
  create.addHelpText('after', `\nExample:\n  aya ${noun} create ${EXAMPLES[kind]}`);
  create.action(
    blamingFlags(kind, async (name: string | undefined, options: Options, command: Command) => {
      const context = contextOf(io, command);
      const { value } = await readFlags(kind, 'create', options, context.names);
      const missing = missingFlags(kind, value);
      if (missing.length > 0)
        throw usage(`${article(noun)} needs ${missing.join(' and ')}; see aya ${noun} create --help`);
      const made = await context.client.create(kind, { ...value, ...(name === undefined ? {} : { name }) } as never);
      await context.wrote(`created ${noun} ${made.name === '' ? '' : `${made.name} `}${made.id}`, made.revision, made);
    }),
  );

  const set = group
    .command('set <name>')
    .description(`change ${article(noun)}; the word none removes an optional value`);
  set.option('--name <name>', 'a new name');
  addFlags(set, kind, 'set');
  set.addHelpText('after', `\nExample:\n  aya ${noun} set NAME --name OTHER`);
  set.action(
    blamingFlags(kind, async (name: string, options: Options, command: Command) => {
      const context = contextOf(io, command);
      const id = await context.names.idOf([kind], name);
      const { value, ifMatch } = await readFlags(kind, 'set', options, context.names, () =>
        context.client.get(kind, id),
      );
      if (options.name !== undefined) value.name = options.name;
      if (Object.keys(value).length === 0) throw usage(`nothing to change; see aya ${noun} set --help`);
      const changed = await context.client.update(kind, id, value as never, ifMatch);
      await context.wrote(`changed ${noun} ${changed.name || id}`, changed.revision, changed);
    }),
  );

  group
    .command('delete <name...>')
    .description(`delete ${article(noun)}, with what it owns`)
    .addHelpText('after', `\nExample:\n  aya ${noun} delete NAME`)
    .action(async (names: string[], _options: Options, command: Command) => {
      const context = contextOf(io, command);
      for (const name of names) {
        const id = await context.names.idOf([kind], name);
        await context.wrote(`deleted ${noun} ${name}`, await context.client.remove(kind, id));
      }
    });
  return group;
}

function addList(group: Command, kind: Kind, io: CliIo): void {
  const { noun, plural } = KINDS[kind];
  const list = group.command('list').description(`list ${plural}`);
  list.option('--name <name>', 'of this name');
  list.option('--tag <tag>', 'with this tag');
  for (const [property, schema] of Object.entries(propertiesOf(kind))) {
    const scalar = ['string', 'integer', 'boolean'].includes(schema.type ?? '') || choicesOf(schema) !== undefined;
    if (!scalar || ['id', 'name', 'revision', 'createdAt', 'updatedAt'].includes(property)) continue;
    const argument = schema.type === 'boolean' ? '[yes|no]' : `<${flagName(property)}>`;
    list.option(`--${flagName(property)} ${argument}`, schema.description ?? '');
  }
  list.addHelpText('after', `\nExamples:\n  aya ${noun} list\n  aya ${noun} list --tag blue --json`);
  list.action(async (options: Options, command: Command) => {
    const context = contextOf(io, command);
    const filters: Record<string, string | number | boolean> = {};
    for (const [property, schema] of Object.entries({ ...propertiesOf(kind), tag: { type: 'string' } })) {
      const key = flagName(property).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
      const word = options[key];
      if (word === undefined) continue;
      filters[property] = (await readValue(
        schema,
        word === true ? 'yes' : String(word),
        flagName(property),
        context.names,
      )) as string;
    }
    await printList(context, kind, filters);
  });
}

async function printList(context: Context, kind: Kind, filters: Filters): Promise<void> {
  const values: Answered<Kind>[] = [];
  for await (const value of context.client.list(kind, filters)) values.push(value);
  if (context.json) return context.outJson(values);
  if (values.length === 0) return context.out(`no ${KINDS[kind].plural}\n`);
  values.sort(kind === 'rule' ? byChainAndPosition : byName);
  const rows = [];
  for (const value of values) rows.push(await rowOf(kind, value as never, context.names, context.io.nowMs()));
  context.out(formatTable(columnsOf(kind), rows));
}

function byName(a: Answered<Kind>, b: Answered<Kind>): number {
  return a.name.localeCompare(b.name) || (a.id < b.id ? -1 : 1);
}

/** The order in which rules are tried. */
function byChainAndPosition(a: Answered<Kind>, b: Answered<Kind>): number {
  const [left, right] = [a, b] as [Answered<'rule'>, Answered<'rule'>];
  if (left.chainId !== right.chainId) return left.chainId < right.chainId ? -1 : 1;
  return left.position - right.position;
}

async function show(context: Context, kind: Kind, name: string): Promise<void> {
  const id = await context.names.idOf([kind], name);
  const value = await context.client.get(kind, id);
  if (context.json) return context.outJson(value);
  context.out(formatPairs(await pairsOf(kind, value as never, context.names, context.io.nowMs())));
  if (kind === 'host') await showInterfaces(context, id);
}

async function showInterfaces(context: Context, hostId: string): Promise<void> {
  const rows = [];
  for (const { status } of await context.client.status({ kind: 'interface', hostId })) {
    if (status.kind !== 'interface') throw new CliError(EXIT.failed, 'the server sent a status that was not asked for');
    const port = status.portId === undefined ? undefined : await context.names.nameOf(['port'], status.portId);
    const { id, mac, mtuBytes, up, addresses } = status;
    rows.push({ interface: id, up, mac, 'mtu-bytes': mtuBytes, addresses: addresses.join(','), port });
  }
  if (rows.length > 0)
    context.out(`\n${formatTable(['interface', 'up', 'mac', 'mtu-bytes', 'addresses', 'port'], rows)}`);
}
