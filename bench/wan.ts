/**
 * `bench wan`: what speculation over slow links is worth. Starts workers behind delayed links, measures every mode on
 * the same prompts in one run, then what the system costs without delay, and judges all of it by the published goals.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { formatRange } from '../shards/manifest.ts';
import { splitLayers } from '../src/cluster/placement.ts';
import { generate } from './bench-gateway.ts';
import { type BenchCluster, type ClusterModel, startCluster } from './cluster.ts';
import { writeSection } from './document.ts';
import { readEnvironment, readLoad } from './environment.ts';
import { measureHopOverhead, measureSingleWorker } from './overhead.ts';
import { median } from './statistics.ts';
import { goalsOf, type WanReport } from './wan-report.ts';
import { measureWan, type WanOptions } from './wan-run.ts';
import { summariseWan } from './wan-summary.ts';
import { type PreparedTasks, prepareTasks, undelayed } from './wan-tasks.ts';
import { wanMarkdown, wanPlainText } from './wan-text.ts';

/** Echoes before and after a run, and after every prompt. */
const echoes = 15;
const echoesBetween = 3;
/** Fixed, so that jitter and edited predictions repeat. */
const seed = 1;

export interface WanBenchOptions extends ClusterModel {
  readonly t1Ms: number;
  readonly workers: number;
  readonly mbit: number | null;
  readonly jitterMs: number;
  readonly dataPaths: readonly string[];
  readonly limit: number | null;
  readonly repeats: number;
  readonly maxTokens: number;
  readonly jsonPath: string | null;
  readonly documentPath: string | null;
  readonly print: (line: string) => void;
}

/** Resolves with the report; every goal is judged in it, none of them throws. */
export async function runWanBench(options: WanBenchOptions): Promise<WanReport> {
  const { print } = options;
  const environment = readEnvironment();
  const prepared = await prepareTasks({ ...options, modelPath: options.model.path });
  const { dims, sets, tasks } = prepared;
  print(`starting ${options.workers} workers of ${options.model.name} (the first start packs the model) ...`);
  const shape = { delayMs: options.t1Ms, mbit: options.mbit, jitterMs: options.jitterMs, seed };
  const cluster = await startCluster(options, options.workers, shape);
  let delayed: Awaited<ReturnType<typeof measureOver>>;
  try {
    delayed = await measureOver(cluster, prepared, options);
  } finally {
    await cluster.close();
  }
  print('one worker on loopback against the bare session ...');
  const singleWorker = await measureSingleWorker(options, dims.layers, undelayed(tasks), options.maxTokens);
  const { runs, oneWay } = delayed;
  const results = {
    claim: 'wan',
    settings: {
      model: options.model.name,
      modelSha256: options.model.sha256,
      quantisation: options.quantisation,
      workers: options.workers,
      layers: splitLayers(dims, options.workers).map(formatRange),
      ...{ t1Ms: options.t1Ms, mbit: options.mbit, jitterMs: options.jitterMs },
      ...{ maxTokens: options.maxTokens, repeats: options.repeats, limit: options.limit },
      temperature: 0,
    },
    environment,
    loadAverageAfter: readLoad(),
    wording: Object.fromEntries(sets.map(({ name, wording }) => [name, wording])),
    summaries: summariseWan(runs, options.workers, oneWay.t1Ms),
    singleWorker,
    ...delayed,
  } as const;
  const report: WanReport = { ...results, goals: goalsOf(results) };
  print(`\n${wanPlainText(report)}`);
  await writeReport(options, report);
  return report;
}

/** All that needs the cluster. */
async function measureOver(cluster: BenchCluster, { dims, tasks }: PreparedTasks, options: WanBenchOptions) {
  const { links } = cluster;
  const { print } = options;
  const [chain, star, direct] = [
    await cluster.openGateway('chain'),
    await cluster.openGateway('star'),
    await cluster.openDirectGateway(),
  ];
  const before = await links.measureOneWayMs(echoes);
  print(`one-way delay asked ${options.t1Ms} ms, measured ${before.toFixed(2)} ms`);
  const during: number[] = [];
  const startedMs = performance.now();
  const ring = { chain, star };
  const wanOptions: WanOptions = {
    ...{ tasks, repeats: options.repeats, maxTokens: options.maxTokens, seed, vocab: dims.vocab },
    generate: (topology, request) => generate(ring[topology], request),
    async onTask(done, total, runs) {
      during.push(await links.measureOneWayMs(echoesBetween));
      const rates = runs.map(
        ({ mode, decodeTokens, decodeMs }) => `${mode} ${((1000 * decodeTokens) / decodeMs).toFixed(1)}`,
      );
      const left = ((performance.now() - startedMs) / done) * (total - done);
      print(
        `${done}/${total} ${runs[0].prompt} tok/s: ${rates.join(', ')}; ${(left / 60_000).toFixed(1)} min left`,
      );
    },
  };
  await warmUp(wanOptions);
  const { runs, differences } = await measureWan(wanOptions);
  const after = await links.measureOneWayMs(echoes);
  for (const { prompt, mode, index } of differences)
    print(`ERROR: ${prompt}: ${mode} differs from plain decoding at output token ${index}`);
  print('overhead per hop without delay ...');
  const hopOverheadMs = await measureHopOverhead(
    direct,
    options.workers,
    undelayed(tasks),
    options.maxTokens,
  );
  const oneWay = { before, during: median(during), after, t1Ms: median([before, ...during, after]) };
  return { runs, differences, oneWay, hopOverheadMs, traffic: await links.traffic() };
}

/** Connections, caches and the planner's first guesses are not what is measured. */
async function warmUp({ tasks, generate: answer }: WanOptions): Promise<void> {
  const request = { promptIds: tasks[0].promptIds, maxTokens: 16, prediction: null };
  await answer('chain', { ...request, speculation: { drafter: 'ngram', draftLength: 'auto' } });
  await answer('star', { ...request, speculation: { drafter: 'none', draftLength: 0 } });
}

async function writeReport(
  { jsonPath, documentPath, print }: WanBenchOptions,
  report: WanReport,
): Promise<void> {
  if (jsonPath !== null) {
    await mkdir(dirname(jsonPath), { recursive: true });
    await writeFile(jsonPath, `${JSON.stringify(report, null, 1)}\n`);
    print(`wrote ${jsonPath}`);
  }
  if (documentPath !== null) {
    const { workers, t1Ms, mbit, jitterMs } = report.settings;
    const link = [`t1 = ${t1Ms} ms`];
    if (mbit !== null) link.push(`${mbit} Mbit/s`);
    if (jitterMs > 0) link.push(`jitter ${jitterMs} ms`);
    const title = `Slow links: ${workers} workers, ${link.join(', ')}`;
    const key = `wan-${workers}-${link.join('-').replace(/[^a-z0-9.-]+/gi, '')}`;
    await writeSection(documentPath, key, title, wanMarkdown(report));
    print(`wrote ${documentPath}`);
  }
}
