/** The one-scan law against the brute-force one: any temperature, masks, and rows as long as a vocabulary. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { greedy, type Sampling, softmax, targetProbs } from '../../shards/sampler.ts';
import { entropyOf, targetLaw } from '../../shards/target-law.ts';

const rows = fc.float32Array({ minLength: 1, maxLength: 200, min: -60, max: 60, noNaN: true });
const sampled = (part: Partial<Sampling>): Sampling => ({ ...greedy, temperature: 0.7, ...part });

function assertSameLaw(row: Float32Array, sampling: Sampling, expected: Float64Array): void {
  const law = targetLaw(row, sampling);
  const near = (actual: number, wanted: number, tolerance: number): void =>
    assert.ok(Math.abs(actual - wanted) <= tolerance, `${actual} is not ${wanted}`);
  for (const [id, prob] of expected.entries()) near(law.probOf(id), prob, 1e-8);
  near(law.largest, Math.max(...expected), 1e-8);
  near(law.entropy(), entropyOf(expected), 1e-6);
}

test('targetLaw is the softmax for greedy rows and the sampled law otherwise', () => {
  fc.assert(
    fc.property(rows, fc.double({ min: 0.05, max: 3, noNaN: true }), (row, temperature) => {
      assertSameLaw(row, greedy, softmax(row));
      assertSameLaw(row, sampled({ temperature }), targetProbs(row, sampled({ temperature })));
      for (const filter of [{ topK: 3 }, { topP: 0.8 }, { minP: 0.1 }])
        assertSameLaw(row, sampled(filter), targetProbs(row, sampled(filter)));
    }),
  );
});

test('targetLaw of a row that is masked altogether gives every id nothing', () => {
  const { largest, probOf } = targetLaw(new Float32Array(4).fill(-Infinity), greedy);
  assert.deepEqual([largest, probOf(2)], [0, 0]);
});

test('targetLaw gives masked ids nothing, and a whole vocabulary its mass', () => {
  const row = Float32Array.from({ length: 49_152 }, (_, id) => 9 * Math.sin(id) - (id % 7));
  row[5] = -Infinity;
  assert.equal(targetLaw(row, greedy).probOf(5), 0);
  assertSameLaw(row, greedy, softmax(row));
});
