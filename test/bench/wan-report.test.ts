/** Summaries, goals and text of a made-up run whose numbers can be worked out by hand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModeRun } from '../../bench/mode-runs.ts';
import { fitPassMs, summariseModes } from '../../bench/mode-summary.ts';
import { spreadOf } from '../../bench/statistics.ts';
import { formulaDeviation, wanGoals } from '../../bench/wan-goals.ts';
import { wanModes } from '../../bench/wan-modes.ts';
import type { WanReport } from '../../bench/wan-report.ts';
import { wanMarkdown, wanPlainText } from '../../bench/wan-text.ts';

const t1Ms = 15;
const workers = 4;
/** tv(rows) = 10 + 2 rows. */
const passMs = (rows: number): number => 10 + 2 * rows;

/** Rounds that take exactly what the formula says; drafted and accepted tokens per round. */
function run(prompt: string, mode: string, drafts: readonly (readonly [number, number])[]): ModeRun {
  const hops = mode === 'plain star' ? 2 * workers : workers + 1;
  const rounds = drafts.map(([drafted, accepted]) => ({
    ...{ rows: drafted + 1, drafted, accepted, committed: accepted + 1, source: 'ngram' },
    ...{ draftMs: 1, roundMs: hops * t1Ms + passMs(drafted + 1), computeMs: passMs(drafted + 1) },
    ...{ queueMs: 0, linkBytes: 100, opening: false, fromIdle: true },
    ...{ frames: 1, answeredRows: drafted + 1, slowestMs: passMs(drafted + 1) / workers },
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
const runs = [
  run('a', 'plain chain', plainRounds),
  run('a', 'plain star', plainRounds),
  run('a', 'text sync', [
    [4, 4],
    [4, 2],
  ]),
  { ...run('b', 'plain chain', plainRounds), repeating: true },
];

test('fitPassMs finds the line behind the rounds', () => {
  const { intercept, slope } = fitPassMs(runs);
  assert.ok(Math.abs(intercept - 10) < 1e-9 && Math.abs(slope - 2) < 1e-9);
});

test('summariseModes counts what happened and the formula agrees with rounds that follow it', () => {
  const [plain, star, speculative] = summariseModes(runs, { modes: wanModes, workers, t1Ms });
  assert.deepEqual([plain.outputs, plain.looping], [1, 1]);
  assert.ok(Math.abs(plain.measuredMsPerToken - 88) < 1e-9);
  assert.ok(Math.abs(star.measuredMsPerToken - 133) < 1e-9);
  assert.ok(Math.abs(star.speedUp - 88 / 133) < 1e-9);
  assert.deepEqual([speculative.acceptedLength, speculative.draftLength, speculative.rounds], [4, 4, 2]);
  assert.equal(speculative.alpha, 6 / 7);
  assert.equal(speculative.bytesPerToken, 25);
  assert.ok(Math.abs(speculative.measuredMsPerToken - 24) < 1e-9);
  assert.ok(Math.abs(speculative.speedUp - 88 / 24) < 1e-9);
  for (const line of [plain, star, speculative]) {
    assert.ok(formulaDeviation(line) < 1e-9);
  }
});

function reportOf(settings: Partial<WanReport['settings']> = {}): WanReport {
  const spread = spreadOf([0.9]);
  const report: Omit<WanReport, 'goals'> = {
    claim: 'wan',
    settings: {
      ...{ model: 'made-up', modelSha256: '0', quantisation: 'native', workers, layers: ['[0, 8)'] },
      ...{ t1Ms, mbit: null, jitterMs: 0, maxTokens: 96, repeats: 1, limit: null, temperature: 0 },
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
    summaries: summariseModes(runs, { modes: wanModes, workers, t1Ms }),
    hopOverheadMs: spread,
    singleWorker: { gatewayTokensPerSecond: spread, bareTokensPerSecond: spread, share: spread },
    differences: [],
    runs,
  };
  return { ...report, goals: wanGoals(report) };
}

test('wanGoals judges what was measured and misses what was not', () => {
  const met = new Map(reportOf().goals.map((goal) => [goal.name, goal.met]));
  assert.equal(met.get('chain over star, plain'), true);
  assert.equal(met.get('GSM8K, text drafts, synchronous'), true);
  assert.equal(met.get('HumanEval, synchronous'), false);
  assert.equal(met.get('formula against measurement, worst synchronous line'), true);
});

test('wanGoals states speed goals only for their own conditions', () => {
  for (const other of [{ t1Ms: 5 }, { workers: 2 }, { mbit: 20 }]) {
    assert.ok(!reportOf(other).goals.some(({ name }) => name === 'GSM8K, text drafts, synchronous'));
  }
});

test('wanPlainText and wanMarkdown carry conditions, speed-up and wording', () => {
  for (const text of [wanPlainText(reportOf()), wanMarkdown(reportOf())]) {
    for (const part of ['a CPU x 2', 't1 15 ms (measured 15.00)', '3.67x', '{question}', 'not measured']) {
      assert.ok(text.includes(part), part);
    }
  }
});
