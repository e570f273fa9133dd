/** Drafters replayed on a known output: what is counted can be worked out by hand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drafterGoals, lineOf } from '../../bench/drafters.ts';
import { newReplayTotals, replayOutput } from '../../bench/replay.ts';
import { type Drafter, emptyDraft, newDraftCounters } from '../../src/drafting/drafter.ts';

/** Says the same three tokens always, and takes 2 ms a token. */
const constant: Drafter = {
  name: 'constant',
  counters: newDraftCounters(),
  open() {},
  observe() {},
  draft: async (requests) =>
    requests.map(({ draftTokensMax }) => {
      const ids = Uint32Array.from([7, 8, 9].slice(0, draftTokensMax));
      return { ...emptyDraft, ids, source: 'constant', draftMs: 2 * ids.length };
    }),
  close() {},
  async dispose() {},
};

test('replayOutput commits what a lossless round would, and lineOf sums it up', async () => {
  const totals = newReplayTotals();
  const ids = [1, 7, 8, 9, 2, 7, 3, 4];
  const options = {
    draftTokensMax: 3,
    policy: { drafter: 'auto', draftLength: 3 },
    roundMs: () => 90,
  } as const;
  await replayOutput(constant, { id: 'a', promptIds: [5], ids }, options, totals);
  // Rounds: 7 8 9 and a bonus; 7 and a recovered token; the last token, before which there is room for no draft.
  assert.deepEqual([totals.rounds, totals.tokens], [3, 7]);
  const line = lineOf('humaneval', 'head', 1, totals);
  assert.deepEqual(line.reached, [2, 2, 1]);
  assert.deepEqual(line.byPosition, [1, 0.5, 1]);
  assert.equal(line.acceptedLength, 7 / 3);
  assert.equal(line.alpha, 4 / 5);
  assert.equal(line.tdMs, 2);
  const [first] = drafterGoals([line]);
  assert.deepEqual([first.measured, first.met], [1, true]);
});
