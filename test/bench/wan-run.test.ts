/** The measuring loop over a made-up ring: modes, order, predictions, differences. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BenchAnswer, BenchRequest } from '../../bench/bench-gateway.ts';
import type { Topology } from '../../bench/formula.ts';
import { measureWan, type WanOptions, type WanTask } from '../../bench/wan-run.ts';

const output = Array.from({ length: 40 }, (_, i) => 1000 + i);

function answer(ids: readonly number[]): BenchAnswer {
  return { ids, firstTokenMs: 1, decodeMs: 10, decodeTokens: ids.length - 1, rounds: [] };
}

const task = (id: string, set: string): WanTask => ({ id, set, kind: 'code', text: '', promptIds: [1, 2] });

function optionsFor(
  tasks: readonly WanTask[],
  generate: (topology: Topology, request: BenchRequest) => BenchAnswer = () => answer(output),
): WanOptions {
  return {
    ...{ tasks, repeats: 1, maxTokens: 96, vocab: 49_152, seed: 1 },
    generate: async (topology, request) => generate(topology, request),
    onTask: async () => {},
  };
}

test('measureWan runs every mode on every prompt and turns their order', async () => {
  const asked: string[] = [];
  const { runs, differences } = await measureWan({
    ...optionsFor([task('a', 'gsm8k'), task('b', 'gsm8k')], (topology, { speculation }) => {
      asked.push(`${topology} ${speculation.drafter} ${speculation.draftLength}`);
      return answer(output);
    }),
    repeats: 2,
  });
  const order = ['chain none 0', 'star none 0', 'chain ngram auto'];
  assert.deepEqual(asked.slice(0, 6), [...order, ...order.slice(1), order[0]]);
  assert.equal(runs.length, 12);
  assert.deepEqual(differences, []);
});

test('measureWan predicts HumanEval outputs, exactly and with a few tokens changed', async () => {
  const predictions: (readonly number[] | null)[] = [];
  const { runs } = await measureWan(
    optionsFor([task('a', 'humaneval')], (_, { prediction }) => {
      predictions.push(prediction === null ? null : [...prediction]);
      return answer(output);
    }),
  );
  assert.deepEqual(
    runs.map(({ mode }) => mode),
    ['plain chain', 'plain star', 'speculative', 'prediction exact', 'prediction 5 % off'],
  );
  assert.deepEqual(predictions.slice(0, 3), [null, null, null]);
  assert.deepEqual(predictions[3], output);
  assert.notDeepEqual(predictions[4], output);
});

test('measureWan predicts neither short outputs nor loops, and marks the loops', async () => {
  const loop = [...output, ...Array.from({ length: 60 }, () => 7)];
  const [short] = [await measureWan(optionsFor([task('a', 'humaneval')], () => answer(output.slice(0, 30))))];
  const looping = await measureWan(optionsFor([task('a', 'humaneval')], () => answer(loop)));
  assert.equal(short.runs.length, 3);
  assert.equal(looping.runs.length, 3);
  assert.ok(looping.runs.every(({ repeating }) => repeating));
});

test('measureWan names the mode and the token where an output differs', async () => {
  const { differences } = await measureWan(
    optionsFor([task('a', 'gsm8k')], (topology, { speculation }) => {
      if (topology === 'star') return answer(output.slice(0, 39));
      return answer(speculation.drafter === 'ngram' ? output.with(5, 1) : output);
    }),
  );
  assert.deepEqual(differences, [
    { prompt: 'a', mode: 'plain star', index: 39 },
    { prompt: 'a', mode: 'speculative', index: 5 },
  ]);
});
