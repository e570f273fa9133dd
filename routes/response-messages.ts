/** Messages of WebSocket mode: what a client's text means, and the errors in the shape that the SDK reads. Pure. */
import { GatewayError, openAiErrorBody, retryHeaders } from '../src/errors.ts';

import { isTooDeep, tooDeep } from './json-body.ts';

/** OpenAI's own rule. */
const laneName = /^[A-Za-z0-9_.-]{1,256}$/;

export type ClientMessage =
  | {
      readonly type: 'create';
      readonly lane: string | null;
      readonly body: Readonly<Record<string, unknown>>;
    }
  | { readonly type: 'steer'; readonly body: Readonly<Record<string, unknown>> };

/** A request that was understood so far that its lane is known, and no further. */
export class MessageError extends GatewayError {
  readonly lane: string | null;

  constructor(message: string, param: string | null, lane: string | null = null) {
    super('invalid_request', message, { param: param ?? undefined });
    this.lane = lane;
  }
}

/** Throws MessageError. */
export function readMessage(text: string): ClientMessage {
  const message = parseObject(text);
  const { type, stream_id: lane = null, ...body } = message;
  if (lane !== null && (typeof lane !== 'string' || !laneName.test(lane))) {
    throw new MessageError("'stream_id' must be 1 to 256 characters of A-Z a-z 0-9 _ . -", 'stream_id');
  }
  if (type === 'response.create') return { type: 'create', lane, body };
  if (type === 'response.steer') return { type: 'steer', body };
  throw new MessageError("'type' must be response.create or response.steer.", 'type', lane);
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new MessageError('The message is not valid JSON.', null);
  }
  if (isTooDeep(value)) throw new MessageError(tooDeep('The message').message, null);
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw new MessageError('The message is not a JSON object.', null);
}

export const withLane = (lane: string | null): { readonly stream_id?: string } =>
  lane === null ? {} : { stream_id: lane };

export function errorMessage(error: GatewayError, lane: string | null) {
  const body = openAiErrorBody(error).error;
  return {
    type: 'error' as const,
    status: error.traits.status,
    error: { ...body, headers: retryHeaders(error) },
    ...withLane(lane),
  };
}

export function steerRefusal(body: Readonly<Record<string, unknown>>) {
  const { previous_response_id, input } = body;
  return {
    type: 'response.steer.failed' as const,
    sequence_number: 0,
    error: {
      type: 'invalid_request_error',
      code: 'steering_not_supported',
      message: 'Responses cannot be steered here. Cancel, and send the input with a new response.create.',
    },
    steer: { previous_response_id: previous_response_id ?? '', input: input ?? '' },
  };
}
