/**
 * What the engine reports → the bodies of a chat answer. Pure; the one place where our words become OpenAI's
 * snake_case. All chunks of an answer carry the same head, which some SDKs check.
 */
import type { RatedToken } from '../src/token-logprobs.ts';
import type { FinishEvent } from './answer-events.ts';
import { metricsBody, sumUsage, usageBody } from './answer-figures.ts';
import { chatLogprobs } from './chat-logprobs.ts';
import type { ChatChunkBody, ChatCompletionBody } from './schemas.ts';

/** What all bodies of one answer share. */
export interface AnswerHead {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
  /** Only if the request named a tier. */
  readonly service_tier?: 'default';
}

/** What the request wants to have besides. */
export interface AnswerOptions {
  readonly withUsage: boolean;
  readonly withMetrics: boolean;
  readonly withTokenIds: boolean;
  readonly withLogprobs: boolean;
  /** Choices that were asked for. */
  readonly choices: number;
}

/** A complete call of a function. */
export interface FunctionCall {
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
}

/** One choice, complete. */
export interface ChoiceAnswer {
  readonly text: string;
  /** Left out: none. */
  readonly calls?: readonly FunctionCall[];
  /** Does the answer end with calls, all of them whole? Left out: no. */
  readonly endsWithCalls?: boolean;
  readonly ids: readonly number[];
  /** One for each of ids, if they were asked for. */
  readonly logprobs?: readonly (RatedToken | null)[];
  readonly end: FinishEvent;
}

/** The tokens of one delta. */
export type DeltaTokens = Partial<Pick<ChoiceAnswer, 'ids' | 'logprobs'>>;

type ChunkChoice = ChatChunkBody['choices'][number];
export type Delta = ChunkChoice['delta'];

export function chatCompletion(
  head: AnswerHead,
  promptIds: readonly number[],
  answers: readonly ChoiceAnswer[],
  { withMetrics, withTokenIds }: AnswerOptions,
): ChatCompletionBody {
  const [only] = answers;
  return {
    ...head,
    object: 'chat.completion',
    choices: answers.map(({ text, calls = [], endsWithCalls = false, ids, logprobs, end }, index) => ({
      index,
      message: {
        role: 'assistant',
        content: text === '' && calls.length > 0 ? null : text,
        refusal: null,
        ...(calls.length > 0 && { tool_calls: calls.map(callBody) }),
      },
      logprobs: chatLogprobs(logprobs),
      finish_reason: reasonOf(end, endsWithCalls),
      ...(withTokenIds && { token_ids: [...ids] }),
      ...(withMetrics && answers.length > 1 && { metrics: metricsBody(end) }),
    })),
    usage: usageBody(sumUsage(answers.map(({ end }) => end.usage))),
    ...(withTokenIds && { prompt_token_ids: [...promptIds] }),
    ...(withMetrics && answers.length === 1 && { metrics: metricsBody(only!.end) }),
  };
}

/** A chunk of one choice and the tokens that it stands for. */
export function deltaChunk(
  head: AnswerHead,
  index: number,
  delta: Delta,
  { withUsage, withTokenIds }: AnswerOptions,
  { ids = [], logprobs }: DeltaTokens = {},
): ChatChunkBody {
  const tokenIds = withTokenIds && ids.length > 0 ? { token_ids: [...ids] } : {};
  const choice = { index, delta, logprobs: chatLogprobs(logprobs), finish_reason: null, ...tokenIds };
  return chunkOf(head, [choice], withUsage);
}

/** The chunk that finishes a choice; it has the choice's metrics if there are several, or nothing comes after it. */
export function finishChunk(
  head: AnswerHead,
  index: number,
  end: FinishEvent,
  { withUsage, withMetrics, choices }: AnswerOptions,
  endsWithCalls = false,
): ChatChunkBody {
  const several = choices > 1;
  const choice: ChunkChoice = {
    index,
    delta: {},
    logprobs: null,
    finish_reason: reasonOf(end, endsWithCalls),
    ...(withMetrics && several && { metrics: metricsBody(end) }),
  };
  return {
    ...chunkOf(head, [choice], withUsage),
    ...(withMetrics && !several && !withUsage && { metrics: metricsBody(end) }),
  };
}

/** The last chunk of an answer whose usage was asked for. */
export function usageChunk(
  head: AnswerHead,
  ends: readonly FinishEvent[],
  { withMetrics, choices }: AnswerOptions,
): ChatChunkBody {
  return {
    ...chunkOf(head, [], true),
    usage: usageBody(sumUsage(ends.map(({ usage }) => usage))),
    ...(withMetrics && choices === 1 && { metrics: metricsBody(ends[0]!) }),
  };
}

/** A call that max_tokens or a stop string cut short is none: the answer says how it ended. */
function reasonOf({ reason }: FinishEvent, endsWithCalls: boolean): 'stop' | 'length' | 'tool_calls' {
  return reason === 'stop' && endsWithCalls ? 'tool_calls' : reason;
}

function callBody({ id, name, arguments: said }: FunctionCall) {
  return { id, type: 'function' as const, function: { name, arguments: said } };
}

function chunkOf(head: AnswerHead, choices: ChunkChoice[], withUsage: boolean): ChatChunkBody {
  return { ...head, object: 'chat.completion.chunk', choices, ...(withUsage && { usage: null }) };
}
