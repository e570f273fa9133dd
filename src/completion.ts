/**
 * The spine between text and tokens: a chat becomes ids, ids become a session, committed ids become text deltas.
 * Strings live here and in text/ only; below this file there are token ids, above it JSON.
 */

import { AnswerSink } from './answer-sink.ts';
import { completionMetrics } from './completion-metrics.ts';
import type { DraftPolicy } from './drafting/drafter.ts';
import type { Scheduler } from './engine/scheduler.ts';
import { GatewayError } from './errors.ts';
import type { ChatTemplate } from './text/chat-template.ts';
import type { Tokenizer } from './text/tokenizer.ts';

export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

export interface CompletionRequest {
  readonly messages: readonly ChatMessage[];
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly minP: number;
  /** 64-bit seed, or null: one is drawn. */
  readonly seed: bigint | null;
  /** null: up to the end of the context. */
  readonly maxTokens: number | null;
  readonly stop: readonly string[];
  /** Text that the client expects in the answer; '' is a valid prediction without effect. */
  readonly prediction: string | null;
  readonly speculation: DraftPolicy;
  /** Whose drafts may profit from this text. */
  readonly owner: string;
  readonly signal: AbortSignal;
}

export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly cachedTokens: number;
  readonly acceptedPredictionTokens: number;
  readonly rejectedPredictionTokens: number;
}

/** What one answer cost and gained; snake_case only at the edge. */
export interface CompletionMetrics {
  readonly timeToFirstTokenMs: number;
  readonly generationMs: number;
  readonly queueMs: number;
  /** Output tokens after the first per second of generation. */
  readonly tokensPerSecond: number;
  readonly rounds: number;
  readonly draftedTokens: number;
  readonly acceptedTokens: number;
  /** Committed tokens per round. */
  readonly meanAcceptedLength: number;
  /** Share of drafts whose token at index i was accepted, given that those before it were. */
  readonly acceptancePerPosition: readonly number[];
  /** Bytes sent and received by the gateway on shard links, per output token, after the prompt. */
  readonly linkBytesPerToken: number;
  /** Sum over rounds: time in links and queues, time in the workers' engines, time drafting, ms. */
  readonly linkMs: number;
  readonly computeMs: number;
  readonly draftMs: number;
  readonly drafters: Readonly<Record<string, number>>;
}

/**
 * 'text' events carry the deltas of one round, one per committed token in order; a token whose bytes end inside a
 * character, or that may begin a stop string, has delta '' and its text comes with a later one.
 */
export type CompletionEvent =
  | { readonly type: 'text'; readonly deltas: readonly string[] }
  | {
      readonly type: 'finish';
      readonly reason: 'stop' | 'length';
      readonly usage: Usage;
      readonly metrics: CompletionMetrics;
      readonly seed: bigint;
    };

/** A started answer. Iterating drives nothing: the session runs on; leaving the loop or aborting ends it. */
export interface Completion {
  readonly promptTokens: number;
  readonly events: AsyncIterable<CompletionEvent>;
}

/** What the routes are handed. `start` throws GatewayError: context_length_exceeded, queue_full, model_loading, … */
export interface CompletionService {
  start(request: CompletionRequest): Promise<Completion>;
}

export interface CompletionServiceOptions {
  readonly scheduler: Scheduler;
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  /** Positions that a session may use: prompt and answer together. */
  readonly contextLength: number;
  /** Source of seeds for requests that bring none. */
  readonly randomSeed: () => bigint;
}

export function createCompletionService(options: CompletionServiceOptions): CompletionService {
  const { scheduler, tokenizer, template, contextLength } = options;
  return {
    async start(request) {
      const promptIds = template.encodeChat(request.messages);
      const maxTokens = tokenBudget(promptIds.length, request.maxTokens, contextLength);
      const seed = BigInt.asUintN(64, request.seed ?? options.randomSeed());
      const left = new AbortController();
      const sink = new AnswerSink({
        tokenizer,
        stop: request.stop,
        onLeave: () => left.abort(),
        finish: (reason, stats, completionTokens) => ({
          type: 'finish',
          reason,
          usage: {
            promptTokens: promptIds.length,
            // OpenAI bills rejected prediction tokens as completion tokens; without a prediction there are none.
            completionTokens: completionTokens + stats.rejectedPredictionTokens,
            cachedTokens: 0,
            acceptedPredictionTokens: stats.acceptedPredictionTokens,
            rejectedPredictionTokens: stats.rejectedPredictionTokens,
          },
          metrics: completionMetrics(stats, completionTokens),
          seed,
        }),
      });
      scheduler.submit({
        promptIds,
        sampling: {
          temperature: request.temperature,
          topK: request.topK,
          topP: request.topP,
          minP: request.minP,
          seed: { low: Number(seed & 0xffffffffn), high: Number(seed >> 32n) },
        },
        maxTokens,
        minTokens: 0,
        ignoreEos: false,
        eosIds: tokenizer.eosIds,
        prediction:
          request.prediction === null ? null : Uint32Array.from(tokenizer.encodeText(request.prediction)),
        speculation: request.speculation,
        owner: request.owner,
        signal: AbortSignal.any([request.signal, left.signal]),
        sink,
      });
      return { promptTokens: promptIds.length, events: sink };
    },
  };
}

/** How many tokens the answer may have. Throws context_length_exceeded. */
function tokenBudget(promptTokens: number, maxTokens: number | null, contextLength: number): number {
  const room = contextLength - promptTokens;
  if (room < 1 || (maxTokens !== null && maxTokens > room)) {
    const asked = maxTokens === null ? '' : ` and ${maxTokens} in the completion`;
    throw new GatewayError(
      'context_length_exceeded',
      `This model's maximum context length is ${contextLength} tokens. However, your messages resulted in ${promptTokens} tokens${asked}. Please reduce the length of the messages or completion.`,
      { param: room < 1 ? 'messages' : 'max_tokens' },
    );
  }
  return maxTokens ?? room;
}
