/**
 * Summaries of samples: order statistics only, since timings have long tails. Quantiles interpolate linearly between
 * order statistics (Hyndman and Fan's type 7). An empty sample has no summary and gives NaN.
 */

export interface Spread {
  readonly count: number;
  readonly min: number;
  readonly lowerQuartile: number;
  readonly median: number;
  readonly upperQuartile: number;
  readonly max: number;
}

export interface Line {
  readonly intercept: number;
  readonly slope: number;
}

/** Value below which a share (0…1) of the samples lies. */
export function quantile(samples: readonly number[], share: number): number {
  if (samples.length === 0) return Number.NaN;
  return sortedQuantile(samples.toSorted(ascending), share);
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}

export function mean(samples: readonly number[]): number {
  return sum(samples) / samples.length;
}

export function sum(samples: readonly number[]): number {
  return samples.reduce((total, value) => total + value, 0);
}

export function spreadOf(samples: readonly number[]): Spread {
  const sorted = samples.toSorted(ascending);
  const at = (share: number): number => (sorted.length === 0 ? Number.NaN : sortedQuantile(sorted, share));
  return {
    count: sorted.length,
    min: at(0),
    lowerQuartile: at(0.25),
    median: at(0.5),
    upperQuartile: at(0.75),
    max: at(1),
  };
}

/** Least squares line through (x, y) points; flat through their mean when all x are equal. */
export function fitLine(points: readonly (readonly [x: number, y: number])[]): Line {
  const meanX = mean(points.map(([x]) => x));
  const meanY = mean(points.map(([, y]) => y));
  const varianceX = sum(points.map(([x]) => (x - meanX) ** 2));
  const covariance = sum(points.map(([x, y]) => (x - meanX) * (y - meanY)));
  const slope = varianceX > 0 ? covariance / varianceX : 0;
  return { intercept: meanY - slope * meanX, slope };
}

function sortedQuantile(sorted: readonly number[], share: number): number {
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

function ascending(a: number, b: number): number {
  return a - b;
}
