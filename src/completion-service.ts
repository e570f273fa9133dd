/**
 * The spine between text and tokens: a chat becomes ids, ids become a session per choice, committed ids become text.
 * Strings live here, in its neighbours and in text/ only; below there are token ids, above there is JSON.
 */
import { choiceSeed } from '../shards/noise.ts';
import { AnswerSink } from './answer-sink.ts';
import type { CompletionRequest, CompletionService } from './completion.ts';
import { completionMetrics, verificationReport } from './completion-metrics.ts';
import type { Scheduler } from './engine/scheduler.ts';
import { fitCaches } from './kv-fit.ts';
import type { PromptEncoder } from './prompt-encoder.ts';
import { gatherScores, type PromptScores } from './prompt-scores.ts';
import { checkTailRequest, tailExtras } from './tail-request.ts';
import type { Tokenizer } from './text/tokenizer.ts';

export interface CompletionServiceOptions {
  readonly scheduler: Scheduler;
  readonly tokenizer: Tokenizer;
  readonly prompts: PromptEncoder;
  /** Positions that every stage of the ring has room for. */
  readonly kvPositions: () => number;
  /** Source of seeds for requests that bring none. */
  readonly randomSeed: () => bigint;
}

export function createCompletionService(options: CompletionServiceOptions): CompletionService {
  const { prompts } = options;
  return {
    async start(request) {
      const promptIds = request.promptIds ?? prompts.encodeChat(request.messages);
      const promptTokens = promptIds.length;
      const maxTokens = fitCaches({
        promptTokens,
        maxTokens: prompts.room(promptTokens, request.maxTokens),
        asked: request.maxTokens !== null,
        positions: options.kvPositions(),
        promptParam: request.promptIds === undefined ? 'messages' : 'prompt',
      });
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
