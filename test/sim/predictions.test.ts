/**
 * What the latency model tells ahead on a simulated ring, where nothing but queues and drafts is random: below the knee
 * and beyond it, the time that each answer has the ring is foretold.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeHeldOut } from '../../bench/held-out.ts';
import { simulateLoad } from '../../bench/simulated-load.ts';
import { simulatedTrace } from '../../bench/simulated-trace.ts';
import { knownCosts } from '../../bench/simulation-costs.ts';
import { sum } from '../../bench/statistics.ts';
import { completionMetrics } from '../../src/completion-metrics.ts';
import { seededRandom } from '../support/random-blocks.ts';

const requests = 60;

for (const [perSecond, load] of [
  [0.3, 'some overlap'],
  [2.5, 'more than the ring can do'],
] as const) {
  test(`times on the ring are told ahead: ${load}`, async (t) => {
    const { answers } = await simulateLoad({
      trace: simulatedTrace({ name: 'mixed', requests, perSecond, seed: 3 }),
      ...{ policy: 'laps', batching: true, costs: knownCosts('vnni', 4, 15), random: seededRandom(3) },
      limits: { runningMax: 16, queuedMax: requests },
    });
    const samples = answers.map(({ request, stats }) => {
      const metrics = completionMetrics(stats!, request.outputTokens);
      return {
        atMs: stats!.finishedMs,
        terms: [1],
        measuredMs: metrics.latencyMs - metrics.queueMs - metrics.yieldedMs,
        toldMs: metrics.predictedLatencyMs - metrics.predictedQueueMs,
      };
    });
    const { told } = judgeHeldOut([samples])!;
    const ratio = sum(samples.map(({ toldMs }) => toldMs)) / sum(samples.map(({ measuredMs }) => measuredMs));
    t.diagnostic(`R2 ${told.rSquared.toFixed(4)}, error ${told.error.toFixed(3)}, mean ${ratio.toFixed(3)}x`);
    assert.ok(told.rSquared >= 0.98, `R2 ${told.rSquared}`);
    assert.ok(Math.abs(ratio - 1) <= 0.1, `${ratio} of what was measured`);
  });
}
