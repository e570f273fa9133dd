/**
 * `bench adaptive`: what adaptive verification gains and what it costs, over its slack tau. Speed against the same
 * drafters lossless (tau 0, which must equal plain decoding id by id), quality by agreement, perplexity under the target
 * and right answers.
 */
import { adaptiveDefaults } from '../shards/adaptive.ts';
import type { Serving } from '../src/serving.ts';
import { type PreparedTasks, prepareTasks } from './bench-tasks.ts';
import type { PromptLimit } from './data-set.ts';
import { benchSeed, type DelayedOptions, type DelayedRun, measureDelayed } from './delayed-run.ts';
import { type Environment, readEnvironment } from './environment.ts';
import { atLeast, type Goal, goalTable } from './goals.ts';
import { ringConditions, withKept } from './kept-reports.ts';
import { modeCells, modeColumns } from './mode-columns.ts';
import type { ModeRun } from './mode-runs.ts';
import { type ModeSummary, pairKey, summariseModes } from './mode-summary.ts';
import { type BenchMode, plainChain, speculative } from './modes.ts';
import { lineChart } from './plot.ts';
import { type Plot, plotName } from './plot-files.ts';
import { scoreTokens } from './prompt-score.ts';
import { type Publication, publish, type Section } from './publish.ts';
import { type Quality, qualityOf } from './quality.ts';
import { cell, markdownTable, plainTable, type Table } from './table.ts';

/** Promised: so much faster than lossless at a tau whose perplexity rises by less than this share. */
const speedGainMin = 1.15;
const perplexityRiseMax = 0.02;

export interface AdaptiveOptions extends Omit<DelayedOptions, 'modes'>, Publication {
  readonly t1Ms: readonly number[];
  readonly workers: number;
  /** Slacks in [0, 1); 0 is added if it is missing. */
  readonly taus: readonly number[];
  readonly dataPaths: readonly string[];
  readonly limit: PromptLimit;
  readonly localDrafter: string | null;
}

/** One data set at one tau. */
export interface AdaptiveLine {
  readonly set: string;
  readonly tau: number;
  readonly summary: ModeSummary;
  /** Over tau 0. */
  readonly gain: number;
  readonly quality: Quality;
  /** Over tau 0: 0.01 is 1 % more. */
  readonly perplexityRise: number;
}

export interface AdaptiveReport extends DelayedRun {
  readonly askedT1Ms: number;
  readonly workers: number;
  readonly maxTokens: number;
  readonly environment: Environment;
  readonly lines: readonly AdaptiveLine[];
  readonly goals: readonly Goal[];
}

export async function runAdaptiveBench(options: AdaptiveOptions): Promise<AdaptiveReport[]> {
  const prepared = await prepareTasks({ ...options, modelPath: options.model.path });
  const taus = [...new Set([0, ...options.taus])].sort((a, b) => a - b);
  const measured: AdaptiveReport[] = [];
  for (const askedT1Ms of options.t1Ms) {
    const report = await measureAt(options, prepared, taus, askedT1Ms);
    options.print(`\n${adaptiveText(report, plainTable)}\n`);
    measured.push(report);
    const reports = await withKept(
      options.jsonPath,
      { claim: 'adaptive', reports: measured },
      ringConditions,
    );
    await publish(options, { json: { claim: 'adaptive', reports }, sections: adaptiveSections(reports) });
  }
  return measured;
}

export function adaptiveSections(reports: readonly AdaptiveReport[]): Section[] {
  return [...Map.groupBy(reports, ({ workers }) => workers)].map(([workers, ofRing]) => ({
    key: plotName('adaptive', workers),
    title: `Adaptive verification (lossy): ${workers} workers`,
    body: ofRing.map((report) => adaptiveText(report, markdownTable)).join('\n\n'),
    plots: ofRing.map(adaptivePlot),
  }));
}

function modeOf(tau: number): BenchMode {
  return speculative(
    `tau ${tau}`,
    { drafter: 'auto', rounds: 'async' },
    { verification: { mode: 'adaptive', ...adaptiveDefaults, tau } },
  );
}

async function measureAt(
  options: AdaptiveOptions,
  prepared: PreparedTasks,
  taus: readonly number[],
  askedT1Ms: number,
): Promise<AdaptiveReport> {
  const { workers, print } = options;
  const environment = readEnvironment();
  const modes = [plainChain, ...taus.map(modeOf)];
  const shape = { delayMs: askedT1Ms, mbit: null, jitterMs: 0, seed: benchSeed };
  const { lines, ...run } = await measureDelayed(
    { ...options, modes },
    prepared,
    { workers, shape },
    async (cluster, { runs, oneWay }) => {
      print('perplexity of the outputs ...');
      const judge = judgeOver(await cluster.openDirectGateway(), prepared, runs);
      const summaries = summariseModes(runs, {
        ...{ modes, workers, t1Ms: oneWay.t1Ms, cores: environment.cores },
      });
      return { lines: await linesOf(summaries, taus, judge) };
    },
  );
  const { maxTokens } = options;
  return {
    askedT1Ms,
    workers,
    maxTokens,
    environment,
    lines,
    goals: adaptiveGoals(lines, askedT1Ms),
    ...run,
  };
}

