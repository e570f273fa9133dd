/**
 * What a speed-up that was not reached would have taken, by the formula and the costs of the same run:
 * T = (1 - alpha) R + alpha delta, so tokens per crossing of the ring E = 1 / (1 - alpha) (synchronous rounds: delta 0).
 * R, delta and the lengths of drafts stay as they were, so a row that paid for longer drafts would need a little more.
 * Beside it what the same acceptances give on processors with other costs of a row: computed, not measured.
 */
import { countedTime, hopsOf } from './formula.ts';
import type { ModeRun } from './mode-runs.ts';
import { type ModeSummary, pairKey } from './mode-summary.ts';
import { type BenchMode, plainChain } from './modes.ts';
import { type Line, sum } from './statistics.ts';

export interface RowCosts {
  readonly name: string;
  /** Of a pass through all shards, by its rows, ms. */
  readonly passMs: Line;
}

/** The default model over four workers of one thread each, as measured on idle machines of both kinds (docs/log.md). */
export const knownRowCosts: readonly RowCosts[] = [
  { name: 'AVX2', passMs: { intercept: 12, slope: 3.9 } },
  { name: 'AVX-512 VNNI', passMs: { intercept: 12, slope: 2.1 } },
];

export interface Needed {
  /** Tokens per crossing of the ring. */
  readonly acceptedLength: number;
  /** The one alpha that gives them: 1 - 1 / E. */
  readonly alpha: number;
}

/** What `line` commits, and what it would have to for a speed-up of `bound`; alpha 1 is not enough: NaN. */
export function neededFor({ counted, speedUp, measuredMsPerToken }: ModeSummary, bound: number): Needed {
  const wantedMs = (measuredMsPerToken * speedUp) / bound;
  // What measurement and formula differ by is taken to stay.
  const unexplainedMs = measuredMsPerToken - counted.msPerToken;
  const delta = Number.isFinite(counted.deltaMs) && counted.missShare < 1 ? counted.deltaMs : 0;
  const share = (wantedMs - unexplainedMs - delta) / (counted.ringMs - delta);
  return share > 0
    ? { acceptedLength: 1 / share, alpha: 1 - share }
    : { acceptedLength: Number.NaN, alpha: Number.NaN };
}

/** Speed-up of a mode on a set, had every pass cost what `costs` says; drafts and verdicts as they were. */
export function computedSpeedUp(
  runs: readonly ModeRun[],
  { mode, set, measured }: { readonly mode: BenchMode; readonly set: string; readonly measured: Line },
  ring: { readonly workers: number; readonly t1Ms: number },
  { passMs }: RowCosts,
): number {
  const ofSet = runs.filter((run) => run.set === set && !run.repeating && run.decodeTokens > 0);
  const fast = ofSet.filter((run) => run.mode === mode.name);
  const asked = new Set(fast.map(pairKey));
  const plain = ofSet.filter((run) => run.mode === plainChain.name && asked.has(pairKey(run)));
  const msPerToken = (group: readonly ModeRun[]): number => {
    const hops = hopsOf(mode.topology, ring.workers);
    const rounds = group.flatMap((run) => run.rounds).map((round) => rescaled(round, measured, passMs));
    const tokens = sum(group.map(({ decodeTokens }) => decodeTokens));
    return countedTime(rounds, tokens, { hops, t1Ms: ring.t1Ms }, (rows) => at(passMs, rows)).msPerToken;
  };
  return msPerToken(plain) / msPerToken(fast);
}

/** The stages' shares of a pass stay. */
function rescaled(round: ModeRun['rounds'][number], from: Line, to: Line): ModeRun['rounds'][number] {
  const rows = round.answeredRows / Math.max(1, round.frames);
  return { ...round, stagesMs: round.stagesMs.map((ms) => (ms * at(to, rows)) / at(from, rows)) };
}

function at({ intercept, slope }: Line, rows: number): number {
  return intercept + slope * rows;
}
