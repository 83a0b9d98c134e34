// aya token create|list|revoke: who may call the server. The text of a token is printed once, when it is made.

import type { Command } from 'commander';
import type { TokenInfo, TokenRole } from '../client/client.ts';
import { type CliIo, type Context, contextOf } from './context.ts';
import { CliError, EXIT, usage } from './exit.ts';
import { formatTable } from './table.ts';

interface CreateOptions {
  readonly role: string;
  readonly project?: string;
  readonly expires?: string;
}

const COLUMNS = ['id', 'name', 'role', 'projects', 'created', 'expires', 'last-used'] as const;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

export function addToken(program: Command, io: CliIo): void {
  const group = program.command('token').description('tokens: who may call the server, and as what');
  group
    .command('create <name>')
    .description('make a token and print it, once')
    .option('--role <role>', 'admin: everything; member: change what is in its projects; reader: look at it', 'admin')
    .option('--project <projects>', 'of a member or reader: project, or several with commas between')
    .option(
      '--expires <when>',
      'after a time (90d, 12h, 30m, 45s) or at one (2030-01-31T12:00:00Z); none: when revoked',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  aya token create backup --expires 90d\n  aya token create alice --role member --project red\n  AYATORI_TOKEN=$(aya token create ci)',
    )
    .action(async (name: string, options: CreateOptions, command: Command) =>
      create(contextOf(io, command), name, options),
    );
  group
    .command('list')
    .description('list tokens, those of hosts too; never their texts')
    .addHelpText('after', '\nExamples:\n  aya token list\n  aya token list --json')
    .action(async (_options: object, command: Command) => list(contextOf(io, command)));
  group
    .command('revoke <token>')
    .description('end a token, by its name or id: nothing is taken from it any more, and what it has open ends')
    .addHelpText('after', '\nExample:\n  aya token revoke ci')
    .action(async (word: string, _options: object, command: Command) => revoke(contextOf(io, command), word));
}

/** The token alone on standard output: a script can take it. */
async function create(context: Context, name: string, { role, project, expires }: CreateOptions): Promise<void> {
  const expiresAt = expires === undefined ? undefined : timeOf(expires, context.io.nowMs());
  const projectIds: string[] = [];
  for (const word of project?.split(',') ?? []) projectIds.push(await context.names.idOf(['project'], word));
  const made = await context.client.createToken({
    name,
    role: role as TokenRole,
    ...(project === undefined ? {} : { projectIds }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
  });
  if (context.json) return context.outJson(made);
  context.out(`${made.token}\n`);
  const until = made.expiresAt === undefined ? 'until it is revoked' : `until ${made.expiresAt}`;
  context.io.error(`token ${made.name} (${made.id}), good ${until}; it is shown this once\n`);
}

async function list(context: Context): Promise<void> {
  const found: TokenInfo[] = [];
  for await (const token of context.client.tokens()) found.push(token);
  if (context.json) return context.outJson(found);
  if (found.length === 0) return context.out('no tokens\n');
  const rows = await Promise.all(
    found.map(async (token) => ({
      id: token.id,
      name: token.hostId === undefined ? token.name : await context.names.nameOf(['host'], token.hostId),
      role: token.role,
      projects: (await Promise.all((token.projectIds ?? []).map((id) => context.names.nameOf(['project'], id)))).join(
        ',',
      ),
      created: token.createdAt,
      expires: token.expiresAt,
      'last-used': token.lastUsedAt,
    })),
  );
  context.out(formatTable(COLUMNS, rows));
}

async function revoke(context: Context, word: string): Promise<void> {
  const id = await idOf(context, word);
  await context.client.revokeToken(id);
  if (context.json) context.outJson({ id });
  else context.out(`revoked token ${word}\n`);
}

async function idOf({ client }: Context, word: string): Promise<string> {
  if (UUID.test(word)) return word.toLowerCase();
  const found: TokenInfo[] = [];
  for await (const token of client.tokens({ name: word })) found.push(token);
  const [first, ...others] = found;
  if (first === undefined) throw new CliError(EXIT.missing, `no token is called ${word}; see aya token list`);
  if (others.length === 0) return first.id;
  const lines = found.map(({ id, role, createdAt }) => `  ${id}  ${role}, made ${createdAt}`);
  throw new CliError(EXIT.conflict, `${found.length} are called ${word}; name one by its id:\n${lines.join('\n')}`);
}

/** `90d` from now, or a time as it stands. */
function timeOf(when: string, nowMs: number): string {
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(when) ?? [];
  if (count !== undefined && unit !== undefined) {
    return new Date(nowMs + Number(count) * UNIT_MS[unit]!).toISOString();
  }
  if (/^\d{4}-/.test(when) && !Number.isNaN(Date.parse(when))) return new Date(when).toISOString();
  throw usage(`--expires takes a time from now, like 90d or 12h, or a time like 2030-01-31T12:00:00Z, not ${when}`);
}
