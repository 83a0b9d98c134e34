// Every error that the API answers with: one table of code, status and what the caller can do. Nothing else builds an
// error body.

/** HTTP statuses that an error body comes with. */
export type ErrorStatus = 400 | 401 | 403 | 404 | 405 | 408 | 409 | 412 | 413 | 422 | 429 | 500 | 503;

/** Code -> status, and the message when the thrower has nothing better to say. */
const ERRORS = {
  badJson: { status: 400, message: 'the body is no JSON' },
  malformed: { status: 400, message: 'the request is malformed' },
  unauthorized: { status: 401, message: 'send a valid token: Authorization: Bearer TOKEN' },
  forbidden: { status: 403, message: 'this token may not do that' },
  notFound: { status: 404, message: 'there is no such thing' },
  methodNotAllowed: { status: 405, message: 'this path does not take that method' },
  timeout: { status: 408, message: 'the request did not arrive in time' },
  conflict: { status: 409, message: 'something is in the way' },
  exists: { status: 409, message: 'an object with this id exists and is not the same: choose another id' },
  inUse: { status: 409, message: 'the object is in use' },
  stale: { status: 412, message: 'the object has changed since: read it again' },
  tooLarge: { status: 413, message: 'the body is too large' },
  invalid: { status: 422, message: 'the request makes no sense' },
  tooMany: { status: 429, message: 'too many requests: wait a little and try again' },
  internal: { status: 500, message: 'the server failed; its log says why' },
  unavailable: { status: 503, message: 'not available now: try again' },
  outcomeUnknown: { status: 503, message: 'the answer of the store was lost: read before writing again' },
} as const satisfies Record<string, { status: ErrorStatus; message: string }>;
export type ErrorCode = keyof typeof ERRORS;
export const ERROR_CODES = Object.keys(ERRORS) as ErrorCode[];
export const statusOf = (code: ErrorCode): ErrorStatus => ERRORS[code].status;

export interface ErrorBody {
  readonly code: ErrorCode;
  readonly message: string;
  /** JSON pointer into the request. */
  readonly path?: string;
}

/** What a client sent may be quoted in a message; all of it need not come back. */
const MESSAGE_MAX = 1000;

/** Thrown anywhere below a request; answered as its body. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: ErrorCode;
  readonly path: string | undefined;
  /** Of tooMany: when it is worth trying again. */
  readonly retryAfterSeconds: number;

  constructor(code: ErrorCode, message: string = ERRORS[code].message, path?: string, retryAfterSeconds = 1) {
    super(message.length <= MESSAGE_MAX ? message : `${message.slice(0, MESSAGE_MAX)}...`);
    this.code = code;
    this.path = path;
    this.retryAfterSeconds = retryAfterSeconds;
  }

  get status(): ErrorStatus {
    return ERRORS[this.code].status;
  }

  get body(): ErrorBody {
    const { code, message, path } = this;
    return path === undefined ? { code, message } : { code, message, path };
  }
}
