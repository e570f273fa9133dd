import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planRounds, type SessionView } from '../../../src/engine/plan.ts';

const limits = { runningMax: 2, framesMax: 4, backlogTokensMax: 10 };
const view = (id: string, part: Partial<SessionView> = {}): SessionView => ({
  id,
  status: 'decode',
  busy: false,
  frames: 0,
  pipelined: false,
  backlogTokens: 0,
  ...part,
});

test('planRounds opens waiting sessions in order, up to the limit', () => {
  const plan = planRounds(
    [view('a'), view('b', { status: 'waiting' }), view('c', { status: 'waiting' })],
    limits,
  );
  assert.deepEqual(plan.open, ['b']);
  assert.deepEqual(plan.draft, ['a']);
});

test('planRounds leaves a session alone that is drafting, prefilling or has a slow reader', () => {
  const sessions = [
    view('a', { busy: true }),
    view('b', { status: 'prefill' }),
    view('c', { backlogTokens: 11 }),
  ];
  assert.deepEqual(planRounds(sessions, limits).draft, []);
});

test('planRounds keeps one round under way unless frames may follow one another', () => {
  assert.deepEqual(planRounds([view('a', { frames: 1 })], limits).draft, []);
  assert.deepEqual(planRounds([view('a', { frames: 3, pipelined: true })], limits).draft, ['a']);
  assert.deepEqual(planRounds([view('a', { frames: 4, pipelined: true })], limits).draft, []);
});

test('planRounds shares the frames between the sessions on the ring, at least one each', () => {
  assert.equal(planRounds([view('a')], limits).window, 4);
  assert.equal(planRounds([view('a'), view('b')], limits).window, 2);
  assert.equal(
    planRounds(
      ['a', 'b', 'c', 'd', 'e'].map((id) => view(id)),
      limits,
    ).window,
    1,
  );
});
