import assert from 'node:assert/strict';
import { test } from 'node:test';
import { greedy } from '../../../shards/sampler.ts';
import type { Draft, Drafter, Sequence } from '../../../src/drafting/drafter.ts';
import { createNoneDrafter } from '../../../src/drafting/none-drafter.ts';
import { createSuffixDrafter } from '../../../src/drafting/suffix-drafter.ts';

const signal = new AbortController().signal;

function sequenceOf(id: string, tokens: number[], promptLength = tokens.length): Sequence {
  return { id, tokens, promptLength, prediction: null, owner: 'o', sampling: greedy };
}

async function draftOne(drafter: Drafter, sequence: Sequence, draftTokensMax: number): Promise<Draft> {
  return (await drafter.draft([{ sequence, draftTokensMax }], signal))[0]!;
}

test('createSuffixDrafter follows the committed tokens of each sequence', async () => {
  let clock = 0;
  const drafter = createSuffixDrafter({ now: () => clock++ });
  const first = sequenceOf('a', [1, 2, 3]);
  const second = sequenceOf('b', [7, 8, 7]);
  drafter.open(first);
  drafter.open(second);
  assert.equal((await draftOne(drafter, first, 8)).ids.length, 0);
  (first.tokens as number[]).push(1);
  const draft = await draftOne(drafter, first, 4);
  assert.deepEqual(
    [[...draft.ids], draft.source, draft.matchLength, draft.draftMs],
    [[2, 3, 1, 2], 'ngram', 1, 1],
  );
  assert.deepEqual([...(await draftOne(drafter, second, 2)).ids], [8, 7]);
});

test('createSuffixDrafter drafts at most 64 tokens, nothing for no room, and also for a sequence it was not shown', async () => {
  const drafter = createSuffixDrafter({ now: () => 0 });
  const sequence = sequenceOf('a', [5, 5, 5], 1);
  assert.equal((await draftOne(drafter, sequence, 1000)).ids.length, 64);
  assert.equal((await draftOne(drafter, sequence, 0)).ids.length, 0);
  drafter.close(sequence);
  for (let i = 0; i < 300; i++) drafter.open(sequenceOf(`s${i}`, [1, 2]));
  assert.equal((await draftOne(drafter, sequence, 3)).ids.length, 3);
  await drafter.dispose();
});

test('createSuffixDrafter and createNoneDrafter count what became of drafts', async () => {
  const verdict = { accepted: 1, ids: Uint32Array.of(2, 9), kind: 'recovered', finished: false } as const;
  const sequence = sequenceOf('a', [1, 2, 3, 1]);
  const ngram = createSuffixDrafter({ now: () => 0 });
  ngram.observe(sequence, { draft: await draftOne(ngram, sequence, 3), verdict, roundMs: 80 });
  assert.deepEqual([ngram.counters.drafts, ngram.counters.drafted, ngram.counters.accepted], [1, 3, 1]);
  assert.deepEqual([ngram.counters.offeredAt, ngram.counters.acceptedAt], [[1, 1], [1]]);
  const none = createNoneDrafter();
  const draft = await draftOne(none, sequence, 3);
  assert.deepEqual([draft.ids.length, draft.source], [0, 'none']);
  none.observe(sequence, { draft, verdict: { ...verdict, accepted: 0 }, roundMs: 80 });
  assert.deepEqual([none.counters.drafts, none.counters.drafted], [1, 0]);
  await assert.rejects(ngram.draft([], AbortSignal.abort(new Error('left'))), /left/);
});
