/**
 * A duration as a line in a count (round time in rows, draft time in tokens), fitted online by weighted least
 * squares. Level and slope forget at different speeds: links and queues change within seconds, so the level follows
 * the last 10 points (decay 0.9); what a row costs is a property of model and machine, and a single point says little
 * about it, so the slope remembers 50 (decay 0.98). Deviations are taken from the moving level and clipped at three
 * usual ones, so that neither a drift nor a jump of the links is mistaken for a cost of rows.
 */

/** Of points that come many a second. */
const usualLevelDecay = 0.9;
const slopeDecay = 0.98;

/** Weight of the prior slope, as a sum of squared deviations in x: four points two rows apart outweigh it. */
const priorWeight = 16;

/** A point above so many times its prediction counts as that much: a pause of the process is not the links. */
const outlierFactor = 4;
const outlierPointsMin = 5;

/** Deviations beyond so many usual ones say nothing about the slope. */
const usualDeviations = 3;

/** Before there are points, a usual deviation is this share of the level. */
const deviationPrior = 0.1;

export interface LineFit {
  /** Milliseconds per unit of x; never negative. */
  readonly slope: number;
  observe(x: number, y: number): void;
  /** The line at x, ms; never negative. */
  at(x: number): number;
}

/** `level` and `slope` are believed until there are points; `levelDecay`: what a point weighs when the next one comes. */
export function createLineFit(
  prior: { readonly level: number; readonly slope: number },
  { levelDecay = usualLevelDecay }: { readonly levelDecay?: number } = {},
): LineFit {
  let points = 0;
  let weight = 0;
  let meanX = 0;
  let meanY = prior.level;
  let spread = 0;
  let covariance = 0;
  let deviation = deviationPrior * prior.level;

  const fit: LineFit = {
    get slope() {
      return Math.max(0, (covariance + priorWeight * prior.slope) / (spread + priorWeight));
    },
    at: (x) => Math.max(0, meanY + fit.slope * (x - meanX)),
    observe(x, y) {
      const value = points < outlierPointsMin ? y : Math.min(y, outlierFactor * fit.at(x));
      points += 1;
      weight = levelDecay * weight + 1;
      if (points === 1) {
        meanX = x;
        meanY = value;
        deviation = deviationPrior * value;
        return;
      }
      const expected = fit.at(x);
      const clip = usualDeviations * deviation;
      const usual = Math.max(expected - clip, Math.min(expected + clip, value));
      deviation = levelDecay * deviation + (1 - levelDecay) * Math.abs(usual - expected);
      const fromX = x - meanX;
      const left = 1 - 1 / weight;
      spread = slopeDecay * spread + left * fromX * fromX;
      covariance = slopeDecay * covariance + left * fromX * (usual - meanY);
      meanX += fromX / weight;
      meanY += (value - meanY) / weight;
    },
  };
  return fit;
}
