/**
 * Whether the acceptance of one session has settled: its rounds of late, and how sure their mean is. Semi-clairvoyant
 * scheduling (LAPS-SD, arXiv 2505.17074) estimates a remaining time only from then on. The paper leaves the test open;
 * here it is the standard error of tokens committed per round, and a mean of the last rounds that agrees with it.
 */

/** Rounds that the means are taken over: prose turns into code within one answer, so old rounds say little. */
const roundsKept = 32;
/** Fewer rounds say nothing. */
const steadyRoundsMin = 8;
/** Standard error over mean of the tokens per round: 8 rounds of an even text reach it, the mean then holds within a fifth. */
const steadyErrorMax = 0.2;
/** The latest `steadyRoundsMin` rounds may differ so far from the mean before acceptance counts as moving again. */
const driftMax = 0.5;

export class AcceptanceTrend {
  private readonly drafted: number[] = [];
  private readonly committed: number[] = [];
  private readonly draftMs: number[] = [];

  observe(round: { readonly drafted: number; readonly committed: number; readonly draftMs: number }): void {
    this.drafted.push(round.drafted);
    this.committed.push(round.committed);
    this.draftMs.push(round.draftMs);
    if (this.drafted.length <= roundsKept) return;
    for (const kept of [this.drafted, this.committed, this.draftMs]) kept.shift();
  }

  get rounds(): number {
    return this.committed.length;
  }

  /** Draft tokens of a round, gamma. */
  get draftedMean(): number {
    return meanOf(this.drafted);
  }

  /** Tokens that a round commits, gamma * A + 1. */
  get committedMean(): number {
    return meanOf(this.committed);
  }

  /** Time that its draft takes, gamma * td, ms. */
  get draftMsMean(): number {
    return meanOf(this.draftMs);
  }

  get steady(): boolean {
    const { committed } = this;
    if (committed.length < steadyRoundsMin) return false;
    const mean = meanOf(committed);
    const variance = meanOf(committed.map((tokens) => (tokens - mean) ** 2));
    if (Math.sqrt(variance / committed.length) > steadyErrorMax * mean) return false;
    return Math.abs(meanOf(committed.slice(-steadyRoundsMin)) - mean) <= driftMax * mean;
  }
}

function meanOf(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}
