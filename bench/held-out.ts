/**
 * How well a sum of a few readable terms explains times, judged where it was not fitted: coefficients are least squares
 * over the first half in time, R2 and error are those of the second. Beside it any prediction that was made ahead can be
 * judged on the same second half. Measurements that follow one another are halved one by one, then taken together. Pure.
 */
import { mean, sum } from './statistics.ts';

export interface TimedSample {
  readonly atMs: number;
  /** As many in each sample: what the time is a sum of, a constant 1 among them if there is a fixed part. */
  readonly terms: readonly number[];
  readonly measuredMs: number;
  /** As somebody had told it before. */
  readonly toldMs: number;
}

export interface Judgement {
  readonly count: number;
  /** Share of the variance that is explained; below 0 where the mean of what was measured does better. */
  readonly rSquared: number;
  /** Mean of |predicted - measured| / measured. */
  readonly error: number;
}

export interface HeldOut {
  /** ms for one of each term. */
  readonly coefficients: readonly number[];
  readonly fitted: Judgement;
  readonly told: Judgement;
}

/** So many samples for each term in a half, or nothing is said. */
const samplesPerTerm = 3;
/** Weight of a belief in 0 for each term, against its own size: decides only what the samples leave open. */
const ridge = 1e-9;

/** Null where there are too few samples. */
export function judgeHeldOut(measurements: readonly (readonly TimedSample[])[]): HeldOut | null {
  const inTime = measurements.map((samples) => samples.toSorted((a, b) => a.atMs - b.atMs));
  const earlier = inTime.flatMap((samples) => samples.slice(0, Math.floor(samples.length / 2)));
  const later = inTime.flatMap((samples) => samples.slice(Math.floor(samples.length / 2)));
  if (earlier.length === 0 || earlier.length < samplesPerTerm * earlier[0]!.terms.length) return null;
  const coefficients = leastSquares(earlier);
  const fittedMs = ({ terms }: TimedSample): number => sum(terms.map((term, i) => term * coefficients[i]!));
  return { coefficients, fitted: judge(later, fittedMs), told: judge(later, ({ toldMs }) => toldMs) };
}

function judge(samples: readonly TimedSample[], predictedMs: (sample: TimedSample) => number): Judgement {
  const middle = mean(samples.map(({ measuredMs }) => measuredMs));
  const left = sum(samples.map((sample) => (sample.measuredMs - predictedMs(sample)) ** 2));
  const all = sum(samples.map(({ measuredMs }) => (measuredMs - middle) ** 2));
  const errors = samples.map((sample) => Math.abs(predictedMs(sample) / sample.measuredMs - 1));
  return { count: samples.length, rSquared: 1 - left / all, error: mean(errors) };
}

/** The normal equations by Gaussian elimination, largest pivot first. */
function leastSquares(samples: readonly TimedSample[]): number[] {
  const width = samples[0]!.terms.length;
  const rows = Array.from({ length: width }, (_, i) => [
    ...Array.from({ length: width }, (_, j) => {
      const product = sum(samples.map(({ terms }) => terms[i]! * terms[j]!));
      return i === j ? product * (1 + ridge) : product;
    }),
    sum(samples.map(({ terms, measuredMs }) => terms[i]! * measuredMs)),
  ]);
  for (let column = 0; column < width; column++) {
    const below = rows.slice(column);
    const pivot = below.reduce((most, row) =>
      Math.abs(row[column]!) > Math.abs(most[column]!) ? row : most,
    );
    rows[rows.indexOf(pivot)] = rows[column]!;
    rows[column] = pivot;
    if (pivot[column] === 0) continue; // a term that was always 0
    for (const row of rows) {
      if (row === pivot) continue;
      const factor = row[column]! / pivot[column]!;
      for (let i = column; i <= width; i++) row[i]! -= factor * pivot[i]!;
    }
  }
  return rows.map((row, i) => (row[i] === 0 ? 0 : row[width]! / row[i]!));
}
