/**
 * Runs → one line per data set and mode, with the formula beside the measurement. Pure. Speed-ups and the formula are
 * quotients of sums over all tokens (as the published figures are), tokens/s also as the median over prompts.
 */
import { pipelinedChunk } from '../src/drafting/draft-plan.ts';
import { framesMax } from '../src/engine/scheduler.ts';
import {
  asynchronousMsPerToken,
  type CountedTime,
  countedAlpha,
  countedTime,
  hopsOf,
  plainMsPerToken,
  synchronousMsPerToken,
} from './formula.ts';
import type { ModeRun } from './mode-runs.ts';
import { type BenchMode, isLossless, overlaps, plainChain } from './modes.ts';
import { firstPassMs, frameIntervalMs, type SharedRing, stageShares } from './shared-cores.ts';
import { fitLine, type Line, mean, type Spread, spreadOf, sum } from './statistics.ts';

export interface ModeSummary {
  readonly set: string;
  readonly mode: string;
  readonly lossless: boolean;
  /** Frames of one answer may follow one another: judged by the asynchronous form. */
  readonly overlapping: boolean;
  /** Outputs that count, and those left out because they loop. */
  readonly outputs: number;
  readonly looping: number;
  readonly tokensPerSecond: Spread;
  /** Over the plain chain on the same prompts: all tokens, and prompt by prompt. */
  readonly speedUp: number;
  readonly speedUps: Spread;
  /** Chance that a draft token is accepted given those before it. */
  readonly alpha: number;
  /** Tokens committed for each time that the ring was crossed from idle: of a synchronous mode, per round. */
  readonly acceptedLength: number;
  /** Tokens per draft that was sent. */
  readonly draftLength: number;
  /** Drafts, of no tokens included, that were judged. */
  readonly rounds: number;
  /** Rounds whose draft was there, or begun, when the verdict before came; of those that could have been; NaN for none. */
  readonly preparedShare: number;
  /** Time of drafting one token, ms; NaN without drafts. */
  readonly tdMs: number;
  /** One-way links that a pass crosses. */
  readonly hops: number;
  /** Gateway's links, both directions, per output token. */
  readonly bytesPerToken: number;
  readonly measuredMsPerToken: number;
  /** Compute of a pass through all shards: intercept + slope · rows, ms. */
  readonly passMs: Line;
  readonly counted: CountedTime;
  /** One alpha for every position and the mean length of a draft, or of a frame. */
  readonly closedMsPerToken: number;
  /** Adaptive: draft tokens kept against the target, and the bound of the distortion, per output token. */
  readonly keptPerToken: number;
  readonly distortionPerToken: number;
}

/** Drafters that write token by token. */
const modelSources: ReadonlySet<string> = new Set(['head', 'lm']);

interface Conditions {
  readonly modes: readonly BenchMode[];
  readonly workers: number;
  /** Measured. */
  readonly t1Ms: number;
  /** What all workers share; left out: each has one. */
  readonly cores?: number;
}

/**
 * Compute of a pass through all shards by its rows. Fitted set by set over the modes whose frames meet an idle ring:
 * prompts of a set have like contexts, and their modes are interleaved, so that they saw the same load.
 */
export function fitPassMs(runs: readonly ModeRun[]): Line {
  return fitLine(
    runs.flatMap(({ rounds }) =>
      rounds
        .filter(({ frames, fromIdle, opening }) => fromIdle && frames === 1 && !opening)
        .map(({ answeredRows, computeMs }) => [answeredRows, computeMs] as const),
    ),
  );
}

/** Do their frames differ in rows? Plain decoding by itself tells nothing of what a row costs. */
function severalRows(runs: readonly ModeRun[]): boolean {
  return new Set(runs.flatMap(({ rounds }) => rounds.map(({ answeredRows }) => answeredRows))).size > 1;
}

/** Lines in the order of `modes` within each set. */
export function summariseModes(runs: readonly ModeRun[], conditions: Conditions): ModeSummary[] {
  const counted = runs.filter(({ repeating, decodeTokens }) => !repeating && decodeTokens > 0);
  return [...Map.groupBy(counted, ({ set }) => set)].flatMap(([set, ofSet]) => {
    const plainOf = new Map(
      ofSet.filter(({ mode }) => mode === plainChain.name).map((run) => [pairKey(run), run]),
    );
    const overlapping = new Set(conditions.modes.filter(overlaps).map(({ name }) => name));
    const alone = ofSet.filter(({ mode }) => !overlapping.has(mode));
    const passMs = fitPassMs(severalRows(alone) ? alone : ofSet);
    const shares = stageShares(
      alone.flatMap(({ rounds }) => rounds),
      conditions.workers,
    );
    const groups = Map.groupBy(ofSet, ({ mode }) => mode);
    return conditions.modes.flatMap((mode) => {
      const group = groups.get(mode.name);
      if (group === undefined) return [];
      const looping = runs.filter((run) => run.set === set && run.mode === mode.name && run.repeating);
      return [
        {
          ...{ set, mode: mode.name, lossless: isLossless(mode), overlapping: overlapping.has(mode.name) },
          ...{ outputs: group.length, looping: looping.length },
          ...speeds(group, plainOf),
          ...counts(group),
          ...predictions(group, { passMs, shares }, mode, conditions),
        },
      ];
    });
  });
}

