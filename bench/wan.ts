/**
 * `bench wan`: what speculation over slow links is worth. Starts workers behind delayed links, a cluster for each delay
 * and size of ring, measures every mode on the same prompts in one run, then what the system costs without delay, and
 * judges all of it by the published goals.
 */
import { formatRange } from '../shards/manifest.ts';
import { splitLayers } from '../src/cluster/placement.ts';
import { type PreparedTasks, prepareTasks, undelayed } from './bench-tasks.ts';
import { benchSeed, type DelayedOptions, measureDelayed } from './delayed-run.ts';
import { readEnvironment, readLoad } from './environment.ts';
import { summariseModes } from './mode-summary.ts';
import { measureHopOverhead, measureSingleWorker, type SingleWorker } from './overhead.ts';
import { type Plot, plotName } from './plot-files.ts';
import { type Publication, publish } from './publish.ts';
import { wanGoals } from './wan-goals.ts';
import { speedUpPlots, timeLinePlot } from './wan-plots.ts';
import type { WanReport } from './wan-report.ts';
import { wanMarkdown, wanPlainText } from './wan-text.ts';

export interface WanBenchOptions extends DelayedOptions, Publication {
  /** A cluster for each pair of both. */
  readonly t1Ms: readonly number[];
  readonly workers: readonly number[];
  readonly mbit: number | null;
  readonly jitterMs: number;
  readonly dataPaths: readonly string[];
  readonly limit: number | null;
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
  for (const workers of options.workers) {
    for (const t1Ms of options.t1Ms) {
      const report = await measureRing(options, prepared, singleWorker, { workers, t1Ms });
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
  singleWorker: SingleWorker,
  { workers, t1Ms }: { workers: number; t1Ms: number },
): Promise<WanReport> {
  const environment = readEnvironment();
  const { mbit, jitterMs } = options;
  const shape = { delayMs: t1Ms, mbit, jitterMs, seed: benchSeed };
  const delayed = await measureDelayed(options, prepared, { workers, shape }, async (cluster) => {
    options.print('overhead per hop without delay ...');
    const direct = await cluster.openDirectGateway();
    return {
      hopOverheadMs: await measureHopOverhead(direct, workers, undelayed(prepared.tasks), options.maxTokens),
      traffic: await cluster.links.traffic(),
    };
  });
  const { runs, oneWay } = delayed;
  const { model, quantisation, modes, maxTokens, repeats, limit, localDrafter } = options;
  const results = {
    claim: 'wan',
    settings: {
      ...{ model: model.name, modelSha256: model.sha256, quantisation, workers, t1Ms, mbit, jitterMs },
      layers: splitLayers(prepared.dims, workers).map(formatRange),
      ...{ maxTokens, repeats, limit, modes, localDrafter },
      temperature: 0,
    },
    environment,
    loadAverageAfter: readLoad(),
    wording: Object.fromEntries(prepared.sets.map(({ name, wording }) => [name, wording])),
    summaries: summariseModes(runs, { modes, workers, t1Ms: oneWay.t1Ms }),
    singleWorker,
    ...delayed,
  } as const;
  return { ...results, goals: wanGoals(results) };
}

async function publishAll(options: WanBenchOptions, reports: readonly WanReport[]): Promise<void> {
  const overDelays = speedUpPlots(reports);
  await publish(options, {
    json: { claim: 'wan', reports },
    sections: [
      ...reports.map((report) => ({ ...sectionOf(report), plots: [timeLinePlot(report)].filter(isPlot) })),
      ...(overDelays.length === 0
        ? []
        : [
            { key: 'wan-delays', title: 'Speed-up over the delay of the links', body: '', plots: overDelays },
          ]),
    ],
  });
}

function isPlot(plot: Plot | null): plot is Plot {
  return plot !== null;
}

function sectionOf(report: WanReport): { key: string; title: string; body: string } {
  const { workers, t1Ms, mbit, jitterMs } = report.settings;
  const link = [`t1 = ${t1Ms} ms`];
  if (mbit !== null) link.push(`${mbit} Mbit/s`);
  if (jitterMs > 0) link.push(`jitter ${jitterMs} ms`);
  return {
    key: plotName('wan', workers, ...link),
    title: `Slow links: ${workers} workers, ${link.join(', ')}`,
    body: wanMarkdown(report),
  };
}
