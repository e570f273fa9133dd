/** One simulated measurement, plain data in and out, so that it may run in a thread: a case, and its line of figures. */
import { predictedLatencyMs } from '../src/completion-metrics.ts';
import type { SchedulingPolicy } from '../src/engine/policy.ts';
import type { LoadAnswer } from './load-drive.ts';
import { type LoadLine, summariseLoad } from './load-summary.ts';
import { randomAt } from './load-trace.ts';
import { type SimulatedAnswer, type SimulatedCosts, simulateLoad } from './simulated-load.ts';
import { simulatedTrace, type TraceName } from './simulated-trace.ts';
import { mean } from './statistics.ts';

/** Requests that wait at most: more than any simulation asks for. */
const queuedMax = 100_000;
/** Requests that so many users can be answered in a window, for each of them: more than a ring that is idle could. */
const requestsPerUserSecond = 4;

export interface SimulationCase {
  readonly setup: string;
  readonly trace: TraceName;
  readonly seed: number;
  /** Users for so long, or requests at a rate until all are answered. */
  readonly load:
    | { readonly users: number; readonly windowMs: number }
    | { readonly perSecond: number; readonly requests: number };
  readonly policy: SchedulingPolicy;
  /** max_tokens of each request is the length of its answer, so that the order knows it. */
  readonly exactLengths: boolean;
  readonly plain: boolean;
  readonly batching: boolean;
  readonly sessionsMax: number;
  /** Of one machine that does everything; null: stages and gateway each have one. */
  readonly cores: number | null;
  readonly costs: SimulatedCosts;
}

export interface SimulatedLine extends LoadLine {
  readonly trace: TraceName;
  readonly seed: number;
  /** Share of the time in which a stage had a pass, of all stages. */
  readonly stagesBusy: number;
  readonly meanFirstTokenMs: number;
}

export async function runCase(asked: SimulationCase): Promise<SimulatedLine> {
  const { setup, load, seed, policy, exactLengths, plain, batching, sessionsMax, cores, costs } = asked;
  const byUsers = 'users' in load;
  const trace = simulatedTrace({
    ...{ name: asked.trace, seed, perSecond: byUsers ? 1 : load.perSecond },
    requests: byUsers
      ? Math.ceil((load.users * load.windowMs * requestsPerUserSecond) / 1000)
      : load.requests,
  }).map((request) => (exactLengths ? { ...request, maxTokens: request.outputTokens } : request));
  const { answers, utilisation, coreUtilisation } = await simulateLoad({
    ...{ trace, policy, batching, costs },
    ...(byUsers ? { users: { count: load.users, windowMs: load.windowMs } } : {}),
    ...(plain ? { speculation: { drafter: 'none', draftLength: 0 } } : {}),
    ...(cores === null ? {} : { cores }),
    limits: { runningMax: sessionsMax, queuedMax },
    random: randomAt(seed, -1),
  });
  const windowMs = byUsers ? load.windowMs : trace.at(-1)!.atMs;
  const amount = byUsers ? load.users : load.perSecond;
  const finished = answers.filter(({ stats }) => stats !== null);
  return {
    ...summariseLoad(
      { answers: answers.map(asMeasured), windowMs, cpuShare: coreUtilisation },
      {
        ...{ setup, amount, t1Ms: costs.t1Ms, open: !byUsers },
        load: byUsers ? `${amount} user${amount === 1 ? '' : 's'}` : `${amount.toFixed(2)} / s`,
      },
    ),
    ...{ trace: asked.trace, seed, stagesBusy: mean(utilisation) },
    meanFirstTokenMs: mean(finished.map(({ firstTokenMs }) => firstTokenMs)),
  };
}

function asMeasured({ stats, firstTokenMs, latencyMs, commitsMs }: SimulatedAnswer): LoadAnswer {
  return {
    ...{ name: '', kind: '', ids: [], firstTokenMs, latencyMs, commitsMs, failure: null, sample: null },
    finished: stats !== null,
    predictedMs: stats === null ? Number.NaN : predictedLatencyMs(stats),
  };
}
