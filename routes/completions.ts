/**
 * `POST /v1/completions`: prompts as they are, one or a batch, whole or as a stream of events. Validates, calls,
 * serialises; decides nothing. Prompts of a batch are answered a few at a time, so that a batch is not a queue of its own.
 */
import { randomUUID } from 'node:crypto';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Completion, CompletionService, Usage } from '../src/completion.ts';
import { toGatewayError } from '../src/errors.ts';
import type { Metrics } from '../src/metrics.ts';
import type { PromptEncoder } from '../src/prompt-encoder.ts';
import { followAnswer, quickFailure } from './answer-events.ts';
import { readTextRequest, type TextOptions, type TextOrder } from './completion-request.ts';
import {
  batchUsage,
  bestChoices,
  echoPiece,
  eventPieces,
  openTextChoice,
  type TextChoice,
  type TextHead,
  type TextPart,
  textChunk,
  textCompletion,
  textUsageChunk,
} from './completion-response.ts';
import { TextChunk, TextCompletion, type TextCompletionBody, TextRequest } from './completion-schemas.ts';
import { logError } from './error-handler.ts';
import { type Readiness, requireReady } from './health.ts';
import { merge } from './merge.ts';
import { findModel, type ModelCard, type ModelDirectory } from './models.ts';
import { ErrorBody } from './schemas.ts';
import { type EventStreamLimits, openEventStream } from './sse.ts';
import { createUnknownNote } from './unknown-fields.ts';
import { checkUnserved } from './unserved-parameters.ts';

/** Prompts of one batch that are under way at once: enough to fill the links, not the queue. */
const promptsAtOnce = 4;

export interface CompletionRoutesOptions {
  readonly completions: CompletionService;
  readonly prompts: () => PromptEncoder;
  readonly models: ModelDirectory;
  readonly readiness: () => Readiness;
  readonly metrics: Metrics;
  readonly limits: EventStreamLimits;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

const served: ReadonlySet<string> = new Set(Object.keys(TextRequest.properties));

export async function completionRoutes(
  app: FastifyInstance,
  options: CompletionRoutesOptions,
): Promise<void> {
  const noteUnknown = createUnknownNote();
  app.withTypeProvider<TypeBoxTypeProvider>().post(
    '/v1/completions',
    {
      schema: {
        operationId: 'createCompletion',
        summary: 'Go on with a text',
        tags: ['completions'],
        body: TextRequest,
        response: {
          200: {
            description: 'The answer, or with `stream` its events, `data: [DONE]` last.',
            content: {
              'application/json': { schema: TextCompletion },
              'text/event-stream': { schema: TextChunk },
            },
          },
          '4xx': ErrorBody,
          '5xx': ErrorBody,
        },
      },
    },
    async (request, reply) => {
      const { body } = request;
      noteUnknown(checkUnserved(body, served), request);
      requireReady(options.readiness());
      const signal = app.answerSignal(reply);
      const prompts = options.prompts();
      const { orders, options: wanted } = readTextRequest(body, prompts, { owner: request.owner, signal });
      const head = textHead(findModel(options.models, body.model), options.now());
      const first = options.completions.start(orders[0]!.request);
      const batch: Batch = { ...options, head, orders, wanted, prompts, signal, first, answers: [] };
      if (body.stream !== true) return await wholeBatch(batch);
      await quickFailure(first);
      return await streamBatch(batch, request, reply);
    },
  );
}

interface Batch extends Omit<CompletionRoutesOptions, 'prompts'> {
  readonly head: TextHead;
  readonly orders: readonly TextOrder[];
  readonly wanted: TextOptions;
  readonly prompts: PromptEncoder;
  readonly signal: AbortSignal;
  /** The answer to the first prompt. */
  readonly first: Promise<Completion>;
  /** By prompt: its choices, once it has started. */
  readonly answers: TextChoice[][];
}

async function wholeBatch(batch: Batch): Promise<TextCompletionBody> {
  for await (const _ of batchEvents(batch));
  const best = batch.answers.flatMap((choices) => bestChoices(choices, batch.wanted.n));
  return textCompletion(batch.head, best, usageOf(batch));
}

async function streamBatch(
  batch: Batch,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { head, wanted } = batch;
  const stream = openEventStream(reply, batch.limits, batch.signal);
  try {
    for await (const parts of batchEvents(batch)) {
      await stream.send(parts.map((part) => textChunk(head, part, wanted)));
    }
    stream.finish(wanted.withUsage ? [textUsageChunk(head, usageOf(batch))] : []);
  } catch (thrown) {
    const error = toGatewayError(thrown);
    batch.metrics.recordError(error.code);
    logError(error, request);
    stream.fail(error);
  }
  return reply;
}

async function* batchEvents(batch: Batch): AsyncGenerator<readonly TextPart[]> {
  const sources = batch.orders.map((_, index) => () => promptEvents(batch, index));
  for await (const [, parts] of merge(sources, promptsAtOnce)) yield parts;
}

/** The answer to one prompt as parts of chunks: the prompt itself if it is to be echoed, then what is said. */
async function* promptEvents(batch: Batch, index: number): AsyncGenerator<readonly TextPart[]> {
  const { wanted, prompts } = batch;
  const { request, echo } = batch.orders[index]!;
  const starting = index === 0 ? batch.first : batch.completions.start({ ...request, admitted: true });
  const { promptIds, promptLogprobs } = await starting;
  const choices = Array.from({ length: request.choices ?? 1 }, (_, choice) =>
    openTextChoice(index * wanted.n + choice, promptIds, wanted),
  );
  batch.answers[index] = choices;
  if (echo !== null) {
    const rated = wanted.logprobs === null || promptLogprobs === undefined ? null : await promptLogprobs;
    const piece = echoPiece(echo, promptIds, rated, prompts);
    yield choices.map((choice) => choice.add(piece));
  }
  for await (const { index: choice, event } of followAnswer(starting, batch.signal, batch)) {
    if (event.type === 'finish') yield [choices[choice]!.finish(event)];
    else yield eventPieces(event).map((piece) => choices[choice]!.add(piece));
  }
}

function usageOf({ answers }: Batch): Usage {
  return batchUsage(answers.map((choices) => choices.map(({ end }) => end!)));
}

function textHead(card: ModelCard, nowMs: number): TextHead {
  return {
    id: `cmpl-${randomUUID().replaceAll('-', '')}`,
    object: 'text_completion',
    created: Math.floor(nowMs / 1000),
    model: card.id,
    system_fingerprint: `fp_${card.fingerprint ?? 'unknown'}`,
  };
}
