/** Due times of a link: delay, serialisation, jitter and order, without any real clock. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDelaySchedule } from '../../bench/delay-schedule.ts';

const shape = { delayMs: 15, mbit: null, jitterMs: 0, seed: 1 };

test('createDelaySchedule delays every chunk by the one-way delay', () => {
  const schedule = createDelaySchedule(shape, 0);
  assert.equal(schedule.dueMs(10, 100), 115);
  assert.equal(schedule.dueMs(100_000, 100), 115);
  assert.equal(schedule.dueMs(10, 140), 155);
});

test('createDelaySchedule adds the time on the wire and queues behind earlier chunks', () => {
  const schedule = createDelaySchedule({ ...shape, mbit: 8 }, 0);
  assert.equal(schedule.dueMs(1000, 0), 16);
  assert.equal(schedule.dueMs(2000, 0), 18);
  assert.equal(schedule.dueMs(1000, 10), 26);
});

test('createDelaySchedule jitters within bounds, keeps order, and repeats by seed', () => {
  const run = (seed: number): number[] => {
    const schedule = createDelaySchedule({ ...shape, jitterMs: 10, seed }, 0);
    return Array.from({ length: 200 }, (_, i) => schedule.dueMs(1, i));
  };
  const due = run(7);
  for (let i = 0; i < due.length; i++) {
    assert.ok(due[i] >= i + 15 && due[i] <= i + 25);
    assert.ok(i === 0 || due[i] >= due[i - 1]);
  }
  assert.deepEqual(run(7), due);
  assert.notDeepEqual(run(8), due);
});
