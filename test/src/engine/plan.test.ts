/** What starts now, by hand-made snapshots: bounds, who gives way, owners, places. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PlanLimits, passedMaxMs, planRounds, type SessionView } from '../../../src/engine/plan.ts';

const limits: PlanLimits = {
  runningMax: 2,
  placesMax: 8,
  positionsFree: 1000,
  rowsMax: 100,
  framesMax: 4,
  backlogTokensMax: 10,
};

let arrivals = 0;
const view = (id: string, part: Partial<SessionView> = {}): SessionView => ({
  id,
  owner: '',
  ownerLead: 0,
  status: 'decode',
  busy: false,
  held: false,
  arrival: arrivals++,
  ageMs: 0,
  waitedMs: 0,
  attainedWorkMs: 0,
  remainingWorkMs: 0,
  remainingMs: 0,
  steady: false,
  frames: 0,
  rowsUnderWay: 0,
  rowsNext: 5,
  positions: 10,
  pipelined: false,
  backlogTokens: 0,
  ...part,
});
const plan = (sessions: SessionView[], part: Partial<PlanLimits> = {}) =>
  planRounds(sessions, 'laps', { ...limits, ...part });

test('planRounds opens waiting sessions in order, up to those that may be at work', () => {
  const { open, draft, working } = plan([
    view('a'),
    view('b', { status: 'waiting' }),
    view('c', { status: 'waiting' }),
  ]);
  assert.deepEqual(open, ['b']);
  assert.deepEqual(draft, ['a']);
  assert.equal(working, 2);
});

test('planRounds leaves a session alone that is drafting, prefilling, held or has a slow reader', () => {
  const sessions = [
    view('a', { busy: true }),
    view('b', { status: 'prefill' }),
    view('c', { backlogTokens: 11 }),
    view('d', { status: 'waiting', held: true }),
  ];
  assert.deepEqual(plan(sessions, { runningMax: 4 }), { open: [], draft: [], window: 2, working: 2 });
});

test('planRounds lets one that needs little go before one that needs much, between its rounds', () => {
  const long = view('long', { remainingWorkMs: 6_000, steady: true });
  const fresh = view('fresh', { status: 'waiting' });
  assert.deepEqual(plan([long, fresh], { runningMax: 1 }), {
    open: ['fresh'],
    draft: [],
    window: 4,
    working: 1,
  });
  // A round under way is never broken off.
  assert.deepEqual(plan([{ ...long, frames: 1 }, fresh], { runningMax: 1 }).open, []);
  assert.deepEqual(planRounds([long, fresh], 'fcfs', { ...limits, runningMax: 1 }).draft, ['long']);
});

test('planRounds keeps one round under way unless frames may follow one another', () => {
  assert.deepEqual(plan([view('a', { frames: 1 })]).draft, []);
  assert.deepEqual(plan([view('a', { frames: 3, pipelined: true })]).draft, ['a']);
  assert.deepEqual(plan([view('a', { frames: 4, pipelined: true })]).draft, []);
});

test('planRounds shares the frames between the sessions at work, at least one each', () => {
  const five = ['a', 'b', 'c', 'd', 'e'].map((id) => view(id));
  assert.equal(plan(five.slice(0, 1), { runningMax: 8 }).window, 4);
  assert.equal(plan(five.slice(0, 2), { runningMax: 8 }).window, 2);
  assert.equal(plan(five, { runningMax: 8 }).window, 1);
});

test('planRounds starts no more rows than fill the stages, and first frames before further ones', () => {
  const flowing = view('a', { frames: 1, rowsUnderWay: 5, pipelined: true });
  const idle = ['b', 'c', 'd'].map((id) => view(id));
  const crowded = plan([flowing, ...idle], { runningMax: 8, rowsMax: 12, framesMax: 16 });
  assert.deepEqual(crowded.draft, ['b', 'c']);
  assert.deepEqual(plan([flowing, ...idle], { runningMax: 8, framesMax: 16 }).draft, ['b', 'c', 'd', 'a']);
  // However little fits: one is always at work.
  assert.deepEqual(plan([view('a', { rowsNext: 50 })], { rowsMax: 1 }).draft, ['a']);
});

test('planRounds serves the owner first that had less, whatever the policy says', () => {
  const sessions = [
    view('a', { status: 'waiting', owner: 'flood', ownerLead: 1 }),
    view('b', { status: 'waiting', owner: 'flood', ownerLead: 1 }),
    view('c', { status: 'waiting', owner: 'calm', remainingMs: 9e9, steady: true }),
  ];
  assert.deepEqual(plan(sessions, { runningMax: 1 }).open, ['c']);
});

test('planRounds leaves places to owners that have none yet', () => {
  const flood = Array.from({ length: 8 }, (_, i) => view(`f${i}`, { status: 'waiting', owner: 'flood' }));
  assert.equal(plan(flood, { runningMax: 8 }).open.length, 4, 'alone, half of the places');
  const placed = flood.slice(0, 4).map((session) => ({ ...session, status: 'decode' as const }));
  const calm = view('calm', { status: 'waiting', owner: 'calm' });
  const { open } = plan([...placed, ...flood.slice(4), calm], { runningMax: 8 });
  assert.deepEqual(open, ['calm']);
});

test('planRounds lets who fits pass one that waits for room in the caches, but not for ever, and rounds go on', () => {
  const sessions = (waitedMs: number): SessionView[] => [
    view('a'),
    view('large', { status: 'waiting', positions: 500, waitedMs }),
    view('small', { status: 'waiting', positions: 10 }),
  ];
  const tight = { runningMax: 8, positionsFree: 400 };
  assert.deepEqual(plan(sessions(passedMaxMs - 1), tight).open, ['small']);
  assert.deepEqual(plan(sessions(passedMaxMs), tight).open, []);
  assert.deepEqual(plan(sessions(passedMaxMs), tight).draft, ['a']);
  assert.deepEqual(plan(sessions(0), { runningMax: 8 }).open, ['large', 'small']);
  // Alone it is always let in: its own length is checked before.
  assert.deepEqual(plan(sessions(0).slice(1), tight).open, ['large']);
});

test('planRounds sends no frame behind those of a session whose place another one should have', () => {
  const atWork = ['a', 'b'].map((id) =>
    view(id, { frames: 1, pipelined: true, owner: 'flood', ownerLead: 1 }),
  );
  const [first, last] = atWork;
  const next = view('next', { status: 'waiting', owner: 'calm' });
  assert.deepEqual(plan([...atWork, next]).draft, ['a'], 'the last one in order gives way');
  const both = [next, { ...next, id: 'then' }];
  assert.deepEqual(plan([...atWork, ...both]).draft, [], 'as many as should come');
  assert.deepEqual(plan([first!, { ...last!, frames: 0 }, next]), {
    ...{ open: ['next'], draft: ['a'], window: 2, working: 2 },
  });
  // Nobody gives way to one that is behind it, or that can get no place.
  assert.deepEqual(plan([...atWork, { ...next, ownerLead: 2 }]).draft, ['a', 'b']);
  assert.deepEqual(plan([...atWork, { ...next, positions: 500 }], { positionsFree: 20 }).draft, ['a', 'b']);
});
