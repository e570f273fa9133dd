/** Summaries, goals and text of a made-up run whose numbers can be worked out by hand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fitPassMs, summariseModes } from '../../bench/mode-summary.ts';
import { formulaDeviation } from '../../bench/wan-goals.ts';
import { wanModes } from '../../bench/wan-modes.ts';
import { wanMarkdown, wanPlainText } from '../../bench/wan-text.ts';
import { madeUpRuns, t1Ms, wanReport, workers } from '../support/made-up-wan.ts';

test('fitPassMs finds the line behind the rounds', () => {
  const { intercept, slope } = fitPassMs(madeUpRuns);
  assert.ok(Math.abs(intercept - 10) < 1e-9 && Math.abs(slope - 2) < 1e-9);
});

test('summariseModes counts what happened and the formula agrees with rounds that follow it', () => {
  const [plain, star, speculative] = summariseModes(madeUpRuns, { modes: wanModes, workers, t1Ms });
  assert.deepEqual([plain.outputs, plain.looping], [1, 1]);
  assert.ok(Math.abs(plain.measuredMsPerToken - 88) < 1e-9);
  assert.ok(Math.abs(star.measuredMsPerToken - 133) < 1e-9);
  assert.ok(Math.abs(star.speedUp - 88 / 133) < 1e-9);
  assert.deepEqual([speculative.acceptedLength, speculative.draftLength, speculative.rounds], [4, 4, 2]);
  assert.equal(speculative.alpha, 6 / 7);
  assert.equal(speculative.bytesPerToken, 25);
  assert.ok(Math.abs(speculative.measuredMsPerToken - 24) < 1e-9);
  assert.ok(Math.abs(speculative.speedUp - 88 / 24) < 1e-9);
  for (const line of [plain, star, speculative]) {
    assert.ok(formulaDeviation(line) < 1e-9);
  }
});

test('wanGoals judges what was measured and misses what was not', () => {
  const met = new Map(wanReport().goals.map((goal) => [goal.name, goal.met]));
  assert.equal(met.get('chain over star, plain'), true);
  assert.equal(met.get('GSM8K, text drafts, synchronous'), true);
  assert.equal(met.get('HumanEval, synchronous'), false);
  assert.equal(met.get('formula against measurement, worst synchronous line'), true);
});

test('wanGoals states speed goals only for their own conditions', () => {
  for (const other of [{ t1Ms: 5 }, { workers: 2 }, { mbit: 20 }]) {
    assert.ok(!wanReport(other).goals.some(({ name }) => name === 'GSM8K, text drafts, synchronous'));
  }
});

test('wanPlainText and wanMarkdown carry conditions, speed-up and wording', () => {
  for (const text of [wanPlainText(wanReport()), wanMarkdown(wanReport())]) {
    for (const part of ['a CPU x 2', 't1 15 ms (measured 15.00)', '3.67x', '{question}', 'not measured']) {
      assert.ok(text.includes(part), part);
    }
  }
});
