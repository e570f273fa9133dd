/**
 * The one error class of the distributed half. Codes are a closed table and part of the wire protocol
 * (docs/protocol.md): an ERROR frame carries the code, the gateway maps it once at its edge (src/errors.ts).
 */

/** code → may the gateway open the session again elsewhere or later and expect success? */
export const shardErrorCodes = {
  /** Bytes that are not a frame of this protocol version. The stream is closed. */
  bad_frame: { retryable: false },
  /** A well-formed frame that this session may not send now (wrong order, wrong type, wrong width). */
  bad_request: { retryable: false },
  /** The frame starts beyond what the cache holds; `detail.length` says how much it holds. */
  gap: { retryable: true },
  /** Cluster key or hop token missing or wrong. */
  unauthorized: { retryable: false },
  /** The peer serves another model, range or arithmetic than the route says. */
  identity_mismatch: { retryable: false },
  /** No such session here: never opened, expired or evicted. */
  unknown_session: { retryable: true },
  /** The key/value budget of the worker cannot hold this session. */
  kv_budget: { retryable: true },
  /** A named limit of the worker (sessions, queue, header bytes) is reached. */
  limit: { retryable: true },
  /** The session's time is up. */
  deadline: { retryable: false },
  /** The next hop cannot be reached or was lost; `detail.hop` is its index in the route. */
  unreachable: { retryable: true },
  /** The worker is shutting down and takes no new work. */
  draining: { retryable: true },
  /** The engine failed in a pass; the session is lost, the worker may live on. */
  engine_failed: { retryable: true },
} as const;

export type ShardErrorCode = keyof typeof shardErrorCodes;

/** Numbers and short strings that a peer needs to act on an error; they travel in the ERROR frame. */
export type ShardErrorDetail = Record<string, number | string>;

export class ShardError extends Error {
  readonly code: ShardErrorCode;
  readonly detail: ShardErrorDetail;

  constructor(
    code: ShardErrorCode,
    message: string,
    options: { detail?: ShardErrorDetail; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ShardError';
    this.code = code;
    this.detail = options.detail ?? {};
  }
}

/** Any thrown value as a ShardError; what is not one already was a failure of the engine side. */
export function toShardError(error: unknown): ShardError {
  if (error instanceof ShardError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new ShardError('engine_failed', message, { cause: error });
}
