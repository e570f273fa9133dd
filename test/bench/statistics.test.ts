/** Order statistics and the line fit on samples small enough to check by hand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fitLine, mean, median, quantile, spreadOf, sum } from '../../bench/statistics.ts';

test('median takes the middle, or the mean of the two middle samples', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.ok(Number.isNaN(median([])));
});

test('quantile interpolates between order statistics', () => {
  assert.equal(quantile([10, 20, 30, 40, 50], 0.25), 20);
  assert.equal(quantile([10, 20], 0.75), 17.5);
  assert.equal(quantile([7], 0.9), 7);
});

test('spreadOf orders its numbers and leaves the samples alone', () => {
  const samples = [5, 1, 4, 2, 3];
  assert.deepEqual(spreadOf(samples), {
    count: 5,
    min: 1,
    lowerQuartile: 2,
    median: 3,
    upperQuartile: 4,
    max: 5,
  });
  assert.deepEqual(samples, [5, 1, 4, 2, 3]);
  assert.equal(spreadOf([]).count, 0);
});

test('mean and sum agree', () => {
  assert.equal(sum([1, 2, 6]), 9);
  assert.equal(mean([1, 2, 6]), 3);
});

test('fitLine finds an exact line, and a flat one when x never changes', () => {
  const { intercept, slope } = fitLine([
    [1, 14],
    [3, 18],
    [8, 28],
  ]);
  assert.ok(Math.abs(intercept - 12) < 1e-9 && Math.abs(slope - 2) < 1e-9);
  assert.deepEqual(
    fitLine([
      [2, 1],
      [2, 3],
    ]),
    { intercept: 2, slope: 0 },
  );
});
