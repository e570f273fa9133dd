/** Loops at the end of an output, and texts that only look like one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { repetitionPeriod } from '../../bench/repetition.ts';

const text = (length: number, from = 0): number[] => Array.from({ length }, (_, i) => from + i);
const loop = (period: number, length: number): number[] =>
  Array.from({ length }, (_, i) => 9000 + (i % period));

test('repetitionPeriod finds the smallest period of a loop', () => {
  assert.equal(repetitionPeriod([...text(20), ...loop(1, 40)]), 1);
  assert.equal(repetitionPeriod([...text(20), ...loop(6, 60)]), 6);
  assert.equal(repetitionPeriod([...text(20), ...loop(20, 81)]), 20);
});

test('repetitionPeriod wants three periods and no fewer than 36 tokens of them', () => {
  assert.equal(repetitionPeriod([...text(20), ...loop(6, 41)]), 0);
  assert.equal(repetitionPeriod([...text(20), ...loop(6, 42)]), 6);
  assert.equal(repetitionPeriod([...text(20), ...loop(20, 79)]), 0);
  assert.equal(repetitionPeriod([...text(20), ...loop(20, 80)]), 20);
});

test('repetitionPeriod ignores loops that ended, long periods and plain text', () => {
  assert.equal(repetitionPeriod([...loop(6, 80), 1]), 0);
  assert.equal(repetitionPeriod(loop(41, 400)), 0);
  assert.equal(repetitionPeriod(text(200)), 0);
  assert.equal(repetitionPeriod([]), 0);
});
