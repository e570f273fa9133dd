/**
 * What the system adds to the arithmetic, without any delay: time per hop over all workers, and the rate of one worker
 * on loopback against the bare ONNX session. Plain decoding, so that every round is one pass of one row.
 */
import { childEnvironment } from '../src/config.ts';
import type { Serving } from '../src/serving.ts';
import { engineThreads, packRange, proveShard } from '../src/worker-node.ts';
import type { BareCalls } from './bare-session-process.ts';
import { generate } from './bench-gateway.ts';
import { type ClusterModel, startCluster } from './cluster.ts';
import { hopsOf } from './formula.ts';
import type { BenchTask } from './mode-runs.ts';
import { forkCallee } from './process-calls.ts';
import { type Spread, spreadOf, sum } from './statistics.ts';

const plain = { prediction: null, speculation: { drafter: 'none', draftLength: 0 } } as const;
/** Shape of links that nothing passes. */
const noDelay = { delayMs: 0, mbit: null, jitterMs: 0, seed: 0 };

/** Time of a round beyond the engines' own, by hop, one sample per prompt, ms. `gateway` dials workers directly. */
export async function measureHopOverhead(
  gateway: Serving,
  workers: number,
  tasks: readonly BenchTask[],
  maxTokens: number,
): Promise<Spread> {
  const samples: number[] = [];
  for (const { promptIds } of tasks) {
    const { decodeMs, rounds } = await generate(gateway, { promptIds, maxTokens, ...plain });
    const outsideMs = decodeMs - sum(rounds.map(({ computeMs }) => computeMs));
    if (rounds.length > 0) samples.push(outsideMs / rounds.length / hopsOf('chain', workers));
  }
  return spreadOf(samples);
}

export interface SingleWorker {
  readonly gatewayTokensPerSecond: Spread;
  readonly bareTokensPerSecond: Spread;
  /** Gateway over bare, prompt by prompt. */
  readonly share: Spread;
}

/** One worker process with the whole model against the bare session, prompt by prompt in one run. */
export async function measureSingleWorker(
  shared: ClusterModel,
  layers: number,
  tasks: readonly BenchTask[],
  maxTokens: number,
): Promise<SingleWorker> {
  const cluster = await startCluster(shared, 1, noDelay);
  const bare = forkCallee<BareCalls>(
    new URL('./bare-session-process.ts', import.meta.url),
    childEnvironment({}),
  );
  try {
    const gateway = await cluster.openDirectGateway();
    const pack = await packRange({
      ...shared,
      range: { start: 0, end: layers },
      signal: new AbortController().signal,
      onProgress: () => {},
    });
    const { onnxPath, dims, range } = pack;
    const threads = engineThreads(0);
    const { minRows } = await proveShard(pack, threads);
    await bare.call('load', { onnxPath, dims, range, threads, minRows });
    const { eosIds } = gateway.tokenizer;
    const rates: { gateway: number; bare: number }[] = [];
    for (const { promptIds, id } of tasks) {
      const ours = await generate(gateway, { promptIds, maxTokens, ...plain });
      const theirs = await bare.call('generate', { promptIds, maxTokens, eosIds });
      if (ours.ids.join() !== theirs.ids.join())
        throw new Error(`${id}: the bare session answers differently`);
      if (ours.decodeTokens === 0) continue;
      rates.push({
        gateway: (1000 * ours.decodeTokens) / ours.decodeMs,
        bare: (1000 * (theirs.ids.length - 1)) / theirs.decodeMs,
      });
    }
    return {
      gatewayTokensPerSecond: spreadOf(rates.map((rate) => rate.gateway)),
      bareTokensPerSecond: spreadOf(rates.map((rate) => rate.bare)),
      share: spreadOf(rates.map((rate) => rate.gateway / rate.bare)),
    };
  } finally {
    await bare.close();
    await cluster.close();
  }
}
