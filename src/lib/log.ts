// Logs: JSON lines, each with `why` (the sentence), a level, a time and whatever names the object.
// Who logs is given a `Log`; only main.ts and tests choose where the lines go.

import { pino } from 'pino';

export type Fields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(why: string, fields?: Fields): void;
  info(why: string, fields?: Fields): void;
  /** Something an operator should look at; nothing is lost yet. */
  warn(why: string, fields?: Fields): void;
  /** Something failed. An Error goes into the field `error`. */
  error(why: string, fields?: Fields): void;
  /** The same log with these fields in every line. */
  with(fields: Fields): Log;
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
type Loud = Exclude<LogLevel, 'silent'>;

function fromWriter(write: (level: Loud, why: string, fields: Fields) => void, own: Fields = {}): Log {
  const at =
    (level: Loud) =>
    (why: string, fields: Fields = {}): void =>
      write(level, why, { ...own, ...fields });
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    with: (fields) => fromWriter(write, { ...own, ...fields }),
  };
}

/** JSON lines to standard error, or to `write`. Written at once: nothing is lost when the process dies. */
export function jsonLog(options: { readonly level: LogLevel; readonly write?: (line: string) => void }): Log {
  const { level, write } = options;
  const logger = pino(
    {
      level,
      base: null,
      messageKey: 'why',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: pino.stdSerializers.err },
    },
    write === undefined ? pino.destination({ dest: 2, sync: true }) : { write },
  );
  return fromWriter((at, why, fields) => logger[at](fields, why));
}

export interface LogLine {
  readonly level: Loud;
  readonly why: string;
  readonly fields: Fields;
}

/** Keeps the lines, for tests. */
export function memoryLog(): Log & { readonly lines: readonly LogLine[] } {
  const lines: LogLine[] = [];
  return { ...fromWriter((level, why, fields) => void lines.push({ level, why, fields })), lines };
}

/**
 * For what packets may cause: of each `why` at most one line in `everyMs`. The next line of the same `why` says in
 * `suppressed` how many were left out. `whys` must be few: fixed sentences, never one with an address in it.
 */
export function sparingLog(log: Log, everyMs: number, nowMs: () => number): Log {
  const seen = new Map<string, { untilMs: number; suppressed: number }>();
  return fromWriter((level, why, fields) => {
    const before = seen.get(why);
    const now = nowMs();
    if (before !== undefined && now < before.untilMs) {
      before.suppressed++;
      return;
    }
    seen.set(why, { untilMs: now + everyMs, suppressed: 0 });
    const suppressed = before?.suppressed ?? 0;
    log[level](why, suppressed > 0 ? { ...fields, suppressed } : fields);
  });
}
