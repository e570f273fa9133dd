/** SessionStats → the `metrics` object of one answer. Pure sums and quotients. */
import type { Verification } from '../shards/verification.ts';
import type { CompletionMetrics, VerificationReport } from './completion.ts';
import type { RoundRecord, SessionStats } from './engine/session-stats.ts';

export function completionMetrics(stats: SessionStats, completionTokens: number): CompletionMetrics {
  const { rounds } = stats;
  // The round that carried the prompt is time to first token, not generation.
  const later = rounds.filter(({ opening }) => !opening);
  const generationMs = stats.finishedMs - stats.firstTokenMs;
  const laterTokens = sum(later, ({ committed }) => committed);
  const computeMs = sum(later, (round) => round.computeMs);
  return {
    timeToFirstTokenMs: stats.firstTokenMs - stats.submittedMs,
    generationMs,
    queueMs: stats.startedMs - stats.submittedMs,
    latencyMs: stats.finishedMs - stats.submittedMs,
    predictedLatencyMs: predictedLatencyMs(stats),
    predictedQueueMs: stats.predictedQueueMs,
    yieldedMs: stats.yieldedMs,
    othersRows: sum(rounds, ({ othersRows }) => othersRows),
    othersPrompts: sum(rounds, ({ othersPrompts }) => othersPrompts),
    tokensPerSecond: generationMs > 0 ? (1000 * laterTokens) / generationMs : 0,
    rounds: rounds.length,
    draftedTokens: sum(rounds, ({ drafted }) => drafted),
    acceptedTokens: sum(rounds, ({ accepted }) => accepted),
    meanAcceptedLength: rounds.length > 0 ? completionTokens / rounds.length : 0,
    acceptancePerPosition: acceptancePerPosition(rounds),
    linkBytesPerToken: laterTokens > 0 ? sum(later, ({ linkBytes }) => linkBytes) / laterTokens : 0,
    linkMs: sum(later, ({ roundMs }) => roundMs) - computeMs,
    computeMs,
    draftMs: sum(rounds, ({ draftMs }) => draftMs),
    drafters: draftedBySource(rounds),
    preparedHits: rounds.filter(({ prepared }) => prepared === true).length,
    preparedMisses: rounds.filter(({ prepared }) => prepared === false).length,
  };
}

/** Told before it was so: time that others took from it between its rounds is the one part that nothing foretells. */
export function predictedLatencyMs(stats: SessionStats): number {
  const later = stats.rounds.filter(({ opening }) => !opening);
  const beforeMs = stats.predictedQueueMs + stats.predictedPrefillMs;
  return beforeMs + stats.predictedDraftMs + sum(later, ({ predictedMs }) => predictedMs);
}

export function verificationReport(verification: Verification, stats: SessionStats): VerificationReport {
  const { mode } = verification;
  return mode === 'adaptive'
    ? { mode, lossless: verification.tau === 0, adaptive: { tau: verification.tau, ...stats.leniency } }
    : { mode, lossless: true, adaptive: null };
}

/** [i]: of the drafts whose first i tokens were right and that had one more, the share where it was right too. */
function acceptancePerPosition(rounds: readonly RoundRecord[]): number[] {
  const offered: number[] = [];
  const accepted: number[] = [];
  for (const round of rounds) {
    for (let i = 0; i < round.drafted && i <= round.accepted; i++) {
      offered[i] = (offered[i] ?? 0) + 1;
      accepted[i] = (accepted[i] ?? 0) + (i < round.accepted ? 1 : 0);
    }
  }
  return offered.map((count, i) => accepted[i]! / count);
}

function draftedBySource(rounds: readonly RoundRecord[]): Record<string, number> {
  const drafted: Record<string, number> = {};
  for (const round of rounds) {
    if (round.drafted > 0) drafted[round.source] = (drafted[round.source] ?? 0) + round.drafted;
  }
  return drafted;
}

function sum(rounds: readonly RoundRecord[], of: (round: RoundRecord) => number): number {
  return rounds.reduce((total, round) => total + of(round), 0);
}
