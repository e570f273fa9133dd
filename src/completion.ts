/**
 * The spine between text and tokens: a chat becomes ids, ids become a session, committed ids become text deltas.
 * Strings live here and in text/ only; below this file there are token ids, above it JSON.
 */

import { choiceSeed } from '../shards/noise.ts';
import type { Verification } from '../shards/verification.ts';
import type { Leniency } from '../shards/verify.ts';
import { AnswerSink } from './answer-sink.ts';
import { completionMetrics, verificationReport } from './completion-metrics.ts';
import type { DraftPolicy } from './drafting/drafter.ts';
import type { Scheduler } from './engine/scheduler.ts';
import type { PromptEncoder } from './prompt-encoder.ts';
import { gatherScores, type PromptScores } from './prompt-scores.ts';
import { checkTailRequest, type TailRequest, tailExtras } from './tail-request.ts';
import type { Tokenizer } from './text/tokenizer.ts';
import type { RatedToken } from './token-logprobs.ts';

export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

export interface CompletionRequest extends TailRequest {
  readonly messages: readonly ChatMessage[];
  /** The prompt as it is, at least one id; `messages` are then not looked at. */
  readonly promptIds?: readonly number[];
  /** Answers to the one prompt, each from a seed of its own; the first is that of a single answer. Left out: 1. */
  readonly choices?: number;
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly minP: number;
  /** 64-bit seed, or null: one is drawn. */
  readonly seed: bigint | null;
  /** null: up to the end of the context. 0 only with promptLogprobs: their answer has no tokens. */
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
  readonly verification?: VerificationReport;
}

/** Which rule made tokens final, and what it let through. */
export interface VerificationReport {
  readonly mode: Verification['mode'];
  /** Does the text follow the target's law exactly? */
  readonly lossless: boolean;
  /** Adaptive only. */
  readonly adaptive: ({ readonly tau: number } & Leniency) | null;
}

/**
 * 'text' events carry the deltas of one round, one per committed token in order; a token whose bytes end inside a
 * character, or that may begin a stop string, has delta '' and its text comes with a later one.
 */
export type CompletionEvent =
  | {
      readonly type: 'text';
      readonly deltas: readonly string[];
      /** The tokens, as many as deltas, or none where text was only held back until now. */
      readonly ids: readonly number[];
      /** One for each of ids, if they were asked for; null for the end token of the answer. */
      readonly logprobs?: readonly (RatedToken | null)[];
    }
  | {
      readonly type: 'finish';
      readonly reason: 'stop' | 'length';
      readonly usage: Usage;
      readonly metrics: CompletionMetrics;
      readonly seed: bigint;
    };

/** A started answer. Iterating drives nothing: the session runs on; leaving the loop or aborting ends it. */
export interface Completion {
  readonly promptIds: readonly number[];
  /** The first choice, or the only one. */
  readonly events: AsyncIterable<CompletionEvent>;
  /** All choices, by index. */
  readonly choices: readonly AsyncIterable<CompletionEvent>[];
  /** One for each prompt id, null for the first, if they were asked for. Rejects as the first choice does. */
  readonly promptLogprobs?: Promise<readonly (RatedToken | null)[]>;
}

/** What the routes are handed. `start` throws GatewayError: context_length_exceeded, queue_full, model_loading, … */
export interface CompletionService {
  start(request: CompletionRequest): Promise<Completion>;
}

export interface CompletionServiceOptions {
  readonly scheduler: Scheduler;
  readonly tokenizer: Tokenizer;
  readonly prompts: PromptEncoder;
  /** Source of seeds for requests that bring none. */
  readonly randomSeed: () => bigint;
}

export function createCompletionService(options: CompletionServiceOptions): CompletionService {
  const { prompts } = options;
  return {
    async start(request) {
      const promptIds = request.promptIds ?? prompts.encodeChat(request.messages);
      const maxTokens = prompts.room(promptIds.length, request.maxTokens);
      checkTailRequest(request, maxTokens, options.tokenizer.vocabSize);
      const scores = request.promptLogprobs === true ? gatherScores(options.tokenizer, promptIds) : null;
      const seed = BigInt.asUintN(64, request.seed ?? options.randomSeed());
      const prediction = request.prediction === null ? null : prompts.encodePrediction(request.prediction);
      // A choice that finds no place takes the others' places back.
      const refused = new AbortController();
      const signal = AbortSignal.any([request.signal, refused.signal]);
      try {
        const choices = Array.from({ length: request.choices ?? 1 }, (_, choice) =>
          startChoice(
            {
              ...{ request, promptIds, maxTokens, prediction, seed, choice, signal },
              scores: choice === 0 ? scores : null,
            },
            options,
          ),
        );
        const promptLogprobs = scores === null ? {} : { promptLogprobs: scores.tokens };
        return { promptIds, events: choices[0]!, choices, ...promptLogprobs };
      } catch (error) {
        refused.abort(error);
        throw error;
      }
    },
  };
}

interface Choice {
  readonly request: CompletionRequest;
  readonly promptIds: readonly number[];
  readonly maxTokens: number;
  readonly prediction: Uint32Array | null;
  /** Of the whole request. */
  readonly seed: bigint;
  readonly choice: number;
  readonly signal: AbortSignal;
  /** The first choice gathers the prompt's. */
  readonly scores: PromptScores | null;
}

function startChoice(
  { request, promptIds, maxTokens, prediction, seed, choice, signal, scores }: Choice,
  { scheduler, tokenizer }: CompletionServiceOptions,
): AnswerSink {
  const left = new AbortController();
  const sink = new AnswerSink({
    tokenizer,
    stop: request.stop,
    ignoreEos: request.ignoreEos ?? false,
    scores,
    onRead: () => scheduler.wake(),
    onLeave: () => left.abort(),
    finish: (reason, stats, completionTokens) => ({
      type: 'finish',
      reason,
      usage: {
        promptTokens: promptIds.length,
        // OpenAI bills rejected prediction tokens as completion tokens; without a prediction there are none.
        completionTokens: completionTokens + stats.rejectedPredictionTokens,
        cachedTokens: stats.cachedTokens,
        acceptedPredictionTokens: stats.acceptedPredictionTokens,
        rejectedPredictionTokens: stats.rejectedPredictionTokens,
      },
      metrics: {
        ...completionMetrics(stats, completionTokens),
        verification: verificationReport(request.verification ?? { mode: 'coupled' }, stats),
      },
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
      seed: choiceSeed({ low: Number(seed & 0xffffffffn), high: Number(seed >> 32n) }, choice),
    },
    maxTokens,
    minTokens: request.minTokens ?? 0,
    ignoreEos: request.ignoreEos ?? false,
    eosIds: tokenizer.eosIds,
    tail: tailExtras(request),
    scorePrompt: scores !== null,
    prediction,
    speculation: request.speculation,
    owner: request.owner,
    signal: AbortSignal.any([signal, left.signal]),
    sink,
  });
  return sink;
}
