/**
 * Responses by id: read, followed as a stream, cancelled, deleted, and the items that they answered. Somebody else's
 * response is one that does not exist.
 */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { GatewayError } from '../src/errors.ts';
import type { Metrics } from '../src/metrics.ts';
import type { Responses } from '../src/responses/assembly.ts';
import { type EventLog, OffsetLostError } from '../src/responses/event-log.ts';
import { replayEvents } from '../src/responses/replay.ts';
import type { ResponseEvent } from '../src/responses/response-events.ts';
import { isFinished } from '../src/responses/response-object.ts';
import type { ResponseRecord } from '../src/responses/response-store.ts';
import { ItemPage, itemPage, PageQuery } from './item-page.ts';
import { DeletedResponse, idOf, ResponseBody, ResponseEventBody, RetrieveQuery } from './response-schemas.ts';
import { streamResponse } from './response-stream.ts';
import { ErrorBody } from './schemas.ts';
import type { EventStreamLimits } from './sse.ts';
import { untilAborted } from './until-aborted.ts';

export interface StoredResponseRoutesOptions {
  readonly responses: Responses;
  readonly metrics: Metrics;
  readonly limits: EventStreamLimits;
}

const tags = ['responses'];
const params = Type.Object({ id: idOf('response') });
const errors = { '4xx': ErrorBody, '5xx': ErrorBody };

export async function storedResponseRoutes(
  app: FastifyInstance,
  options: StoredResponseRoutesOptions,
): Promise<void> {
  const { stored, background } = options.responses;
  const routes = app.withTypeProvider<TypeBoxTypeProvider>();

  function find(owner: string, id: string): ResponseRecord {
    const record = stored.get(owner, id);
    if (record === null) throw notFound(id);
    const running = background.find(owner, id);
    return running === null ? record : { ...record, response: running.response };
  }

  /** `startingAfter`: null for all of them. */
  function eventsOf(owner: string, id: string, startingAfter: number | null): AsyncIterable<ResponseEvent[]> {
    const { response } = find(owner, id);
    const log = background.find(owner, id)?.log ?? null;
    if (log?.holds(startingAfter ?? -1)) return followLog(log, startingAfter ?? -1);
    if (startingAfter !== null || !isFinished(response)) throw offsetLost();
    return only(replayEvents(response));
  }

  routes.get(
    '/v1/responses/:id',
    {
      schema: {
        operationId: 'getResponse',
        summary: 'Read a response, or follow its events',
        tags,
        params,
        querystring: RetrieveQuery,
        response: {
          200: {
            description: 'The response, or with `stream=true` its events.',
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
      const { stream, starting_after } = request.query;
      const { id } = request.params;
      if (stream !== 'true') return find(request.owner, id).response;
      const events = eventsOf(
        request.owner,
        id,
        starting_after === undefined ? null : Number(starting_after),
      );
      const signal = app.answerSignal(reply);
      const followed = untilAborted(events, signal);
      return await streamResponse({ events: followed, signal, request, reply, ...options });
    },
  );

  routes.delete(
    '/v1/responses/:id',
    {
      schema: {
        operationId: 'deleteResponse',
        summary: 'Delete a response',
        tags,
        params,
        response: { 200: DeletedResponse, ...errors },
      },
    },
    async ({ params: { id }, owner }) => {
      await background.cancel(owner, id);
      if (!stored.delete(owner, id)) throw notFound(id);
      return { id, object: 'response' as const, deleted: true as const };
    },
  );

  routes.post(
    '/v1/responses/:id/cancel',
    {
      config: { unlimited: true },
      schema: {
        operationId: 'cancelResponse',
        summary: 'Cancel a response in the background',
        tags,
        params,
        response: { 200: ResponseBody, ...errors },
      },
    },
    async ({ params: { id }, owner }) => {
      const { response } = find(owner, id);
      if (!response.background) {
        throw new GatewayError(
          'invalid_request',
          'Only responses in the background can be cancelled; close the connection of any other.',
          { param: 'response_id' },
        );
      }
      return (await background.cancel(owner, id)) ?? response;
    },
  );

  routes.get(
    '/v1/responses/:id/input_items',
    {
      schema: {
        operationId: 'listInputItems',
        summary: 'List what a response answered',
        tags,
        params,
        querystring: PageQuery,
        response: { 200: ItemPage, ...errors },
      },
    },
    async ({ params: { id }, query, owner }) => itemPage(find(owner, id).input, query),
  );
}

async function* followLog(log: EventLog, startingAfter: number): AsyncGenerator<ResponseEvent[]> {
  try {
    yield* log.read(startingAfter);
  } catch (error) {
    throw error instanceof OffsetLostError ? offsetLost() : error;
  }
}

async function* only(batch: ResponseEvent[]): AsyncGenerator<ResponseEvent[]> {
  yield batch;
}

const notFound = (id: string): GatewayError =>
  new GatewayError('response_not_found', `Response with id '${id}' not found.`, { param: 'response_id' });

const offsetLost = (): GatewayError =>
  new GatewayError(
    'stream_offset_lost',
    'The events after this one are no longer kept. Read the response itself, or its events from the beginning.',
    { param: 'starting_after' },
  );
