/**
 * Puts a gateway under load for a while and tells of every answer: a number of users who each ask again as soon as they
 * are answered, or requests that arrive when they arrive. What runs longer than the measurement and its grace is
 * cancelled, and counts as unfinished.
 */
import { randomUUID } from 'node:crypto';
import { availableParallelism } from 'node:os';
import type { CompletionMetrics, Usage } from '../src/completion.ts';
import type { DraftPolicy } from '../src/drafting/drafter.ts';
import type { Serving } from '../src/serving.ts';
import { cpuMs } from './cpu-time.ts';
import type { TimedSample } from './held-out.ts';
import { arrivalsMs, type TraceRequest } from './load-trace.ts';

/** A user whose request failed waits so long. */
const retryMs = 500;

export const sampleTerms = [
  'fixed',
  'a round',
  'a row',
  'a row of others',
  'a prompt of others',
  'a row of the prompt',
] as const;

/** Users who ask one after the other, or requests a second. */
export type Load = { readonly users: number } | { readonly perSecond: number };

export interface LoadAnswer {
  readonly name: string;
  readonly kind: string;
  /** From the arrival; NaN where it did not come to that. */
  readonly firstTokenMs: number;
  readonly latencyMs: number;
  readonly ids: readonly number[];
  /** Of the commits, from the beginning of the measurement, one for each id, ms. */
  readonly commitsMs: readonly number[];
  readonly finished: boolean;
  /** What it failed with, in the words of the ring; null for all that were not refused or lost. */
  readonly failure: string | null;
  /** What the latency model had told of this answer, ms; NaN where it did not finish. */
  readonly predictedMs: number;
  /** What its time on the ring is a sum of; null where it did not finish. */
  readonly sample: TimedSample | null;
}

export interface LoadRun {
  readonly answers: readonly LoadAnswer[];
  readonly windowMs: number;
  /** Time of the cluster's processes and this one's, as a share of all cores of the machine. */
  readonly cpuShare: number;
}

export interface DriveOptions {
  readonly gateway: Serving;
  readonly trace: (place: number) => TraceRequest;
  readonly load: Load;
  readonly speculation: DraftPolicy;
  readonly windowMs: number;
  /** Arrived requests may take so much longer; users are sent away at once. */
  readonly graceMs: number;
  readonly seed: number;
  /** Whose processor time counts. */
  readonly pids: readonly number[];
}

export async function drive(options: DriveOptions): Promise<LoadRun> {
  const { trace, load, windowMs, graceMs, seed, pids } = options;
  const startedMs = performance.now();
  const end = new AbortController();
  const answers: Promise<LoadAnswer>[] = [];
  let place = 0;
  const ask = (): Promise<LoadAnswer> => {
    const answer = answerOf(options, trace(place), startedMs, end.signal);
    place += 1;
    answers.push(answer);
    return answer;
  };
  const cpuBefore = cpuMs(pids);
  const shareOfCpu = (): number =>
    (cpuMs(pids) - cpuBefore) / ((performance.now() - startedMs) * availableParallelism());
  if ('users' in load) {
    const user = async (): Promise<void> => {
      while (!end.signal.aborted) {
        const { failure } = await ask();
        if (failure !== null) await sleepUntil(performance.now() + retryMs);
      }
    };
    const users = Array.from({ length: load.users }, user);
    await sleepUntil(startedMs + windowMs);
    const cpuShare = shareOfCpu();
    end.abort();
    await Promise.all(users);
    return { answers: await Promise.all(answers), windowMs, cpuShare };
  }
  for (const atMs of arrivalsMs(load.perSecond, windowMs, seed)) {
    await sleepUntil(startedMs + atMs);
    void ask();
  }
  await sleepUntil(startedMs + windowMs);
  const cpuShare = shareOfCpu();
  const grace = setTimeout(() => end.abort(), graceMs);
  const all = await Promise.all(answers);
  clearTimeout(grace);
  return { answers: all, windowMs, cpuShare };
}

/** Never rejects: a request that fails or is cancelled is an answer that did not finish. */
async function answerOf(
  { gateway, speculation }: DriveOptions,
  { name, kind, promptIds, maxTokens }: TraceRequest,
  startedMs: number,
  signal: AbortSignal,
): Promise<LoadAnswer> {
  const arrivedMs = performance.now();
  const ids: number[] = [];
  const commitsMs: number[] = [];
  let firstTokenMs = Number.NaN;
  let latencyMs = Number.NaN;
  let finished = false;
  let failure: string | null = null;
  let predictedMs = Number.NaN;
  let sample: TimedSample | null = null;
  try {
    const { events } = await gateway.completions.start({
      ...{ messages: [], promptIds, maxTokens, temperature: 0, topP: 1, topK: 0, minP: 0, seed: 0n },
      ...{ stop: [], prediction: null, speculation, signal },
      // A stranger every time: what drafters and caches keep of earlier answers is not what is measured.
      owner: randomUUID(),
    });
    for await (const event of events) {
      const nowMs = performance.now();
      if (event.type === 'text') {
        if (ids.length === 0) firstTokenMs = nowMs - arrivedMs;
        for (const id of event.ids) {
          ids.push(id);
          commitsMs.push(nowMs - startedMs);
        }
      } else {
        latencyMs = nowMs - arrivedMs;
        finished = true;
        predictedMs = event.metrics.predictedLatencyMs;
        sample = sampleOf(nowMs, event.usage, event.metrics);
      }
    }
  } catch (error) {
    if (!signal.aborted) failure = error instanceof Error ? error.message : String(error);
  }
  return { name, kind, firstTokenMs, latencyMs, ids, commitsMs, finished, failure, predictedMs, sample };
}

/** Time on the ring, that is without waits for a place and for a turn, by the terms of `sampleTerms`. */
function sampleOf(atMs: number, usage: Usage, metrics: CompletionMetrics): TimedSample {
  const { rounds, draftedTokens, othersRows, othersPrompts } = metrics;
  const promptRows = usage.promptTokens - usage.cachedTokens;
  return {
    atMs,
    terms: [1, rounds, rounds + draftedTokens, othersRows, othersPrompts, promptRows],
    measuredMs: metrics.latencyMs - metrics.queueMs - metrics.yieldedMs,
    toldMs: metrics.predictedLatencyMs - metrics.predictedQueueMs,
  };
}

async function sleepUntil(atMs: number): Promise<void> {
  const left = atMs - performance.now();
  if (left > 0) await new Promise((resolve) => setTimeout(resolve, left));
}
