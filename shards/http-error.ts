/**
 * Errors of the plain HTTP answers between gateway and workers: {"error":{"code","message"}} with the code table of
 * ShardError. Both directions, so that they cannot drift apart.
 */
import { ShardError, type ShardErrorCode, shardErrorCodes } from './errors.ts';
import { object, oneOf, readJson, text } from './json-reader.ts';

const statuses: { readonly [Code in ShardErrorCode]: number } = {
  bad_frame: 400,
  bad_request: 400,
  gap: 409,
  unauthorized: 401,
  identity_mismatch: 409,
  unknown_session: 404,
  kv_budget: 503,
  limit: 503,
  deadline: 504,
  unreachable: 502,
  draining: 503,
  engine_failed: 500,
};

const readBody = object<{ error: { code: ShardErrorCode; message: string } }>({
  error: object<{ code: ShardErrorCode; message: string }>({
    code: oneOf(Object.keys(shardErrorCodes) as ShardErrorCode[]),
    message: text(1000),
  }),
});

export function statusOf(code: ShardErrorCode): number {
  return statuses[code];
}

export function errorBody({ code, message }: ShardError): string {
  return JSON.stringify({ error: { code, message: message.slice(0, 1000) } });
}

/** What a peer meant by an answer other than 200; anything unreadable is bad_request with the status. */
export function refusalOf(status: number, body: Uint8Array): ShardError {
  try {
    const { code, message } = readJson(body, readBody, 'answer').error;
    return new ShardError(code, message, { detail: { status } });
  } catch {
    return new ShardError('bad_request', `the peer answered ${status}: is this a foretoken worker?`, {
      detail: { status },
    });
  }
}
