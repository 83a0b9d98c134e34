// Reading requests: bodies with a bound on size and depth, query parameters, revisions. What does not fit is an ApiError.

import type { Context } from 'hono';
import { ApiError } from '../errors.ts';

const BODY_BYTES = 1024 * 1024;
/** A body of many operations. */
export const TRANSACTION_BYTES = 16 * 1024 * 1024;
/** The deepest document of the model has five levels; a bound keeps what walks one off the end of the stack. */
const DEPTH = 32;
/** Items of one page of a list, when not told otherwise, and at most. */
export const LIST_LIMIT = 100;
export const LIST_LIMIT_MAX = 1000;

/** The body as JSON. */
export async function readJson(context: Context, limitBytes = BODY_BYTES): Promise<unknown> {
  const text = await readText(context, limitBytes);
  if (text.trim() === '') throw new ApiError('badJson', 'the body is empty: send a JSON object');
  if (isTooDeep(text)) throw new ApiError('badJson', `the body is nested deeper than ${DEPTH} levels`);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ApiError('badJson', `the body is no JSON: ${error instanceof Error ? error.message : error}`);
  }
}

/** The body as a JSON object with no other fields than these. */
export async function readFields(context: Context, names: readonly string[]): Promise<Record<string, unknown>> {
  const json = await readJson(context);
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new ApiError('malformed', 'the body is a JSON object', '');
  }
  for (const name of Object.keys(json)) {
    if (!names.includes(name)) throw new ApiError('malformed', `there is no field ${name}`, `/${name}`);
  }
  return json as Record<string, unknown>;
}

async function readText(context: Context, limitBytes: number): Promise<string> {
  const tooLarge = () => new ApiError('tooLarge', `the body is larger than ${limitBytes} bytes`);
  if (Number(context.req.header('content-length') ?? 0) > limitBytes) throw tooLarge();
  const { body } = context.req.raw;
  if (body === null) return '';
  const parts: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const part of body as ReadableStream<Uint8Array>) {
      bytes += part.length;
      if (bytes > limitBytes) throw tooLarge();
      parts.push(part);
    }
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError('malformed', 'the body broke off');
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts));
  } catch {
    throw new ApiError('badJson', 'the body is not UTF-8');
  }
}

/** Counts brackets outside of strings; what is no JSON is told by the parser. */
export function isTooDeep(text: string): boolean {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case 0x22: // "
        for (at++; at < text.length && text.charCodeAt(at) !== 0x22; at++) if (text.charCodeAt(at) === 0x5c) at++;
        break;
      case 0x5b: // [
      case 0x7b: // {
        if (++depth > DEPTH) return true;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth--;
        break;
    }
  }
  return false;
}

/** Query parameters, each once, none but these. */
export function readQuery(context: Context, known: (name: string) => boolean): Record<string, string> {
  const query: Record<string, string> = {};
  for (const [name, values] of Object.entries(context.req.queries())) {
    if (!known(name)) throw new ApiError('malformed', `there is no query parameter ${name}`);
    if (values.length > 1) throw new ApiError('malformed', `query parameter ${name} is given ${values.length} times`);
    query[name] = values[0]!;
  }
  return query;
}

export function readInteger(
  text: string | undefined,
  name: string,
  minimum: number,
  maximum: number,
): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= minimum && value <= maximum) return value;
  throw new ApiError('malformed', `${name} is a whole number from ${minimum} to ${maximum}, not ${text}`);
}

/** `If-Match: 12` or `"12"`; `*` is no condition, since what is not there is 404 anyway. */
export function readIfMatch(context: Context): number | undefined {
  const text = context.req.header('if-match');
  if (text === undefined || text === '*') return undefined;
  return readInteger(text.replace(/^"(.*)"$/, '$1'), 'If-Match', 0, Number.MAX_SAFE_INTEGER);
}
