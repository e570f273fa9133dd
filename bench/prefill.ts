/**
 * `bench prefill`: what a long prompt costs before its first token. Its chunks flow through the stages one behind the
 * other, against the same chunks one at a time, over sizes of chunks; and the second turn of a chat, which starts from
 * the rows of the first.
 */
import { randomUUID } from 'node:crypto';
import { frameRowsMax } from '../shards/frame.ts';
import { greedy } from '../shards/sampler.ts';
import type { Ring } from '../src/engine/ring.ts';
import { prefillChunkRows } from '../src/engine/session.ts';
import type { Serving } from '../src/serving.ts';
import { generate } from './bench-gateway.ts';
import { prepareTasks } from './bench-tasks.ts';
import { type ClusterModel, startCluster } from './cluster.ts';
import type { PromptLimit } from './data-set.ts';
import { benchSeed } from './delayed-run.ts';
import { type Environment, readEnvironment } from './environment.ts';
import { atLeast, atMost, type Goal, goalTable } from './goals.ts';
import { withKept } from './kept-reports.ts';
import { lineChart } from './plot.ts';
import { type Plot, plotName } from './plot-files.ts';
import { type Publication, publish, type Section } from './publish.ts';
import { median, type Spread, spreadOf } from './statistics.ts';
import { cell, markdownTable, plainTable, type Table } from './table.ts';

/** Rows of a chunk; the last is the longest that a frame may have. */
const sweptRows = [16, 32, 64, 128, 256, frameRowsMax];
/** A pass through the ring that has not ended by then is lost. */
const passMaxMs = 300_000;
/** Tokens that a first turn is answered with, and that the second asks in addition. */
const turnTokens = 32;

export interface PrefillOptions extends ClusterModel, Publication {
  readonly workers: number;
  readonly t1Ms: number;
  readonly promptTokens: number;
  readonly repeats: number;
  readonly dataPaths: readonly string[];
  readonly limit: PromptLimit;
}

interface ChunkLine {
  readonly rows: number;
  /** Time to the first token, ms. */
  readonly flowing: Spread;
  readonly oneByOne: Spread;
}

export interface PrefillReport {
  readonly workers: number;
  readonly t1Ms: number;
  readonly promptTokens: number;
  readonly repeats: number;
  readonly environment: Environment;
  readonly lines: readonly ChunkLine[];
  readonly turns: { readonly first: Spread; readonly second: Spread; readonly cachedTokens: number };
  readonly goals: readonly Goal[];
}

export async function runPrefillBench(options: PrefillOptions): Promise<PrefillReport> {
  const { workers, t1Ms, promptTokens, repeats, print } = options;
  const environment = readEnvironment();
  const { tasks } = await prepareTasks({
    ...options,
    modelPath: options.model.path,
    maxTokens: turnTokens,
  });
  const words = tasks.flatMap(({ promptIds }) => promptIds);
  /** Another text for every measurement, so that nothing is found in a cache that is not meant to be. */
  let asked = 0;
  const nextPrompt = (): number[] => {
    asked += 1;
    return Array.from({ length: promptTokens }, (_, i) => words[(i + 17 * asked) % words.length]!);
  };
  const shape = { delayMs: t1Ms, mbit: null, jitterMs: 0, seed: benchSeed };
  const cluster = await startCluster(options, workers, shape);
  try {
    const gateway = await cluster.openGateway('chain');
    const ring = cluster.ringOf(gateway);
    await firstTokenMs(ring, nextPrompt(), prefillChunkRows, true);
    const samples = sweptRows.map((rows) => ({ rows, flowing: [] as number[], oneByOne: [] as number[] }));
    // Sizes in turn, so that a machine that gets busy treats all alike.
    for (let repeat = 0; repeat < repeats; repeat++) {
      for (const { rows, flowing, oneByOne } of samples) {
        flowing.push(await firstTokenMs(ring, nextPrompt(), rows, true));
        oneByOne.push(await firstTokenMs(ring, nextPrompt(), rows, false));
        print(
          `chunks of ${rows}: ${cell(flowing.at(-1)!)} ms flowing, ${cell(oneByOne.at(-1)!)} ms one by one`,
        );
      }
    }
    const lines = samples.map(
      ({ rows, flowing, oneByOne }): ChunkLine => ({
        rows,
        flowing: spreadOf(flowing),
        oneByOne: spreadOf(oneByOne),
      }),
    );
    const turns = await measureTurns(gateway, nextPrompt, repeats);
    const goals = prefillGoals(promptTokens, lines, turns);
    const report = { workers, t1Ms, promptTokens, repeats, environment, lines, turns, goals };
    print(`\n${prefillText(report, plainTable)}\n`);
    const kept = await withKept(options.jsonPath, { claim: 'prefill', reports: [report] }, conditionsOf);
    await publish(options, { json: { claim: 'prefill', reports: kept }, sections: prefillSections(kept) });
    return report;
  } finally {
    await cluster.close();
  }
}

export function prefillSections(reports: readonly PrefillReport[]): Section[] {
  return reports.map((report) => ({
    key: plotName('prefill', report.workers, report.t1Ms),
    title: `Prefill: ${report.promptTokens} tokens, ${report.workers} workers, t1 = ${report.t1Ms} ms`,
    body: prefillText(report, markdownTable),
    plots: [prefillPlot(report)],
  }));
}

function conditionsOf({ workers, t1Ms, promptTokens }: PrefillReport): string {
  return `${workers} ${t1Ms} ${promptTokens}`;
}

/**
 * Time from the first chunk to the first token. Not flowing, every chunk asks for a verdict, and the next one waits for
 * it: each stage is idle while the others work.
 */
