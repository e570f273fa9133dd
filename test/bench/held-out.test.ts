/** What is fitted on the first half is judged on the second alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeHeldOut, type TimedSample } from '../../bench/held-out.ts';
import { seededRandom } from '../support/random-blocks.ts';

/** 40 ms + 75 ms a round + 4 ms a row, with noise of so many ms either way. */
function samplesOf(noiseMs: number): TimedSample[] {
  const random = seededRandom(5);
  return Array.from({ length: 80 }, (_, i) => {
    const [rounds, rows] = [1 + Math.floor(20 * random()), Math.floor(100 * random())];
    const exactMs = 40 + 75 * rounds + 4 * rows;
    const measuredMs = exactMs + noiseMs * (2 * random() - 1);
    return { atMs: i, terms: [1, rounds, rows], measuredMs, toldMs: 1.1 * measuredMs };
  });
}

const near = (actual: number, expected: number, within: number): void =>
  assert.ok(Math.abs(actual - expected) <= within, `${actual} is not ${expected}`);

test('exact sums are found again, whatever order they come in', () => {
  const { coefficients, fitted, told } = judgeHeldOut([samplesOf(0).toReversed()])!;
  for (const [i, ms] of [40, 75, 4].entries()) near(coefficients[i]!, ms, 0.01);
  near(fitted.rSquared, 1, 1e-6);
  near(fitted.error, 0, 1e-5);
  assert.equal(fitted.count, 40);
  near(told.error, 0.1, 1e-9);
});

test('noise is what is left unexplained', () => {
  const { fitted } = judgeHeldOut([samplesOf(200)])!;
  assert.ok(fitted.rSquared > 0.85 && fitted.rSquared < 0.99, `R2 ${fitted.rSquared}`);
});

test('a ring that became slower in the second half is predicted badly', () => {
  const samples = samplesOf(0).map((sample) =>
    sample.atMs < 40 ? sample : { ...sample, measuredMs: 2 * sample.measuredMs },
  );
  near(judgeHeldOut([samples])!.fitted.error, 0.5, 1e-5);
});

test('a term that is always 0 or says the same as another one does no harm', () => {
  const samples = samplesOf(0).map((sample) => ({
    ...sample,
    terms: [...sample.terms, 0, 2 * sample.terms[1]!],
  }));
  near(judgeHeldOut([samples])!.fitted.rSquared, 1, 1e-6);
});

test('too few samples say nothing', () => {
  assert.equal(judgeHeldOut([samplesOf(0).slice(0, 17)]), null);
  assert.equal(judgeHeldOut([]), null);
  assert.equal(judgeHeldOut([[], []]), null);
});

test('measurements that follow one another are halved one by one', () => {
  const all = samplesOf(0).slice(0, 28);
  // The later one is slower by a part that only its own first half can tell of.
  const withPart = ({ terms, measuredMs, ...rest }: TimedSample, later: number): TimedSample => ({
    ...rest,
    terms: [...terms, later],
    measuredMs: measuredMs + 500 * later,
  });
  const parts = [0, 1].map((later) =>
    all.slice(14 * later, 14 * later + 14).map((one) => withPart(one, later)),
  );
  for (const part of parts) assert.equal(judgeHeldOut([part]), null, 'too few by themselves');
  const { coefficients, fitted } = judgeHeldOut(parts)!;
  near(coefficients[3]!, 500, 0.1);
  near(fitted.error, 0, 1e-5);
  assert.equal(fitted.count, 14);
});