/** Quality of one mode on one set; outputs that loop in either are left out. */
function judgeOver(
  gateway: Serving,
  { tasks }: PreparedTasks,
  runs: readonly ModeRun[],
): (set: string, mode: string) => Promise<Quality> {
  const lossless = new Map(
    runs.filter(({ mode }) => mode === plainChain.name).map((run) => [pairKey(run), run]),
  );
  /** Equal texts have equal scores. */
  const known = new Map<string, number[]>();
  return async (set, mode) => {
    const outputs = [];
    for (const run of runs.filter((candidate) => candidate.set === set && candidate.mode === mode)) {
      const plain = lossless.get(pairKey(run))!;
      if (run.repeating || plain.repeating || run.ids.length === 0) continue;
      const { promptIds, answer } = tasks.find(({ id, set: of }) => id === run.prompt && of === set)!;
      const key = `${run.prompt} ${run.ids.join()}`;
      const scores = known.get(key) ?? (await scoreTokens(gateway, promptIds, run.ids));
      known.set(key, scores);
      const text = gateway.tokenizer.decode(run.ids);
      outputs.push({
        ...{ ids: run.ids, losslessIds: plain.ids, text, scores },
        ...(answer === undefined ? {} : { answer }),
      });
    }
    return qualityOf(outputs);
  };
}

async function linesOf(
  summaries: readonly ModeSummary[],
  taus: readonly number[],
  judge: (set: string, mode: string) => Promise<Quality>,
): Promise<AdaptiveLine[]> {
  const lines: AdaptiveLine[] = [];
  for (const [set, ofSet] of Map.groupBy(summaries, (summary) => summary.set)) {
    let base: { summary: ModeSummary; quality: Quality } | null = null;
    for (const tau of taus) {
      const summary = ofSet.find(({ mode }) => mode === modeOf(tau).name);
      if (summary === undefined) continue;
      const quality = await judge(set, summary.mode);
      base ??= { summary, quality };
      lines.push({
        ...{ set, tau, summary, quality, gain: summary.speedUp / base.summary.speedUp },
        perplexityRise: quality.perplexity / base.quality.perplexity - 1,
      });
    }
  }
  return lines;
}

/** The fastest tau of each set that keeps the perplexity. */
export function adaptiveGoals(lines: readonly AdaptiveLine[], askedT1Ms: number): Goal[] {
  return [...Map.groupBy(lines, ({ set }) => set)].map(([set, ofSet]) => {
    const kept = ofSet.filter(({ perplexityRise }) => perplexityRise < perplexityRiseMax);
    const best = Math.max(...kept.map(({ gain }) => gain));
    return atLeast(
      `${set}, ${askedT1Ms} ms: adaptive over lossless, perplexity up by less than 2 %`,
      best,
      speedGainMin,
    );
  });
}

function adaptiveText(
  { askedT1Ms, workers, maxTokens, environment, oneWay, lines, goals }: AdaptiveReport,
  draw: (table: Table) => string,
): string {
  const { lambda1, lambda2, lambda3 } = adaptiveDefaults;
  return [
    `t1 ${askedT1Ms} ms (measured ${cell(oneWay.t1Ms, 2)}), N = ${workers}, asynchronous rounds, greedy, at most ${maxTokens} tokens, ` +
      `lambda ${lambda1}, ${lambda2}, ${lambda3}; ${environment.cpu} x ${environment.cores}, ` +
      `load ${cell(environment.loadAverage, 2)}, commit ${environment.commit ?? 'unknown'}, ${environment.date}. Same prefix = tokens before the first that differs from ` +
      `the lossless text; right = the last number of the text is the one asked for, cut texts included.\n`,
    draw({
      textColumns: 2,
      header: [
        ...['set', 'tau', 'n', 'speed-up', 'over tau 0', 'kept/token', 'tau·TV/token'],
        ...['equal', 'same prefix', 'perplexity', 'rise', 'right answers'],
      ],
      rows: lines.map(({ set, tau, summary, gain, quality, perplexityRise }) => [
        set,
        String(tau),
        String(summary.outputs),
        `${cell(summary.speedUp, 2)}x`,
        `${cell(gain, 2)}x`,
        cell(summary.keptPerToken, 3),
        cell(summary.distortionPerToken, 3),
        `${cell(100 * quality.equal)} %`,
        `${cell(100 * quality.samePrefix)} %`,
        cell(quality.perplexity, 3),
        `${cell(100 * perplexityRise, 1)} %`,
        quality.answered === 0 ? '-' : `${cell(100 * quality.right)} % of ${quality.answered}`,
      ]),
    }),
    '',
    draw({
      textColumns: 2,
      header: ['set', 'tau', ...modeColumns],
      rows: lines.map(({ set, tau, summary }) => [set, String(tau), ...modeCells(summary)]),
    }),
    '',
    draw(goalTable(goals)),
  ].join('\n');
}

function adaptivePlot({ askedT1Ms, workers, lines }: AdaptiveReport): Plot {
  const series = [...Map.groupBy(lines, ({ set }) => set)].flatMap(([set, ofSet]) => [
    { name: `${set}, speed`, points: ofSet.map(({ tau, gain }) => [tau, gain] as const) },
    {
      name: `${set}, perplexity`,
      points: ofSet.map(({ tau, perplexityRise }) => [tau, 1 + perplexityRise] as const),
    },
  ]);
  const title = `Adaptive verification over lossless, ${workers} workers, t1 ${askedT1Ms} ms`;
  const svg = lineChart({ title, x: { label: 'tau' }, y: { label: 'over tau 0' }, series });
  return { name: plotName('adaptive', workers, askedT1Ms), title, svg };
}
