/** The orders of the policies, on cases made by hand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  compareStandings,
  type SchedulingPolicy,
  type Standing,
  starvationMs,
} from '../../../src/engine/policy.ts';

const standing = (arrival: number, part: Partial<Standing> = {}): Standing => ({
  arrival,
  waitedMs: 0,
  attainedMs: 0,
  remainingMs: 500,
  steady: false,
  ...part,
});

function order(policy: SchedulingPolicy, standings: Record<string, Standing>): string[] {
  return Object.entries(standings)
    .sort(([, a], [, b]) => compareStandings(policy, a, b))
    .map(([name]) => name);
}

test('fcfs is the order of arrival', () => {
  const standings = { late: standing(2), first: standing(0, { attainedMs: 1e6 }), second: standing(1) };
  assert.deepEqual(order('fcfs', standings), ['first', 'second', 'late']);
});

test('srtf is the order of what is left, steady or not', () => {
  const standings = {
    long: standing(0, { remainingMs: 9000, steady: true }),
    short: standing(1, { remainingMs: 100 }),
    middle: standing(2, { remainingMs: 500, steady: true }),
  };
  assert.deepEqual(order('srtf', standings), ['short', 'middle', 'long']);
});

test('laps puts those first that had least, while their acceptance moves', () => {
  const standings = {
    old: standing(0, { attainedMs: 30_000 }),
    young: standing(1, { attainedMs: 5_000 }),
    fresh: standing(2),
  };
  assert.deepEqual(order('laps', standings), ['fresh', 'young', 'old']);
});

test('laps takes what is left once acceptance is steady, whatever was attained', () => {
  const standings = {
    hungry: standing(0, { attainedMs: 9_000, remainingMs: 90_000, steady: true }),
    nearlyDone: standing(1, { attainedMs: 90_000, remainingMs: 300, steady: true }),
    moving: standing(2, { attainedMs: 9_000 }),
  };
  assert.deepEqual(order('laps', standings), ['nearlyDone', 'moving', 'hungry']);
});

test('laps ages what waits, queue by queue, and starving sessions go first by their waits', () => {
  const fresh = standing(9);
  const long = standing(0, { attainedMs: 60_000 });
  assert.deepEqual(order('laps', { long, fresh }), ['fresh', 'long']);
  for (const policy of ['laps', 'srtf'] as const) {
    const starving = { ...long, remainingMs: 1e9, waitedMs: starvationMs };
    const longer = standing(8, { waitedMs: starvationMs + 1 });
    assert.deepEqual(order(policy, { fresh, starving, longer }), ['longer', 'starving', 'fresh']);
  }
});
