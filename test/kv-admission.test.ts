/** A ring with little room for keys and values: sessions wait for room and none fails for the lack of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { greedy } from '../shards/sampler.ts';
import { toGatewayError } from '../src/errors.ts';
import { eventually } from './support/eventually.ts';
import { generate } from './support/generate.ts';
import { makeTinyModel, startTinyCluster, startTinyServing } from './support/tiny-cluster.ts';

/** Bytes of a position in three layers of the tiny model. */
const positionBytes = 3 * 2 * 16 * 2 * 4;
const policy = { drafter: 'ngram', draftLength: 'auto' } as const;
const kvPositions = 400;

test('more sessions than fit wait for one another and say what they say alone', async (t) => {
  const model = await makeTinyModel(t);
  const cluster = { workers: 2, topology: 'chain', kvBytesMax: kvPositions * positionBytes } as const;
  const { serving, workers } = await startTinyCluster(t, model, cluster);
  const { scheduler } = serving;
  const lengths = [50, 180, 20, 300, 90, 10, 200, 120];
  const requests = lengths.map((length, seed) => ({
    promptIds: Array.from({ length }, (_, i) => 3 + ((7 * i + 31 * seed) % 250)),
    maxTokens: 12 * (seed + 1),
  }));
  let runningMost = 0;
  const answer = (request: (typeof requests)[number], owner: string): Promise<number[]> =>
    generate(serving, {
      ...{ ...request, sampling: greedy, policy, owner },
      onCommit: () => (runningMost = Math.max(runningMost, scheduler.load().running)),
    }).then(({ ids }) => ids);
  const alone: number[][] = [];
  for (const [i, request] of requests.entries()) alone.push(await answer(request, `alone ${i}`));
  assert.equal(runningMost, 1);
  const together = await Promise.all(requests.map((request) => answer(request, 'together')));
  assert.deepEqual(together, alone);
  assert.ok(runningMost > 1 && runningMost < lengths.length, `${runningMost} at once`);
  await eventually('all sessions are closed', () => workers.every(({ sessionCount }) => sessionCount === 0));
});

test('choices of one prompt each take their room, and their prompt is still prefilled once', async (t) => {
  const model = await makeTinyModel(t);
  const cluster = { workers: 2, topology: 'chain', kvBytesMax: kvPositions * positionBytes } as const;
  const { serving } = await startTinyCluster(t, model, cluster);
  const promptIds = Array.from({ length: 100 }, (_, i) => 3 + ((7 * i) % 250));
  const started = await serving.completions.start({
    ...{ messages: [], promptIds, choices: 4, temperature: 1, topP: 1, topK: 0, minP: 0, seed: 7n },
    ...{ maxTokens: 28, stop: [], prediction: null, speculation: policy, owner: '', ignoreEos: true },
    signal: new AbortController().signal,
  });
  // 128 positions each: three at once.
  assert.equal(serving.members.kvPositions(), kvPositions);
  const cached = await Promise.all(
    started.choices.map(async (events) => {
      for await (const event of events) if (event.type === 'finish') return event.usage.cachedTokens;
      throw new Error('the answer has no end');
    }),
  );
  assert.deepEqual(cached, [0, 99, 99, 99]);
});

test('sessions that outgrow the memory go off the ring and come back, and say what they say alone', async (t) => {
  const model = await makeTinyModel(t);
  // Each comes with room for 256 tokens beyond its prompt: two at once, but not two whole answers.
  const cluster = { workers: 2, topology: 'chain', kvBytesMax: 700 * positionBytes } as const;
  const { serving, workers } = await startTinyCluster(t, model, cluster);
  const ask = async (place: number, owner: string): Promise<number[]> => {
    const promptIds = Array.from({ length: 30 + 7 * place }, (_, i) => 3 + ((7 * i + 31 * place) % 250));
    const { events } = await serving.completions.start({
      ...{ messages: [], promptIds, temperature: place % 2, topP: 1, topK: 0, minP: 0, seed: 7n },
      ...{ maxTokens: 380, stop: [], prediction: null, speculation: policy, owner, ignoreEos: true },
      ...(place % 3 === 0
        ? {}
        : { penalties: { frequency: 0.5, presence: 0, repetition: 1.1 }, logprobs: 2 }),
      signal: new AbortController().signal,
    });
    const ids: number[] = [];
    for await (const event of events) if (event.type === 'text') ids.push(...event.ids);
    return ids;
  };
  const places = [0, 1, 2, 3];
  const alone: number[][] = [];
  for (const place of places) alone.push(await ask(place, `alone ${place}`));
  const before = workers.map(({ counters }) => counters.sessionsOpened);
  const together = await Promise.all(places.map((place) => ask(place, 'together')));
  assert.deepEqual(together, alone);
  for (const [i, { counters }] of workers.entries()) {
    assert.ok(counters.sessionsOpened - before[i]! > places.length, 'nobody went off the ring');
    assert.equal(counters.errors.get('kv_budget'), undefined);
  }
  await eventually('all sessions are closed', () => workers.every(({ sessionCount }) => sessionCount === 0));
});

test('gateways that share workers do not see each other: who finds no room is told to come again, the others lose nothing', async (t) => {
  const model = await makeTinyModel(t);
  const cluster = { workers: 2, topology: 'chain', kvBytesMax: 700 * positionBytes } as const;
  const { serving, workers } = await startTinyCluster(t, model, cluster);
  const gateways = [serving, await startTinyServing(t, model, workers, cluster)];
  // Each gateway finds room for two of 320 positions, and there is no more for both of them.
  const ask = (gateway: number, place: number): Promise<number[]> =>
    generate(gateways[gateway]!, {
      promptIds: Array.from({ length: 300 }, (_, i) => 3 + ((7 * i + 31 * place) % 250)),
      ...{ maxTokens: 20, sampling: greedy, policy, owner: `${gateway} ${place}` },
    }).then(({ ids }) => ids);
  const alone: number[][] = [];
  for (const place of [0, 1, 2, 3]) alone.push(await ask(0, place));
  const together = await Promise.allSettled([0, 1, 2, 3].map((place) => ask(place % 2, place)));
  const refused = together.filter((answer) => answer.status === 'rejected');
  assert.ok(refused.length > 0 && refused.length < together.length, `${refused.length} were refused`);
  for (const { reason } of refused) {
    const { code, retryAfterMs } = toGatewayError(reason);
    assert.equal(code, 'queue_full');
    assert.ok(retryAfterMs! > 0);
  }
  for (const [place, answer] of together.entries()) {
    if (answer.status === 'fulfilled') assert.deepEqual(answer.value, alone[place]);
    else assert.deepEqual(await ask(place % 2, place), alone[place], 'asked again');
  }
  await eventually('all sessions are closed', () => workers.every(({ sessionCount }) => sessionCount === 0));
});
