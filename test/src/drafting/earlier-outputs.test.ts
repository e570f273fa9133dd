/** Earlier outputs are drafted from by their owner alone, and within bounds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { greedy } from '../../../shards/sampler.ts';
import type { Sequence } from '../../../src/drafting/drafter.ts';
import { createEarlierOutputs } from '../../../src/drafting/earlier-outputs.ts';
import { createSuffixDrafter } from '../../../src/drafting/suffix-drafter.ts';

const sequenceOf = (id: string, owner: string, prompt: number[], output: number[]): Sequence => ({
  ...{ id, owner, prediction: null, sampling: greedy },
  tokens: [...prompt, ...output],
  promptLength: prompt.length,
});

async function draftFor(
  drafter: ReturnType<typeof createSuffixDrafter>,
  sequence: Sequence,
): Promise<number[]> {
  const [draft] = await drafter.draft([{ sequence, draftTokensMax: 3 }], new AbortController().signal);
  return [...draft!.ids];
}

test('ngram drafts from the earlier outputs of the same owner, and of nobody else', async () => {
  const drafter = createSuffixDrafter({ now: () => 0 });
  const first = sequenceOf('a', 'ada', [1, 2], [10, 11, 12, 13, 14]);
  drafter.open(first);
  drafter.close(first);
  assert.deepEqual(await draftFor(drafter, sequenceOf('b', 'ada', [7, 10], [11])), [12, 13, 14]);
  assert.deepEqual(await draftFor(drafter, sequenceOf('c', 'bob', [7, 10], [11])), []);
});

test('ngram drafts out of the text and out of earlier outputs, and says which is which', async () => {
  const drafter = createSuffixDrafter({ now: () => 0 });
  const first = sequenceOf('a', 'ada', [1], [10, 11, 12, 13, 14]);
  drafter.open(first);
  drafter.close(first);
  const both = sequenceOf('b', 'ada', [11, 12, 20, 21], [11, 12]);
  const [draft] = await drafter.draft([{ sequence: both, draftTokensMax: 2 }], new AbortController().signal);
  const { fromEarlier, ids, rival } = draft!;
  assert.deepEqual([fromEarlier, [...ids]], [false, [20, 21]]);
  assert.deepEqual([rival!.fromEarlier, [...rival!.ids]], [true, [13, 14]]);
});

test('earlier outputs end at their boundary: no copy runs into the next one', async () => {
  const drafter = createSuffixDrafter({ now: () => 0 });
  for (const [id, output] of [
    ['a', [20, 21, 22, 23]],
    ['b', [30, 31, 32, 33]],
  ] as const) {
    const sequence = sequenceOf(id, 'ada', [1], [...output]);
    drafter.open(sequence);
    drafter.close(sequence);
  }
  assert.deepEqual(await draftFor(drafter, sequenceOf('c', 'ada', [5, 21], [22])), [23]);
});

test('earlier outputs forget the owner that is idle for longest', () => {
  const outputs = createEarlierOutputs();
  outputs.add('first', [1, 2, 3, 4]);
  for (let i = 0; i < 32; i++) outputs.add(`owner ${i}`, [1, 2, 3, 4]);
  assert.equal(outputs.of('owner 31').length, 5);
  assert.equal(outputs.of('first').length, 0);
});
