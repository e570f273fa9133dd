/** How likely the target finds a text: log-probabilities of given tokens behind a prompt, in one pass over both. */
import { randomUUID } from 'node:crypto';
import { greedy } from '../shards/sampler.ts';
import type { Serving } from '../src/serving.ts';

/** Log-probability of each of `ids` (at least one) behind the prompt, natural. Rejects with what the ring fails with. */
export async function scoreTokens(
  { scheduler, tokenizer }: Serving,
  promptIds: readonly number[],
  ids: readonly number[],
): Promise<number[]> {
  const scores: number[] = [];
  await new Promise<void>((resolve, reject) => {
    scheduler.submit({
      promptIds: [...promptIds, ...ids],
      ...{ sampling: greedy, maxTokens: 0, minTokens: 0, ignoreEos: false, eosIds: tokenizer.eosIds },
      ...{ tail: { logprobs: 0 }, scorePrompt: true, prediction: null },
      speculation: { drafter: 'none', draftLength: 0 },
      owner: randomUUID(),
      signal: new AbortController().signal,
      sink: {
        commit: () => null,
        score(position, { own }) {
          for (const [i, score] of own.entries()) scores[position + i] = score;
        },
        backlogTokens: () => 0,
        end: () => resolve(),
        fail: reject,
      },
    });
  });
  return scores.slice(promptIds.length);
}
