/**
 * `bench peer`: the same prompts through llama.cpp's server over its rpc-servers behind links of the same delay, plain
 * and with each of its drafters that needs no second model, beside our own. One thread per stage on both sides, the same
 * machine, one run. Its texts are not compared: its arithmetic is another.
 */

import { type PreparedTasks, prepareTasks } from './bench-tasks.ts';
import type { PromptLimit } from './data-set.ts';
import { startDelayLinks } from './delay-links.ts';
import { benchSeed, type DelayedOptions, type DelayedRun, measureDelayed } from './delayed-run.ts';
import { type Environment, readEnvironment } from './environment.ts';
import { atLeast, type Goal, goalTable } from './goals.ts';
import { ringConditions, withKept } from './kept-reports.ts';
import { type LlamaPrograms, type LlamaServer, startRpcStages } from './llama-cpp.ts';
import { plainChain, speculative } from './modes.ts';
import { plotName } from './plot-files.ts';
import { type Publication, publish, type Section } from './publish.ts';
import { sum } from './statistics.ts';
import { cell, markdownTable, plainTable, type Table } from './table.ts';

const ours = [
  plainChain,
  speculative('head sync', { drafter: 'auto', rounds: 'sync', preDrafting: false }),
  speculative('head async', { drafter: 'auto', rounds: 'async' }),
];

const peerPlain = 'llama.cpp plain';
/** Prompts of each set that it answers plainly: the slowest way, and one token costs what another does. */
const peerPlainPrompts = 2;

/** Its best settings for answers of about 100 tokens, found by trying: its defaults draft next to nothing there. */
const peerModes: readonly (readonly [name: string, flags: readonly string[]])[] = [
  [peerPlain, []],
  ['llama.cpp ngram-simple 3/8', simple(8)],
  ['llama.cpp ngram-simple 3/16', simple(16)],
  [
    'llama.cpp ngram-mod 4/8',
    [
      ...['--spec-type', 'ngram-mod', '--spec-ngram-mod-n-match', '4'],
      ...['--spec-ngram-mod-n-min', '1', '--spec-ngram-mod-n-max', '8'],
    ],
  ],
];

/** Ours over its best, by data set; stated for four stages and t1 = 15 ms. */
const bounds: Readonly<Record<string, number>> = { humaneval: 3, gsm8k: 3, edit: 2.5 };
const boundT1Ms = 15;
const boundWorkers = 4;

function simple(draftMax: number): string[] {
  return [
    ...['--spec-type', 'ngram-simple', '--spec-ngram-simple-size-n', '3'],
    ...['--spec-ngram-simple-size-m', String(draftMax)],
  ];
}

export interface PeerOptions extends Omit<DelayedOptions, 'modes'>, Publication, LlamaPrograms {
  readonly t1Ms: readonly number[];
  readonly workers: number;
  readonly dataPaths: readonly string[];
  readonly limit: PromptLimit;
}

/** One answer of either system. */
export interface PeerRun {
  readonly set: string;
  readonly prompt: string;
  readonly mode: string;
  /** First token to last: tokens after the first, and their time. */
  readonly decodeTokens: number;
  readonly decodeMs: number;
  /** Passes of the target that they took; null where it is not told. */
  readonly passes: number | null;
}

export interface PeerLine {
  readonly set: string;
  readonly mode: string;
  readonly outputs: number;
  readonly tokensPerSecond: number;
  readonly tokensPerPass: number;
}

export interface PeerReport extends Pick<DelayedRun, 'differences' | 'oneWay'> {
  readonly askedT1Ms: number;
  readonly workers: number;
  readonly environment: Environment;
  readonly lines: readonly PeerLine[];
  readonly goals: readonly Goal[];
  readonly runs: readonly PeerRun[];
}

export async function runPeerBench(options: PeerOptions): Promise<PeerReport[]> {
  const prepared = await prepareTasks({ ...options, modelPath: options.model.path });
  const measured: PeerReport[] = [];
  for (const askedT1Ms of options.t1Ms) {
    const report = await compareAt(options, prepared, askedT1Ms);
    options.print(`\n${peerText(report, plainTable)}\n`);
    measured.push(report);
    const reports = await withKept(options.jsonPath, { claim: 'peer', reports: measured }, ringConditions);
    await publish(options, { json: { claim: 'peer', reports }, sections: peerSections(reports) });
  }
  return measured;
}

export function peerSections(reports: readonly PeerReport[]): Section[] {
  return [...Map.groupBy(reports, ({ workers }) => workers)].map(([workers, ofRing]) => ({
    key: plotName('peer', workers),
    title: `Beside llama.cpp over its rpc-servers: ${workers} stages`,
    body: ofRing.map((report) => peerText(report, markdownTable)).join('\n\n'),
    plots: [],
  }));
}

