/**
 * One cluster behind slow links and every mode on every prompt over it: what `wan`, `sweep` and `adaptive` have in
 * common. The links' delay is measured before, between prompts and after.
 */
import { generate } from './bench-gateway.ts';
import type { PreparedTasks } from './bench-tasks.ts';
import { type BenchCluster, type ClusterModel, startCluster } from './cluster.ts';
import type { LinkShape } from './delay-schedule.ts';
import { type Difference, type MeasureOptions, type ModeRun, measureModes } from './mode-runs.ts';
import { type BenchMode, isLossless } from './modes.ts';
import { median } from './statistics.ts';
import { createWarmStores, fillingSessionsMax } from './warm-store.ts';

/** Echoes before and after a run, and after every prompt. */
const echoes = 15;
const echoesBetween = 3;
/** Fixed, so that jitter and edited predictions repeat. */
export const benchSeed = 1;

export interface DelayedOptions extends ClusterModel {
  readonly modes: readonly BenchMode[];
  readonly repeats: number;
  readonly maxTokens: number;
  readonly print: (line: string) => void;
}

/** Echoes through the links, ms. */
export interface OneWay {
  readonly before: number;
  readonly during: number;
  readonly after: number;
  /** What formulas are fed with: the median of all. */
  readonly t1Ms: number;
}

export interface DelayedRun {
  readonly runs: readonly ModeRun[];
  readonly differences: readonly Difference[];
  readonly oneWay: OneWay;
}

/** `further` measures on the same cluster what else is wanted of it. */
export async function measureDelayed<T extends object>(
  options: DelayedOptions,
  prepared: PreparedTasks,
  ring: { readonly workers: number; readonly shape: LinkShape },
  further: (cluster: BenchCluster, run: DelayedRun) => Promise<T>,
): Promise<DelayedRun & T> {
  options.print(
    `starting ${ring.workers} workers of ${options.model.name} (the first start packs the model) ...`,
  );
  const cluster = await startCluster(options, ring.workers, ring.shape);
  try {
    const run = await measureOver(cluster, prepared, options);
    return { ...run, ...(await further(cluster, run)) };
  } finally {
    await cluster.close();
  }
}

async function measureOver(
  cluster: BenchCluster,
  { dims, tasks, others }: PreparedTasks,
  options: DelayedOptions,
): Promise<DelayedRun> {
  const { links } = cluster;
  const { print, modes, repeats, maxTokens } = options;
  const load = { sessionsMax: fillingSessionsMax, queuedMax: fillingSessionsMax };
  const chain = await cluster.openGateway('chain', load);
  const star = modes.some(({ topology }) => topology === 'star') ? await cluster.openGateway('star') : chain;
  const before = await links.measureOneWayMs(echoes);
  print(`one-way delay measured ${before.toFixed(2)} ms`);
  const during: number[] = [];
  const progress = progressOf(print);
  const measureOptions: MeasureOptions = {
    ...{ modes, tasks, repeats, maxTokens, seed: benchSeed, vocab: dims.vocab },
    warmOwner: createWarmStores(chain, others, maxTokens),
    generate: (topology, request) => generate(topology === 'chain' ? chain : star, request),
    async onTask(...done) {
      during.push(await links.measureOneWayMs(echoesBetween));
      progress(...done);
    },
  };
  await warmUp(measureOptions);
  const { runs, differences } = await measureModes(measureOptions);
  const after = await links.measureOneWayMs(echoes);
  for (const { prompt, mode, index } of differences)
    print(`ERROR: ${prompt}: ${mode} differs from plain decoding at output token ${index}`);
  const oneWay = { before, during: median(during), after, t1Ms: median([before, ...during, after]) };
  return { runs, differences, oneWay };
}

/** Prints a line for every prompt that is through. */
function progressOf(print: (line: string) => void): (...done: Parameters<MeasureOptions['onTask']>) => void {
  const startedMs = performance.now();
  return (done, total, runs) => {
    const rates = runs.map(
      ({ mode, decodeTokens, decodeMs }) => `${mode} ${((1000 * decodeTokens) / decodeMs).toFixed(1)}`,
    );
    const leftMs = ((performance.now() - startedMs) / done) * (total - done);
    const place = `${done}/${total} ${runs[0].prompt}`;
    print(`${place} tok/s: ${rates.join(', ')}; ${(leftMs / 60_000).toFixed(1)} min left`);
  };
}

/** Connections, caches and the planner's first guesses are not what is measured. */
async function warmUp({ modes, tasks, generate: answer }: MeasureOptions): Promise<void> {
  const request = { promptIds: tasks[0].promptIds, maxTokens: 16, prediction: null };
  for (const { topology, speculation } of modes.filter((mode) => isLossless(mode) && !mode.warm))
    await answer(topology, { ...request, speculation });
}
