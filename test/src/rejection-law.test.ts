/**
 * Rejection sampling through everything: a local draft model, sparse probabilities on the wire, real workers. The first
 * token of many answers, each of a seed of its own, follows the target's law, whose probabilities the tail tells.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CompletionRequest } from '../../src/completion.ts';
import type { Serving } from '../../src/serving.ts';
import { assertFollows } from '../support/chi-square.ts';
import { makeTinyModel, startTinyCluster } from '../support/tiny-cluster.ts';

/** Ids that the sampling filter lets through. */
const topK = 4;
const temperature = 1.5;
const answers = 320;
const prompt = 'for (let i = 0; i < n; i++) total += values[i];';

async function firstToken(serving: Serving, seed: bigint, part: Partial<CompletionRequest>) {
  const { events } = await serving.completions.start({
    messages: [],
    promptIds: serving.tokenizer.encodeText(prompt),
    ...{ temperature, topP: 1, topK, minP: 0, seed, maxTokens: 2, stop: [], prediction: null },
    speculation: { drafter: 'lm', draftLength: 2 },
    owner: 'test',
    signal: new AbortController().signal,
    ...part,
  });
  let first: { id: number; top: Map<string, number>; token: string } | null = null;
  let accepted = 0;
  for await (const event of events) {
    if (event.type === 'finish') accepted = event.metrics.acceptedTokens;
    else if (first === null && event.ids.length > 0) {
      const rated = event.logprobs?.[0];
      const top = new Map(rated?.top.map(({ token, logprob }) => [token, logprob]) ?? []);
      first = { id: event.ids[0]!, token: rated?.token ?? '', top };
    }
  }
  return { ...first!, accepted };
}

for (const [name, rule] of Object.entries({
  '2 pairs of a draft model': { verification: { mode: 'rejection', topK: 2 } },
  'point masses': {
    verification: { mode: 'rejection', topK: 2 },
    speculation: { drafter: 'ngram', draftLength: 2 },
  },
} satisfies Record<string, Partial<CompletionRequest>>)) {
  test(`rejection over a cluster follows the target: ${name}`, async (t) => {
    const model = await makeTinyModel(t);
    const { serving } = await startTinyCluster(t, model, { workers: 1, topology: 'chain', lm: true });
    const { top, id } = await firstToken(serving, 1n, { ...rule, temperature: 0, logprobs: topK });
    // What copies are made of: the prompt again, and behind it the likeliest token.
    const prediction = prompt + serving.tokenizer.decode([id]);
    const part = { ...rule, prediction };
    const weights = [...top.values()].map((logprob) => Math.exp(logprob / temperature));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const tokens = [...top.keys()];
    const counts = tokens.map(() => 0);
    let accepted = 0;
    for (let seed = 0; seed < answers; seed += 8) {
      const batch = Array.from({ length: 8 }, (_, i) =>
        firstToken(serving, BigInt(seed + i), { ...part, logprobs: 0 }),
      );
      for (const answer of await Promise.all(batch)) {
        assert.ok(tokens.includes(answer.token), `${answer.token} is outside the filter`);
        counts[tokens.indexOf(answer.token)]! += 1;
        accepted += answer.accepted;
      }
    }
    assertFollows(
      counts,
      weights.map((weight) => weight / total),
    );
    assert.ok(accepted > 0, 'some drafts should stand');
    t.diagnostic(`${accepted} draft tokens accepted in ${answers} answers`);
  });
}
