/** Real weights: answers that start from rows of others, running or finished, are those of a prompt prefilled whole. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { greedy } from '../../shards/sampler.ts';
import { defaultModelName } from '../../src/models/catalog.ts';
import { type Generated, generate } from '../support/generate.ts';
import { startProcessCluster } from '../support/process-cluster.ts';
import { realModelPath } from '../support/real-model.ts';

const system = `You are the keeper of a lighthouse. ${'You answer truly and in few words. '.repeat(12)}`;
const questions = ['Why is the sky blue?', 'Write a loop in Python.', 'What is 17 times 23?', 'Tell a joke.'];
const maxTokens = 16;

test('real weights: shared prompts, choices and second turns say what they say alone', async (t) => {
  if ((await realModelPath()) === null) return t.skip('the default model is not here');
  const cluster = { workers: 3, topology: 'chain', cache: 'as it is', preload: null } as const;
  const serving = await startProcessCluster(t, { model: defaultModelName, ...cluster });
  const ask = (promptIds: readonly number[], owner: string, seed: number | null = null): Promise<Generated> =>
    generate(serving, {
      ...{ promptIds, maxTokens, owner, policy: { drafter: 'auto', draftLength: 'auto' } },
      sampling:
        seed === null
          ? greedy
          : { temperature: 1, topK: 0, topP: 0.95, minP: 0, seed: { low: seed, high: 1 } },
    });
  const prompts = questions.map((content) =>
    serving.prompts.encodeChat([
      { role: 'system', content: system },
      { role: 'user', content },
    ]),
  );
  const alone: number[][] = [];
  for (const [i, promptIds] of prompts.entries()) alone.push((await ask(promptIds, `alone ${i}`)).ids);

  await t.test('four at once share a system prompt', async () => {
    const together = await Promise.all(prompts.map((promptIds) => ask(promptIds, 'shared')));
    assert.deepEqual(
      together.map(({ ids }) => ids),
      alone,
    );
    // Whoever goes first, the others start from its rows.
    const cached = together.map(({ stats }) => stats.cachedTokens).sort((a, b) => a - b);
    assert.equal(cached[0], 0);
    for (const tokens of cached.slice(1)) assert.ok(tokens > 100, `${cached}`);
  });

  await t.test('four choices of one prompt', async () => {
    const seeds = [1, 2, 3, 4];
    const expected: number[][] = [];
    for (const seed of seeds) expected.push((await ask(prompts[0]!, `seed ${seed}`, seed)).ids);
    const together = await Promise.all(seeds.map((seed) => ask(prompts[0]!, 'choices', seed)));
    assert.deepEqual(
      together.map(({ ids }) => ids),
      expected,
    );
    assert.equal(together.at(-1)!.stats.cachedTokens, prompts[0]!.length - 1);
  });

  await t.test('a second turn behind generated text', async () => {
    const second = [...prompts[1]!, ...alone[1]!, ...serving.tokenizer.encodeText('\nAnd in Rust?\n')];
    await ask(prompts[1]!, 'turns');
    const warm = await ask(second, 'turns');
    assert.deepEqual(warm.ids, (await ask(second, 'cold')).ids);
    assert.equal(warm.stats.cachedTokens, prompts[1]!.length + maxTokens - 1);
  });
});
