/**
 * The one error class of the gateway. Codes are a closed table; each is mapped once, here, to an HTTP status, to
 * OpenAI's error type and to what a client may do about it (SDKs read `x-should-retry`, then `retry-after`).
 * What a client sees is written for it: causes, origins of workers and stacks go to the log only.
 */
import { ShardError, type ShardErrorCode } from '../shards/errors.ts';
import { TextError } from './text/text-error.ts';

interface ErrorTraits {
  readonly status: number;
  /** OpenAI's class of error. */
  readonly type: string;
  /** May the same request succeed later? */
  readonly retryable: boolean;
  /** Seconds for `retry-after`; SDKs honour 0-60. */
  readonly retryAfterS: number | null;
}

function refusal(status: number, type = 'invalid_request_error'): ErrorTraits {
  return { status, type, retryable: false, retryAfterS: null };
}

function outage(status: number, retryAfterS: number, type = 'server_error'): ErrorTraits {
  return { status, type, retryable: true, retryAfterS };
}

export const gatewayErrorCodes = {
  /** A value that is missing, malformed or out of range; `param` names it. */
  invalid_request: refusal(400),
  /** A parameter that would change the answer and is not served here; `param` names it. */
  unsupported_parameter: refusal(400),
  /** Prompt, or prompt and max_tokens, do not fit the context. */
  context_length_exceeded: refusal(400),
  /** No API key, or one that is not known here. */
  invalid_api_key: refusal(401),
  /** What only administrators may read. */
  access_denied: refusal(403, 'permission_error'),
  /** A Host header that is not this machine's, while no key protects the gateway. */
  host_not_allowed: refusal(403, 'permission_error'),
  /** A page of another origin; browsers guard everything but WebSockets themselves. */
  origin_not_allowed: refusal(403, 'permission_error'),
  model_not_found: refusal(404),
  unknown_url: refusal(404),
  /** Stored things, told as if they never were when another owner asks. */
  completion_not_found: refusal(404),
  response_not_found: refusal(404),
  conversation_not_found: refusal(404),
  item_not_found: refusal(404),
  /** A chain whose beginning is gone; the whole input has to be sent. */
  previous_response_not_found: refusal(400),
  method_not_allowed: refusal(405),
  /** The client took too long to send its request. */
  request_timeout: { status: 408, type: 'invalid_request_error', retryable: true, retryAfterS: null },
  /** A stream is resumed at events that are no longer kept; the response itself can be read. */
  stream_offset_lost: refusal(410),
  /** An idempotency key that came with another body before. */
  idempotency_conflict: refusal(409),
  payload_too_large: refusal(413),
  unsupported_media_type: refusal(415),
  /** The path is served to WebSockets. */
  upgrade_required: refusal(426),
  headers_too_large: refusal(431),
  /** The key's own limit; the error tells how long to wait. */
  rate_limit_exceeded: { status: 429, type: 'rate_limit_error', retryable: true, retryAfterS: null },
  /** All running and waiting places are taken. */
  queue_full: outage(429, 2, 'rate_limit_error'),
  /** The client left; nobody reads this answer. The status is nginx's. */
  client_gone: refusal(499),
  /** The client took its order back. */
  cancelled: refusal(499),
  /** A connection is as old as one may get; a new one goes on. */
  websocket_connection_limit_reached: refusal(400),
  internal: { status: 500, type: 'server_error', retryable: true, retryAfterS: null },
  /** Start-up is still pulling, packing or connecting. */
  model_loading: outage(503, 2),
  /** The gateway is shutting down. */
  draining: outage(503, 5),
  /** A worker was lost, or refused its part; a retry may find it back. */
  shard_lost: outage(503, 2),
  /** The time for this answer is up; another try would need as long. */
  deadline_exceeded: refusal(504, 'server_error'),
} as const satisfies Record<string, ErrorTraits>;

export type GatewayErrorCode = keyof typeof gatewayErrorCodes;

export interface GatewayErrorOptions {
  /** The request field that is to blame, as a path: `messages[0].content`. */
  readonly param?: string | undefined;
  /** When the same request may succeed, where that is known better than by the code. */
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/** Thrown to a client: the message says what is wrong and what to do. */
export class GatewayError extends Error {
  readonly code: GatewayErrorCode;
  readonly param: string | null;
  readonly retryAfterMs: number | null;

  constructor(code: GatewayErrorCode, message: string, options: GatewayErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'GatewayError';
    this.code = code;
    this.param = options.param ?? null;
    const { retryAfterS } = gatewayErrorCodes[code];
    this.retryAfterMs = options.retryAfterMs ?? (retryAfterS === null ? null : 1000 * retryAfterS);
  }

  get traits(): ErrorTraits {
    return gatewayErrorCodes[this.code];
  }
}

export interface OpenAiErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string;
  };
}

export function openAiErrorBody(error: GatewayError): OpenAiErrorBody {
  return {
    error: { message: error.message, type: error.traits.type, param: error.param, code: error.code },
  };
}

/** What SDKs read to decide on a retry. */
export function retryHeaders({ traits, retryAfterMs }: GatewayError): Record<string, string> {
  const headers: Record<string, string> = { 'x-should-retry': String(traits.retryable) };
  if (retryAfterMs !== null) {
    headers['retry-after'] = String(Math.ceil(retryAfterMs / 1000));
    headers['retry-after-ms'] = String(Math.ceil(retryAfterMs));
  }
  return headers;
}

const lost = 'A shard of the model was lost or refused its part of the work. Send the request again.';
const full =
  'The shards of the model have no room for another session at the moment. Send the request again.';
const fault = 'The gateway failed. The log tells why, under the id of this request.';

const shardErrors: Record<ShardErrorCode, readonly [GatewayErrorCode, string]> = {
  bad_frame: ['internal', fault],
  bad_request: ['internal', fault],
  gap: ['shard_lost', lost],
  unauthorized: ['shard_lost', lost],
  identity_mismatch: ['shard_lost', lost],
  unknown_session: ['shard_lost', lost],
  kv_budget: ['queue_full', full],
  limit: ['queue_full', full],
  deadline: ['deadline_exceeded', 'The time for this answer is up. Ask for fewer tokens.'],
  unreachable: ['shard_lost', lost],
  draining: ['shard_lost', lost],
  engine_failed: ['shard_lost', lost],
};

/** Any thrown value as what a client may see. The original stays as `cause`. */
export function toGatewayError(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  if (error instanceof ShardError) {
    const [code, message] = shardErrors[error.code];
    return new GatewayError(code, message, { cause: error });
  }
  if (error instanceof TextError && error.code === 'rejected') {
    return new GatewayError('invalid_request', error.message, { param: 'messages', cause: error });
  }
  if (error instanceof Error && error.name === 'AbortError') {
    return new GatewayError('client_gone', 'The client left before the answer was complete.', {
      cause: error,
    });
  }
  return new GatewayError('internal', fault, { cause: error });
}
