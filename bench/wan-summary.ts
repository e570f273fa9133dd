/**
 * Runs → one line per data set and mode, with the formula beside the measurement. Pure. Speed-ups and the formula are
 * quotients of sums over all tokens (as the published figures are), tokens/s also as the median over prompts.
 */
import {
  countedAlpha,
  countedMsPerToken,
  hopsOf,
  plainMsPerToken,
  synchronousMsPerToken,
} from './formula.ts';
import { fitLine, type Line, mean, type Spread, spreadOf, sum } from './statistics.ts';
import { type WanMode, type WanRun, wanModes } from './wan-run.ts';

export interface WanSummary {
  readonly set: string;
  readonly mode: WanMode;
  /** Outputs that count, and those left out because they loop. */
  readonly outputs: number;
  readonly looping: number;
  readonly tokensPerSecond: Spread;
  /** Over the plain chain on the same prompts: all tokens, and prompt by prompt. */
  readonly speedUp: number;
  readonly speedUps: Spread;
  /** Chance that a draft token is accepted given those before it. */
  readonly alpha: number;
  /** Tokens committed per round. */
  readonly acceptedLength: number;
  /** Tokens drafted per round. */
  readonly draftLength: number;
  readonly rounds: number;
  /** Gateway's links, both directions, per output token. */
  readonly bytesPerToken: number;
  readonly measuredMsPerToken: number;
  /** Compute of a pass through all shards: intercept + slope · rows, ms. */
  readonly passMs: Line;
  /** (draft time + H·t1 + tv(rows)) / E with rows and E as counted. */
  readonly countedMsPerToken: number;
  /** One alpha for every position and the mean draft length. */
  readonly closedMsPerToken: number;
}

/**
 * Compute of a pass through all shards by its rows. Fitted set by set over all modes: prompts of a set have like
 * contexts, and their modes are interleaved, so that they saw the same load of the machine.
 */
export function fitPassMs(runs: readonly WanRun[]): Line {
  return fitLine(
    runs.flatMap(({ rounds }) => rounds.map(({ rows, computeMs }) => [rows, computeMs] as const)),
  );
}

/** Lines in the order of first appearance. `t1Ms` is the measured one-way delay. */
export function summariseWan(runs: readonly WanRun[], workers: number, t1Ms: number): WanSummary[] {
  const counted = runs.filter(({ repeating, decodeTokens }) => !repeating && decodeTokens > 0);
  const passMsOf = new Map(
    [...Map.groupBy(counted, ({ set }) => set)].map(([set, ofSet]) => [set, fitPassMs(ofSet)]),
  );
  const plainOf = new Map(
    counted.filter(({ mode }) => mode === 'plain chain').map((run) => [pairKey(run), run]),
  );
  const groups = Map.groupBy(counted, ({ set, mode }) => JSON.stringify([set, mode]));
  return [...groups.values()].map((group) => {
    const { set, mode } = group[0];
    const looping = runs.filter((run) => run.set === set && run.mode === mode && run.repeating).length;
    const plain = group.map((run) => plainOf.get(pairKey(run))).filter((run) => run !== undefined);
    return {
      ...{ set, mode, outputs: group.length, looping },
      ...speeds(group, plain),
      ...predictions(group, { workers, t1Ms, passMs: passMsOf.get(set)! }),
    };
  });
}

function speeds(group: readonly WanRun[], plain: readonly WanRun[]) {
  const plainOf = new Map(plain.map((run) => [pairKey(run), run]));
  const paired = group.filter((run) => plainOf.has(pairKey(run)));
  return {
    tokensPerSecond: spreadOf(group.map((run) => 1000 / msPerToken([run]))),
    speedUp: msPerToken(plain) / msPerToken(paired),
    speedUps: spreadOf(paired.map((run) => msPerToken([plainOf.get(pairKey(run))!]) / msPerToken([run]))),
  };
}

function predictions(
  group: readonly WanRun[],
  { workers, t1Ms, passMs }: { workers: number; t1Ms: number; passMs: Line },
) {
  const rounds = group.flatMap((run) => run.rounds);
  const tokens = sum(group.map(({ decodeTokens }) => decodeTokens));
  const drafted = sum(rounds.map((round) => round.drafted));
  const draftMs = sum(rounds.map((round) => round.draftMs));
  const alpha = countedAlpha(rounds);
  const hops = hopsOf(wanModes[group[0].mode].topology, workers);
  const tvMs = (rows: number): number => passMs.intercept + passMs.slope * rows;
  const ring = { hops, t1Ms, tvMs: tvMs(mean(rounds.map(({ rows }) => rows))) };
  return {
    alpha,
    acceptedLength: tokens / rounds.length,
    draftLength: drafted / rounds.length,
    rounds: rounds.length,
    bytesPerToken: sum(rounds.map(({ linkBytes }) => linkBytes)) / tokens,
    passMs,
    measuredMsPerToken: msPerToken(group),
    countedMsPerToken: countedMsPerToken(rounds, tokens, ring, tvMs),
    closedMsPerToken:
      drafted === 0
        ? plainMsPerToken(ring)
        : synchronousMsPerToken(ring, drafted / rounds.length, draftMs / drafted, alpha),
  };
}

function msPerToken(runs: readonly WanRun[]): number {
  return sum(runs.map(({ decodeMs }) => decodeMs)) / sum(runs.map(({ decodeTokens }) => decodeTokens));
}

function pairKey({ prompt, repeat, set }: WanRun): string {
  return JSON.stringify([set, prompt, repeat]);
}
