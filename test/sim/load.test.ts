/**
 * The real scheduler and draft planner over a simulated ring under virtual time: what must hold of every trace, under
 * every policy. The simulation itself checks answers token for token, and that the ring is never idle while one waits.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SimulationOptions, simulateLoad, type TraceRequest } from '../../bench/simulated-load.ts';
import { longestStartMs, schedulingPolicies, starvationMs } from '../../src/engine/policy.ts';
import { framesMax } from '../../src/engine/scheduler.ts';
import { seededRandom } from '../support/random-blocks.ts';

const costs: SimulationOptions['costs'] = {
  stages: Array.from({ length: 4 }, () => ({ fixedMs: 2, perRowMs: 1 })),
  t1Ms: 15,
  draftTokenMs: 1.5,
  hopMs: 0,
};

const simulate = (trace: readonly TraceRequest[], seed: number, part: Partial<SimulationOptions> = {}) =>
  simulateLoad({
    ...{ trace, costs, policy: 'laps' as const, batching: true },
    limits: { runningMax: 4, queuedMax: 64 },
    random: seededRandom(seed),
    ...part,
  });

const request = (atMs: number, owner: string, outputTokens: number): TraceRequest => ({
  ...{ atMs, owner, outputTokens, promptTokens: 20, maxTokens: outputTokens, alpha: 0.6 },
});

const seeds = 1000;

/** A few short requests of two owners; now and then a client leaves. */
function shortTrace(random: () => number): TraceRequest[] {
  const upTo = (most: number): number => 1 + Math.floor(most * random());
  return Array.from({ length: 3 + upTo(3) }, () => {
    const outputTokens = upTo(16);
    const leaves = random() < 0.2 ? { leavesAfterMs: upTo(600) } : {};
    return {
      ...{ atMs: upTo(400), owner: random() < 0.5 ? 'a' : 'b', promptTokens: 1 + upTo(90), outputTokens },
      ...{ maxTokens: random() < 0.5 ? outputTokens : 24, alpha: 0.3 + 0.6 * random(), ...leaves },
    };
  });
}

/** Of a prompt in two chunks, and of a round with the longest draft that so short an answer leaves room for. */
const roundMostMs = 5 * costs.t1Ms + 4 * (2 + 25) + 25 * costs.draftTokenMs;
const prefillMostMs = 5 * costs.t1Ms + 2 * 4 * (2 + 64) + roundMostMs;

test(`every answer ends in time and nothing is left behind, for ${seeds} seeds over all policies`, async () => {
  for (let seed = 1; seed <= seeds; seed++) {
    const random = seededRandom(seed);
    const trace = shortTrace(random);
    const limits = { runningMax: 1 + (seed % 4), queuedMax: seed % 5 === 0 ? 2 : 8 };
    const { answers, left, peaks } = await simulate(trace, seed, {
      ...{ limits, random, policy: schedulingPolicies[seed % 3]!, batching: seed % 2 === 0 },
      ...(seed % 7 === 0 ? { kvPositions: 200 } : {}),
    });
    const at = `seed ${seed}`;
    assert.deepEqual(left, { sessions: 0, requests: 0, frames: 0 }, at);
    // Requests of one moment wait until the next step gives them their places.
    assert.ok(peaks.waiting <= limits.runningMax + limits.queuedMax, at);
    // What a rejection made stale may still be on its way; a prompt has two frames.
    assert.ok(peaks.frames <= 2 * framesMax + 2 * limits.runningMax, `${at}: ${peaks.frames} frames`);
    // All one after the other, a token a round: nobody waits longer where somebody is always at work.
    const serialMs = trace.reduce(
      (sum, { outputTokens }) => sum + prefillMostMs + outputTokens * roundMostMs,
      0,
    );
    for (const { request, stats, retryAfterMs, latencyMs } of answers) {
      if (stats !== null) assert.ok(latencyMs <= serialMs, `${at}: ${latencyMs} ms of ${serialMs}`);
      else assert.ok(retryAfterMs !== null || request.leavesAfterMs !== undefined, at);
    }
  }
});