async function compareAt(
  options: PeerOptions,
  prepared: PreparedTasks,
  askedT1Ms: number,
): Promise<PeerReport> {
  const { workers } = options;
  const environment = readEnvironment();
  const shape = { delayMs: askedT1Ms, mbit: null, jitterMs: 0, seed: benchSeed };
  const measured = await measureDelayed(
    { ...options, modes: ours },
    prepared,
    { workers, shape },
    async () => ({}),
  );
  const links = await startDelayLinks(shape);
  let theirs: PeerRun[];
  try {
    theirs = await askPeer(options, prepared, links);
  } finally {
    await links.close();
  }
  const looping = new Set(measured.runs.filter(({ repeating }) => repeating).map(({ prompt }) => prompt));
  const runs = [
    ...measured.runs.map(({ set, prompt, mode, decodeTokens, decodeMs, rounds }) => ({
      ...{ set, prompt, mode, decodeTokens, decodeMs, passes: rounds.length },
    })),
    ...theirs,
  ].filter(({ prompt, decodeTokens }) => !looping.has(prompt) && decodeTokens > 0);
  const lines = peerLines(runs);
  const goals = askedT1Ms === boundT1Ms && workers === boundWorkers ? peerGoals(lines) : [];
  const { differences, oneWay } = measured;
  return { askedT1Ms, workers, environment, differences, oneWay, lines, goals, runs };
}

/** Setting by setting, since each needs a server of its own. */
async function askPeer(
  options: PeerOptions,
  { tasks }: PreparedTasks,
  links: Awaited<ReturnType<typeof startDelayLinks>>,
): Promise<PeerRun[]> {
  const { print, model, workers, maxTokens } = options;
  const runs: PeerRun[] = [];
  const stages = await startRpcStages(options, links, workers);
  try {
    for (const [mode, flags] of peerModes) {
      print(`${mode}: starting, weights go over the links ...`);
      const server = await stages.startServer(model.path, flags);
      const asked = mode === peerPlain ? firstOfSets(tasks, peerPlainPrompts) : tasks;
      try {
        for (let repeat = 0; repeat < options.repeats; repeat++)
          runs.push(...(await askAll(server, mode, asked, maxTokens)));
      } finally {
        await server.close();
      }
    }
  } finally {
    await stages.close();
  }
  return runs;
}

function firstOfSets(tasks: PreparedTasks['tasks'], count: number): PreparedTasks['tasks'] {
  return [...Map.groupBy(tasks, ({ set }) => set).values()].flatMap((ofSet) => ofSet.slice(0, count));
}

async function askAll(
  server: LlamaServer,
  mode: string,
  tasks: PreparedTasks['tasks'],
  maxTokens: number,
): Promise<PeerRun[]> {
  const runs: PeerRun[] = [];
  for (const { set, id: prompt, text } of tasks) {
    const { tokens, decodeMs, accepted } = await server.answer(text, maxTokens);
    const decodeTokens = tokens - 1;
    runs.push({
      set,
      prompt,
      mode,
      decodeTokens,
      decodeMs,
      passes: accepted === null ? null : decodeTokens - accepted,
    });
  }
  return runs;
}

/** Sums over all tokens of a set and mode. */
export function peerLines(runs: readonly PeerRun[]): PeerLine[] {
  return [...Map.groupBy(runs, ({ set, mode }) => JSON.stringify([set, mode])).values()].map((group) => {
    const { set, mode } = group[0];
    const tokens = sum(group.map(({ decodeTokens }) => decodeTokens));
    const passes = group.map((run) => run.passes);
    return {
      ...{ set, mode, outputs: group.length },
      tokensPerSecond: (1000 * tokens) / sum(group.map(({ decodeMs }) => decodeMs)),
      tokensPerPass: passes.includes(null) ? Number.NaN : tokens / sum(passes.map(Number)),
    };
  });
}

export function peerGoals(lines: readonly PeerLine[]): Goal[] {
  const best = (set: string, peer: boolean): number =>
    Math.max(
      ...lines
        .filter((line) => line.set === set && line.mode.startsWith('llama.cpp') === peer)
        .map(({ tokensPerSecond }) => tokensPerSecond),
    );
  return Object.entries(bounds).map(([set, bound]) =>
    atLeast(`${set}: ours over the best of llama.cpp`, best(set, false) / best(set, true), bound),
  );
}

function peerText(
  { askedT1Ms, workers, environment, oneWay, lines, goals }: PeerReport,
  draw: (table: Table) => string,
): string {
  return [
    `t1 ${askedT1Ms} ms (measured ${cell(oneWay.t1Ms, 2)}), ${workers} stages of one thread on either side; ` +
      `${environment.cpu} x ${environment.cores}, load ${cell(environment.loadAverage, 2)}, ` +
      `commit ${environment.commit ?? 'unknown'}, ${environment.date}\n`,
    draw({
      textColumns: 2,
      header: ['set', 'mode', 'n', 'tok/s', 'tokens per pass'],
      rows: lines
        .toSorted((a, b) => a.set.localeCompare(b.set))
        .map((line) => [
          line.set,
          line.mode,
          String(line.outputs),
          cell(line.tokensPerSecond, 1),
          cell(line.tokensPerPass, 2),
        ]),
    }),
    '',
    goals.length === 0 ? '' : draw(goalTable(goals)),
  ].join('\n');
}
