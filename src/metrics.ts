/**
 * Prometheus metrics of one gateway, in a registry of its own. Each figure has our name, and where vLLM exports the
 * same one also vLLM's (with its `model_name` label), because load generators and dashboards read those names.
 * Labels come from closed sets (codes, reasons, routes, drafters, positions), never from a client's text.
 */
import { Counter, collectDefaultMetrics, Histogram, Registry } from 'prom-client';
import type { CompletionMetrics, Usage } from './completion.ts';
import type { LatencyTerms } from './engine/latency-model.ts';
import type { GatewayErrorCode } from './errors.ts';
import { type LoadFigures, watchLatencyModel, watchLoad } from './metric-gauges.ts';

/** Draft positions beyond this one are counted together; DESIGN's longest draft is 64. */
const draftPositionsMax = 64;
/** Seconds: from a cached prompt on loopback to a long prefill over slow links. */
const latencyBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
/** Seconds between deliveries: one pass of a small model up to a ring across continents. */
const intervalBuckets = [0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5, 10];

export interface MetricsOptions {
  /** Name of the served model, for vLLM's label. */
  readonly modelName: string;
  /** Asked at each scrape. */
  readonly load?: () => LoadFigures;
  /** What the ring costs, as fitted so far; null while there is none. Asked at each scrape. */
  readonly latencyTerms?: () => LatencyTerms | null;
}

/** One verified draft; `source` is the drafter's name. */
export interface RoundFigures {
  readonly source: string;
  readonly drafted: number;
  readonly accepted: number;
  readonly committed: number;
  /** Was the draft prepared while the round before was under way? Null where nothing had been prepared for. */
  readonly prepared: boolean | null;
  /** From the frame's departure to its verdict, ms. */
  readonly roundMs: number;
  /** The same as the latency model expected it. */
  readonly predictedMs: number;
  /** Bytes sent and received on shard links for this round. */
  readonly linkBytes: number;
}

export interface Metrics {
  readonly contentType: string;
  /** The text of `GET /metrics`. */
  render(): Promise<string>;
  /** A round was committed; the engine calls it once per verdict. */
  recordRound(figures: RoundFigures): void;
  /** An answer was complete. */
  recordCompletion(reason: 'stop' | 'length', usage: Usage, metrics: CompletionMetrics): void;
  /** An answer ended before it was complete; `abort` when the client left. */
  recordBrokenCompletion(reason: 'abort' | 'error'): void;
  /** Time between two deliveries of one answer, ms. */
  recordDelivery(intervalMs: number): void;
  /** A whole answer, from request to last byte, ms. */
  recordLatency(elapsedMs: number): void;
  /** An HTTP response was sent; `route` is the pattern, never the URL. */
  recordResponse(route: string, method: string, status: number): void;
  recordError(code: GatewayErrorCode): void;
  /** A session went on after a lost shard, with so many tokens prefilled again. */
  recordRecovery(replayedTokens: number): void;
}

interface Recorder {
  add(value: number, labels?: Record<string, string>): void;
}

