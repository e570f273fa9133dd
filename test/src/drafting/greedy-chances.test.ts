import assert from 'node:assert/strict';
import { test } from 'node:test';
import { greedyChances } from '../../../src/drafting/greedy-chances.ts';

test('the first guess gains the shift in log odds, the others share what is left in proportion', () => {
  const told = Float32Array.of(0.5, 0.2, 0.1);
  const [first, second, third] = greedyChances(told, Math.log(3));
  assert.ok(Math.abs(first! - 0.75) < 1e-6);
  assert.ok(Math.abs(second! - 0.1) < 1e-6);
  assert.ok(Math.abs(third! - 0.05) < 1e-6);
  assert.deepEqual([...told], [...Float32Array.of(0.5, 0.2, 0.1)]);
});

test('without a shift, of a sure guess and of none, what was told stands', () => {
  for (const told of [Float32Array.of(0.5, 0.2), Float32Array.of(1, 0), Float32Array.of()]) {
    assert.deepEqual(greedyChances(told, 0), told);
  }
  assert.deepEqual(greedyChances(Float32Array.of(1, 0), 0.5), Float32Array.of(1, 0));
  assert.deepEqual(greedyChances(Float32Array.of(), 0.5), Float32Array.of());
});
