/** The trace follows from its seed, figures from the answers, and goals from the lines. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LoadAnswer } from '../../bench/load-drive.ts';
import { loadGoals } from '../../bench/load-goals.ts';
import {
  differingAnswers,
  type LoadLine,
  linesBelowKnee,
  meanAnswerTokens,
  summariseLoad,
} from '../../bench/load-summary.ts';
import { arrivalsMs, traceOf } from '../../bench/load-trace.ts';
import type { BenchTask } from '../../bench/mode-runs.ts';

const tasks = Array.from({ length: 6 }, (_, i): BenchTask => {
  const promptIds = Array.from({ length: 40 + i }, (_, at) => 100 * i + at);
  return { id: `own/${i}`, kind: 'code', text: '', set: 'own', promptIds };
});

test('a trace is mixed, follows from its seed, and names equal requests equally', () => {
  const trace = traceOf(tasks, 1);
  const again = traceOf(tasks, 1);
  const requests = Array.from({ length: 400 }, (_, place) => trace(place));
  assert.deepEqual(requests[17], again(17));
  assert.notDeepEqual(
    requests.slice(0, 20),
    Array.from({ length: 20 }, (_, at) => traceOf(tasks, 2)(at)),
  );
  const share = (of: (request: (typeof requests)[number]) => boolean): number =>
    requests.filter(of).length / requests.length;
  assert.ok(Math.abs(share(({ maxTokens }) => maxTokens > 50) - 0.5) < 0.1);
  assert.ok(Math.abs(share(({ promptIds }) => promptIds.length > 100) - 0.25) < 0.1);
  for (const [, same] of Map.groupBy(requests, ({ name }) => name))
    for (const { promptIds } of same) assert.deepEqual(promptIds, same[0]!.promptIds);
});

test('arrivals are exponential at the rate', () => {
  const times = arrivalsMs(20, 100_000, 3);
  assert.ok(Math.abs(times.length - 2000) < 150, `${times.length}`);
  const gaps = times.slice(1).map((time, i) => time - times[i]!);
  const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
  const deviation = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length);
  assert.ok(Math.abs(deviation / mean - 1) < 0.1, `${deviation / mean}`);
  assert.deepEqual(times, arrivalsMs(20, 100_000, 3));
});

/** First token after 100 ms, then one every 50. */
function answer(name: string, ids: readonly number[], arrivedMs: number, finished = true): LoadAnswer {
  const commitsMs = ids.map((_, i) => arrivedMs + 100 + 50 * i);
  const latencyMs = finished ? 100 + 50 * (ids.length - 1) : Number.NaN;
  return {
    name,
    kind: 'code',
    ids,
    firstTokenMs: 100,
    latencyMs,
    commitsMs,
    finished,
    failure: null,
    predictedMs: latencyMs,
    sample: null,
  };
}

const ids = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

test('a line counts tokens behind the settling time and good answers', () => {
  const answers = [answer('a', ids(20), 0), answer('b', ids(20), 2000), answer('c', ids(10), 3500, false)];
  const slow = { ...answer('d', ids(20), 1000), firstTokenMs: 3000 };
  const names = { load: '2 users', setup: 'x', amount: 2, t1Ms: 15, open: false };
  const run = { answers: [...answers, slow], windowMs: 4000, cpuShare: 0.5 };
  const line = summariseLoad(run, names);
  // Of a those after 1,000 ms (100 + 50 i), of c those before 4,000.
  assert.equal(line.tokensPerSecond, (2 + 20 + 8 + 20) / 3);
  assert.equal(line.perTokenMs.p50, 50);
  assert.equal(line.latencyMs.p50, 1050);
  assert.equal(line.goodPerSecond, 2 / 4);
  assert.equal(line.goodShare, 2 / 3);
  assert.equal(line.predictedRatio, 1);
  assert.equal(summariseLoad(run, { ...names, open: true }).goodShare, 2 / 4);
});

test('the length of answers is that of all that were asked for, not of those that were short enough to end', () => {
  const cutOff = answer('long', ids(3), 0, false);
  const runs = [
    { answers: [answer('short', ids(10), 0), cutOff], windowMs: 1000, cpuShare: 1 },
    { answers: [answer('long', ids(50), 0), answer('short', ids(10), 0)], windowMs: 9000, cpuShare: 1 },
  ];
  assert.equal(meanAnswerTokens(runs), 30);
  assert.equal(meanAnswerTokens([{ answers: [cutOff], windowMs: 1000, cpuShare: 1 }]), 60);
});

test('an answer that was cut off differs only where it says something else', () => {
  const whole = answer('a', ids(20), 0);
  assert.deepEqual(differingAnswers([[whole], [answer('a', ids(5), 0, false)]]), []);
  assert.deepEqual(differingAnswers([[whole], [answer('a', [0, 1, 7], 0, false)]]), ['a']);
  assert.deepEqual(differingAnswers([[answer('a', [0, 1, 7], 0, false), whole], [whole]]), ['a']);
});

function lineOf(setup: string, load: string, tokensPerSecond: number, predictedRatio = 1): LoadLine {
  const names = { load, setup, amount: Number.parseFloat(load), t1Ms: 15, open: load.endsWith('s') };
  const run = { answers: [answer('a', ids(20), 0)], windowMs: 4000, cpuShare: 0.5 };
  return {
    ...summariseLoad(run, names),
    tokensPerSecond,
    userTokensPerSecond: tokensPerSecond,
    predictedRatio,
  };
}

const ladder = [
  lineOf('plain', '1 user', 8),
  lineOf('speculative', '1 user', 12, 0.95),
  lineOf('speculative', '8 users', 40, 0.8),
  lineOf('speculative', '2 users', 22, 1.05),
  lineOf('speculative', '16 users', 30, 0.5),
  lineOf('speculative', '0.30 / s', 14, 1.02),
  lineOf('speculative', '1.10 / s', 39, 0.7),
  lineOf('laps', '1.10 / s', 10, 0.1),
  lineOf('single passes', '16 users', 20),
];

test('below the knee are the loads before the first that comes near the best, whatever falls back behind it', () => {
  const names = linesBelowKnee(ladder).map(({ load }) => load);
  assert.deepEqual(names, ['0.30 / s', '1 user', '2 users']);
});

test('goals are judged by their own lines, and say what was not measured', () => {
  const of = (lines: readonly LoadLine[]): Map<string, number> => {
    const goals = loadGoals({ workers: 4, t1Ms: 15, lines, differences: [], heldOut: null });
    return new Map(goals.map(({ name, measured }) => [name, measured]));
  };
  const goals = of(ladder);
  assert.equal(goals.get('8 speculative users over one plain, tokens/s'), 5);
  assert.equal(goals.get('16 users, shared passes over single ones, tokens/s'), 1.5);
  const furthest = goals.get('predicted mean latency below the knee, furthest from measured')!;
  assert.ok(Math.abs(furthest - 0.05) < 1e-9);
  assert.equal(goals.get('mean latency, laps over fcfs'), Number.NaN);
  for (const [name, measured] of of([]))
    if (!name.startsWith('requests')) assert.equal(measured, Number.NaN, name);
});
