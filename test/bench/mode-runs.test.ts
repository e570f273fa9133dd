/** The measuring loop over a made-up ring: modes, order, predictions, differences. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BenchAnswer, BenchRequest } from '../../bench/bench-gateway.ts';
import type { Topology } from '../../bench/formula.ts';
import { type BenchTask, type MeasureOptions, measureModes, withOpening } from '../../bench/mode-runs.ts';
import { plainChain, plainStar, speculative } from '../../bench/modes.ts';

const leniency = { judged: 0, kept: 0, distortion: 0 };

const modes = [
  plainChain,
  { ...plainStar, every: 1 },
  speculative('text sync', { drafter: 'ngram', rounds: 'sync' }),
  speculative('exact prediction', { drafter: 'ngram', rounds: 'sync' }, { predictionEdits: 0 }),
  speculative('5 % off prediction', { drafter: 'ngram', rounds: 'sync' }, { predictionEdits: 0.05 }),
];

const output = Array.from({ length: 40 }, (_, i) => 1000 + i);

function answer(ids: readonly number[]): BenchAnswer {
  return {
    ids,
    firstTokenMs: 1,
    decodeMs: 10,
    decodeTokens: ids.length - 1,
    rounds: [],
    spills: false,
    leniency,
    cachedTokens: 0,
  };
}

const task = (id: string, set: string): BenchTask => ({ id, set, kind: 'code', text: '', promptIds: [1, 2] });

function optionsFor(
  tasks: readonly BenchTask[],
  generate: (topology: Topology, request: BenchRequest) => BenchAnswer = () => answer(output),
): MeasureOptions {
  return {
    ...{ modes, tasks, repeats: 1, maxTokens: 96, vocab: 49_152, seed: 1 },
    warmOwner: async () => null,
    generate: async (topology, request) => generate(topology, request),
    onTask: async () => {},
  };
}

test('measureModes runs every mode on every prompt and turns their order', async () => {
  const asked: string[] = [];
  const { runs, differences } = await measureModes({
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

test('measureModes gives warm modes owners of their own, and leaves them out where nothing is known', async () => {
  const warm = speculative('warm', { drafter: 'ngram' }, { warm: true });
  const owners: (string | undefined)[] = [];
  const options = optionsFor([task('a', 'gsm8k'), task('b', 'own')], (_, { owner }) => {
    owners.push(owner);
    return answer(output);
  });
  const { runs } = await measureModes({
    ...options,
    modes: [plainChain, warm],
    repeats: 2,
    warmOwner: async (set, use) => (set === 'gsm8k' ? `${set} ${use}` : null),
  });
  assert.deepEqual(owners.filter(Boolean), ['gsm8k warm 0', 'gsm8k warm 1']);
  assert.equal(runs.filter(({ prompt }) => prompt === 'b').length, 2);
});

test('measureModes measures a mode on every so many prompts if it says so', async () => {
  const tasks = Array.from({ length: 9 }, (_, i) => task(String(i), 'gsm8k'));
  const { runs } = await measureModes({ ...optionsFor(tasks), modes: [plainChain, plainStar] });
  assert.equal(runs.filter(({ mode }) => mode === plainStar.name).length, 3);
});

test('measureModes predicts HumanEval outputs, exactly and with a few tokens changed', async () => {
  const predictions: (readonly number[] | null)[] = [];
  const { runs } = await measureModes(
    optionsFor([task('a', 'humaneval')], (_, { prediction }) => {
      predictions.push(prediction === null ? null : [...prediction]);
      return answer(output);
    }),
  );
  assert.deepEqual(
    runs.map(({ mode }) => mode),
    modes.map(({ name }) => name),
  );
  assert.deepEqual(predictions.slice(0, 3), [null, null, null]);
  assert.deepEqual(predictions[3], output);
  assert.notDeepEqual(predictions[4], output);
});

test('measureModes predicts neither short outputs nor loops, and marks the loops', async () => {
  const loop = [...output, ...Array.from({ length: 60 }, () => 7)];
  const [short] = [
    await measureModes(optionsFor([task('a', 'humaneval')], () => answer(output.slice(0, 30)))),
  ];
  const looping = await measureModes(optionsFor([task('a', 'humaneval')], () => answer(loop)));
  assert.equal(short.runs.length, 3);
  assert.equal(looping.runs.length, 3);
  assert.ok(looping.runs.every(({ repeating }) => repeating));
});

test('measureModes names the mode and the token where an output differs', async () => {
  const { differences } = await measureModes(
    optionsFor([task('a', 'gsm8k')], (topology, { speculation }) => {
      if (topology === 'star') return answer(output.slice(0, 39));
      return answer(speculation.drafter === 'ngram' ? output.with(5, 1) : output);
    }),
  );
  assert.deepEqual(differences, [
    { prompt: 'a', mode: 'plain star', index: 39 },
    { prompt: 'a', mode: 'text sync', index: 5 },
  ]);
});

test('measureModes compares no lossy mode with plain decoding', async () => {
  const tau = (slack: number) =>
    speculative(
      `tau ${slack}`,
      { drafter: 'ngram', rounds: 'sync' },
      { verification: { mode: 'adaptive', tau: slack, lambda1: 3, lambda2: 0.5, lambda3: 0.1 } },
    );
  const { differences } = await measureModes({
    ...optionsFor([task('a', 'gsm8k')], (_, { verification }) =>
      answer(verification === undefined ? output : output.with(0, 1)),
    ),
    modes: [plainChain, tau(0), tau(0.2)],
  });
  assert.deepEqual(differences, [{ prompt: 'a', mode: 'tau 0', index: 0 }]);
});

test('withOpening counts an answer whole and charges its first round as a plain one', async () => {
  const { runs } = await measureModes({
    ...optionsFor([task('a', 'gsm8k')], (_, { speculation }) => ({
      ...answer(output),
      ...{ decodeMs: speculation.drafter === 'none' ? 390 : 30, spills: speculation.drafter !== 'none' },
    })),
    modes: modes.slice(0, 3),
  });
  const [plain, , text] = runs;
  assert.deepEqual([plain.decodeMs, plain.decodeTokens], [390, 39]);
  assert.deepEqual([text.decodeMs, text.decodeTokens], [30 + 10, 40]);
  assert.equal(withOpening({ ...text, decodeMs: 0 }, plain).decodeMs, 10);
});
