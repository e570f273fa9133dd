/**
 * What the engine reports → the bodies of a chat answer. Pure; the one place where our words become OpenAI's
 * snake_case. All chunks of an answer carry the same head, which some SDKs check.
 */
import type { CompletionMetrics, Usage } from '../src/completion.ts';
import type { ChatChunkBody, ChatCompletionBody, MetricsBody, UsageBody } from './schemas.ts';

/** What all bodies of one answer share. */
export interface AnswerHead {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
}

export interface AnswerEnd {
  readonly reason: 'stop' | 'length';
  readonly usage: Usage;
  readonly metrics: CompletionMetrics;
  readonly seed: bigint;
}

export interface AnswerOptions {
  readonly withUsage: boolean;
  readonly withMetrics: boolean;
}

type Delta = ChatChunkBody['choices'][number]['delta'];

export function chatCompletion(
  head: AnswerHead,
  text: string,
  end: AnswerEnd,
  withMetrics: boolean,
): ChatCompletionBody {
  return {
    id: head.id,
    object: 'chat.completion',
    created: head.created,
    model: head.model,
    system_fingerprint: head.system_fingerprint,
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: text, refusal: null },
        logprobs: null,
        finish_reason: end.reason,
      },
    ],
    usage: usageBody(end.usage),
    ...(withMetrics && { metrics: metricsBody(end) }),
  };
}

export function deltaChunk(
  head: AnswerHead,
  delta: Delta,
  { withUsage }: AnswerOptions,
  finishReason: AnswerEnd['reason'] | null = null,
): ChatChunkBody {
  return {
    id: head.id,
    object: 'chat.completion.chunk',
    created: head.created,
    model: head.model,
    system_fingerprint: head.system_fingerprint,
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finishReason }],
    ...(withUsage && { usage: null }),
  };
}

/** The chunk that finishes the choice and, if asked for, the one with the usage; metrics go into the last. */
export function endChunks(head: AnswerHead, end: AnswerEnd, options: AnswerOptions): ChatChunkBody[] {
  const finish = deltaChunk(head, {}, options, end.reason);
  const chunks = options.withUsage
    ? [finish, { ...finish, choices: [], usage: usageBody(end.usage) }]
    : [finish];
  const last = chunks.pop()!;
  return [...chunks, options.withMetrics ? { ...last, metrics: metricsBody(end) } : last];
}

function usageBody(usage: Usage): UsageBody {
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.completionTokens,
    total_tokens: usage.promptTokens + usage.completionTokens,
    prompt_tokens_details: { cached_tokens: usage.cachedTokens },
    completion_tokens_details: {
      reasoning_tokens: 0,
      accepted_prediction_tokens: usage.acceptedPredictionTokens,
      rejected_prediction_tokens: usage.rejectedPredictionTokens,
    },
  };
}

function metricsBody({ metrics, seed }: AnswerEnd): MetricsBody {
  return {
    seed: seed <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(seed) : String(seed),
    time_to_first_token_ms: metrics.timeToFirstTokenMs,
    generation_ms: metrics.generationMs,
    queue_ms: metrics.queueMs,
    tokens_per_second: metrics.tokensPerSecond,
    rounds: metrics.rounds,
    drafted_tokens: metrics.draftedTokens,
    accepted_tokens: metrics.acceptedTokens,
    mean_accepted_length: metrics.meanAcceptedLength,
    acceptance_per_position: [...metrics.acceptancePerPosition],
    link_bytes_per_token: metrics.linkBytesPerToken,
    link_ms: metrics.linkMs,
    compute_ms: metrics.computeMs,
    draft_ms: metrics.draftMs,
    drafters: { ...metrics.drafters },
  };
}
