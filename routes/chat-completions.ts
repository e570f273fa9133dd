/**
 * `POST /v1/chat/completions`, whole and as a stream of events. Validates, calls, serialises; decides nothing.
 * A stream's shape is what OpenAI's helpers check: role chunk first, a chunk per committed token (those of a round in
 * one write), the finish chunk, the usage chunk if asked for, `[DONE]`.
 */
import { randomUUID } from 'node:crypto';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Completion, CompletionEvent, CompletionService } from '../src/completion.ts';
import { toGatewayError } from '../src/errors.ts';
import type { Metrics } from '../src/metrics.ts';
import type { ChatStore } from '../src/responses/chat-store.ts';
import type { CallForm } from '../src/text/call-form.ts';
import type { RatedToken } from '../src/token-logprobs.ts';
import { type ChoiceEvent, type FinishEvent, followAnswer, quickFailure } from './answer-events.ts';
import { readChatRequest } from './chat-request.ts';
import {
  type AnswerHead,
  type AnswerOptions,
  chatCompletion,
  type DeltaTokens,
  deltaChunk,
  finishChunk,
  usageChunk,
} from './chat-response.ts';
import { ChoiceReader } from './choice-reader.ts';
import { logError } from './error-handler.ts';
import { type Readiness, requireReady } from './health.ts';
import { callFormOf, findModel, type ModelCard, type ModelDirectory } from './models.ts';
import {
  ChatChunk,
  type ChatChunkBody,
  ChatCompletion,
  type ChatCompletionBody,
  ChatRequest,
  type ChatRequestBody,
  ErrorBody,
} from './schemas.ts';
import { type EventStreamLimits, openEventStream } from './sse.ts';
import { createUnknownNote } from './unknown-fields.ts';
import { checkUnserved } from './unserved-parameters.ts';

export interface ChatRoutesOptions {
  readonly completions: CompletionService;
  readonly chats: ChatStore;
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
      const callForm = callFormOf(options.models, body.model);
      const wanted = readChatRequest(body, { owner: request.owner, signal, callForm });
      requireReady(options.readiness());
      const head = answerHead(body, findModel(options.models, body.model), options.now());
      const starting = options.completions.start(wanted);
      const events = followAnswer(starting, signal, options);
      const keep = body.store === true ? keeper(body, options.chats, request) : null;
      const answer = {
        ...{ head, starting, events, keep, callForm: mayCall(body) ? callForm : null },
        ...answerOptions(body),
      };
      if (body.stream !== true) return await wholeAnswer(answer);
      await quickFailure(starting);
      return await streamAnswer({ ...answer, signal, request, reply, ...options });
    },
  );
}

function answerOptions(body: ChatRequestBody): AnswerOptions {
  return {
    withUsage: body.stream_options?.include_usage === true,
    withMetrics: body.speculation != null,
    withTokenIds: body.return_token_ids === true,
    withLogprobs: body.logprobs === true,
    choices: body.n ?? 1,
  };
}

function mayCall({ tools, tool_choice }: ChatRequestBody): boolean {
  return tools != null && tools.length > 0 && tool_choice !== 'none';
}

type TextEvent = Extract<CompletionEvent, { type: 'text' }>;

interface Answer extends AnswerOptions {
  readonly head: AnswerHead;
  /** How calls are written in the answer; null: it has none. */
  readonly callForm: CallForm | null;
  readonly starting: Promise<Completion>;
  readonly events: AsyncIterable<ChoiceEvent>;
  /** Stores the whole answer, if that was asked for. */
  readonly keep: ((completion: ChatCompletionBody) => void) | null;
}

/** One choice as it comes. */
interface OpenChoice {
  readonly reader: ChoiceReader;
  readonly ids: number[];
  readonly logprobs: (RatedToken | null)[];
  end: FinishEvent | null;
}

function openChoices({ choices, callForm }: Answer): OpenChoice[] {
  return Array.from({ length: choices }, () => ({
    reader: new ChoiceReader(callForm),
    ids: [],
    logprobs: [],
    end: null,
  }));
}

/** Stored before it is told, so that a client may ask for it at once. A store that fails fails nobody's answer. */
function keeper(body: ChatRequestBody, chats: ChatStore, request: FastifyRequest) {
  return (completion: ChatCompletionBody): void => {
    try {
      chats.add(request.owner, {
        id: completion.id,
        model: completion.model,
        metadata: body.metadata ?? {},
        completion: JSON.stringify(completion),
        messages: JSON.stringify(body.messages),
      });
    } catch (err) {
      request.log.error({ err }, 'a chat was answered, but could not be stored');
    }
  };
}

