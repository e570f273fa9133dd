/**
 * `POST /v1/responses` whole, as a stream or in the background, and what only reads a conversation: input_tokens and
 * compact. Validates, calls, serialises; decides nothing.
 */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import type { Metrics } from '../src/metrics.ts';
import type { Responses } from '../src/responses/assembly.ts';
import type { NewId } from '../src/responses/items.ts';
import type { ResponseObject } from '../src/responses/response-object.ts';
import type { Run } from '../src/responses/run.ts';
import { takePlace } from './access.ts';
import { quickFailure } from './answer-events.ts';
import { type Readiness, requireReady } from './health.ts';
import type { ReadOrder } from './response-orders.ts';
import { greedyCompletion, inResponseTerms } from './response-request.ts';
import {
  CompactedBody,
  CompactRequest,
  InputTokens,
  InputTokensRequest,
  ResponseBody,
  ResponseEventBody,
  ResponseRequest,
} from './response-schemas.ts';
import { streamResponse } from './response-stream.ts';
import { ErrorBody } from './schemas.ts';
import type { EventStreamLimits } from './sse.ts';
import { untilAborted } from './until-aborted.ts';

export interface ResponseRoutesOptions {
  readonly responses: Responses;
  readonly readOrder: ReadOrder;
  readonly readiness: () => Readiness;
  readonly metrics: Metrics;
  readonly limits: EventStreamLimits;
  readonly newId: NewId;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

const tags = ['responses'];
const errors = { '4xx': ErrorBody, '5xx': ErrorBody };

export async function responseRoutes(app: FastifyInstance, options: ResponseRoutesOptions): Promise<void> {
  const { readOrder, newId } = options;
  const { maker, background } = options.responses;
  const routes = app.withTypeProvider<TypeBoxTypeProvider>();

  routes.post(
    '/v1/responses',
    {
      schema: {
        operationId: 'createResponse',
        summary: 'Make a response',
        tags,
        body: ResponseRequest,
        response: {
          200: {
            description: 'The response, or with `stream` its events, `data: [DONE]` last.',
            content: {
              'application/json': { schema: ResponseBody },
              'text/event-stream': { schema: ResponseEventBody },
            },
          },
          ...errors,
        },
      },
    },
    async (request, reply) => {
      const { body } = request;
      requireReady(options.readiness());
      const order = readOrder(body, request);
      const signal = app.answerSignal(reply);
      return await inTerms(async () => {
        if (body.background === true) {
          const response = await background.start(order, takePlace(request));
          if (body.stream !== true) return response;
          const { log } = background.find(order.owner, response.id)!;
          const events = untilAborted(log.read(-1), signal);
          return await streamResponse({ events, signal, request, reply, ...options });
        }
        const run = maker.open(order, { signal });
        if (body.stream !== true) return await wholeResponse(run);
        await quickFailure(run.starting);
        return await streamResponse({ events: run.events, signal, request, reply, ...options });
      });
    },
  );

  routes.post(
    '/v1/responses/input_tokens',
    {
      schema: {
        operationId: 'countResponseInputTokens',
        summary: 'Count the tokens of an input',
        tags,
        body: InputTokensRequest,
        response: { 200: InputTokens, ...errors },
      },
    },
    async (request) => {
      requireReady(options.readiness());
      const order = readOrder(onlyKnown(request.body, InputTokensRequest), request);
      const tokens = await inTerms(async () => maker.countInput(order));
      return { object: 'response.input_tokens' as const, input_tokens: tokens };
    },
  );

  routes.post(
    '/v1/responses/compact',
    {
      schema: {
        operationId: 'compactResponse',
        summary: 'Replace a conversation by a summary',
        tags,
        body: CompactRequest,
        response: { 200: CompactedBody, ...errors },
      },
    },
    async (request, reply) => {
      requireReady(options.readiness());
      const body = onlyKnown(request.body, CompactRequest);
      const order = { ...readOrder(body, request), completion: greedyCompletion };
      const signal = app.answerSignal(reply);
      const { item, usage } = await inTerms(() => maker.compact(order, signal));
      return {
        id: newId('resp_'),
        object: 'response.compaction' as const,
        created_at: Math.floor(options.now() / 1000),
        output: [item],
        usage,
      };
    },
  );
}

/** Fields that this endpoint does not have were not validated for it either. */
function onlyKnown<T extends object>(body: T, schema: { readonly properties: object }): T {
  const known = Object.entries(body).filter(([name]) => Object.hasOwn(schema.properties, name));
  return Object.fromEntries(known) as T;
}

/** Errors of the engine speak of chats. */
async function inTerms<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw inResponseTerms(error);
  }
}

/** Nobody sees the events; a response that failed is an error with its own status. */
async function wholeResponse(run: Run): Promise<ResponseObject> {
  for await (const _batch of run.events);
  if (run.failure !== null) throw run.failure;
  return run.response;
}
