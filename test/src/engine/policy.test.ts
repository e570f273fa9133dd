/** The orders of the policies, on cases made by hand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  compareStandings,
  longestStartMs,
  type SchedulingPolicy,
  type Standing,
  starvationMs,
} from '../../../src/engine/policy.ts';

const standing = (arrival: number, part: Partial<Standing> = {}): Standing => ({
  arrival,
  ageMs: 0,
  waitedMs: 0,
  attainedWorkMs: 0,
  remainingWorkMs: 100,
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
  const standings = { late: standing(2), first: standing(0, { attainedWorkMs: 1e6 }), second: standing(1) };
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
    old: standing(0, { attainedWorkMs: 3_000 }),
    young: standing(1, { attainedWorkMs: 500 }),
    fresh: standing(2),
  };
  assert.deepEqual(order('laps', standings), ['fresh', 'young', 'old']);
});

test('laps takes what is left once acceptance is steady, whatever was attained', () => {
  const standings = {
    hungry: standing(0, { attainedWorkMs: 900, remainingWorkMs: 9_000, steady: true }),
    nearlyDone: standing(1, { attainedWorkMs: 9_000, remainingWorkMs: 30, steady: true }),
    moving: standing(2, { attainedWorkMs: 900 }),
  };
  assert.deepEqual(order('laps', standings), ['nearlyDone', 'moving', 'hungry']);
});

test('laps looks at work, not at the time that a session spends in links', () => {
  const longPrompt = standing(0, { remainingMs: 500, remainingWorkMs: 300 });
  const manyRounds = standing(1, { remainingMs: 5_000, remainingWorkMs: 100 });
  assert.deepEqual(order('laps', { longPrompt, manyRounds }), ['manyRounds', 'longPrompt']);
});

test('laps lets a session with a part of the work pass one that came 4 s before for each factor of e', () => {
  const long = standing(0, { remainingWorkMs: 100 * Math.E ** 2, ageMs: 7_999 });
  const short = standing(1);
  assert.deepEqual(order('laps', { long, short }), ['short', 'long']);
  assert.deepEqual(order('laps', { long: { ...long, ageMs: 8_001 }, short }), ['long', 'short']);
});

test('nobody starves: by laps the longest start is bounded, by srtf who waited longest goes first', () => {
  const longest = standing(0, { remainingWorkMs: 1e9, ageMs: longestStartMs + 1 });
  const least = standing(9, { remainingWorkMs: 0 });
  assert.deepEqual(order('laps', { least, longest }), ['longest', 'least']);
  const fresh = standing(9);
  const starving = standing(0, { remainingMs: 1e9, waitedMs: starvationMs });
  const longer = standing(8, { waitedMs: starvationMs + 1 });
  assert.deepEqual(order('srtf', { fresh, starving, longer }), ['longer', 'starving', 'fresh']);
});
