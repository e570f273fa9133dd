/** Usage and metrics of an answer in OpenAI's snake_case: the same on every endpoint that generates. Pure. */
import type { Usage, VerificationReport } from '../src/completion.ts';
import type { FinishEvent } from './answer-events.ts';
import type { MetricsBody, UsageBody } from './schemas.ts';

/** Of n choices: the prompt counts once, outputs are summed, as at OpenAI. `usages` is never empty. */
export function sumUsage(usages: readonly Usage[]): Usage {
  const sum = (of: (usage: Usage) => number): number => usages.reduce((total, usage) => total + of(usage), 0);
  return {
    ...usages[0]!,
    completionTokens: sum((usage) => usage.completionTokens),
    acceptedPredictionTokens: sum((usage) => usage.acceptedPredictionTokens),
    rejectedPredictionTokens: sum((usage) => usage.rejectedPredictionTokens),
  };
}

export function usageBody(usage: Usage): UsageBody {
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

function verificationBody({
  mode,
  lossless,
  adaptive,
}: VerificationReport): NonNullable<MetricsBody['verification']> {
  if (adaptive === null) return { mode, lossless };
  const { tau, judged, kept, distortion } = adaptive;
  return { mode, lossless, tau, judged_tokens: judged, kept_mismatches: kept, distortion };
}

export function metricsBody({ metrics, seed }: FinishEvent): MetricsBody {
  return {
    seed: seed <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(seed) : String(seed),
    time_to_first_token_ms: metrics.timeToFirstTokenMs,
    generation_ms: metrics.generationMs,
    queue_ms: metrics.queueMs,
    latency_ms: metrics.latencyMs,
    predicted_latency_ms: metrics.predictedLatencyMs,
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
    prepared_hits: metrics.preparedHits,
    prepared_misses: metrics.preparedMisses,
    ...(metrics.verification !== undefined && { verification: verificationBody(metrics.verification) }),
  };
}