export function createMetrics({ modelName, load, latencyTerms }: MetricsOptions): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const counter = (name: string, alias: string | null, help: string, labels: string[] = []): Recorder =>
    createCounter(registry, modelName, { name, alias, help, labels });
  const histogram = (name: string, alias: string | null, help: string, buckets = latencyBuckets): Recorder =>
    createHistogram(registry, modelName, { name, alias, help, buckets });

  const drafts = counter('drafts_total', 'spec_decode_num_drafts_total', 'Drafts verified.', ['drafter']);
  const draftTokens = counter(
    'draft_tokens_total',
    'spec_decode_num_draft_tokens_total',
    'Draft tokens sent.',
    ['drafter'],
  );
  const acceptedTokens = counter(
    'accepted_tokens_total',
    'spec_decode_num_accepted_tokens_total',
    'Draft tokens accepted.',
    ['drafter'],
  );
  const acceptedAt = counter(
    'accepted_tokens_per_position_total',
    'spec_decode_num_accepted_tokens_per_pos_total',
    'Draft tokens accepted, by their index in the draft.',
    ['position'],
  );
  const judgedAt = counter(
    'judged_tokens_per_position_total',
    null,
    'Draft tokens that those before them in the draft let be judged, by drafter, index and verdict.',
    ['drafter', 'position', 'verdict'],
  );
  const preparedDrafts = counter(
    'prepared_drafts_total',
    null,
    'Verdicts by whether the next draft was written, or begun, before they came.',
    ['outcome'],
  );
  const rounds = counter('rounds_total', null, 'Rounds committed, with and without a draft.');
  const roundTokens = counter('round_tokens_total', null, 'Tokens committed by rounds.');
  const linkBytes = counter('link_bytes_total', null, "Bytes of rounds on the gateway's links to shards.");
  const roundTime = histogram('round_seconds', null, 'From a frame to its verdict.', intervalBuckets);

  const roundPredicted = histogram(
    'round_predicted_seconds',
    null,
    'The same as the latency model expected it when the frame left.',
    intervalBuckets,
  );

  const promptTokens = counter('prompt_tokens_total', 'prompt_tokens_total', 'Prompt tokens of answers.');
  const outputTokens = counter('generation_tokens_total', 'generation_tokens_total', 'Output tokens.');
  const cachedTokens = counter('cached_tokens_total', null, 'Prompt tokens found in a cache.');
  const predictionTokens = counter(
    'prediction_tokens_total',
    null,
    "Tokens drafted from a client's prediction.",
    ['verdict'],
  );
  const finished = counter('completions_total', 'request_success_total', 'Answers by how they ended.', [
    'finished_reason',
  ]);
  const firstToken = histogram(
    'time_to_first_token_seconds',
    'time_to_first_token_seconds',
    'Time to first token.',
  );
  const queued = histogram('queue_seconds', 'request_queue_time_seconds', 'Time waiting for a place.');
  const prefill = histogram(
    'prefill_seconds',
    'request_prefill_time_seconds',
    'Time from a place to the first token.',
  );
  const decode = histogram(
    'decode_seconds',
    'request_decode_time_seconds',
    'Time from the first to the last token.',
  );
  const latency = histogram('completion_seconds', 'e2e_request_latency_seconds', 'Whole requests.');
  const answer = histogram('answer_seconds', null, 'From a place in the queue to the last token.');
  const answerPredicted = histogram(
    'answer_predicted_seconds',
    null,
    'The same as the latency model told it: queue and prefill when they began, each draft and round when it left.',
  );
  const delivery = histogram(
    'inter_token_latency_seconds',
    'inter_token_latency_seconds',
    'Time between two deliveries of one answer; a delivery carries all tokens of a round.',
    intervalBuckets,
  );

  const responses = counter('http_responses_total', null, 'HTTP responses.', ['route', 'method', 'status']);
  const errors = counter('errors_total', null, 'Errors told to clients.', ['code']);
  const recoveries = counter('recoveries_total', null, 'Sessions that went on after a lost shard.');
  const replayed = counter('replayed_tokens_total', null, 'Tokens prefilled again in recoveries.');
  if (load !== undefined) watchLoad(registry, modelName, load);
  if (latencyTerms !== undefined) watchLatencyModel(registry, latencyTerms);

  return {
    contentType: registry.contentType,
    render: () => registry.metrics(),
    recordRound(figures) {
      rounds.add(1);
      roundTokens.add(figures.committed);
      linkBytes.add(figures.linkBytes);
      roundTime.add(figures.roundMs / 1000);
      roundPredicted.add(figures.predictedMs / 1000);
      if (figures.prepared !== null) preparedDrafts.add(1, { outcome: figures.prepared ? 'hit' : 'miss' });
      if (figures.drafted === 0) return;
      const drafter = figures.source;
      drafts.add(1, { drafter });
      draftTokens.add(figures.drafted, { drafter });
      acceptedTokens.add(figures.accepted, { drafter });
      for (let index = 0; index < Math.min(figures.drafted, figures.accepted + 1); index++) {
        const position = String(Math.min(index, draftPositionsMax));
        const isAccepted = index < figures.accepted;
        judgedAt.add(1, { drafter, position, verdict: isAccepted ? 'accepted' : 'rejected' });
        if (isAccepted) acceptedAt.add(1, { position });
      }
    },
    recordCompletion(reason, usage, metrics) {
      finished.add(1, { finished_reason: reason });
      promptTokens.add(usage.promptTokens);
      outputTokens.add(usage.completionTokens);
      cachedTokens.add(usage.cachedTokens);
      predictionTokens.add(usage.acceptedPredictionTokens, { verdict: 'accepted' });
      predictionTokens.add(usage.rejectedPredictionTokens, { verdict: 'rejected' });
      firstToken.add(metrics.timeToFirstTokenMs / 1000);
      queued.add(metrics.queueMs / 1000);
      prefill.add(Math.max(0, metrics.timeToFirstTokenMs - metrics.queueMs) / 1000);
      decode.add(metrics.generationMs / 1000);
      answer.add(metrics.latencyMs / 1000);
      answerPredicted.add(metrics.predictedLatencyMs / 1000);
    },
    recordBrokenCompletion: (reason) => finished.add(1, { finished_reason: reason }),
    recordDelivery: (intervalMs) => delivery.add(intervalMs / 1000),
    recordLatency: (elapsedMs) => latency.add(elapsedMs / 1000),
    recordResponse: (route, method, status) => responses.add(1, { route, method, status: String(status) }),
    recordError: (code) => errors.add(1, { code }),
    recordRecovery(replayedTokens) {
      recoveries.add(1);
      replayed.add(replayedTokens);
    },
  };
}

interface Naming {
  readonly name: string;
  readonly alias: string | null;
  readonly help: string;
}

function createCounter(
  registry: Registry,
  modelName: string,
  naming: Naming & { labels: string[] },
): Recorder {
  const options = { help: naming.help, registers: [registry] };
  const own = new Counter({ ...options, name: `foretoken_${naming.name}`, labelNames: naming.labels });
  const alias =
    naming.alias === null
      ? null
      : new Counter({
          ...options,
          name: `vllm:${naming.alias}`,
          labelNames: ['model_name', ...naming.labels],
        });
  return {
    add(value, labels = {}) {
      own.inc(labels, value);
      alias?.inc({ model_name: modelName, ...labels }, value);
    },
  };
}

function createHistogram(
  registry: Registry,
  modelName: string,
  naming: Naming & { buckets: number[] },
): Recorder {
  const options = { help: naming.help, buckets: naming.buckets, registers: [registry] };
  const own = new Histogram({ ...options, name: `foretoken_${naming.name}` });
  const alias =
    naming.alias === null
      ? null
      : new Histogram({ ...options, name: `vllm:${naming.alias}`, labelNames: ['model_name'] });
  return {
    add(value) {
      own.observe(value);
      alias?.observe({ model_name: modelName }, value);
    },
  };
}