for (const [policy, waitMaxMs] of [
  ['laps', longestStartMs],
  ['srtf', starvationMs],
] as const) {
  test(`a long answer does not starve behind short ones by ${policy}`, async () => {
    const short = Array.from({ length: 360 }, (_, i) => request(100 + 250 * i, 'a', 6));
    const limits = { runningMax: 1, queuedMax: 1000 };
    const { answers } = await simulate([request(0, 'a', 400), ...short], 1, { limits, policy });
    const { longestGapMs } = answers[0]!;
    assert.ok(longestGapMs > 2_000, `it waits for others: ${longestGapMs} ms`);
    assert.ok(longestGapMs <= waitMaxMs + 5_000, `${longestGapMs} ms without a token`);
  });
}

test('of those that wait the shortest goes first by srtf and laps, the first by fcfs', async () => {
  // Behind one from which the ring's costs are known.
  const known = request(0, 'a', 60);
  const trace = [40, 200, 80, 6].map((tokens, i) => request(20_000 + i, 'a', tokens));
  const orderBy = async (policy: SimulationOptions['policy']): Promise<number[]> => {
    const { answers } = await simulate([...trace, known], 1, {
      ...{ policy, limits: { runningMax: 1, queuedMax: 8 } },
    });
    return [0, 1, 2, 3].sort((a, b) => answers[a]!.stats!.finishedMs - answers[b]!.stats!.finishedMs);
  };
  assert.deepEqual(await orderBy('fcfs'), [0, 1, 2, 3]);
  assert.deepEqual(await orderBy('srtf'), [3, 0, 2, 1]);
  assert.deepEqual(await orderBy('laps'), [3, 0, 2, 1]);
});

test('what does not fit is refused with the time after which to try again', async () => {
  const trace = Array.from({ length: 12 }, (_, i) => request(i, 'a', 60));
  const { answers, peaks } = await simulate(trace, 1, { limits: { runningMax: 2, queuedMax: 3 } });
  const refused = answers.filter(({ stats }) => stats === null);
  assert.equal(refused.length, 7);
  assert.ok(refused.every(({ retryAfterMs }) => retryAfterMs! >= 1000 && retryAfterMs! <= 60_000));
  assert.ok(peaks.waiting <= 3);
});

test('short answers go before long ones by laps, and in order of arrival by fcfs', async () => {
  const trace = [...[0, 1, 2, 3, 4, 5].map((at) => request(at, 'a', 300)), request(50, 'a', 8)];
  const limits = { runningMax: 4, queuedMax: 64 };
  const laps = await simulate(trace, 1, { limits });
  const fcfs = await simulate(trace, 1, { limits, policy: 'fcfs' });
  assert.ok(laps.answers[6]!.latencyMs < 5_000, `laps ${laps.answers[6]!.latencyMs} ms`);
  assert.ok(
    fcfs.answers[6]!.latencyMs > 2 * laps.answers[6]!.latencyMs,
    `fcfs ${fcfs.answers[6]!.latencyMs} ms`,
  );
});

/** By arrival, the calm one's turn comes only where the other key is ahead by a quantum of rows. */
const fairCases = [
  { runningMax: 1, policy: 'laps', delayMaxMs: 5_000 },
  { runningMax: 4, policy: 'laps', delayMaxMs: 2_000 },
  { runningMax: 1, policy: 'fcfs', delayMaxMs: 5_000 },
] as const;

for (const { runningMax, policy, delayMaxMs } of fairCases) {
  test(`long answers of one key delay another's first token by ${delayMaxMs} ms at most: ${policy}, ${runningMax} at work`, async () => {
    const flood = Array.from({ length: 40 }, (_, i) => request(i, 'flood', 300));
    const calm = [0, 1, 2].map((i) => request(5_000 + 3_000 * i, 'calm', 6));
    const limits = { runningMax, queuedMax: 64 };
    const alone = await simulate(calm, 1, { limits, policy });
    const beside = await simulate([...flood, ...calm], 1, { limits, policy });
    for (const [i, { firstTokenMs }] of alone.answers.entries()) {
      const delayMs = beside.answers[flood.length + i]!.firstTokenMs - firstTokenMs;
      assert.ok(delayMs <= delayMaxMs, `${delayMs} ms later than alone`);
    }
  });
}