async function wholeAnswer(answer: Answer): Promise<ChatCompletionBody> {
  const choices = openChoices(answer);
  for await (const { index, event } of answer.events) {
    const choice = choices[index]!;
    if (event.type === 'finish') choice.end = event;
    else {
      for (const delta of event.deltas) choice.reader.push(delta);
      choice.ids.push(...event.ids);
      choice.logprobs.push(...(event.logprobs ?? []));
    }
  }
  for (const { reader } of choices) reader.flush();
  return await completed(answer, choices);
}

/** followAnswer ends only when every choice has its finish event. */
async function completed(answer: Answer, choices: readonly OpenChoice[]): Promise<ChatCompletionBody> {
  const { promptIds } = await answer.starting;
  const complete = choices.map(({ end, reader, ids, logprobs }) => {
    const { text, calls, endsWithCalls } = reader;
    return { ...{ text, calls, endsWithCalls, ids, end: end! }, ...(answer.withLogprobs && { logprobs }) };
  });
  const completion = chatCompletion(answer.head, promptIds, complete, answer);
  answer.keep?.(completion);
  return completion;
}

interface StreamedAnswer extends Answer {
  readonly signal: AbortSignal;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly limits: EventStreamLimits;
  readonly metrics: Metrics;
}

async function streamAnswer(answer: StreamedAnswer): Promise<FastifyReply> {
  const { head, reply } = answer;
  const stream = openEventStream(reply, answer.limits, answer.signal);
  const roles = Array.from({ length: answer.choices }, (_, index) =>
    deltaChunk(head, index, { role: 'assistant', content: '' }, answer),
  );
  const choices = openChoices(answer);
  try {
    await stream.send(roles);
    let last: ChatChunkBody[] = [];
    let open = answer.choices;
    let promptToTell = answer.withTokenIds;
    for await (const { index, event } of answer.events) {
      if (promptToTell) await stream.send([await promptChunk(answer)]);
      promptToTell = false;
      const { reader, ids, logprobs } = choices[index]!;
      if (event.type === 'text') {
        if (answer.keep !== null) ids.push(...event.ids);
        if (answer.keep !== null) logprobs.push(...(event.logprobs ?? []));
        const chunks = event.deltas.flatMap((text, i) => {
          const [first, ...rest] = reader.push(text);
          // A token whose text is held back is told all the same, if tokens were asked for.
          if (first === undefined && !answer.withTokenIds && !answer.withLogprobs) return [];
          return [
            deltaChunk(head, index, first ?? {}, answer, tokenOf(event, i)),
            ...rest.map((delta) => deltaChunk(head, index, delta, answer)),
          ];
        });
        if (chunks.length > 0) await stream.send(chunks);
        continue;
      }
      choices[index]!.end = event;
      for (const delta of reader.flush()) await stream.send([deltaChunk(head, index, delta, answer)]);
      const finish = finishChunk(head, index, event, answer, reader.endsWithCalls);
      open -= 1;
      if (open > 0) await stream.send([finish]);
      else last = [finish];
    }
    if (answer.keep !== null) await completed(answer, choices);
    const ends = choices.map(({ end }) => end!);
    stream.finish(answer.withUsage ? [...last, usageChunk(head, ends, answer)] : last);
  } catch (thrown) {
    const error = toGatewayError(thrown);
    answer.metrics.recordError(error.code);
    logError(error, answer.request);
    stream.fail(error);
  }
  return reply;
}

/** Text that was only held back until now has no tokens of its own. */
function tokenOf({ ids, logprobs }: TextEvent, i: number): DeltaTokens {
  return { ids: ids.slice(i, i + 1), ...(logprobs !== undefined && { logprobs: logprobs.slice(i, i + 1) }) };
}

/** The prompt's ids, which are known once the answer has started. */
async function promptChunk(answer: StreamedAnswer): Promise<ChatChunkBody> {
  const { promptIds } = await answer.starting;
  return { ...deltaChunk(answer.head, 0, {}, answer), prompt_token_ids: [...promptIds] };
}

function answerHead(body: ChatRequestBody, card: ModelCard, nowMs: number): AnswerHead {
  return {
    id: `chatcmpl-${randomUUID().replaceAll('-', '')}`,
    created: Math.floor(nowMs / 1000),
    model: card.id,
    system_fingerprint: `fp_${card.fingerprint ?? 'unknown'}`,
    ...(body.service_tier != null && { service_tier: 'default' as const }),
  };
}
