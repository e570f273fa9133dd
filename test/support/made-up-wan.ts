/** A wan report of made-up runs whose rounds take exactly what the formula says: tv(rows) = 10 + 2 rows. */
import type { ModeRun } from '../../bench/mode-runs.ts';
import { summariseModes } from '../../bench/mode-summary.ts';
import { spreadOf } from '../../bench/statistics.ts';
import { wanGoals } from '../../bench/wan-goals.ts';
import { wanModes } from '../../bench/wan-modes.ts';
import type { WanReport } from '../../bench/wan-report.ts';

export const t1Ms = 15;
export const workers = 4;
/** tv(rows) = 10 + 2 rows. */
const passMs = (rows: number): number => 10 + 2 * rows;

/** Rounds that take exactly what the formula says; drafted and accepted tokens per round. */
function run(prompt: string, mode: string, drafts: readonly (readonly [number, number])[]): ModeRun {
  const hops = mode === 'plain star' ? 2 * workers : workers + 1;
  const rounds = drafts.map(([drafted, accepted]) => ({
    ...{ rows: drafted + 1, drafted, accepted, committed: accepted + 1, source: 'ngram' },
    ...{ draftMs: 1, roundMs: hops * t1Ms + passMs(drafted + 1), computeMs: passMs(drafted + 1) },
    ...{ queueMs: 0, linkBytes: 100, opening: false, fromIdle: true, prepared: null },
    ...{
      predictedMs: 0,
      othersRows: 0,
      othersPrompts: 0,
      frames: 1,
      answeredRows: drafted + 1,
      stagesMs: Array<number>(workers).fill(passMs(drafted + 1) / workers),
    },
  }));
  return {
    ...{ set: 'gsm8k', prompt, kind: 'maths', mode, repeat: 0, promptTokens: 20, ids: [] },
    ...{ repeating: false, firstTokenMs: 200, rounds },
    spills: false,
    leniency: { judged: 0, kept: 0, distortion: 0 },
    decodeMs: rounds.reduce((total, { draftMs, roundMs }) => total + draftMs + roundMs, 0),
    decodeTokens: rounds.reduce((total, { committed }) => total + committed, 0),
  };
}

const plainRounds = Array.from({ length: 8 }, () => [0, 0] as const);
export const madeUpRuns = [
  run('a', 'plain chain', plainRounds),
  run('a', 'plain star', plainRounds),
  run('a', 'text sync', [
    [4, 4],
    [4, 2],
  ]),
  { ...run('b', 'plain chain', plainRounds), repeating: true },
];

export function wanReport(settings: Partial<WanReport['settings']> = {}): WanReport {
  const spread = spreadOf([0.9]);
  const report: Omit<WanReport, 'goals'> = {
    claim: 'wan',
    settings: {
      ...{ model: 'made-up', modelSha256: '0', quantisation: 'native', workers, layers: ['[0, 8)'] },
      ...{
        t1Ms,
        rings: 1,
        mbit: null,
        jitterMs: 0,
        maxTokens: 96,
        repeats: 1,
        limit: { each: null, only: null },
        temperature: 0,
      },
      ...{ modes: wanModes, localDrafter: null },
      ...settings,
    },
    environment: {
      ...{ date: '2026-01-01T00:00:00.000Z', cpu: 'a CPU', cores: 2, memoryBytes: 1, platform: 'linux' },
      ...{ node: '24.0.0', onnxRuntime: '1.30.0', commit: null, loadAverage: 0.1 },
    },
    loadAverageAfter: 1,
    wording: { gsm8k: '{question}' },
    oneWay: { before: 15, during: 15, after: 15, t1Ms: 15 },
    traffic: [],
    summaries: summariseModes(madeUpRuns, { modes: wanModes, workers, t1Ms }),
    hopOverheadMs: spread,
    singleWorker: { gatewayTokensPerSecond: spread, bareTokensPerSecond: spread, share: spread },
    differences: [],
    runs: madeUpRuns,
  };
  return { ...report, goals: wanGoals(report) };
}
