import assert from 'node:assert/strict';
import { test } from 'node:test';
import { greedy } from '../../../shards/sampler.ts';
import { createDraftJobs, type Job } from '../../../src/drafting/draft-jobs.ts';

const stop = new SharedArrayBuffer(4);
const read = (sequence: string): Job => ({ type: 'read', sequence });
const prepare = (sequence: string, request: number): Job => ({
  ...{ type: 'prepare', request, stop },
  task: {
    ...{ sequence, sampling: greedy, guesses: [], chances: [], known: [] },
    ...{ count: 8, reachMin: 0, tokensMax: 8 },
  },
});
const draft = (sequence: string, request: number): Job => ({
  ...{ type: 'draft', request, stop },
  task: { sequence, count: 4, sampling: greedy, reachMin: 0, ahead: [], pairs: null },
});

function taken(given: readonly Job[], closed: readonly string[] = []): Job[] {
  const jobs = createDraftJobs();
  for (const job of given) jobs.push(job);
  for (const sequence of closed) jobs.drop(sequence);
  const order: Job[] = [];
  for (let job = jobs.next(); job !== undefined; job = jobs.next()) order.push(job);
  return order;
}

test('createDraftJobs gives drafts first, then in the order of asking', () => {
  const [a, b, c, d] = [read('a'), draft('a', 1), prepare('b', 2), draft('b', 3)];
  assert.deepEqual(taken([a, b, c, d]), [b, d, a, c]);
  const end: Job = { type: 'end' };
  assert.deepEqual(taken([a, end]), [end, a]);
});

test('createDraftJobs holds one preparation of a sequence however many rounds pass it by', () => {
  const rounds = Array.from({ length: 500 }, (_, round) => prepare('a', round));
  assert.deepEqual(taken([prepare('b', 1), ...rounds]), [prepare('b', 1), prepare('a', 499)]);
});

test('createDraftJobs forgets what was to be read and prepared of a closed sequence, but no draft', () => {
  const given = [read('a'), prepare('a', 1), read('b'), draft('a', 2)];
  assert.deepEqual(taken(given, ['a']), [draft('a', 2), read('b')]);
});
