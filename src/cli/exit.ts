// Exit codes, and the errors of the command line. Codes follow the statuses of the API's errors, so that a script can
// tell what happened without reading text.

import { ApiError } from '../client/client.ts';

export const EXIT = {
  ok: 0,
  /** Something that should not happen, or an answer of the server that it does not explain (500). */
  failed: 1,
  /** The command itself is wrong, or the server could not read what it was sent (400). */
  usage: 2,
  /** No token, or one that may not (401, 403). */
  denied: 3,
  /** No such object (404). */
  missing: 4,
  /** Something is in the way (409). */
  conflict: 5,
  /** The object has changed in the meantime (412). */
  stale: 6,
  /** Makes no sense (422). */
  invalid: 7,
  /** Too large or too often (413, 429). */
  limit: 8,
  /** No server, or it cannot now (503). */
  unavailable: 9,
  /** --wait: not live everywhere in its time. */
  notLive: 10,
  /** An audit found differences. */
  different: 11,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

const BY_STATUS: Readonly<Record<number, ExitCode>> = {
  0: EXIT.unavailable,
  400: EXIT.usage,
  401: EXIT.denied,
  403: EXIT.denied,
  404: EXIT.missing,
  405: EXIT.usage,
  409: EXIT.conflict,
  412: EXIT.stale,
  413: EXIT.limit,
  422: EXIT.invalid,
  429: EXIT.limit,
  503: EXIT.unavailable,
};

/** What to do next, where the message of the server does not say so. */
const ADVICE: Readonly<Record<string, string>> = {
  unreachable: 'Is aya server running there? Name another with --server or AYATORI_SERVER.',
  unauthorized:
    'Give a token with --token or AYATORI_TOKEN; on the box of the server the admin token is in its --state-dir.',
  stale: 'Look at it again and repeat the command.',
};

/** A sentence for people and an exit code. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: ExitCode;
  constructor(exitCode: ExitCode, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

export const usage = (message: string): CliError => new CliError(EXIT.usage, message);

export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CliError) return error.exitCode;
  if (error instanceof ApiError) return BY_STATUS[error.status] ?? EXIT.failed;
  return EXIT.failed;
}

/** Errors of commands that know the words their request was made from. */
export const FLAG_AT = new WeakMap<Error, (path: string) => string | undefined>();

/** `flagAt` turns a JSON pointer of the request into the flag that it came from. */
export function sentenceOf(error: unknown, flagAt: (path: string) => string | undefined = () => undefined): string {
  if (error instanceof CliError) return error.message;
  if (!(error instanceof ApiError)) return (error as Error).stack ?? String(error);
  const flag = error.path === undefined ? undefined : (flagAt(error.path) ?? error.path);
  const where = flag === undefined || flag === '' ? '' : ` (${flag})`;
  const advice = ADVICE[error.code];
  return `${error.message}${where}${advice === undefined ? '' : `\n${advice}`}`;
}
