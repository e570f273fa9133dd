/** The closed formulas against published-style numbers: N = 4, tv = 10 ms, td = 2 ms, chain with direct return. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  bestDraftLength,
  countedAlpha,
  countedMsPerToken,
  expectedTokens,
  hopsOf,
  plainMsPerToken,
  synchronousMsPerToken,
} from '../../bench/formula.ts';

/** t1, alpha, plain ms per token, best draft length and its ms per token, synchronous star ms per token. */
const table = [
  [5, 0.5, 35, 3, 21.9, 29.9],
  [5, 0.7, 35, 5, 15.3, 20.3],
  [5, 0.85, 35, 9, 9.9, 12.6],
  [15, 0.5, 85, 4, 48, 71.1],
  [15, 0.7, 85, 7, 31.5, 45.6],
  [15, 0.85, 85, 13, 18.6, 25.9],
  [50, 0.5, 260, 6, 137.1, 212.7],
  [50, 0.7, 260, 10, 85.7, 131.4],
  [50, 0.85, 260, 19, 46.5, 69.8],
] as const;

test('plainMsPerToken and synchronousMsPerToken reproduce the table at the best draft length', () => {
  for (const [t1Ms, alpha, plain, length, synchronous] of table) {
    const ring = { hops: hopsOf('chain', 4), t1Ms, tvMs: 10 };
    assert.equal(plainMsPerToken(ring), plain);
    assert.equal(bestDraftLength(ring, 2, alpha), length);
    assert.ok(Math.abs(synchronousMsPerToken(ring, length, 2, alpha) - synchronous) < 0.06);
  }
});

test('synchronousMsPerToken is slower over a star by its hops', () => {
  for (const [t1Ms, alpha, , , , star] of table) {
    const ring = { hops: hopsOf('star', 4), t1Ms, tvMs: 10 };
    const measured = synchronousMsPerToken(ring, bestDraftLength(ring, 2, alpha), 2, alpha);
    assert.ok(Math.abs(measured - star) < 0.06, `${measured} against ${star}`);
  }
});

test('expectedTokens is the draft and one more when nothing is rejected, and one when all is', () => {
  assert.equal(expectedTokens(8, 1), 9);
  assert.equal(expectedTokens(8, 0), 1);
  assert.equal(expectedTokens(1, 0.5), 1.5);
});

test('countedMsPerToken adds what happened and divides by the tokens', () => {
  const rounds = [
    { rows: 1, draftMs: 0 },
    { rows: 5, draftMs: 2 },
  ];
  const perToken = countedMsPerToken(rounds, 4, { hops: 5, t1Ms: 15 }, (rows) => 10 + rows);
  assert.equal(perToken, (75 + 11 + 2 + 75 + 15) / 4);
});

test('countedMsPerToken equals the plain formula when nothing is drafted', () => {
  const rounds = Array.from({ length: 7 }, () => ({ rows: 1, draftMs: 0 }));
  const ring = { hops: 5, t1Ms: 15, tvMs: 12 };
  assert.equal(
    countedMsPerToken(rounds, 7, ring, () => ring.tvMs),
    plainMsPerToken(ring),
  );
});

test('countedAlpha counts only the tokens that were reached', () => {
  const alpha = countedAlpha([
    { drafted: 4, accepted: 4 },
    { drafted: 4, accepted: 1 },
    { drafted: 0, accepted: 0 },
  ]);
  assert.equal(alpha, 5 / 6);
  assert.ok(Number.isNaN(countedAlpha([{ drafted: 0, accepted: 0 }])));
});
