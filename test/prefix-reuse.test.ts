/** Sessions that start from the rows of earlier ones give the same bytes, in less work, also where rows were evicted. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { greedy } from '../shards/sampler.ts';
import type { Serving } from '../src/serving.ts';
import { eventually } from './support/eventually.ts';
import { type Generated, type GenerateOptions, generate } from './support/generate.ts';
import { makeTinyModel, startTinyCluster } from './support/tiny-cluster.ts';

const policy = { drafter: 'ngram', draftLength: 'auto' } as const;

/** A system prompt of several prefill chunks, and four questions behind it. */
const system = 'You keep the lighthouse of a small island, and answer in one line. '.repeat(4);
const questions = ['Who is there?', 'What is the weather?', 'Is the lamp lit?', 'When does the boat come?'];

function promptsOf({ tokenizer }: Serving): number[][] {
  return questions.map((question) => tokenizer.encodeText(system + question));
}

type Asked = Partial<GenerateOptions> & Pick<GenerateOptions, 'promptIds'>;

function ask(serving: Serving, options: Asked): Promise<Generated> {
  return generate(serving, { sampling: greedy, maxTokens: 20, policy, ...options });
}

/** What each prompt is answered when nobody shares anything. */
async function alone(serving: Serving, prompts: readonly number[][]): Promise<number[][]> {
  const answers: number[][] = [];
  for (const [i, promptIds] of prompts.entries()) {
    const { ids, stats } = await ask(serving, { promptIds, owner: `alone ${i}` });
    assert.equal(stats.cachedTokens, 0);
    answers.push(ids);
  }
  return answers;
}

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

test('sessions that start at once share the prompt that one of them prefills', async (t) => {
  const model = await makeTinyModel(t);
  const { serving } = await startTinyCluster(t, model, { workers: 3, topology: 'chain' });
  const prompts = promptsOf(serving);
  const systemTokens = serving.tokenizer.encodeText(system).length;
  const expected = await alone(serving, prompts);
  const answers = await Promise.all(prompts.map((promptIds) => ask(serving, { promptIds })));
  for (const [i, { ids }] of answers.entries()) assert.deepEqual(ids, expected[i], questions[i]!);
  const [first, ...others] = answers.map(({ stats }) => stats.cachedTokens);
  assert.equal(first, 0);
  for (const cached of others) assert.ok(cached >= systemTokens - 2, `${cached} of ${systemTokens}`);
});

test('four answers to one prompt prefill it once', async (t) => {
  const model = await makeTinyModel(t);
  const { serving } = await startTinyCluster(t, model, { workers: 2, topology: 'star' });
  const promptIds = promptsOf(serving)[0]!;
  const sampled = (seed: number): Asked => ({
    promptIds,
    sampling: { temperature: 1, topK: 0, topP: 1, minP: 0, seed: { low: seed, high: 0 } },
  });
  const expected: number[][] = [];
  for (let seed = 0; seed < 4; seed++)
    expected.push((await ask(serving, { ...sampled(seed), owner: `alone ${seed}` })).ids);
  const answers = await Promise.all([0, 1, 2, 3].map((seed) => ask(serving, sampled(seed))));
  assert.deepEqual(
    answers.map(({ ids }) => ids),
    expected,
  );
  assert.deepEqual(
    answers.map(({ stats }) => stats.cachedTokens),
    [0, ...Array(3).fill(promptIds.length - 1)],
  );
});

test('a donor that leaves, in prefill or later, takes nothing from those who wait for it or started from it', async (t) => {
  const model = await makeTinyModel(t);
  const { serving, workers } = await startTinyCluster(t, model, { workers: 3, topology: 'chain' });
  const prompts = promptsOf(serving);
  const expected = await alone(serving, prompts);
  for (const when of ['at once', 'at its first token'] as const) {
    const donor = new AbortController();
    const owner = when;
    const leaving = ask(serving, {
      ...{ promptIds: prompts[0]!, maxTokens: 300, owner, signal: donor.signal },
      onCommit: () => donor.abort(),
    });
    const answers = prompts.slice(1).map((promptIds) => ask(serving, { promptIds, owner }));
    if (when === 'at once') setImmediate(() => donor.abort());
    await assert.rejects(leaving);
    for (const [i, { ids }] of (await Promise.all(answers)).entries())
      assert.deepEqual(ids, expected[i + 1], `${when}: ${questions[i + 1]}`);
  }
  await eventually('all sessions are closed', () => workers.every(({ sessionCount }) => sessionCount === 0));
});

test('rows that a worker has evicted are sent again', async (t) => {
  const model = await makeTinyModel(t);
  // The filler takes 448 of 500 positions (3 layers, 2 heads of 16, keys and values, float32), so the donor has to go.
  const { serving } = await startTinyCluster(t, model, {
    workers: 2,
    topology: 'chain',
    kvBytesMax: 500 * (3 * 2 * 16 * 2 * 4),
  });
  const first = await chat(serving, 1);
  const filler = Array.from({ length: 400 }, (_, i) => 3 + (i % 250));
  await generate(serving, { promptIds: filler, sampling: greedy, maxTokens: 4, policy });
  const again = await chat(serving, 2);
  assert.deepEqual(again.answers[0], first.answers[0]);
  assert.equal(again.cached[0], 0, 'the donor was still there');
});
