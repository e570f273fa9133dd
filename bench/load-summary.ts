/** One measurement under load as a line of figures, and what must be equal between all of them. Pure. */
import { type HeldOut, judgeHeldOut, type TimedSample } from './held-out.ts';
import type { LoadAnswer, LoadRun } from './load-drive.ts';
import { meanTokensMax } from './load-trace.ts';
import { firstDifference } from './mode-runs.ts';
import { mean, median, quantile } from './statistics.ts';

/** An answer is good that begins within this and goes on at this pace (at 15 ms a link). */
export const firstTokenGoodMs = 2000;
export const perTokenGoodMs = 150;
/** Share of the window in which a load that has just begun settles; its tokens are not counted. */
const settlingShare = 0.25;
const profileShares = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99];
/** Fewer tokens tell no pace. */
const pacedTokensMin = 8;

export interface Quantiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

export interface LoadLine {
  /** What was measured: `8 users`, `1.2 / s`. */
  readonly load: string;
  readonly setup: string;
  /** Users at once, or requests a second: where a point lies on an axis. */
  readonly amount: number;
  readonly t1Ms: number;
  readonly windowMs: number;
  readonly asked: number;
  readonly finished: number;
  /** With an error. */
  readonly failed: number;
  /** From the arrival, ms. */
  readonly firstTokenMs: Quantiles;
  /** Behind the first token, ms. */
  readonly perTokenMs: Quantiles;
  readonly latencyMs: Quantiles;
  readonly meanLatencyMs: number;
  /** Latencies below which these shares of the answers stay. */
  readonly latencyProfile: readonly (readonly [share: number, latencyMs: number])[];
  /** Committed behind the settling time, of all answers. */
  readonly tokensPerSecond: number;
  /** Of one answer, from its arrival to its last token so far: median. */
  readonly userTokensPerSecond: number;
  /** Good answers a second, and their share of those that were asked for and ended. */
  readonly goodPerSecond: number;
  readonly goodShare: number;
  readonly cpuShare: number;
  /** Mean predicted over mean measured latency. */
  readonly predictedRatio: number;
  /** Of times on the ring, over the second half of the answers; null where they are too few. */
  readonly heldOut: HeldOut | null;
}

export interface LineNames {
  readonly load: string;
  readonly setup: string;
  readonly amount: number;
  readonly t1Ms: number;
  /** Do requests that were cut off count against goodput? Users who are sent away at the end do not. */
  readonly open: boolean;
}

export function summariseLoad(
  { answers, windowMs, cpuShare }: LoadRun,
  { open, ...names }: LineNames,
): LoadLine {
  const finished = answers.filter((answer) => answer.finished);
  const settledMs = settlingShare * windowMs;
  const counted = answers.flatMap(({ commitsMs }) =>
    commitsMs.filter((atMs) => atMs >= settledMs && atMs < windowMs),
  );
  const good = finished.filter(isGood);
  const latencies = finished.map(({ latencyMs }) => latencyMs);
  return {
    ...names,
    windowMs,
    asked: answers.length,
    finished: finished.length,
    failed: answers.filter(({ failure }) => failure !== null).length,
    firstTokenMs: quantiles(answers.map(({ firstTokenMs }) => firstTokenMs)),
    perTokenMs: quantiles(answers.map(perToken)),
    latencyMs: quantiles(latencies),
    meanLatencyMs: mean(latencies),
    latencyProfile: profileShares.map((share) => [share, quantile(latencies, share)] as const),
    tokensPerSecond: (1000 * counted.length) / (windowMs - settledMs),
    userTokensPerSecond: median(answers.map(rateOf).filter(Number.isFinite)),
    goodPerSecond: (1000 * good.length) / windowMs,
    goodShare: good.length / (open ? answers.length : finished.length),
    cpuShare,
    predictedRatio: mean(finished.map(({ predictedMs }) => predictedMs)) / mean(latencies),
    heldOut: judgeHeldOut([samplesOf(answers)]),
  };
}

export function samplesOf(answers: readonly LoadAnswer[]): TimedSample[] {
  return answers.flatMap(({ sample }) => sample ?? []);
}

/** Lines of speculative loads that leave a fifth of the best throughput free; what falls back beyond it does not count. */
export function linesBelowKnee(lines: readonly LoadLine[]): LoadLine[] {
  const speculative = lines.filter(({ setup }) => setup === 'speculative');
  const best = Math.max(...speculative.map(({ tokensPerSecond }) => tokensPerSecond));
  return [true, false].flatMap((open) => {
    const rising = speculative.filter((line) => isOpen(line) === open).sort((a, b) => a.amount - b.amount);
    const knee = rising.findIndex(({ tokensPerSecond }) => tokensPerSecond > 0.8 * best);
    return knee === -1 ? rising : rising.slice(0, knee);
  });
}

/** Do requests come when they come, or from users who wait for their answers? */
export function isOpen({ load }: LoadLine): boolean {
  return load.endsWith('/ s');
}

/** Requests that ask for the same and were answered differently: as far as both go, ids must be equal. */
export function differingAnswers(runs: readonly (readonly LoadAnswer[])[]): string[] {
  const longest = new Map<string, readonly number[]>();
  const differing = new Set<string>();
  for (const { name, ids } of runs.flat()) {
    const known = longest.get(name) ?? [];
    const length = Math.min(known.length, ids.length);
    if (firstDifference(known.slice(0, length), ids.slice(0, length)) !== -1) differing.add(name);
    if (ids.length > known.length) longest.set(name, ids);
  }
  return [...differing];
}

/**
 * Tokens of an answer of the trace, on average over all that were asked for; as many as it may have where none came to its
 * end. Each counts by the longest that its request was answered: of those that end within a measurement more are short.
 */
export function meanAnswerTokens(runs: readonly LoadRun[]): number {
  const answers = runs.flatMap((run) => run.answers);
  if (!answers.some(({ finished }) => finished)) return meanTokensMax;
  const longest = new Map<string, number>();
  for (const { name, ids } of answers) longest.set(name, Math.max(longest.get(name) ?? 0, ids.length));
  return mean(answers.map(({ name }) => longest.get(name)!));
}

function isGood(answer: LoadAnswer): boolean {
  const paced = perToken(answer);
  return answer.firstTokenMs <= firstTokenGoodMs && (Number.isNaN(paced) || paced <= perTokenGoodMs);
}

/** Time of a token behind the first delivery; NaN for an answer that is too short to tell. */
function perToken({ commitsMs }: LoadAnswer): number {
  const [first, last] = [commitsMs[0], commitsMs.at(-1)];
  const behind = commitsMs.filter((atMs) => atMs > first).length;
  return commitsMs.length < pacedTokensMin || behind === 0 ? Number.NaN : (last! - first) / behind;
}

function rateOf({ firstTokenMs, commitsMs }: LoadAnswer): number {
  const [first, last] = [commitsMs[0], commitsMs.at(-1)];
  return commitsMs.length < pacedTokensMin
    ? Number.NaN
    : (1000 * commitsMs.length) / (firstTokenMs + last! - first);
}

function quantiles(samples: readonly number[]): Quantiles {
  const known = samples.filter(Number.isFinite);
  return { p50: quantile(known, 0.5), p95: quantile(known, 0.95), p99: quantile(known, 0.99) };
}
