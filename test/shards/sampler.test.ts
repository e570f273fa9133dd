/** The sampler against brute force and against exact distributions (chi-square on a small vocabulary). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gumbel, positionKey, tokenBits } from '../../shards/noise.ts';
import { argmax, chooseToken, greedy, type Sampling, softmax, targetProbs } from '../../shards/sampler.ts';
import { assertFollows } from '../support/chi-square.ts';

function rowOf(length: number, seed: number, scale = 3): Float32Array {
  let s = seed;
  const next = (): number => {
    s = (Math.imul(s, 1103515245) + 12345) >>> 0;
    return s / 2 ** 32 - 0.5;
  };
  return Float32Array.from({ length }, () => (next() + next() + next()) * scale);
}

function sampling(part: Partial<Sampling>): Sampling {
  return { temperature: 1, topK: 0, topP: 1, minP: 0, seed: { low: 7, high: 9 }, ...part };
}

/** Probabilities after top_k, top_p, min_p by the definition, with full sorts. */
function exactDistribution(row: Float32Array, s: Sampling): number[] {
  const order = [...row.keys()].sort((a, b) => row[b]! - row[a]! || a - b);
  const weight = (id: number): number => Math.exp(row[id]! / s.temperature - row[order[0]!]! / s.temperature);
  let kept = s.topK > 0 ? order.slice(0, s.topK) : order;
  if (s.topP < 1) {
    const total = kept.reduce((sum, id) => sum + weight(id), 0);
    let sum = 0;
    kept = kept.filter((id, i) => {
      const keep = i === 0 || sum < s.topP * total;
      sum += weight(id);
      return keep;
    });
  }
  if (s.minP > 0) kept = kept.filter((id, i) => i === 0 || weight(id) >= s.minP);
  const total = kept.reduce((sum, id) => sum + weight(id), 0);
  return [...row.keys()].map((id) => (kept.includes(id) ? weight(id) / total : 0));
}

test('chooseToken at temperature 0 is the argmax, ties to the lower id', () => {
  assert.equal(chooseToken(Float32Array.of(1, 5, 5, 2), greedy, 3), 1);
  assert.equal(argmax(rowOf(100, 3)), chooseToken(rowOf(100, 3), greedy, 8));
});

test('chooseToken never chooses a masked id', () => {
  assert.equal(chooseToken(Float32Array.of(1, -Infinity, 4, 2), greedy, 0), 2);
  for (const filter of [{}, { topK: 2 }, { topP: 0.9 }, { minP: 0.1 }]) {
    for (let position = 0; position < 200; position++) {
      assert.notEqual(chooseToken(Float32Array.of(1, -Infinity, 1), sampling(filter), position), 1);
    }
  }
});

test('chooseToken equals brute force over all ids', () => {
  for (const temperature of [0.3, 0.8, 1, 2]) {
    for (let position = 0; position < 64; position++) {
      const row = rowOf(4096, position + 1, 6);
      const s = sampling({ temperature });
      const key = positionKey(s.seed, position);
      let best = -Infinity;
      let expected = 0;
      for (let id = 0; id < row.length; id++) {
        const value = row[id]! / temperature + gumbel(tokenBits(key, id));
        if (value > best) [best, expected] = [value, id];
      }
      assert.equal(chooseToken(row, s, position), expected);
    }
  }
});

for (const [name, part] of Object.entries({
  plain: {},
  'temperature 0.7': { temperature: 0.7 },
  'top_k 5': { topK: 5 },
  'top_p 0.8': { topP: 0.8 },
  'min_p 0.2': { minP: 0.2 },
  'top_k 8, top_p 0.9, min_p 0.05, temperature 1.3': { topK: 8, topP: 0.9, minP: 0.05, temperature: 1.3 },
} satisfies Record<string, Partial<Sampling>>)) {
  test(`chooseToken follows the exact distribution: ${name}`, () => {
    const row = rowOf(24, 11, 2);
    const draws = 40_000;
    const s = sampling(part);
    const expected = exactDistribution(row, s);
    const counts = new Array<number>(row.length).fill(0);
    for (let position = 0; position < draws; position++) counts[chooseToken(row, s, position)]!++;
    assertFollows(counts, expected);
  });
}

test('targetProbs is the law that chooseToken draws from', () => {
  const row = rowOf(60, 5);
  for (const part of [{}, { topK: 7 }, { topP: 0.7, temperature: 0.6 }, { minP: 0.1, topK: 30 }]) {
    const expected = exactDistribution(row, sampling(part));
    for (const [id, prob] of targetProbs(row, sampling(part)).entries()) {
      assert.ok(Math.abs(prob - expected[id]!) < 1e-12, `id ${id}: ${prob} for ${expected[id]}`);
    }
  }
  const certain = targetProbs(row, greedy);
  assert.equal(certain[argmax(row)], 1);
  assert.equal(
    certain.reduce((sum, prob) => sum + prob),
    1,
  );
});

test('softmax is the law at temperature 1 without filters', () => {
  const row = rowOf(60, 6);
  assert.deepEqual(softmax(row), targetProbs(row, sampling({})));
});
