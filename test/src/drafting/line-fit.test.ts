import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLineFit } from '../../../src/drafting/line-fit.ts';
import { createRandom } from './chooser-simulation.ts';

const prior = { level: 100, slope: 4 };

function near(actual: number, expected: number, share: number): void {
  assert.ok(Math.abs(actual - expected) <= share * Math.abs(expected), `${actual} is not near ${expected}`);
}

test('createLineFit believes its prior, then its points', () => {
  const fit = createLineFit(prior);
  assert.equal(fit.at(0), 100);
  assert.equal(fit.at(10), 140);
  for (let i = 0; i < 60; i++) fit.observe(i % 9, 30 + 1.5 * (i % 9));
  near(fit.slope, 1.5, 0.15);
  near(fit.at(64), 126, 0.12);
});

test('createLineFit finds the line under noise', () => {
  const random = createRandom(3);
  const fit = createLineFit(prior);
  for (let i = 0; i < 200; i++) {
    const rows = 1 + Math.floor(16 * random());
    fit.observe(rows, 87 + 4 * rows + 20 * (random() - 0.5));
  }
  near(fit.slope, 4, 0.2);
  near(fit.at(8), 119, 0.08);
});

test('createLineFit follows the links without charging the drift to the rows', () => {
  const fit = createLineFit(prior);
  for (let i = 0; i < 60; i++) fit.observe(1 + (i % 8), 75 + 4 * (1 + (i % 8)));
  // Slower links while only short drafts are sent.
  for (let i = 0; i < 30; i++) fit.observe(1 + (i % 2), 250 + 4 * (1 + (i % 2)));
  near(fit.at(1), 254, 0.05);
  near(fit.slope, 4, 0.3);
});

test('createLineFit takes a pause for a pause, and negative slopes for noise', () => {
  const fit = createLineFit(prior);
  for (let i = 0; i < 30; i++) fit.observe(1 + (i % 4), 100);
  fit.observe(4, 30_000);
  assert.ok(fit.at(2) < 250, `${fit.at(2)}`);
  const falling = createLineFit(prior);
  for (let i = 0; i < 60; i++) falling.observe(i % 8, 100 - 5 * (i % 8));
  assert.equal(falling.slope, 0);
});
