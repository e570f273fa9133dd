/**
 * A duration as a line in a count (round time in rows, draft time in tokens), fitted online by weighted least
 * squares. Level and slope forget at different speeds: links and queues change within seconds, so the level follows
 * the last 10 points (decay 0.9); what a row costs is a property of model and machine, and a single point says little
 * about it, so the slope remembers 50 (decay 0.98). Deviations are taken from the moving level, so that a drift of
 * the links is not mistaken for a cost of rows.
 */

const levelDecay = 0.9;
const slopeDecay = 0.98;

/** Weight of the prior slope, as a sum of squared deviations in x: four points two rows apart outweigh it. */
const priorWeight = 16;

/** A point above so many times its prediction counts as that much: a pause of the process is not the links. */
const outlierFactor = 4;
const outlierPointsMin = 5;

export interface LineFit {
  /** Milliseconds per unit of x; never negative. */
  readonly slope: number;
  observe(x: number, y: number): void;
  /** The line at x, ms; never negative. */
  at(x: number): number;
}

/** `level` and `slope` are believed until there are points. */
export function createLineFit(prior: { readonly level: number; readonly slope: number }): LineFit {
  let points = 0;
  let weight = 0;
  let meanX = 0;
  let meanY = prior.level;
  let spread = 0;
  let covariance = 0;

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
        return;
      }
      const fromX = x - meanX;
      const fromY = value - meanY;
      meanX += fromX / weight;
      meanY += fromY / weight;
      spread = slopeDecay * spread + fromX * (x - meanX);
      covariance = slopeDecay * covariance + fromX * (value - meanY);
    },
  };
  return fit;
}