async function firstTokenMs(
  ring: Ring,
  promptIds: readonly number[],
  chunkRows: number,
  flowing: boolean,
): Promise<number> {
  const tail = {
    ...{ sampling: greedy, promptLength: promptIds.length, eosIds: [], minTokens: 0, ignoreEos: true },
  };
  let verdict = Promise.withResolvers<void>();
  const stream = ring.open(
    { session: randomUUID(), tail, adopt: null, remainingMs: passMaxMs },
    {
      onVerdict: () => verdict.resolve(),
      onGap: () => verdict.reject(new Error('a worker lost rows')),
      onError: (error) => verdict.reject(error),
    },
  );
  try {
    const startedMs = performance.now();
    for (let position = 0, round = 1; position < promptIds.length; position += chunkRows, round++) {
      const ids = Uint32Array.from(promptIds.slice(position, position + chunkRows));
      const last = position + chunkRows >= promptIds.length;
      const asks = last || !flowing;
      // The tail's own token is not what comes next in a prompt: a new epoch goes on all the same.
      const epoch = flowing ? 1 : round;
      stream.forward({ epoch, round, position, ids, headFrom: asks ? ids.length - 1 : ids.length });
      if (!asks) continue;
      await verdict.promise;
      verdict = Promise.withResolvers<void>();
    }
    return performance.now() - startedMs;
  } finally {
    stream.close('free');
  }
}

async function measureTurns(
  gateway: Serving,
  nextPrompt: () => number[],
  repeats: number,
): Promise<PrefillReport['turns']> {
  const first: number[] = [];
  const second: number[] = [];
  const cached: number[] = [];
  const settings = {
    ...{ maxTokens: turnTokens, prediction: null },
    speculation: { drafter: 'none', draftLength: 0 },
  } as const;
  for (let repeat = 0; repeat < repeats; repeat++) {
    const owner = randomUUID();
    const promptIds = nextPrompt();
    const one = await generate(gateway, { ...settings, promptIds, owner });
    first.push(one.firstTokenMs);
    const follow = [...promptIds, ...one.ids, ...nextPrompt().slice(0, turnTokens)];
    const two = await generate(gateway, { ...settings, promptIds: follow, owner });
    second.push(two.firstTokenMs);
    cached.push(two.cachedTokens);
  }
  return { first: spreadOf(first), second: spreadOf(second), cachedTokens: median(cached) };
}

function prefillGoals(
  promptTokens: number,
  lines: readonly ChunkLine[],
  turns: PrefillReport['turns'],
): Goal[] {
  const chosen = lines.find(({ rows }) => rows === prefillChunkRows);
  if (chosen === undefined) return [];
  const best = Math.min(...lines.map(({ flowing }) => flowing.median));
  const ownTime = chosen.flowing.median;
  const what = `prefill of ${promptTokens} tokens in chunks of ${chosen.rows}`;
  const unpipelined = Math.min(...lines.map(({ oneByOne }) => oneByOne.median));
  return [
    atLeast(`${what}, flowing over one by one`, chosen.oneByOne.median / ownTime, 2),
    atLeast(`${what}, flowing over the best size one by one`, unpipelined / ownTime, 2),
    atLeast(`${what}, share of the best size's speed`, best / ownTime, 0.95),
    atMost(
      `second turn of a chat over its first of ${promptTokens} tokens, time to first token`,
      turns.second.median / turns.first.median,
      0.25,
    ),
  ];
}

function prefillText(report: PrefillReport, draw: (table: Table) => string): string {
  const { workers, t1Ms, promptTokens, repeats, environment, lines, turns, goals } = report;
  return [
    `${promptTokens} prompt tokens, N = ${workers}, t1 ${t1Ms} ms, ${repeats} repeat(s); ${environment.cpu} x ${environment.cores}, ` +
      `load ${cell(environment.loadAverage, 2)}, commit ${environment.commit ?? 'unknown'}, ${environment.date}\n`,
    'Time to the first token, median and quartiles, ms. Flowing: chunks leave at once and follow one another through the stages. ' +
      'One by one: a chunk leaves when the one before has passed the tail.\n',
    draw({
      textColumns: 0,
      header: ['rows of a chunk', 'flowing', 'quartiles', 'one by one', 'quartiles', 'gain'],
      rows: lines.map(({ rows, flowing, oneByOne }) => [
        String(rows),
        ...timesOf(flowing),
        ...timesOf(oneByOne),
        `${cell(oneByOne.median / flowing.median, 2)}x`,
      ]),
    }),
    '',
    `A second turn (the first one's prompt of ${promptTokens} tokens, its answer of ${turnTokens} and ${turnTokens} more) starts from ${cell(turns.cachedTokens)} rows that are there.\n`,
    draw({
      textColumns: 1,
      header: ['turn', 'first token', 'quartiles'],
      rows: [
        ['first', ...timesOf(turns.first)],
        ['second', ...timesOf(turns.second)],
      ],
    }),
    '',
    draw(goalTable(goals)),
  ].join('\n');
}

function timesOf({ median, lowerQuartile, upperQuartile }: Spread): [string, string] {
  return [cell(median), `${cell(lowerQuartile)}-${cell(upperQuartile)}`];
}

function prefillPlot({ workers, t1Ms, promptTokens, lines }: PrefillReport): Plot {
  const title = `Time to first token of ${promptTokens} prompt tokens, ${workers} workers, t1 ${t1Ms} ms`;
  const svg = lineChart({
    title,
    x: { label: 'rows of a chunk', log: true },
    y: { label: 's' },
    series: [
      { name: 'flowing', points: lines.map(({ rows, flowing }) => [rows, flowing.median / 1000]) },
      { name: 'one by one', points: lines.map(({ rows, oneByOne }) => [rows, oneByOne.median / 1000]) },
    ],
  });
  return { name: plotName('prefill', workers, t1Ms), title, svg };
}
