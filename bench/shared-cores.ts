/**
 * Stages of one ring that share fewer cores than they are, as on a machine that plays all of a ring's parts: what a frame
 * then takes, from what each stage takes alone. A stage runs one frame at a time; more stages at work than cores share
 * them evenly. The interval is the largest of the bounds that operational analysis gives a closed network (Denning and
 * Buzen, 1978): the busiest station, the work per core, and the frames that may be in it at once. With a core for every
 * stage both forms are the usual ones.
 */

export interface SharedRing {
  /** What a frame takes in each stage, in the order of the ring, while nothing else runs, ms. */
  readonly stagesMs: readonly number[];
  readonly cores: number;
}

/** Pass through all stages of the first of `frames` that leave together, ms: those behind it work in the stages before. */
export function firstPassMs({ stagesMs, cores }: SharedRing, frames: number): number {
  return stagesMs.reduce(
    (total, ms, stage) => total + ms * Math.max(1, Math.min(stage + 1, frames) / cores),
    0,
  );
}

/**
 * Time from one verdict to the next of frames that follow one another without end, ms. `draftMs`: of one frame, on a
 * core of the same machine; `window`: frames under way at most; `linksMs`: all links of a pass.
 */
export function frameIntervalMs(
  { stagesMs, cores }: SharedRing,
  {
    draftMs,
    window,
    linksMs,
  }: { readonly draftMs: number; readonly window: number; readonly linksMs: number },
): number {
  const workMs = stagesMs.reduce((total, ms) => total + ms, 0);
  return Math.max(...stagesMs, draftMs, (workMs + draftMs) / cores, (linksMs + workMs) / window);
}

/** Each stage's share of a pass, by rounds whose frames had the ring to themselves; equal shares if there is none. */
export function stageShares(
  rounds: readonly {
    readonly stagesMs: readonly number[];
    readonly frames: number;
    readonly fromIdle: boolean;
  }[],
  stages: number,
): number[] {
  const sums = Array<number>(stages).fill(0);
  for (const { stagesMs, frames, fromIdle } of rounds) {
    if (!fromIdle || frames !== 1) continue;
    for (const [stage, ms] of stagesMs.entries()) sums[stage] = (sums[stage] ?? 0) + ms;
  }
  const total = sums.reduce((all, ms) => all + ms, 0);
  return sums.map((ms) => (total === 0 ? 1 / stages : ms / total));
}
