/** The goals of `bench wan`. Speed goals are stated for one delay and one ring, without limits of bandwidth. */
import { hopsOf } from './formula.ts';
import { atLeast, atMost, type Goal } from './goals.ts';
import type { ModeSummary } from './mode-summary.ts';
import { sum } from './statistics.ts';
import type { WanReport } from './wan-report.ts';

export const goalT1Ms = 15;
export const goalWorkers = 4;

/** The mode whose passes overheads are compared with. */
const verifyingMode = 'head sync';

/** Names in the table, and the set and mode of a speed-up over the plain chain. */
const speedGoals: readonly (readonly [name: string, mode: string, set: string, bound: number])[] = [
  ['HumanEval, text drafts, synchronous', 'text sync', 'humaneval', 1.5],
  ['GSM8K, text drafts, synchronous', 'text sync', 'gsm8k', 1.5],
  ['HumanEval, synchronous', 'head sync', 'humaneval', 3],
  ['HumanEval, asynchronous', 'head async', 'humaneval', 3.4],
  ['GSM8K, synchronous', 'head sync', 'gsm8k', 2.6],
  ['GSM8K, asynchronous', 'head async', 'gsm8k', 2.9],
  ['edits, synchronous', 'head sync', 'edit', 3.7],
  ['edits, asynchronous', 'head async', 'edit', 4.2],
  ['prediction with 5 % of its tokens changed, synchronous', '5 % off prediction sync', 'humaneval', 5],
  ['prediction with 5 % of its tokens changed, asynchronous', '5 % off prediction async', 'humaneval', 6],
  ['exact prediction, synchronous', 'exact prediction sync', 'humaneval', 9],
  ['exact prediction, asynchronous', 'exact prediction async', 'humaneval', 12],
];

/** Speed-up of one mode over another on the same set. */
const ratioGoals: readonly (readonly [
  name: string,
  mode: string,
  over: string,
  set: string,
  bound: number,
])[] = [
  ['HumanEval, head over text drafts, synchronous', 'head sync', 'text sync', 'humaneval', 1.4],
  ['GSM8K, head over text drafts, synchronous', 'head sync', 'text sync', 'gsm8k', 1.4],
  ['HumanEval, adaptive over lossless', 'adaptive async', 'head async', 'humaneval', 1.15],
  ['GSM8K, adaptive over lossless', 'adaptive async', 'head async', 'gsm8k', 1.15],
];

export function wanGoals(report: Omit<WanReport, 'goals'>): Goal[] {
  const { summaries } = report;
  const goals = [
    atMost('outputs that differ from plain decoding', report.differences.length, 0),
    atMost('overhead per hop without delay, ms', report.hopOverheadMs.median, 0.7),
    atMost('overhead of a round, share of a verifying pass', roundOverhead(report), 0.1),
    atLeast('one worker on loopback, share of the bare session', report.singleWorker.share.median, 0.7),
  ];
  const { t1Ms, workers, mbit, jitterMs } = report.settings;
  // The formula knows neither serialisation nor jitter.
  if (mbit !== null || jitterMs > 0) return goals;
  const worst = (overlapping: boolean): number => {
    const lines = summaries.filter((line) => line.overlapping === overlapping);
    return lines.length === 0 ? Number.NaN : Math.max(...lines.map(formulaDeviation));
  };
  goals.push(
    atMost('formula against measurement, worst synchronous line', worst(false), 0.1),
    atMost('formula against measurement, worst asynchronous line', worst(true), 0.1),
  );
  if (t1Ms !== goalT1Ms || workers !== goalWorkers) return goals;
  return [
    ...goals,
    atLeast('chain over star, plain', 1 / speedUpOf(summaries, 'plain star', null), 1.3),
    ...speedGoals.map(([name, mode, set, bound]) => ({
      ...atLeast(name, speedUpOf(summaries, mode, set), bound),
      row: { set, mode },
    })),
    ...ratioGoals.map(([name, mode, over, set, bound]) =>
      atLeast(name, speedUpOf(summaries, mode, set) / speedUpOf(summaries, over, set), bound),
    ),
  ];
}

/** Hops of a chain over the compute of a pass with the rows of the drafts that were sent, mean over the sets. */
function roundOverhead({ summaries, hopOverheadMs, settings }: Omit<WanReport, 'goals'>): number {
  const shares = summaries
    .filter(({ mode }) => mode === verifyingMode)
    .map(({ passMs, draftLength }) => passMs.intercept + passMs.slope * (draftLength + 1))
    .map((passMs) => (hopOverheadMs.median * hopsOf('chain', settings.workers)) / passMs);
  return sum(shares) / shares.length;
}

/** |formula / measured - 1| of the counted form. */
export function formulaDeviation({ counted, measuredMsPerToken }: ModeSummary): number {
  return Math.abs(counted.msPerToken / measuredMsPerToken - 1);
}

function speedUpOf(summaries: readonly ModeSummary[], mode: string, set: string | null): number {
  const lines = summaries.filter((line) => line.mode === mode && (set === null || line.set === set));
  return sum(lines.map(({ speedUp }) => speedUp)) / lines.length;
}
