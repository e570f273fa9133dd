/** Where a session stands: reading it changes nothing, and who waits is estimated anew as the ring's costs are learned. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { greedy } from '../../../shards/sampler.ts';
import { Session } from '../../../src/engine/session.ts';
import { SessionStanding } from '../../../src/engine/session-standing.ts';
import type { RoundRecord } from '../../../src/engine/session-stats.ts';

const session = (): Session =>
  new Session('s', {
    ...{ promptIds: [1, 2, 3], sampling: greedy, maxTokens: 50, minTokens: 0, ignoreEos: true, eosIds: [] },
    ...{ prediction: null, owner: 'a', signal: new AbortController().signal },
    speculation: { drafter: 'auto', draftLength: 'auto' },
    sink: { commit: () => null, backlogTokens: () => 0, end() {}, fail() {} },
  });

const stage = { fixedMs: 2, perRowMs: 1 };

/** A ring of which a round takes what the test says, and answers of which 10 tokens are to come. */
function standingOf(session: Session): { standing: SessionStanding; costs: { roundMs: number } } {
  const costs = { roundMs: 50 };
  const latency = { roundMs: () => costs.roundMs, prefillMs: () => 200, stage: () => stage };
  const standing = new SessionStanding(session, 7, { latency, lengths: { remaining: () => 10 } }, 1000);
  return { standing, costs };
}

const round = { drafted: 3, committed: 4, draftMs: 6, frames: 2, answeredRows: 5 } as RoundRecord;

test('reading changes nothing, however long it is waited for', () => {
  const { standing, costs } = standingOf(session());
  costs.roundMs = 500;
  const first = standing.at(1000);
  // A prompt in one chunk, and ten tokens in rounds of five rows.
  const work = { attainedWorkMs: 0, remainingWorkMs: 5 + (10 * 7) / 2.5 };
  assert.deepEqual(first, { arrival: 7, ageMs: 0, waitedMs: 0, ...work, remainingMs: 400, steady: false });
  assert.deepEqual(standing.at(9000), { ...first, ageMs: 8000, waitedMs: 8000 });
  assert.equal(standing.remainingMs, 400);
});

test('who waits is estimated anew, but not at every step', () => {
  const { standing, costs } = standingOf(session());
  costs.roundMs = 500;
  standing.refresh(1249);
  assert.equal(standing.remainingMs, 400);
  standing.refresh(1250);
  assert.equal(standing.remainingMs, 2200);
});

test('rounds say what one more takes; off the ring again there is a prefill to come', () => {
  const served = session();
  const { standing } = standingOf(served);
  served.status = 'decode';
  standing.observe([round, round], 2000);
  standing.refresh(9000);
  const { attainedWorkMs, remainingWorkMs, remainingMs } = standing.at(9000);
  assert.deepEqual([attainedWorkMs, remainingWorkMs], [18, (10 * 6) / 4]);
  assert.deepEqual([remainingMs, standing.rowsNext], [(10 * 56) / 4, 4]);
  served.leaveRing();
  standing.leaveRing(9000);
  assert.equal(standing.at(9100).waitedMs, 100);
  assert.equal(standing.at(9100).remainingWorkMs, 5 + (10 * 6) / 4);
  assert.deepEqual([standing.remainingMs, standing.rowsNext], [200 + (10 * 56) / 4, 3]);
});

test('off the ring again its answer so far is to be prefilled, too', () => {
  const served = session();
  const latency = { roundMs: () => 50, prefillMs: (rows: number) => 100 * rows, stage: () => stage };
  const standing = new SessionStanding(served, 7, { latency, lengths: { remaining: () => 10 } }, 1000);
  assert.equal(standing.remainingMs, 300 + (10 * 50) / 2.5);
  served.tokens.push(4, 5);
  served.leaveRing();
  standing.leaveRing(2000);
  assert.equal(standing.remainingMs, 500 + (10 * 50) / 2.5);
});
