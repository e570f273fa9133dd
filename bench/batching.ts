/**
 * `bench batching`: what company in a pass saves. The whole model in one thread, without workers and links: rows of
 * several sessions one by one and in one pass, and what either form of graphs takes in memory and in time.
 */
import { childEnvironment } from '../src/config.ts';
import { readGguf } from '../src/models/gguf.ts';
import { modelDims } from '../src/models/model-dims.ts';
import type { PackedShard } from '../src/models/pack.ts';
import { packRange, proveShard } from '../src/worker-node.ts';
import type { BatchingCalls } from './batching-process.ts';
import type { ClusterModel } from './cluster.ts';
import { type Environment, readEnvironment } from './environment.ts';
import { type Callee, forkCallee } from './process-calls.ts';
import { type Publication, publish, type Section } from './publish.ts';
import { cell, markdownTable, plainTable, type Table } from './table.ts';

const sweptSessions = [1, 2, 4, 8];
const sweptRows = [1, 4, 8];
/** Of every session before the pass: a usual chat. */
const pastPositions = 256;

export interface BatchingOptions extends ClusterModel, Publication {
  readonly repeats: number;
}

interface BatchingLine {
  readonly sessions: number;
  readonly rows: number;
  /** Medians, ms. */
  readonly oneByOneMs: number;
  readonly togetherMs: number;
}

interface FormMemory {
  readonly form: 'one session' | 'several sessions' | 'both';
  readonly residentBytes: number;
}

export interface BatchingReport {
  readonly environment: Environment;
  readonly model: string;
  readonly minRows: number;
  readonly repeats: number;
  readonly weightBytes: number;
  readonly lines: readonly BatchingLine[];
  readonly memory: readonly FormMemory[];
}

export async function runBatchingBench(options: BatchingOptions): Promise<BatchingReport> {
  const environment = readEnvironment();
  const dims = modelDims(await readGguf(options.model.path));
  const range = { start: 0, end: dims.layers };
  const signal = new AbortController().signal;
  const pack = await packRange({ ...options, range, signal, onProgress: () => {} });
  const { minRows, shareable } = await proveShard(pack, 1);
  if (!shareable) options.print('company changes bits on this machine: its workers run one session a pass');
  const memory: FormMemory[] = [];
  let lines: BatchingLine[] = [];
  for (const form of ['one session', 'several sessions', 'both'] as const) {
    const callee = forkCallee<BatchingCalls>(
      new URL('./batching-process.ts', import.meta.url),
      childEnvironment({}),
    );
    try {
      const graphs = graphsOf(pack, form);
      const residentBytes = await callee.call('load', { graphs, dims, range, minRows, past: pastPositions });
      memory.push({ form, residentBytes });
      if (form === 'both') lines = await measure(callee, options);
    } finally {
      await callee.close();
    }
  }
  const { weightBytes } = pack;
  const { repeats } = options;
  const report = { environment, model: options.model.name, minRows, repeats, weightBytes, lines, memory };
  options.print(`\n${batchingText(report, plainTable)}\n`);
  await publish(options, {
    json: { claim: 'batching', reports: [report] },
    sections: batchingSections([report]),
  });
  return report;
}

export function batchingSections(reports: readonly BatchingReport[]): Section[] {
  return reports.map((report) => ({
    key: 'batching',
    title: 'Batching: several sessions in one pass',
    body: batchingText(report, markdownTable),
    plots: [],
  }));
}

function graphsOf({ onnxPath, shared }: PackedShard, form: FormMemory['form']): PackedShard['shared'][] {
  const one = { onnxPath, slots: 1 };
  switch (form) {
    case 'one session':
      return [one];
    case 'several sessions':
      return [shared];
    case 'both':
      return [one, shared];
  }
}

async function measure(
  callee: Callee<BatchingCalls>,
  { repeats, print }: BatchingOptions,
): Promise<BatchingLine[]> {
  const lines: BatchingLine[] = [];
  for (const sessions of sweptSessions) {
    for (const rows of sweptRows) {
      const [oneByOneMs, togetherMs] = await callee.call('measure', { sessions, rows, repeats });
      lines.push({ sessions, rows, oneByOneMs, togetherMs });
      print(
        `${sessions} sessions x ${rows} rows: ${cell(oneByOneMs, 1)} ms, ${cell(togetherMs, 1)} together`,
      );
    }
  }
  return lines;
}

function batchingText(report: BatchingReport, draw: (table: Table) => string): string {
  const { environment, model, minRows, repeats, weightBytes, lines, memory } = report;
  const megabytes = (bytes: number): string => `${cell(bytes / 1e6)} MB`;
  return [
    `${model}, whole, one thread, ${pastPositions} positions behind every session, at least ${minRows} row(s) a pass, medians of ` +
      `${repeats} passes; ${environment.cpu} x ${environment.cores}, load ${cell(environment.loadAverage, 2)}, ` +
      `commit ${environment.commit ?? 'unknown'}, ${environment.date}\n`,
    'Processor time of all rows. One by one: the graph of one session, once for each. Together: one pass of the graph of several ' +
      'sessions; with a single session, what that graph costs more.\n',
    draw({
      textColumns: 0,
      header: ['sessions', 'rows each', 'one by one, ms', 'together, ms', 'factor'],
      rows: lines.map(({ sessions, rows, oneByOneMs, togetherMs }) => [
        ...[String(sessions), String(rows), cell(oneByOneMs, 1), cell(togetherMs, 1)],
        `${cell(oneByOneMs / togetherMs, 2)}x`,
      ]),
    }),
    '',
    `Resident memory that the graphs add to a process, for ${megabytes(weightBytes)} of weights.\n`,
    draw({
      textColumns: 1,
      header: ['graph of', 'added'],
      rows: memory.map(({ form, residentBytes }) => [form, megabytes(residentBytes)]),
    }),
  ].join('\n');
}
