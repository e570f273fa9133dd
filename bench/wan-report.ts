/**
 * The wan report: everything that a number depends on, every run, the summaries, and each published goal with what was
 * measured for it. Written as JSON for machines; wan-text.ts writes it for people.
 */
import type { LinkTraffic } from './delay-link.ts';
import type { Environment } from './environment.ts';
import type { SingleWorker } from './overhead.ts';
import type { Spread } from './statistics.ts';
import { sum } from './statistics.ts';
import type { Difference, WanRun } from './wan-run.ts';
import type { WanSummary } from './wan-summary.ts';

export interface WanSettings {
  readonly model: string;
  readonly modelSha256: string;
  readonly quantisation: string;
  readonly workers: number;
  readonly layers: readonly string[];
  readonly t1Ms: number;
  readonly mbit: number | null;
  readonly jitterMs: number;
  readonly maxTokens: number;
  readonly repeats: number;
  readonly limit: number | null;
  readonly temperature: 0;
}

export interface WanReport {
  readonly claim: 'wan';
  readonly settings: WanSettings;
  readonly environment: Environment;
  readonly loadAverageAfter: number;
  /** Set name → how its tasks became messages. */
  readonly wording: Readonly<Record<string, string>>;
  /** Echoes through the links, ms: before, between prompts and after; `t1Ms` is what the formula is fed with. */
  readonly oneWay: {
    readonly before: number;
    readonly during: number;
    readonly after: number;
    readonly t1Ms: number;
  };
  /** Per worker's link, whole run. */
  readonly traffic: readonly LinkTraffic[];
  readonly summaries: readonly WanSummary[];
  readonly hopOverheadMs: Spread;
  readonly singleWorker: SingleWorker;
  readonly differences: readonly Difference[];
  readonly goals: readonly Goal[];
  readonly runs: readonly WanRun[];
}

export interface Goal {
  readonly name: string;
  readonly wanted: string;
  /** NaN where this run had nothing to measure it by. */
  readonly measured: number;
  readonly met: boolean;
}

/** Delay and ring that the speed goals are stated for. */
const goalT1Ms = 15;
const goalWorkers = 4;

/** Speed goals are left out under conditions that they are not stated for. */
export function goalsOf(report: Omit<WanReport, 'goals'>): Goal[] {
  const { summaries } = report;
  const speedUpOf = (mode: string, set: string | null): number => {
    const lines = summaries.filter((line) => line.mode === mode && (set === null || line.set === set));
    return sum(lines.map(({ speedUp }) => speedUp)) / lines.length;
  };
  const formulaError = summaries.length === 0 ? Number.NaN : Math.max(...summaries.map(formulaDeviation));
  const goals = [
    atMost('outputs that differ from plain decoding', report.differences.length, 0),
    atMost('overhead per hop without delay, ms', report.hopOverheadMs.median, 1.5),
    atLeast('one worker on loopback, share of the bare session', report.singleWorker.share.median, 0.7),
  ];
  const { t1Ms, workers, mbit, jitterMs } = report.settings;
  // The formula knows neither serialisation nor jitter.
  if (mbit !== null || jitterMs > 0) return goals;
  goals.push(atMost('counted formula against measurement, worst line', formulaError, 0.1));
  if (t1Ms !== goalT1Ms || workers !== goalWorkers) return goals;
  return [
    ...goals,
    atLeast('chain over star, plain', 1 / speedUpOf('plain star', null), 1.3),
    atLeast('HumanEval, cold', speedUpOf('speculative', 'humaneval'), 1.5),
    atLeast('GSM8K, cold', speedUpOf('speculative', 'gsm8k'), 1.5),
    atLeast('exact prediction', speedUpOf('prediction exact', null), 8),
    atLeast('prediction with 5 % of its tokens changed', speedUpOf('prediction 5 % off', null), 4.5),
  ];
}

/** |formula / measured - 1| of the counted form. */
export function formulaDeviation({ countedMsPerToken, measuredMsPerToken }: WanSummary): number {
  return Math.abs(countedMsPerToken / measuredMsPerToken - 1);
}

function atLeast(name: string, measured: number, bound: number): Goal {
  return { name, wanted: `>= ${bound}`, measured, met: measured >= bound };
}

function atMost(name: string, measured: number, bound: number): Goal {
  return { name, wanted: `<= ${bound}`, measured, met: measured <= bound };
}
