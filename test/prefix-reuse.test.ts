/** Sessions that start from the rows of earlier ones give the same bytes, in less work, also where rows were evicted. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { greedy } from '../shards/sampler.ts';
import type { Serving } from '../src/serving.ts';
import { generate } from './support/generate.ts';
import { makeTinyModel, startTinyCluster } from './support/tiny-cluster.ts';

const policy = { drafter: 'ngram', draftLength: 'auto' } as const;

/** A chat that grows by each answer, then by a question. */
async function chat(serving: Serving, turns: number): Promise<{ answers: number[][]; cached: number[] }> {
  let promptIds = serving.tokenizer.encodeText(
    'The keeper of the lighthouse wrote a line a day, and read it aloud.',
  );
  const answers: number[][] = [];
  const cached: number[] = [];
  for (let turn = 0; turn < turns; turn++) {
    const { ids, stats } = await generate(serving, { promptIds, sampling: greedy, maxTokens: 20, policy });
    answers.push(ids);
    cached.push(stats.cachedTokens);
    promptIds = [...promptIds, ...ids, ...serving.tokenizer.encodeText(` And on day ${turn}?`)];
  }
  return { answers, cached };
}

for (const topology of ['chain', 'star'] as const) {
  test(`a chat's later turns start from its earlier ones and say the same: ${topology}`, async (t) => {
    const model = await makeTinyModel(t);
    const { serving } = await startTinyCluster(t, model, { workers: 2, topology });
    const warm = await chat(serving, 4);
    assert.equal(warm.cached[0], 0);
    assert.ok(
      warm.cached.slice(1).every((length, i) => length > warm.cached[i]!),
      `${warm.cached}`,
    );
    // The same chat on a fresh cluster, where nothing can be adopted from another owner's sessions.
    const { serving: fresh } = await startTinyCluster(t, model, { workers: 3, topology });
    let promptIds = fresh.tokenizer.encodeText(
      'The keeper of the lighthouse wrote a line a day, and read it aloud.',
    );
    for (const [turn, expected] of warm.answers.entries()) {
      const { ids } = await generate(fresh, {
        promptIds,
        sampling: greedy,
        maxTokens: 20,
        policy,
        owner: `${turn}`,
      });
      assert.deepEqual(ids, expected, `turn ${turn}`);
      promptIds = [...promptIds, ...ids, ...fresh.tokenizer.encodeText(` And on day ${turn}?`)];
    }
  });
}

test('rows that a worker has evicted are sent again', async (t) => {
  const model = await makeTinyModel(t);
  // One session's rows fill most of the budget, so the donor is gone when the second turn comes.
  const { serving } = await startTinyCluster(t, model, {
    workers: 2,
    topology: 'chain',
    kvBytesMax: 700_000,
  });
  const first = await chat(serving, 1);
  const filler = Array.from({ length: 400 }, (_, i) => 3 + (i % 250));
  await generate(serving, { promptIds: filler, sampling: greedy, maxTokens: 4, policy });
  const again = await chat(serving, 2);
  assert.deepEqual(again.answers[0], first.answers[0]);
});
