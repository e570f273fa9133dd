/**
 * Endless repetition: a small model may fall into a loop until its token limit, which any copying drafter predicts
 * perfectly. Such outputs flatter speculation, so benchmarks mark them and leave them out of their medians.
 */

/** A loop must be seen for this many tokens, or three periods if that is longer. */
const repeatedTokensMin = 36;
/** Longer periods are texts that repeat themselves for a reason. */
const periodMax = 40;

/** Smallest period in which the end of an output repeats exactly; 0 if it does not. */
export function repetitionPeriod(ids: readonly number[]): number {
  for (let period = 1; period <= periodMax; period++) {
    const repeated = Math.max(repeatedTokensMin, 3 * period);
    if (ids.length >= repeated + period && repeats(ids, period, repeated)) return period;
  }
  return 0;
}

function repeats(ids: readonly number[], period: number, count: number): boolean {
  for (let i = ids.length - count; i < ids.length; i++) if (ids[i] !== ids[i - period]) return false;
  return true;
}
