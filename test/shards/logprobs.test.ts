/** Log-probabilities against their definition, with full sorts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { collectLogprobs, logprobsTopMax } from '../../shards/logprobs.ts';

/** Values on a coarse grid, so that ties happen. */
const row = (vocab: number) =>
  fc.array(fc.integer({ min: -20, max: 20 }), { minLength: vocab, maxLength: vocab });

test('collectLogprobs gives the log-softmax of each token and of the likeliest ones', () => {
  fc.assert(
    fc.property(fc.array(row(30), { minLength: 1, maxLength: 4 }), fc.nat(logprobsTopMax), (raw, top) => {
      const collector = collectLogprobs(top);
      for (const [i, values] of raw.entries()) collector.add(Float32Array.from(values), i);
      const rows = collector.rows();
      assert.equal(rows.top, top);
      for (const [i, values] of raw.entries()) {
        const total = Math.log(values.reduce((sum, value) => sum + Math.exp(value), 0));
        const order = [...values.keys()].sort((a, b) => values[b]! - values[a]! || a - b).slice(0, top);
        assert.ok(Math.abs(rows.own[i]! - (values[i]! - total)) < 1e-5);
        assert.deepEqual([...rows.topIds.subarray(i * top, (i + 1) * top)], order);
        for (const [j, id] of order.entries()) {
          assert.ok(Math.abs(rows.topLogprobs[i * top + j]! - (values[id]! - total)) < 1e-5);
        }
      }
    }),
  );
});

test('collectLogprobs never gives more alternatives than there are ids', () => {
  const collector = collectLogprobs(20);
  collector.add(Float32Array.of(1, 3, 2), 0);
  const { top, topIds } = collector.rows();
  assert.equal(top, 3);
  assert.deepEqual([...topIds], [1, 2, 0]);
});

test('collectLogprobs is never above 0, also for a certain token', () => {
  const collector = collectLogprobs(1);
  collector.add(Float32Array.of(0, 1000, 0), 1);
  assert.equal(collector.rows().own[0], 0);
});
