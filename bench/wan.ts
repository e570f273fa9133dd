/**
 * `bench wan`: what speculation over slow links is worth. Starts workers behind delayed links, a cluster for each delay
 * and size of ring, measures every mode on the same prompts in one run, then what the system costs without delay, and
 * judges all of it by the published goals.
 */
import { formatRange } from '../shards/manifest.ts';
import { splitLayers } from '../src/cluster/placement.ts';
import { type PreparedTasks, prepareTasks, undelayed } from './bench-tasks.ts';
import type { BenchCluster } from './cluster.ts';
import type { PromptLimit } from './data-set.ts';
import { benchSeed, type DelayedOptions, measureDelayed } from './delayed-run.ts';
import { readEnvironment, readLoad } from './environment.ts';
import { withKept } from './kept-reports.ts';
import { summariseModes } from './mode-summary.ts';
import { measureHopOverhead, measureSingleWorker, type SingleWorker } from './overhead.ts';
import { type Publication, publish } from './publish.ts';
import type { Spread } from './statistics.ts';
import { wanGoals } from './wan-goals.ts';
import type { WanReport } from './wan-report.ts';
import { wanConditions, wanSections } from './wan-sections.ts';
import { wanPlainText } from './wan-text.ts';

export interface WanBenchOptions extends DelayedOptions, Publication {
  /** A cluster for each pair of both. */
  readonly t1Ms: readonly number[];
  readonly workers: readonly number[];
  readonly mbit: number | null;
  readonly jitterMs: number;
  readonly dataPaths: readonly string[];
  readonly limit: PromptLimit;
  /** Name of what `lm` starts, for the report; null: none. */
  readonly localDrafter: string | null;
}

/** Resolves with one report per cluster; every goal is judged in them, none of them throws. */
export async function runWanBench(options: WanBenchOptions): Promise<WanReport[]> {
  const { print } = options;
  const prepared = await prepareTasks({ ...options, modelPath: options.model.path });
  print('one worker on loopback against the bare session ...');
  const { dims, tasks } = prepared;
  const singleWorker = await measureSingleWorker(options, dims.layers, undelayed(tasks), options.maxTokens);
  const reports: WanReport[] = [];
  /** By size of ring: no link plays a part in it. */
  const hopOverheads = new Map<number, Spread>();
  for (const workers of options.workers) {
    for (const t1Ms of options.t1Ms) {
      const report = await measureRing(options, prepared, { workers, t1Ms }, { singleWorker, hopOverheads });
      print(`\n${wanPlainText(report)}\n`);
      reports.push(report);
      // Hours may lie between two clusters: what is measured is kept.
      await publishAll(options, reports);
    }
  }
  return reports;
}

async function measureRing(
  options: WanBenchOptions,
  prepared: PreparedTasks,
  { workers, t1Ms }: { readonly workers: number; readonly t1Ms: number },
  undelayedCosts: { readonly singleWorker: SingleWorker; readonly hopOverheads: Map<number, Spread> },
): Promise<WanReport> {
  const { singleWorker, hopOverheads } = undelayedCosts;
  const environment = readEnvironment();
  const { mbit, jitterMs } = options;
  const shape = { delayMs: t1Ms, mbit, jitterMs, seed: benchSeed };
  const delayed = await measureDelayed(options, prepared, { workers, shape }, async (cluster) => {
    const hopOverheadMs =
      hopOverheads.get(workers) ?? (await hopOverheadOf(options, prepared, cluster, workers));
    hopOverheads.set(workers, hopOverheadMs);
    return { hopOverheadMs, traffic: await cluster.links.traffic() };
  });
  const { runs, oneWay } = delayed;
  const { model, quantisation, modes, maxTokens, repeats, limit, localDrafter } = options;
  const results = {
    claim: 'wan',
    settings: {
      ...{ model: model.name, modelSha256: model.sha256, quantisation, workers, t1Ms, mbit, jitterMs },
      layers: splitLayers(prepared.dims, workers).map(formatRange),
      rings: options.workers.length * options.t1Ms.length,
      ...{ maxTokens, repeats, limit, modes, localDrafter },
      temperature: 0,
    },
    environment,
    loadAverageAfter: readLoad(),
    wording: Object.fromEntries(prepared.sets.map(({ name, wording }) => [name, wording])),
    summaries: summariseModes(runs, { modes, workers, t1Ms: oneWay.t1Ms, cores: environment.cores }),
    singleWorker,
    ...delayed,
  } as const;
  return { ...results, goals: wanGoals(results) };
}

async function hopOverheadOf(
  { print, maxTokens }: WanBenchOptions,
  { tasks }: PreparedTasks,
  cluster: BenchCluster,
  workers: number,
): Promise<Spread> {
  print('overhead per hop without delay ...');
  const direct = await cluster.openDirectGateway();
  return measureHopOverhead(direct, workers, undelayed(tasks), maxTokens);
}

async function publishAll(options: WanBenchOptions, measured: readonly WanReport[]): Promise<void> {
  const reports = await withKept(options.jsonPath, { claim: 'wan', reports: measured }, wanConditions);
  await publish(options, { json: { claim: 'wan', reports }, sections: wanSections(reports) });
}
