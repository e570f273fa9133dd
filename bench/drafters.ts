/**
 * `bench drafters`: how often each drafter is right, position by position, and what a round would commit. The target
 * answers once, plainly, over loopback; then every drafter is replayed on those answers.
 */
import { systemClock } from '../shards/clock.ts';
import { createDraftPlanner } from '../src/drafting/chooser.ts';
import type { Drafter, DraftPolicy } from '../src/drafting/drafter.ts';
import { createNoneDrafter } from '../src/drafting/none-drafter.ts';
import { createSuffixDrafter } from '../src/drafting/suffix-drafter.ts';
import type { LocalDraft } from '../src/local-draft.ts';
import type { Tokenizer } from '../src/text/tokenizer.ts';
import { generate } from './bench-gateway.ts';
import { type PreparedTasks, prepareTasks } from './bench-tasks.ts';
import { type ClusterModel, startCluster } from './cluster.ts';
import type { PromptLimit } from './data-set.ts';
import { type Environment, readEnvironment } from './environment.ts';
import { atLeast, type Goal, goalTable } from './goals.ts';
import { lineChart } from './plot.ts';
import { type Plot, plotName } from './plot-files.ts';
import { type Publication, publish, type Section } from './publish.ts';
import { repetitionPeriod } from './repetition.ts';
import { type KnownOutput, newReplayTotals, type ReplayTotals, replayOutput } from './replay.ts';
import { median } from './statistics.ts';
import { cell, markdownTable, plainTable, type Table } from './table.ts';

/** Shape of links that nothing passes. */
const noDelay = { delayMs: 0, mbit: null, jitterMs: 0, seed: 0 };
/** What the chooser is told of a round: four workers and t1 = 15 ms, on slow cores. */
const toldRoundMs = (rows: number): number => 87 + 4 * rows;

export interface DraftersOptions extends ClusterModel, Publication {
  readonly dataPaths: readonly string[];
  readonly limit: PromptLimit;
  readonly maxTokens: number;
  readonly draftTokensMax: number;
  readonly localDrafter: string | null;
}

/** One drafter on one data set. */
export interface DrafterLine {
  readonly set: string;
  readonly drafter: string;
  readonly outputs: number;
  /** Tokens per round. */
  readonly acceptedLength: number;
  /** Chance that a token that was drafted and reached is right; NaN without drafts. */
  readonly alpha: number;
  /** Share of rounds that had a draft at all. */
  readonly draftedShare: number;
  /** Chance at each position, given that those before it were right. */
  readonly byPosition: readonly number[];
  /** How often each position was reached. */
  readonly reached: readonly number[];
  /** Drafting time per token, median over rounds, ms. */
  readonly tdMs: number;
}

export interface DraftersReport {
  readonly model: string;
  readonly maxTokens: number;
  readonly draftTokensMax: number;
  readonly environment: Environment;
  readonly lines: readonly DrafterLine[];
  readonly goals: readonly Goal[];
}

export async function runDraftersBench(options: DraftersOptions): Promise<DraftersReport> {
  const { print, draftTokensMax } = options;
  const environment = readEnvironment();
  const prepared = await prepareTasks({ ...options, modelPath: options.model.path });
  print('the target answers ...');
  const { outputs, tokenizer } = await plainOutputs(options, prepared);
  if (options.lm === null) print('there is no local drafter: only copying is measured');
  const lines: DrafterLine[] = [];
  for (const { name, draftLength, open } of drafterKinds(options, print)) {
    print(`replaying ${name} ...`);
    for (const [set, ofSet] of outputs) {
      const drafter = await open(tokenizer);
      const policy: DraftPolicy = { drafter: 'auto', draftLength };
      const totals = newReplayTotals();
      for (const output of ofSet)
        await replayOutput(drafter, output, { draftTokensMax, policy, roundMs: toldRoundMs }, totals);
      await drafter.dispose();
      lines.push(lineOf(set, name, ofSet.length, totals));
    }
  }
  const { model, maxTokens } = options;
  const conditions = { model: model.name, maxTokens, draftTokensMax, environment };
  const report = { ...conditions, lines, goals: drafterGoals(lines) };
  print(`\n${draftersText(report, plainTable)}\n`);
  await publish(options, {
    json: { claim: 'drafters', reports: [report] },
    sections: draftersSections([report]),
  });
  return report;
}

export function draftersSections(reports: readonly DraftersReport[]): Section[] {
  return reports.map((report) => ({
    key: 'drafters',
    title: 'Drafters',
    body: draftersText(report, markdownTable),
    plots: acceptancePlots(report.lines),
  }));
}

interface DrafterKind {
  readonly name: string;
  /** Read by the planner alone; the others draft as far as they are asked. */
  readonly draftLength: DraftPolicy['draftLength'];
  readonly open: (tokenizer: Tokenizer) => Promise<Drafter>;
}

