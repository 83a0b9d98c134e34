// Configuration of the processes: typed schemas, and one way to fill them in. A key like `stateDir` is `stateDir` in
// the file, AYATORI_STATE_DIR in the environment and --state-dir on the command line; the later wins over the former.
// Nothing here reads the environment or the disk: main.ts does and hands over what it found.

import Type, { type Static, type TObject } from 'typebox';
import { Errors } from 'typebox/value';
import { LOG_LEVELS } from './log.ts';

const logLevel = Type.Enum([...LOG_LEVELS], { default: 'info', description: 'debug, info, warn, error or silent' });

export const STATE_DIRECTORY = '/var/lib/ayatori';

/** Who puts the outer headers on a packet to another host. */
const ENCAP_TX = ['hand', 'device'] as const;
export type EncapTx = (typeof ENCAP_TX)[number];

/** At most 65535. */
const PORT = String.raw`([0-5]?\d{1,4}|6([0-4]\d{3}|5([0-4]\d{2}|5([0-2]\d|3[0-5]))))`;
const HOST_AND_PORT = String.raw`^(\[[0-9a-f:.]+\]|[^\s:/]+):${PORT}$`;
const ADDRESS = 'as HOST:PORT or [IPV6]:PORT';

export const serverConfigSchema = Type.Object(
  {
    stateDir: Type.String({ default: STATE_DIRECTORY, description: 'database, certificate, admin.token' }),
    listen: Type.String({
      default: '127.0.0.1:7780',
      pattern: HOST_AND_PORT,
      description: `address of the API, ${ADDRESS}; anything but loopback is TLS only`,
    }),
    advertise: Type.Array(Type.String({ pattern: '^https?://[^/]+$' }), {
      default: [],
      description: 'URLs that join tokens tell the agents, with commas between; none: the addresses it listens on',
    }),
    tlsCertificate: Type.Optional(
      Type.String({ description: 'file with a certificate in PEM; none: off loopback one of its own making' }),
    ),
    tlsKey: Type.Optional(Type.String({ description: 'file with the key of tlsCertificate in PEM' })),
    requestsPerSecond: Type.Integer({
      default: 100,
      minimum: 1,
      maximum: 1_000_000,
      description: 'how often a token of role member, reader or host may call; ten seconds of it at once',
    }),
    adminRequestsPerSecond: Type.Integer({
      default: 5000,
      minimum: 1,
      maximum: 1_000_000,
      description: 'how often a token of role admin may call',
    }),
    logLevel,
  },
  { additionalProperties: false },
);
export type ServerConfig = Static<typeof serverConfigSchema>;

export const agentConfigSchema = Type.Object(
  {
    stateDir: Type.String({ default: STATE_DIRECTORY, description: 'identity of the host, last snapshot' }),
    runDir: Type.String({ default: '/run/ayatori', description: 'pinned programs and tables' }),
    joinToken: Type.Optional(Type.String({ description: 'from aya host add; needed once' })),
    tunnelUdpPort: Type.Integer({
      default: 6677,
      minimum: 1,
      maximum: 65535,
      description: 'UDP port of the tunnels; the same on all hosts of a zone',
    }),
    encapTx: Type.Enum([...ENCAP_TX], {
      default: 'hand',
      description: 'who builds tunnel packets: hand, the program where it can (fastest), or device, always the kernel',
    }),
    logLevel,
  },
  { additionalProperties: false },
);

export interface ConfigSources {
  /** Text of the configuration file and the name to call it by. */
  readonly file?: { readonly path: string; readonly text: string } | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** By flag name without dashes: `state-dir`. */
  readonly flags: Readonly<Record<string, string | undefined>>;
}

/** What is wrong with a configuration, one sentence a line. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

export const flagOf = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
export const variableOf = (key: string): string => `AYATORI_${flagOf(key).replaceAll('-', '_').toUpperCase()}`;

function parseFile(file: { readonly path: string; readonly text: string }): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(file.text);
  } catch (error) {
    throw new ConfigError(`${file.path}: not JSON: ${(error as Error).message}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ConfigError(`${file.path}: must hold one JSON object`);
  }
  return value as Record<string, unknown>;
}

/** A word of the environment or a flag as the value that the schema wants; left as it is when it does not look so. */
function fromWord(schema: { type?: string }, word: string): unknown {
  if (schema.type === 'integer' && /^-?\d+$/.test(word)) return Number(word);
  if (schema.type === 'boolean' && /^(true|false)$/.test(word)) return word === 'true';
  if (schema.type === 'array') return word === '' ? [] : word.split(',');
  return word;
}

/** Throws ConfigError when the sources do not fit the schema. Keys that nobody set have their default. */
export function readConfig<S extends TObject>(schema: S, sources: ConfigSources): Static<S> {
  const config: Record<string, unknown> = {};
  const origin: Record<string, string> = {};
  const problems: string[] = [];
  for (const [key, value] of Object.entries(sources.file === undefined ? {} : parseFile(sources.file))) {
    config[key] = value;
    origin[key] = `${sources.file?.path}: ${key}`;
    if (!(key in schema.properties)) {
      problems.push(`${origin[key]} is no setting; there are ${Object.keys(schema.properties).join(', ')}`);
    }
  }
  for (const [key, property] of Object.entries(schema.properties) as [string, { type?: string; default?: unknown }][]) {
    const variable = sources.environment[variableOf(key)];
    const flag = sources.flags[flagOf(key)];
    const word = flag ?? variable;
    if (word !== undefined) {
      config[key] = fromWord(property, word);
      origin[key] = flag === undefined ? variableOf(key) : `--${flagOf(key)}`;
    }
    config[key] ??= property.default;
    if (config[key] === undefined) delete config[key];
    else if (Errors(property as never, config[key]).length > 0) {
      const wanted = (property as { description?: string }).description;
      problems.push(`${origin[key]} is ${JSON.stringify(config[key])}; wanted: ${wanted}`);
    }
  }
  if (problems.length > 0) throw new ConfigError(problems.join('\n'));
  return config as Static<S>;
}

/** `127.0.0.1:7780` or `[::1]:7780`, as checked by the schema. */
export function splitAddress(text: string): { readonly host: string; readonly port: number } {
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) };
}
