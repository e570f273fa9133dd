/** Wan reports as sections, over delays and rings, and the table of goals, on runs that can be worked out by hand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { goalsSection } from '../../bench/goals-section.ts';
import { computedSpeedUp, neededFor } from '../../bench/needed-acceptance.ts';
import { wanModes } from '../../bench/wan-modes.ts';
import { wanConditions, wanSections } from '../../bench/wan-sections.ts';
import { wanReport } from '../support/made-up-wan.ts';

test('a ring alone has a section with every table and its plots', () => {
  const [section] = wanSections([wanReport()]);
  assert.equal(section.key, 'wan-4-t1-15-ms');
  assert.deepEqual(
    section.plots.map(({ name }) => name),
    ['accepted-text-sync', 'accepted-head-sync', 'time-line-4-15'],
  );
  assert.ok(section.plots.every(({ svg }) => !svg.includes('NaN')));
});

test('rings of one sweep share a section, with a plot over delays and one over sizes for each set', () => {
  const rings = [15, 5].map((t1Ms) => wanReport({ t1Ms, rings: 3 }));
  const sections = wanSections([...rings, wanReport({ workers: 2, rings: 3 }), wanReport()]);
  assert.deepEqual(
    sections.map(({ key }) => key),
    ['wan-matrix-96', 'wan-4-t1-15-ms'],
  );
  const [{ body, plots }] = sections;
  assert.deepEqual(
    plots.map(({ name }) => name),
    ['speed-up-4-gsm8k', 'speed-up-workers-15-gsm8k'],
  );
  assert.ok(body.includes('| set | mode | N 2, 15 ms | N 4, 5 ms | N 4, 15 ms |'));
});

test('wanConditions tells rings and sweeps apart, and not when they were measured', () => {
  const later = { ...wanReport(), environment: { ...wanReport().environment, date: 'later' } };
  assert.equal(wanConditions(wanReport()), wanConditions(later));
  const others = [wanReport({ t1Ms: 5 }), wanReport({ workers: 2 }), wanReport({ rings: 3 })];
  assert.equal(new Set([wanReport(), ...others].map(wanConditions)).size, 4);
});

test('neededFor inverts the formula: a speed-up twice as high takes half the crossings', () => {
  const line = wanReport().summaries.find(({ mode }) => mode === 'text sync')!;
  const reached = neededFor(line, line.speedUp);
  assert.ok(Math.abs(reached.acceptedLength - 4) < 1e-9 && Math.abs(reached.alpha - 0.75) < 1e-9);
  assert.ok(Math.abs(neededFor(line, 2 * line.speedUp).acceptedLength - 8) < 1e-9);
});

test('computedSpeedUp is the measured one at the measured costs, and grows where rows are cheap', () => {
  const { runs, summaries, settings } = wanReport();
  const line = summaries.find(({ mode }) => mode === 'text sync')!;
  const mode = wanModes.find(({ name }) => name === 'text sync')!;
  const at = (slope: number): number =>
    computedSpeedUp(runs, { mode, set: line.set, measured: line.passMs }, settings, {
      name: 'a processor',
      passMs: { intercept: 10, slope },
    });
  assert.ok(Math.abs(at(2) - line.speedUp) < 1e-9);
  assert.ok(at(1) > line.speedUp && at(4) < line.speedUp);
});

test('goalsSection holds the goals of every claim that has some, and what they take', () => {
  const goal = { name: 'gsm8k: ours over theirs', wanted: '>= 3', bound: 3, measured: 4, met: true };
  const { body } = goalsSection([
    { claim: 'wan', reports: [wanReport(), wanReport({ t1Ms: 5 })] },
    { claim: 'peer', reports: [{ goals: [goal] }] },
    { claim: 'batching', reports: [{ lines: [] }] },
  ]);
  assert.ok(body.includes('| gsm8k: ours over theirs | >= 3 | 4.00 | met |'));
  assert.ok(body.includes('| GSM8K, text drafts, synchronous | >= 1.5x | 3.67x | met | 4.00 |'));
});
