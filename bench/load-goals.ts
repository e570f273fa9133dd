/** What many users on one ring are promised, judged by one report at the delay that the goals are stated for. */
import { atLeast, atMost, type Goal } from './goals.ts';
import type { HeldOut } from './held-out.ts';
import { isOpen, type LoadLine, linesBelowKnee } from './load-summary.ts';
import { goalT1Ms, goalWorkers } from './wan-goals.ts';

export interface JudgedLoad {
  readonly workers: number;
  readonly t1Ms: number;
  readonly lines: readonly LoadLine[];
  readonly differences: readonly string[];
  /** Of all loads below the knee; null where their answers are too few. */
  readonly heldOut: HeldOut | null;
}

/** NaN where a run had nothing to measure a goal by. */
export function loadGoals({ workers, t1Ms, lines, differences, heldOut }: JudgedLoad): Goal[] {
  const lossless = atMost('requests that are answered differently in company', differences.length, 0);
  if (workers !== goalWorkers || t1Ms !== goalT1Ms) return [lossless];
  const policy = (name: string): LoadLine | undefined => lines.find(({ setup }) => setup === name);
  const [laps, fcfs] = [policy('laps'), policy('fcfs')];
  return [
    lossless,
    ...usersGoals(lines),
    atMost(
      'mean latency, laps over fcfs',
      (laps?.meanLatencyMs ?? Number.NaN) / (fcfs?.meanLatencyMs ?? Number.NaN),
      0.7,
    ),
    atMost(
      'p99 latency, laps over fcfs',
      (laps?.latencyMs.p99 ?? Number.NaN) / (fcfs?.latencyMs.p99 ?? Number.NaN),
      1.1,
    ),
    atMost('predicted mean latency below the knee, furthest from measured', predictionError(lines), 0.1),
    atLeast(
      'R2 of times on the ring below the knee, second half, as told ahead',
      heldOut?.told.rSquared ?? Number.NaN,
      0.98,
    ),
    atLeast(
      'R2 of times on the ring below the knee, second half, by the fit of the first',
      heldOut?.fitted.rSquared ?? Number.NaN,
      0.98,
    ),
  ];
}

/** What users at once are promised, of the setups `plain`, `speculative` and `single passes`. */
export function usersGoals(lines: readonly LoadLine[]): Goal[] {
  const rate = (wanted: string, load: string): number =>
    lines.find((line) => line.setup === wanted && line.load === load)?.tokensPerSecond ?? Number.NaN;
  const most = lines.filter((line) => line.setup === 'speculative' && !isOpen(line)).at(-1);
  return [
    atLeast(
      '8 speculative users over one plain, tokens/s',
      rate('speculative', '8 users') / rate('plain', '1 user'),
      8,
    ),
    atLeast(
      `${most?.load ?? 'most users'}, shared passes over single ones, tokens/s`,
      rate('speculative', most?.load ?? '') / rate('single passes', most?.load ?? ''),
      1.3,
    ),
    atLeast('rate of one user at the knee, share of a user alone', kneeShare(lines), 0.5),
  ];
}

/** Furthest that a mean latency was from what was predicted. */
function predictionError(lines: readonly LoadLine[]): number {
  const errors = linesBelowKnee(lines)
    .map(({ predictedRatio }) => Math.abs(predictedRatio - 1))
    .filter(Number.isFinite);
  return errors.length === 0 ? Number.NaN : Math.max(...errors);
}

/** The knee: the fewest users that reach 90 % of the best throughput. */
function kneeShare(lines: readonly LoadLine[]): number {
  const byUsers = lines.filter((line) => line.setup === 'speculative' && !isOpen(line));
  const best = Math.max(...byUsers.map(({ tokensPerSecond }) => tokensPerSecond));
  const knee = byUsers.find(({ tokensPerSecond }) => tokensPerSecond >= 0.9 * best);
  const alone = byUsers.find(({ amount }) => amount === 1);
  if (knee === undefined || alone === undefined) return Number.NaN;
  return knee.userTokensPerSecond / alone.userTokensPerSecond;
}
