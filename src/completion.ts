/**
 * What a completion is to those who ask for one (the routes) and to those who make it: request, events, usage, metrics.
 * Types alone; completion-service.ts makes them true.
 */
import type { Verification } from '../shards/verification.ts';
import type { Leniency } from '../shards/verify.ts';
import type { DraftPolicy } from './drafting/drafter.ts';
import type { TailRequest } from './tail-request.ts';
import type { ToolMessage } from './text/tool-messages.ts';
import type { RatedToken } from './token-logprobs.ts';

export type ChatMessage = ToolMessage;

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
  /** Part of a request that the owner's limits let in already. */
  readonly admitted?: boolean;
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
  /** From the request's arrival at the scheduler to its last token, and the same as the latency model told of it: its queue
   * and prefill when they began, each draft and round when it left. */
  readonly latencyMs: number;
  readonly predictedLatencyMs: number;
  /** Of that the queue. */
  readonly predictedQueueMs: number;
  /** Time between its rounds in which others went first. */
  readonly yieldedMs: number;
  /** Rows, and prompts, that other sessions had under way when a round began, summed over the rounds. */
  readonly othersRows: number;
  readonly othersPrompts: number;
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
  /** Drafts that were written, or begun, before the verdict that they follow, and those that outcome had none for. */
  readonly preparedHits: number;
  readonly preparedMisses: number;
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