function speeds(group: readonly ModeRun[], plainOf: ReadonlyMap<string, ModeRun>) {
  const paired = group.filter((run) => plainOf.has(pairKey(run)));
  const plain = paired.map((run) => plainOf.get(pairKey(run))!);
  return {
    tokensPerSecond: spreadOf(group.map((run) => 1000 / msPerToken([run]))),
    speedUp: msPerToken(plain) / msPerToken(paired),
    speedUps: spreadOf(paired.map((run, i) => msPerToken([plain[i]]) / msPerToken([run]))),
    measuredMsPerToken: msPerToken(group),
  };
}

function counts(group: readonly ModeRun[]) {
  const rounds = group.flatMap((run) => run.rounds);
  const tokens = sum(group.map(({ decodeTokens }) => decodeTokens));
  const drafted = sum(rounds.map((round) => round.drafted));
  return {
    alpha: countedAlpha(rounds),
    acceptedLength: tokens / rounds.filter(({ fromIdle }) => fromIdle).length,
    draftLength: drafted / rounds.length,
    rounds: rounds.length,
    preparedShare: mean(rounds.flatMap(({ prepared }) => (prepared === null ? [] : [Number(prepared)]))),
    tdMs: drafted === 0 ? Number.NaN : sum(rounds.map(({ draftMs }) => draftMs)) / drafted,
    bytesPerToken: sum(rounds.map(({ linkBytes, opening }) => (opening ? 0 : linkBytes))) / tokens,
    keptPerToken: sum(group.map(({ leniency }) => leniency.kept)) / tokens,
    distortionPerToken: sum(group.map(({ leniency }) => leniency.distortion)) / tokens,
  };
}

function predictions(
  group: readonly ModeRun[],
  { passMs, shares }: { readonly passMs: Line; readonly shares: readonly number[] },
  mode: BenchMode,
  { workers, t1Ms, cores = workers }: Conditions,
) {
  const rounds = group.flatMap((run) => run.rounds);
  const tokens = sum(group.map(({ decodeTokens }) => decodeTokens));
  const hops = hopsOf(mode.topology, workers);
  const tvMs = (rows: number): number => passMs.intercept + passMs.slope * rows;
  const frames = sum(rounds.map((round) => round.frames));
  const frameRows = sum(rounds.map(({ answeredRows }) => answeredRows)) / frames;
  const ring = { hops, t1Ms, tvMs: tvMs(frameRows) };
  const { alpha, draftLength, tdMs } = counts(group);
  const shared = (rows: number): SharedRing => ({
    stagesMs: shares.map((share) => share * tvMs(rows)),
    cores,
  });
  let closedMsPerToken = plainMsPerToken(ring);
  if (!Number.isNaN(tdMs)) {
    const frameTokens = Math.max(1, frameRows);
    const stageMs = frameIntervalMs(shared(frameRows), {
      ...{ draftMs: frameTokens * tdMs, window: framesMax, linksMs: hops * t1Ms },
    });
    closedMsPerToken = overlaps(mode)
      ? asynchronousMsPerToken(ring, { tokens: frameTokens, stageMs }, tdMs, alpha)
      : synchronousMsPerToken(
          { ...ring, tvMs: tvMs(mean(rounds.map(({ rows }) => rows))) },
          draftLength,
          tdMs,
          alpha,
        );
  }
  const firstMs = (rows: number, together: number): number => firstPassMs(shared(rows), together);
  const flowing = overlaps(mode)
    ? rounds.map((round) => ({ ...round, together: together(round, workers) }))
    : rounds;
  return { hops, passMs, counted: countedTime(flowing, tokens, { hops, t1Ms }, firstMs), closedMsPerToken };
}

/**
 * Frames on the ring while the first of a draft passes. Where frames flow, a model whose first tokens have left writes on
 * behind them, so that every stage has a frame; those that a wrong token ends leave no record.
 */
function together({ source, drafted, frames }: ModeRun['rounds'][number], stages: number): number {
  const goesOn = modelSources.has(source) && drafted >= pipelinedChunk;
  return goesOn ? Math.max(frames, stages) : frames;
}

export function msPerToken(runs: readonly ModeRun[]): number {
  return sum(runs.map(({ decodeMs }) => decodeMs)) / sum(runs.map(({ decodeTokens }) => decodeTokens));
}

/** What pairs a run with those of other modes. */
export function pairKey({ prompt, repeat, set }: ModeRun): string {
  return JSON.stringify([set, prompt, repeat]);
}