/** Each source alone, the planner with both at one length, and with the lengths that it chooses itself. */
function drafterKinds(
  { lm, draftTokensMax }: { lm: LocalDraft; draftTokensMax: number },
  print: (line: string) => void,
): DrafterKind[] {
  const { now } = systemClock;
  const ngram = async (): Promise<Drafter> => createSuffixDrafter({ now });
  const copying = { name: 'ngram', draftLength: draftTokensMax, open: ngram };
  if (lm === null) return [copying];
  const auto = async (tokenizer: Tokenizer): Promise<Drafter> =>
    createDraftPlanner({
      none: createNoneDrafter(),
      ngram: await ngram(),
      models: [await lm(tokenizer)],
      onFailure: (source, error) => print(`${source} failed: ${String(error)}`),
    });
  return [
    copying,
    { name: 'head', draftLength: draftTokensMax, open: lm },
    { name: 'auto', draftLength: draftTokensMax, open: auto },
    { name: 'auto, own length', draftLength: 'auto', open: auto },
  ];
}

/** The target's own answers by data set, without those that loop. */
async function plainOutputs(
  options: DraftersOptions,
  { tasks }: PreparedTasks,
): Promise<{ outputs: Map<string, KnownOutput[]>; tokenizer: Tokenizer }> {
  const cluster = await startCluster(options, 1, noDelay);
  try {
    const gateway = await cluster.openDirectGateway();
    const outputs = new Map<string, KnownOutput[]>();
    for (const { set, id, promptIds } of tasks) {
      const { ids } = await generate(gateway, {
        ...{ promptIds, maxTokens: options.maxTokens, prediction: null },
        speculation: { drafter: 'none', draftLength: 0 },
      });
      if (ids.length < 2 || repetitionPeriod(ids) > 0) continue;
      outputs.set(set, [...(outputs.get(set) ?? []), { id, promptIds, ids }]);
    }
    return { outputs, tokenizer: gateway.tokenizer };
  } finally {
    await cluster.close();
  }
}

export function lineOf(set: string, drafter: string, outputs: number, totals: ReplayTotals): DrafterLine {
  const { counters, rounds, tokens, tokenMs } = totals;
  const reached = [...counters.offeredAt];
  const accepted = reached.map((_, i) => counters.acceptedAt[i] ?? 0);
  const stopped = reached.map((offered, i) => ({ drafted: offered, accepted: accepted[i] }));
  const offers = stopped.reduce((total, position) => total + position.drafted, 0);
  return {
    ...{ set, drafter, outputs, reached, acceptedLength: tokens / rounds },
    alpha: accepted.reduce((total, right) => total + right, 0) / offers,
    draftedShare: tokenMs.length / rounds,
    byPosition: stopped.map((position) => position.accepted / position.drafted),
    tdMs: median(tokenMs),
  };
}

/** Promised of the trained head: alone at the first position, and behind copying over all. */
export function drafterGoals(lines: readonly DrafterLine[]): Goal[] {
  const of = (set: string, drafter: string): DrafterLine | undefined =>
    lines.find((line) => line.set === set && line.drafter === drafter);
  return [
    atLeast(
      'HumanEval: head alone, first position',
      of('humaneval', 'head')?.byPosition[0] ?? Number.NaN,
      0.72,
    ),
    atLeast('GSM8K: head alone, first position', of('gsm8k', 'head')?.byPosition[0] ?? Number.NaN, 0.68),
    atLeast('HumanEval: head behind copying, alpha', of('humaneval', 'auto')?.alpha ?? Number.NaN, 0.82),
    atLeast('GSM8K: head behind copying, alpha', of('gsm8k', 'auto')?.alpha ?? Number.NaN, 0.73),
  ];
}

function draftersText(
  { model, maxTokens, draftTokensMax, environment, lines, goals }: DraftersReport,
  draw: (table: Table) => string,
): string {
  const positions = Array.from({ length: draftTokensMax }, (_, i) => `p${i + 1}`);
  return [
    `${model}, greedy, at most ${maxTokens} tokens, drafts of up to ${draftTokensMax}; replayed on the ` +
      `target's own answers, cold; ${environment.cpu} x ${environment.cores}, load ${cell(environment.loadAverage, 2)}, ` +
      `commit ${environment.commit ?? 'unknown'}, ${environment.date}. pK = chance that token K of a draft is right, given those ` +
      `before; E = tokens per round; td = time per drafted token, median.\n`,
    draw({
      textColumns: 2,
      header: ['set', 'drafter', 'n', 'E', 'alpha', 'rounds with a draft', 'td, ms', ...positions],
      rows: lines.map((line) => [
        line.set,
        line.drafter,
        String(line.outputs),
        cell(line.acceptedLength, 2),
        cell(line.alpha, 2),
        `${cell(100 * line.draftedShare)} %`,
        cell(line.tdMs, 2),
        ...positions.map((_, i) => cell(line.byPosition[i] ?? Number.NaN, 2)),
      ]),
    }),
    '',
    draw(goalTable(goals)),
  ].join('\n');
}

function acceptancePlots(lines: readonly DrafterLine[]): Plot[] {
  return [...Map.groupBy(lines, ({ set }) => set)].map(([set, ofSet]) => {
    const title = `${set}: acceptance by position of the draft`;
    const series = ofSet.map(({ drafter, byPosition }) => ({
      name: drafter,
      points: byPosition.map((chance, i) => [i + 1, chance] as const),
    }));
    const y = { label: 'chance, given that all before are right', upTo: 1 };
    const svg = lineChart({ title, x: { label: 'position' }, y, series });
    return { name: plotName('acceptance', set), title, svg };
  });
}
