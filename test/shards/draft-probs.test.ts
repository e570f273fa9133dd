/** Truncation and drawing, against sorts and exact laws. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { draftPairsMax, drawSparse, normalised, pointMass, truncated } from '../../shards/draft-probs.ts';
import { assertFollows } from '../support/chi-square.ts';

test('truncated keeps the likeliest as f16, drops zeros, and never everything', () => {
  const weight = fc.oneof(fc.constantFrom(0, 1e-9, 0.25), fc.double({ min: 0, max: 1, noNaN: true }));
  fc.assert(
    fc.property(
      fc.array(weight, { minLength: 1, maxLength: 40 }),
      fc.integer({ min: 1, max: 50 }),
      (weights, pairs) => {
        const total = weights.reduce((sum, value) => sum + value, 0);
        fc.pre(total > 0);
        const probs = Float64Array.from(weights, (value) => value / total);
        const ids = Uint32Array.from(probs, (_, i) => i);
        const order = [...ids.keys()].sort((a, b) => probs[b]! - probs[a]! || a - b).slice(0, pairs);
        const kept = order.filter((i) => Math.f16round(probs[i]!) > 0);
        const sparse = truncated(probs, pairs);
        if (kept.length === 0) return;
        assert.deepEqual(
          [...sparse.ids],
          kept.map((i) => ids[i]!),
        );
        assert.deepEqual(
          [...sparse.probs],
          kept.map((i) => Math.f16round(probs[i]!)),
        );
      },
    ),
  );
});

test('truncated is bounded, also for a law so flat that all of it rounds to zero', () => {
  assert.equal(truncated(new Float64Array(1000).fill(0.001), 1e6).ids.length, draftPairsMax);
  assert.deepEqual(truncated(new Float64Array(1000).fill(1e-12), 5), pointMass(0));
});

test('normalised sums to 1 and keeps the order of the pairs', () => {
  const sparse = { ids: Uint32Array.of(4, 2), probs: Float32Array.of(0.5, 0.25) };
  assert.deepEqual([...normalised(sparse)], [2 / 3, 1 / 3]);
});

test('drawSparse follows the normalised pairs', () => {
  const sparse = { ids: Uint32Array.of(2, 0, 4), probs: Float32Array.of(0.5, 0.25, 0.125) };
  const counts = [0, 0, 0, 0, 0];
  for (let position = 0; position < 20_000; position++) {
    counts[drawSparse(sparse, { low: 3, high: 4 }, position)]! += 1;
  }
  assertFollows(counts, [2 / 7, 0, 4 / 7, 0, 1 / 7]);
  assert.equal(drawSparse(pointMass(9), { low: 1, high: 1 }, 5), 9);
});
