/** Goals of the sweep and of adaptive verification on made-up summaries. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AdaptiveLine, adaptiveGoals } from '../../bench/adaptive.ts';
import type { ModeSummary } from '../../bench/mode-summary.ts';
import { sweepGoals, sweepModes } from '../../bench/sweep.ts';

const summary = (mode: string, speedUp: number): ModeSummary =>
  ({ set: 'gsm8k', mode, speedUp }) as unknown as ModeSummary;

test('sweepModes sets plain decoding and fixed lengths beside the automatic choices', () => {
  const names = sweepModes([2, 8]).map(({ name }) => name);
  assert.deepEqual(names, ['plain chain', 'length 2', 'length 8', 'auto sync', 'auto']);
});

test('sweepGoals sets the automatic choice against the best fixed length and plain decoding', () => {
  const lines = [
    summary('plain chain', 1),
    summary('length 2', 2),
    summary('length 8', 1.5),
    summary('auto sync', 1.9),
    summary('auto', 0.97),
  ];
  assert.deepEqual(
    sweepGoals(lines, 5).map(({ name, measured, met }) => [name, measured, met]),
    [
      ['gsm8k, 5 ms: auto sync over the best fixed length', 0.95, true],
      ['gsm8k, 5 ms: auto sync over plain decoding', 1.9, true],
      ['gsm8k, 5 ms: auto over the best fixed length', 0.485, false],
      ['gsm8k, 5 ms: auto over plain decoding', 0.97, false],
    ],
  );
});

test('adaptiveGoals takes the fastest tau that keeps the perplexity', () => {
  const line = (tau: number, gain: number, perplexityRise: number): AdaptiveLine =>
    ({ set: 'gsm8k', tau, gain, perplexityRise }) as unknown as AdaptiveLine;
  const [goal] = adaptiveGoals([line(0, 1, 0), line(0.1, 1.2, 0.01), line(0.4, 1.6, 0.1)], 15);
  assert.deepEqual([goal.measured, goal.met], [1.2, true]);
});
