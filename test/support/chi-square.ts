/** Does a sample follow a law? Pearson's chi-square with rare cells merged, at the 0.1 % level (seeds are fixed). */
import assert from 'node:assert/strict';

/** Upper 0.1 % point of chi-square, Wilson-Hilferty. */
function limitOf(degrees: number): number {
  const t = 1 - 2 / (9 * degrees) + 3.09 * Math.sqrt(2 / (9 * degrees));
  return degrees * t ** 3;
}

/** Cells with a smaller expectation are merged into one. */
const expectationMin = 8;

/** counts and probabilities by cell. Fails when something impossible happened, or the statistic is too large. */
export function assertFollows(counts: readonly number[], probs: readonly number[]): void {
  const draws = counts.reduce((sum, count) => sum + count, 0);
  let statistic = 0;
  let cells = 0;
  const rest = { count: 0, expected: 0 };
  for (const [cell, prob] of probs.entries()) {
    const count = counts[cell]!;
    const expected = draws * prob;
    if (prob === 0) assert.equal(count, 0, `cell ${cell} is impossible`);
    else if (expected < expectationMin) {
      rest.count += count;
      rest.expected += expected;
    } else {
      statistic += (count - expected) ** 2 / expected;
      cells += 1;
    }
  }
  if (rest.expected >= expectationMin) {
    statistic += (rest.count - rest.expected) ** 2 / rest.expected;
    cells += 1;
  }
  assert.ok(
    statistic < limitOf(Math.max(1, cells - 1)),
    `chi-square ${statistic.toFixed(1)} over ${cells} cells is above ${limitOf(cells - 1).toFixed(1)}`,
  );
}
