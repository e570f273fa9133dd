/** Response events as server-sent events: `event:` names the type, the terminal event is followed by `[DONE]`. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { toGatewayError } from '../src/errors.ts';
import type { Metrics } from '../src/metrics.ts';
import type { ResponseEvent } from '../src/responses/response-events.ts';
import { logError } from './error-handler.ts';
import { dataLine, type EventStreamLimits, openEventStream } from './sse.ts';

export interface ResponseStreamOptions {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly events: AsyncIterable<readonly ResponseEvent[]>;
  readonly signal: AbortSignal;
  readonly limits: EventStreamLimits;
  readonly metrics: Metrics;
}

/** Takes the reply over; batches go out as they come. Resolves when all is written, or nobody reads any more. */
export async function streamResponse(options: ResponseStreamOptions): Promise<FastifyReply> {
  const { request, reply, signal } = options;
  const stream = openEventStream(reply, options.limits, signal, eventText);
  try {
    for await (const batch of options.events) await stream.send(batch);
    stream.finish([]);
  } catch (thrown) {
    const error = toGatewayError(thrown);
    options.metrics.recordError(error.code);
    logError(error, request);
    stream.fail(error);
  }
  return reply;
}

const eventText = (event: unknown): string => `event: ${(event as ResponseEvent).type}\n${dataLine(event)}`;
