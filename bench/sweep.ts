/**
 * `bench sweep`: fixed draft lengths against the automatic choice, on the same prompts in one run. The choice is good if
 * it is within a few percent of the best fixed length, which nobody knows beforehand, and never slower than plain.
 */
import { type PreparedTasks, prepareTasks } from './bench-tasks.ts';
import type { PromptLimit } from './data-set.ts';
import { benchSeed, type DelayedOptions, type DelayedRun, measureDelayed } from './delayed-run.ts';
import { type Environment, readEnvironment } from './environment.ts';
import { atLeast, type Goal, goalTable } from './goals.ts';
import { ringConditions, withKept } from './kept-reports.ts';
import { modeCells, modeColumns } from './mode-columns.ts';
import { type ModeSummary, summariseModes } from './mode-summary.ts';
import { type BenchMode, plainChain, speculative } from './modes.ts';
import { lineChart } from './plot.ts';
import { type Plot, plotName } from './plot-files.ts';
import { type Publication, publish, type Section } from './publish.ts';
import { cell, markdownTable, plainTable, type Table } from './table.ts';

/** Share of the best fixed length's speed that the automatic choice must reach, and of plain decoding's. */
const bestShareMin = 0.95;
const plainShareMin = 0.98;

const automatic: readonly BenchMode[] = [
  speculative('auto sync', { drafter: 'auto', rounds: 'sync' }),
  speculative('auto', { drafter: 'auto', rounds: 'auto' }),
];

export interface SweepOptions extends Omit<DelayedOptions, 'modes'>, Publication {
  readonly t1Ms: readonly number[];
  readonly workers: number;
  /** Besides 0, which is plain decoding. */
  readonly lengths: readonly number[];
  readonly dataPaths: readonly string[];
  readonly limit: PromptLimit;
  readonly localDrafter: string | null;
}

export interface SweepReport extends DelayedRun {
  readonly askedT1Ms: number;
  readonly workers: number;
  readonly environment: Environment;
  readonly summaries: readonly ModeSummary[];
  readonly goals: readonly Goal[];
}

export async function runSweepBench(options: SweepOptions): Promise<SweepReport[]> {
  const { print } = options;
  const modes = sweepModes(options.lengths);
  const prepared = await prepareTasks({ ...options, modelPath: options.model.path });
  const measured: SweepReport[] = [];
  for (const askedT1Ms of options.t1Ms) {
    const report = await sweepAt(options, prepared, modes, askedT1Ms);
    print(`\n${sweepText(report, plainTable)}\n`);
    measured.push(report);
    const reports = await withKept(options.jsonPath, { claim: 'sweep', reports: measured }, ringConditions);
    await publish(options, { json: { claim: 'sweep', reports }, sections: sweepSections(reports) });
  }
  return measured;
}

export function sweepSections(reports: readonly SweepReport[]): Section[] {
  return [...Map.groupBy(reports, ({ workers }) => workers)].map(([workers, ofRing]) => ({
    key: plotName('sweep', workers),
    title: `Draft lengths: ${workers} workers`,
    body: ofRing.map((report) => sweepText(report, markdownTable)).join('\n\n'),
    plots: ofRing.flatMap(sweepPlots),
  }));
}

export function sweepModes(lengths: readonly number[]): BenchMode[] {
  const fixed = lengths.map((draftLength) =>
    speculative(`length ${draftLength}`, { drafter: 'auto', draftLength, rounds: 'sync' }),
  );
  return [plainChain, ...fixed, ...automatic];
}

async function sweepAt(
  options: SweepOptions,
  prepared: PreparedTasks,
  modes: readonly BenchMode[],
  askedT1Ms: number,
): Promise<SweepReport> {
  const { workers } = options;
  const environment = readEnvironment();
  const shape = { delayMs: askedT1Ms, mbit: null, jitterMs: 0, seed: benchSeed };
  const run = await measureDelayed({ ...options, modes }, prepared, { workers, shape }, async () => ({}));
  const summaries = summariseModes(run.runs, {
    ...{ modes, workers, t1Ms: run.oneWay.t1Ms, cores: environment.cores },
  });
  return { askedT1Ms, workers, environment, summaries, goals: sweepGoals(summaries, askedT1Ms), ...run };
}

/** For each data set: the automatic choices over the best fixed length, and over plain decoding. */
export function sweepGoals(summaries: readonly ModeSummary[], askedT1Ms: number): Goal[] {
  return [...Map.groupBy(summaries, ({ set }) => set)].flatMap(([set, lines]) => {
    const fixed = lines.filter(({ mode }) => !automatic.some(({ name }) => name === mode));
    const best = Math.max(...fixed.map(({ speedUp }) => speedUp));
    return lines
      .filter((line) => !fixed.includes(line))
      .flatMap(({ mode, speedUp }) => [
        atLeast(`${set}, ${askedT1Ms} ms: ${mode} over the best fixed length`, speedUp / best, bestShareMin),
        atLeast(`${set}, ${askedT1Ms} ms: ${mode} over plain decoding`, speedUp, plainShareMin),
      ]);
  });
}

function sweepText(report: SweepReport, draw: (table: Table) => string): string {
  const { oneWay, environment } = report;
  return [
    `t1 ${report.askedT1Ms} ms (measured ${cell(oneWay.t1Ms, 2)}), N = ${report.workers}; ` +
      `${environment.cpu} x ${environment.cores}, load ${cell(environment.loadAverage, 2)}, ` +
      `commit ${environment.commit ?? 'unknown'}, ${environment.date}\n`,
    draw({
      textColumns: 2,
      header: ['set', 'mode', 'n', 'speed-up', ...modeColumns],
      rows: report.summaries.map((line) => [
        line.set,
        line.mode,
        String(line.outputs),
        `${cell(line.speedUp, 2)}x`,
        ...modeCells(line),
      ]),
    }),
    '',
    draw(goalTable(report.goals)),
  ].join('\n');
}

function sweepPlots({ askedT1Ms, workers, summaries }: SweepReport): Plot[] {
  const series = [...Map.groupBy(summaries, ({ set }) => set)].flatMap(([set, lines]) => {
    const fixed = lines.flatMap((line): [number, number][] => {
      if (line.mode === plainChain.name) return [[0, line.speedUp]];
      const length = Number(line.mode.replace('length ', ''));
      return Number.isNaN(length) ? [] : [[length, line.speedUp]];
    });
    const longest = Math.max(...fixed.map(([length]) => length));
    const chosen = lines.find(({ mode }) => mode === 'auto');
    const level = chosen === undefined ? [] : [0, longest].map((at) => [at, chosen.speedUp] as const);
    return [
      { name: set, points: fixed },
      { name: `${set}, auto`, points: level },
    ];
  });
  const title = `Speed-up by fixed draft length, ${workers} workers, t1 ${askedT1Ms} ms`;
  const svg = lineChart({ title, x: { label: 'draft length' }, y: { label: 'speed-up' }, series });
  return [{ name: plotName('draft-length', workers, askedT1Ms), title, svg }];
}
