import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bestGamma, gammaStar, timePerToken } from '../../../src/drafting/gamma-star.ts';

test('bestGamma equals the published table', () => {
  const costs = [0.01, 0.1, 0.2, 0.4, 0.6].map((perTokenMs) => ({ fixedMs: 1, perTokenMs }));
  const row = (alpha: number): number[] => costs.map((cost) => bestGamma(alpha, cost));
  // 0 stands where the paper says "stop": one draft token does not beat plain decoding. At (.4, .4) and (.6, .6) one
  // token exactly breaks even: the paper prints 1 and "stop", and rounding may say either.
  assert.deepEqual(row(0.4).toSpliced(3, 1), [4, 2, 1, 0]);
  assert.deepEqual(row(0.6).toSpliced(4, 1), [7, 3, 2, 1]);
  assert.deepEqual(row(0.8), [14, 6, 4, 2, 1]);
  for (const even of [0.4, 0.6]) {
    assert.ok(Math.abs(timePerToken(even, 1, { fixedMs: 1, perTokenMs: even }) - 1) < 1e-12);
  }
});

test('bestGamma is the best of all lengths', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0.05, max: 0.98, noNaN: true }),
      fc.double({ min: 0.1, max: 500, noNaN: true }),
      fc.double({ min: 0.05, max: 50, noNaN: true }),
      (alpha, fixedMs, perTokenMs) => {
        const costs = { fixedMs, perTokenMs };
        const chosen = timePerToken(alpha, bestGamma(alpha, costs), costs);
        for (let gamma = 0; gamma <= 1000; gamma++) {
          assert.ok(chosen <= timePerToken(alpha, gamma, costs) * (1 + 1e-9), `gamma ${gamma}`);
        }
      },
    ),
  );
});

test('gammaStar is 0 where a token costs as much as a round', () => {
  assert.equal(gammaStar(0.9, { fixedMs: 1, perTokenMs: 1 }), 0);
  assert.equal(gammaStar(0.9, { fixedMs: 1, perTokenMs: 5 }), 0);
});
