/**
 * `POST /v1/chat/completions`, whole and as a stream of events. Validates, calls, serialises; decides nothing.
 * A stream's shape is what OpenAI's helpers check: role chunk first, a chunk per committed token (those of a round in
 * one write), the finish chunk, the usage chunk if asked for, `[DONE]`.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Completion, CompletionEvent, CompletionService } from '../src/completion.ts';
import { type GatewayError, toGatewayError } from '../src/errors.ts';
import type { Metrics } from '../src/metrics.ts';
import { readChatRequest } from './chat-request.ts';
import {
  type AnswerHead,
  type AnswerOptions,
  chatCompletion,
  deltaChunk,
  endChunks,
} from './chat-response.ts';
import { logError } from './error-handler.ts';
import { type Readiness, requireReady } from './health.ts';
import { findModel, type ModelCard, type ModelDirectory } from './models.ts';
import { ChatChunk, ChatCompletion, type ChatCompletionBody, ChatRequest, ErrorBody } from './schemas.ts';
import { type EventStreamLimits, openEventStream } from './sse.ts';
import { checkUnserved } from './unserved-parameters.ts';
import { untilAborted } from './until-aborted.ts';

/** A start that takes longer than this gets its headers first and may then only fail in the stream. */
const headersWaitMsMax = 1000;
/** Names of unknown fields that are remembered so as to log each once; beyond it they go unlogged. */
const unknownNamesMax = 256;

export interface ChatRoutesOptions {
  readonly completions: CompletionService;
  readonly models: ModelDirectory;
  readonly readiness: () => Readiness;
  readonly metrics: Metrics;
  readonly limits: EventStreamLimits;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export async function chatRoutes(app: FastifyInstance, options: ChatRoutesOptions): Promise<void> {
  const noteUnknown = createUnknownNote();
  app.withTypeProvider<TypeBoxTypeProvider>().post(
    '/v1/chat/completions',
    {
      schema: {
        operationId: 'createChatCompletion',
        summary: 'Answer a chat',
        tags: ['chat'],
        body: ChatRequest,
        response: {
          200: {
            description: 'The answer, or with `stream` its events, `data: [DONE]` last.',
            content: {
              'application/json': { schema: ChatCompletion },
              'text/event-stream': { schema: ChatChunk },
            },
          },
          '4xx': ErrorBody,
          '5xx': ErrorBody,
        },
      },
    },
    async (request, reply) => {
      const { body } = request;
      noteUnknown(checkUnserved(body), request);
      const signal = app.answerSignal(reply);
      const wanted = readChatRequest(body, signal);
      requireReady(options.readiness());
      const head = answerHead(findModel(options.models, body.model), options.now());
      const starting = options.completions.start(wanted);
      const events = followAnswer(starting, signal, options);
      const withMetrics = body.speculation != null;
      if (body.stream !== true) return await wholeAnswer(head, events, withMetrics);
      await settledWithin(starting, headersWaitMsMax);
      const withUsage = body.stream_options?.include_usage === true;
      return await streamAnswer({ head, events, withUsage, withMetrics, signal, request, reply, ...options });
    },
  );
}

async function wholeAnswer(
  head: AnswerHead,
  events: AsyncIterable<CompletionEvent>,
  withMetrics: boolean,
): Promise<ChatCompletionBody> {
  let text = '';
  for await (const event of events) {
    if (event.type === 'finish') return chatCompletion(head, text, event, withMetrics);
    text += event.deltas.join('');
  }
  throw withoutEnd();
}

interface StreamedAnswer extends AnswerOptions {
  readonly head: AnswerHead;
  readonly events: AsyncIterable<CompletionEvent>;
  readonly signal: AbortSignal;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly limits: EventStreamLimits;
  readonly metrics: Metrics;
}

async function streamAnswer(answer: StreamedAnswer): Promise<FastifyReply> {
  const { head, reply } = answer;
  const stream = openEventStream(reply, answer.limits, answer.signal);
  try {
    await stream.send([deltaChunk(head, { role: 'assistant', content: '' }, answer)]);
    for await (const event of answer.events) {
      if (event.type === 'finish') stream.finish(endChunks(head, event, answer));
      else await stream.send(event.deltas.map((content) => deltaChunk(head, { content }, answer)));
    }
  } catch (thrown) {
    const error = toGatewayError(thrown);
    answer.metrics.recordError(error.code);
    logError(error, answer.request);
    stream.fail(error);
  }
  return reply;
}

/** The events of one answer, measured; ends after the finish. Whatever goes wrong is thrown as GatewayError. */
async function* followAnswer(
  starting: Promise<Completion>,
  signal: AbortSignal,
  { metrics, now }: Pick<ChatRoutesOptions, 'metrics' | 'now'>,
): AsyncGenerator<CompletionEvent> {
  const startMs = now();
  let deliveryMs: number | null = null;
  try {
    for await (const event of untilAborted(eventsOf(starting), signal)) {
      if (event.type === 'finish') {
        metrics.recordCompletion(event.reason, event.usage, event.metrics);
        metrics.recordLatency(now() - startMs);
        yield event;
        return;
      }
      if (deliveryMs !== null) metrics.recordDelivery(now() - deliveryMs);
      deliveryMs = now();
      yield event;
    }
    throw withoutEnd();
  } catch (thrown) {
    // The signal knows better than whatever its abortion made somebody throw.
    const error = toGatewayError(signal.aborted ? signal.reason : thrown);
    if (error.code === 'client_gone') metrics.recordBrokenCompletion('abort');
    else if (error.traits.status >= 500) metrics.recordBrokenCompletion('error');
    throw error;
  }
}

async function* eventsOf(starting: Promise<Completion>): AsyncGenerator<CompletionEvent> {
  yield* (await starting).events;
}

const withoutEnd = (): GatewayError => toGatewayError(new Error('the answer ended without a finish event'));

/** Waits for the promise, but no longer than the limit. Throws what it throws by then. */
async function settledWithin(promise: Promise<unknown>, msMax: number): Promise<void> {
  const timer = new AbortController();
  try {
    await Promise.race([promise, wait(msMax, undefined, { signal: timer.signal })]);
  } finally {
    timer.abort();
  }
}

function answerHead(card: ModelCard, nowMs: number): AnswerHead {
  return {
    id: `chatcmpl-${randomUUID().replaceAll('-', '')}`,
    created: Math.floor(nowMs / 1000),
    model: card.id,
    system_fingerprint: `fp_${card.fingerprint ?? 'unknown'}`,
  };
}

function createUnknownNote(): (names: readonly string[], request: FastifyRequest) => void {
  const noted = new Set<string>();
  return (names, request) => {
    for (const name of names) {
      if (noted.size >= unknownNamesMax) return;
      const shown = name.slice(0, 64);
      if (noted.has(shown)) continue;
      noted.add(shown);
      request.log.info({ field: shown }, 'a request field is not known here and was ignored');
    }
  };
}
