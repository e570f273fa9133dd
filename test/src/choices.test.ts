/** Choices of one prompt, over real workers of a tiny model: whose noise they draw, and that none is left behind. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { choiceSeed } from '../../shards/noise.ts';
import type { CompletionEvent, CompletionRequest } from '../../src/completion.ts';
import { GatewayError } from '../../src/errors.ts';
import type { Serving } from '../../src/serving.ts';
import { eventually } from '../support/edge.ts';
import { makeTinyModel, startTinyCluster } from '../support/tiny-cluster.ts';

async function startServing(
  t: TestContext,
  options: { sessionsMax?: number; queuedMax?: number } = {},
): Promise<Serving> {
  const model = await makeTinyModel(t);
  return (await startTinyCluster(t, model, { workers: 2, topology: 'chain', ...options })).serving;
}

const request: CompletionRequest = {
  messages: [{ role: 'user', content: 'the rest of the story' }],
  temperature: 1,
  topP: 1,
  topK: 0,
  minP: 0,
  seed: 7n,
  maxTokens: 12,
  stop: [],
  prediction: null,
  speculation: { drafter: 'auto', draftLength: 'auto' },
  owner: 'test',
  ignoreEos: true,
  signal: new AbortController().signal,
};

async function idsOf(events: AsyncIterable<CompletionEvent>): Promise<number[]> {
  const ids: number[] = [];
  for await (const event of events) if (event.type === 'text') ids.push(...event.ids);
  return ids;
}

test('choice c says what a request with its seed says, choice 0 what a single answer says', async (t) => {
  const { completions } = await startServing(t);
  const { choices, events, promptIds } = await completions.start({ ...request, choices: 4 });
  assert.equal(events, choices[0]);
  const said = await Promise.all(choices.map(idsOf));
  assert.ok(said.every((ids) => ids.length === 12));
  assert.equal(new Set(said.map((ids) => ids.join())).size, 4, 'all choices are alike');
  for (const [choice, ids] of said.entries()) {
    const { low, high } = choiceSeed({ low: 7, high: 0 }, choice);
    const seed = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
    const alone = await completions.start({ ...request, messages: [], promptIds, seed });
    assert.deepEqual(await idsOf(alone.events), ids, `choice ${choice}`);
  }
});

test('choices that do not all find a place leave none behind', async (t) => {
  const { completions, scheduler } = await startServing(t, { sessionsMax: 1, queuedMax: 3 });
  await assert.rejects(completions.start({ ...request, choices: 5 }), (error) => {
    return error instanceof GatewayError && error.code === 'queue_full';
  });
  await eventually(() => scheduler.load().running + scheduler.load().waiting === 0, 'all places are free');
  assert.equal((await idsOf((await completions.start(request)).events)).length, 12);
});
