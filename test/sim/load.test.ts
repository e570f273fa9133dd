/**
 * The real scheduler and draft planner over a simulated ring under virtual time: what must hold of every trace, under
 * every policy. Answers are checked token for token by the simulation itself.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SimulationOptions, simulateLoad, type TraceRequest } from '../../bench/simulated-load.ts';
import { mixedTrace } from '../../bench/simulated-trace.ts';
import { schedulingPolicies } from '../../src/engine/policy.ts';
import { seededRandom } from '../support/random-blocks.ts';

const costs: SimulationOptions['costs'] = {
  stages: Array.from({ length: 4 }, () => ({ fixedMs: 2, perRowMs: 1 })),
  t1Ms: 15,
  draftTokenMs: 1.5,
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

const seeds = 6;

test(`every answer ends, whole, under every policy, for ${seeds} seeds each`, async () => {
  for (const policy of schedulingPolicies) {
    for (let seed = 1; seed <= seeds; seed++) {
      const trace = mixedTrace({ requests: 12, perSecond: 4, random: seededRandom(seed) });
      const { answers, peaks } = await simulate(trace, seed, { policy });
      assert.equal(answers.filter(({ stats }) => stats !== null).length, trace.length);
      assert.ok(peaks.waiting <= 64);
    }
  }
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

test('a key that floods delays the first token of another by no more than a bound', async () => {
  const flood = Array.from({ length: 40 }, (_, i) => request(i, 'flood', 100));
  const limits = { runningMax: 4, queuedMax: 64 };
  const alone = await simulate([request(5_000, 'calm', 20)], 1, { limits });
  const beside = await simulate([...flood, request(5_000, 'calm', 20)], 1, { limits });
  const delayMs = beside.answers.at(-1)!.firstTokenMs - alone.answers[0]!.firstTokenMs;
  assert.ok(delayMs <= 2_000, `${delayMs} ms later than alone`);
});
