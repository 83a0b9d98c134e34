// Reads configuration and environment, builds the parts and starts one of them; the only file that does.
//
//   aya server    store + api         aya demo      the demo
//   aya agent     the host's agent    aya <noun>    the command line

import { X509Certificate } from 'node:crypto';
import { accessSync, constants, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Static, TObject } from 'typebox';
import type { ServerWish } from './cli/context.ts';
import {
  agentConfigSchema,
  ConfigError,
  flagOf,
  readConfig,
  type ServerConfig,
  STATE_DIRECTORY,
  serverConfigSchema,
  splitAddress,
  variableOf,
} from './lib/config.ts';
import { jsonLog, type Log, type LogLevel } from './lib/log.ts';

const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')) as {
  version: string;
};

const DEFAULT_SERVER = 'http://127.0.0.1:7780';
const say = (text: string): void => void process.stderr.write(text);

const optional = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
};

/** Flags of a process are its settings, and these. */
const COMMON_FLAGS = {
  config: { type: 'string' },
  'print-config': { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

function processHelp(name: string, schema: TObject): string {
  const lines = Object.entries(schema.properties).map(([key, property]) => {
    const { description, default: value } = property as { description?: string; default?: unknown };
    const preset = value === undefined || (Array.isArray(value) && value.length === 0) ? '' : ` (${value})`;
    return `  --${flagOf(key)}  ${variableOf(key)}\n      ${description}${preset}\n`;
  });
  const own = `  --config FILE\n      instead of /etc/ayatori/${name}.json\n  --print-config\n      print the settings that would hold, and end\n`;
  return `Usage: aya ${name} [flags]\n\nSettings come from /etc/ayatori/${name}.json, the environment and flags; the later wins.\n\n${lines.join('')}${own}`;
}

/** The settings of a process, or undefined when printing them or the help was all that was asked for. */
function configOf<S extends TObject>(name: string, schema: S, words: readonly string[]): Static<S> | undefined {
  const settings = Object.keys(schema.properties).map((key) => [flagOf(key), { type: 'string' }] as const);
  let flags: Record<string, string | boolean | undefined>;
  try {
    const options = { ...Object.fromEntries(settings), ...COMMON_FLAGS };
    flags = parseArgs({ args: [...words], options, strict: true }).values as typeof flags;
  } catch (error) {
    throw new ConfigError(`${(error as Error).message}; see aya ${name} --help`);
  }
  if (flags.help === true) {
    process.stdout.write(processHelp(name, schema));
    return undefined;
  }
  const named = flags.config as string | undefined;
  const path = named ?? `/etc/ayatori/${name}.json`;
  const text = optional(path);
  if (text === undefined && named !== undefined) throw new ConfigError(`${path}: there is no such file`);
  const file = text === undefined ? undefined : { path, text };
  const config = readConfig(schema, { file, environment: process.env, flags: flags as Record<string, string> });
  if (flags['print-config'] !== true) return config;
  process.stdout.write(`${JSON.stringify(config, undefined, 2)}\n`);
  return undefined;
}

/** Runs until a signal; what goes wrong meanwhile and is caught by nobody is logged and ends the process. */
async function runUntilSignal(log: Log, start: () => Promise<{ close(): Promise<void> }>): Promise<number> {
  // Node would write warnings as plain text; node:sqlite is marked experimental in Node 24 and says so on every start.
  process.removeAllListeners('warning');
  process.on('warning', (warning) => {
    if (warning.name !== 'ExperimentalWarning') log.warn(warning.message, { error: warning });
  });
  const failed = (error: unknown): void => {
    log.error('caught by nobody', { error });
    process.exit(1);
  };
  const signal = new Promise<string>((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => resolve(name));
  });
  const running = await start();
  process.on('uncaughtException', failed);
  process.on('unhandledRejection', failed);
  log.info('ends', { signal: await signal });
  await running.close();
  return 0;
}

async function server(words: readonly string[]): Promise<number> {
  const config = configOf('server', serverConfigSchema, words);
  if (config === undefined) return 0;
  const tls = certificateOf(config);
  const log = jsonLog({ level: config.logLevel as LogLevel }).with({ process: 'server' });
  return runUntilSignal(log, async () => {
    const { startServer } = await import('./api/server.ts');
    const { SqliteStore } = await import('./store/sqlite.ts');
    makeStateDirectory(config.stateDir);
    const store = new SqliteStore({ path: join(config.stateDir, 'ayatori.db') });
    const running = await startServer({
      store,
      stateDirectory: config.stateDir,
      listen: splitAddress(config.listen),
      rates: { admin: config.adminRequestsPerSecond, others: config.requestsPerSecond },
      ...(tls === undefined ? {} : { tls }),
      ...(config.advertise.length === 0 ? {} : { advertise: config.advertise }),
      log,
    });
    return {
      close: async () => {
        await running.close();
        await store.close();
      },
    };
  });
}

function makeStateDirectory(path: string): void {
  const other = 'name another directory with --state-dir';
  try {
    makeDirectory(resolve(path));
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EACCES')
      throw new Error(`${path} is not for this user to write: run it as root or with sudo, or ${other}`);
    throw new Error(`${path} cannot be the state directory (${message}): ${other}`);
  }
}

/** mkdirSync's own `recursive` never comes back where a directory cannot be made below one that exists, as in /proc. */
function makeDirectory(path: string): void {
  if (existsSync(path)) return;
  makeDirectory(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    // Server and agent of one box may start at once.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function certificateOf({ tlsCertificate, tlsKey }: ServerConfig): { certificate: string; key: string } | undefined {
  if (tlsCertificate === undefined && tlsKey === undefined) return undefined;
  if (tlsCertificate === undefined || tlsKey === undefined) {
    throw new ConfigError('tlsCertificate and tlsKey belong together: give both, or none');
  }
  return { certificate: readFileSync(tlsCertificate, 'utf8'), key: readFileSync(tlsKey, 'utf8') };
}

async function agent(words: readonly string[]): Promise<number> {
  const config = configOf('agent', agentConfigSchema, words);
  if (config === undefined) return 0;
  const log = jsonLog({ level: config.logLevel as LogLevel }).with({ process: 'agent' });
  return runUntilSignal(log, async () => {
    // Before it joins: the token is good for one time only.
    makeStateDirectory(config.stateDir);
    const { startAgent } = await import('./agent/agent.ts');
    return startAgent({
      stateDirectory: config.stateDir,
      runDirectory: config.runDir,
      // Said, but empty, when the command that was to print it failed: the agent says what is missing.
      joinToken: config.joinToken === '' ? undefined : config.joinToken,
      tunnelUdpPort: config.tunnelUdpPort,
      encapTx: config.encapTx,
      version,
      log,
      random: Math.random,
    });
  });
}

async function demo(words: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...words],
    options: { once: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help === true) {
    process.stdout.write(
      'Usage: aya demo [--once]\n\n  --once  run, prove, take everything down; without it it stays up until Ctrl-C\n',
    );
    return 0;
  }
  const { runDemo } = await import('./demo/demo.ts');
  return runDemo({ once: values.once === true, print: (line) => void process.stdout.write(`${line}\n`) });
}

async function cli(words: readonly string[]): Promise<number> {
  const { runCli } = await import('./cli/cli.ts');
  const { CliError, EXIT } = await import('./cli/exit.ts');
  const { Client } = await import('./client/client.ts');

  const client = (wish: ServerWish) => {
    const url = wish.server ?? process.env.AYATORI_SERVER ?? DEFAULT_SERVER;
    if (!/^https?:\/\/[^/]+\/?$/.test(url))
      throw new CliError(EXIT.usage, `the server is a URL like ${DEFAULT_SERVER}, not ${url}`);
    const stateDir = wish.stateDir ?? process.env.AYATORI_STATE_DIR ?? STATE_DIRECTORY;
    const token = wish.token ?? process.env.AYATORI_TOKEN ?? adminToken(stateDir);
    const fingerprint = wish.fingerprint ?? process.env.AYATORI_FINGERPRINT ?? fingerprintOf(url, stateDir);
    return new Client({ url, token, ...(fingerprint === undefined ? {} : { fingerprint }) });
  };

  const adminToken = (stateDir: string): string => {
    const path = join(stateDir, 'admin.token');
    const ways = 'give a token with --token or AYATORI_TOKEN, or name the state directory with --state-dir';
    let token: string | undefined;
    try {
      token = optional(path)?.trim();
    } catch (error) {
      throw new CliError(
        EXIT.denied,
        `${path} cannot be read (${(error as NodeJS.ErrnoException).code}): run it as root or with sudo, or ${ways}`,
      );
    }
    if (token === undefined) throw new CliError(EXIT.denied, `no token: there is no ${path} here; ${ways}`);
    return token;
  };

  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  return runCli(words, {
    out: (text) => void process.stdout.write(text),
    error: say,
    client,
    nowMs: () => Date.now(),
    version,
    signal: stop.signal,
  });
}

/** On the box of the server its own certificate is the one to expect. */
function fingerprintOf(url: string, stateDir: string): string | undefined {
  if (!url.startsWith('https:')) return undefined;
  try {
    const certificate = optional(join(stateDir, 'server.crt'));
    return certificate === undefined ? undefined : new X509Certificate(certificate).fingerprint256;
  } catch {
    // Not ours to read: then the certificate has to be one that an authority signed.
    return undefined;
  }
}

async function main(): Promise<number> {
  const [name, ...words] = process.argv.slice(2);
  try {
    if (name === 'server') return await server(words);
    if (name === 'agent') return await agent(words);
    if (name === 'demo') return await demo(words);
    return await cli(name === undefined ? ['--help'] : [name, ...words]);
  } catch (error) {
    const expected =
      error instanceof ConfigError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') === true;
    say(`aya ${name}: ${(error as Error).message}\n`);
    return expected ? 2 : 1;
  }
}

// A reader that went away (aya … | head) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
// Standard output may be a pipe that is still being written: the process ends by itself once that is done, except when
// a connection of ours would keep it.
process.exitCode = await main();
