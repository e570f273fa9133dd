import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetrics } from '../../src/metrics.ts';
import { fakeMetrics } from '../support/fake-completions.ts';

const round = {
  ...{ source: 'ngram', drafted: 4, accepted: 2, committed: 3, prepared: null },
  ...{ roundMs: 40, predictedMs: 50, linkBytes: 300 },
};

test('recordRound counts drafts, tokens and positions under both names', async () => {
  const metrics = createMetrics({ modelName: 'm' });
  metrics.recordRound(round);
  metrics.recordRound({ ...round, accepted: 1, committed: 2 });
  metrics.recordRound({ ...round, source: 'none', drafted: 0, accepted: 0, committed: 1 });
  const text = await metrics.render();
  for (const line of [
    'foretoken_rounds_total 3',
    'foretoken_round_tokens_total 6',
    'foretoken_link_bytes_total 900',
    'foretoken_drafts_total{drafter="ngram"} 2',
    'vllm:spec_decode_num_drafts_total{model_name="m",drafter="ngram"} 2',
    'vllm:spec_decode_num_draft_tokens_total{model_name="m",drafter="ngram"} 8',
    'vllm:spec_decode_num_accepted_tokens_total{model_name="m",drafter="ngram"} 3',
    'vllm:spec_decode_num_accepted_tokens_per_pos_total{model_name="m",position="0"} 2',
    'vllm:spec_decode_num_accepted_tokens_per_pos_total{model_name="m",position="1"} 1',
    'foretoken_judged_tokens_per_position_total{drafter="ngram",position="0",verdict="accepted"} 2',
    'foretoken_judged_tokens_per_position_total{drafter="ngram",position="1",verdict="rejected"} 1',
  ]) {
    assert.ok(text.split('\n').includes(line), line);
  }
  assert.ok(!text.includes('drafter="none"'));
});

test('recordRound counts drafts that were there before their verdict, where any had been prepared for', async () => {
  const metrics = createMetrics({ modelName: 'm' });
  for (const prepared of [true, null, false, true]) metrics.recordRound({ ...round, prepared });
  const lines = (await metrics.render()).split('\n');
  assert.ok(lines.includes('foretoken_prepared_drafts_total{outcome="hit"} 2'));
  assert.ok(lines.includes('foretoken_prepared_drafts_total{outcome="miss"} 1'));
});

test('createMetrics shares nothing between apps', async () => {
  const first = createMetrics({ modelName: 'a' });
  const second = createMetrics({ modelName: 'b' });
  first.recordRound(round);
  assert.match(await second.render(), /^foretoken_rounds_total 0$/m);
});

test('what the latency model told stands beside what was measured, and its terms beside both', async () => {
  const metrics = createMetrics({
    modelName: 'm',
    latencyTerms: () => ({
      ...{
        stages: [],
        linksMs: 75,
        stagesFixedMs: 8,
        stagesRowMs: 4,
        loadRowMs: 0.5,
        loadPromptMs: 40,
        prefillFixedMs: 90,
        prefillRowMs: 1,
      },
      draftTokenMs: new Map([['head', 1.5]]),
    }),
  });
  metrics.recordRound(round);
  metrics.recordCompletion(
    'stop',
    {
      ...{ promptTokens: 3, completionTokens: 5, cachedTokens: 0 },
      ...{ acceptedPredictionTokens: 0, rejectedPredictionTokens: 0 },
    },
    { ...fakeMetrics, latencyMs: 2000, predictedLatencyMs: 1500 },
  );
  const lines = (await metrics.render()).split('\n');
  for (const line of [
    'foretoken_round_seconds_sum 0.04',
    'foretoken_round_predicted_seconds_sum 0.05',
    'foretoken_answer_seconds_sum 2',
    'foretoken_answer_predicted_seconds_sum 1.5',
    'foretoken_latency_model_seconds{term="links"} 0.075',
    'foretoken_latency_model_seconds{term="load_row"} 0.0005',
    'foretoken_latency_model_draft_token_seconds{drafter="head"} 0.0015',
  ]) {
    assert.ok(lines.includes(line), line);
  }
});
