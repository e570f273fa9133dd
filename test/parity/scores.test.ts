/**
 * Our arithmetic is llama.cpp's up to rounding. Teacher-forced on the same ids: perplexity within 1 % and the same likeliest
 * token at 95 % of the positions for the default model (equal text cannot be asked for: near ties fall either way), and the
 * same likeliest token everywhere but at near ties for small random models of several shapes in float32 and float16.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Quantisation } from '../../shards/manifest.ts';
import type { GgufTypeName } from '../../src/models/block-formats.ts';
import { readGguf } from '../../src/models/gguf.ts';
import { createTokenizer } from '../../src/text/tokenizer.ts';
import { realModelPath } from '../support/real-model.ts';
import { type TinyGgufOptions, writeTinyGguf } from '../support/tiny-gguf.ts';
import { scoreWithEngine } from './engine-scores.ts';
import { type LlamaScores, loadLlamaCpp } from './llama-cpp.ts';

const llama = await loadLlamaCpp();
const realModel = llama === null ? null : await realModelPath();
const skipReal = llama === null || realModel === null ? 'needs llama.cpp and the default model' : false;
const skipTiny = llama === null ? 'needs llama.cpp' : false;

/** Sections of the fixture are scored apart, so that each begins without context. */
const textUrl = new URL('../fixtures/parity-text.txt', import.meta.url);

test('packs score a text as llama.cpp does, default model', { skip: skipReal }, async (t) => {
  const tokenizer = createTokenizer((await readGguf(realModel!)).metadata);
  const sections = (await readFile(textUrl, 'utf8')).split('\n%%\n');
  const sequences = sections.map((section) => tokenizer.encodeText(section));
  const expected = await llama!.score(realModel!, sequences, 'F16');
  for (const quantisation of ['native', 'fp32'] as const satisfies readonly Quantisation[]) {
    await t.test(`packShard ${quantisation}`, async () => {
      const { tokens, ours, theirs, agreement } = compare(
        await scoreWithEngine(realModel!, quantisation, sequences),
        expected,
      );
      console.log(
        `${quantisation}: ${tokens} tokens, perplexity ${ours.toFixed(4)} (llama.cpp ${theirs.toFixed(4)}, ` +
          `${percent(ours / theirs - 1)}), same likeliest token ${percent(agreement)}`,
      );
      assert.ok(tokens >= 2000, `${tokens} tokens are too few`);
      assert.ok(Math.abs(ours / theirs - 1) <= 0.01, `perplexity ${ours}, llama.cpp ${theirs}`);
      assert.ok(agreement >= 0.95, `the likeliest token agrees at ${percent(agreement)}`);
    });
  }
});

/** Head counts, key/value groups, head widths; hidden widths that are and are not heads x headDim; tied or not. */
const shapes: readonly (TinyGgufOptions & { readonly name: string })[] = [
  { name: '4 heads, 2 kv, 16 wide', heads: 4, kvHeads: 2, headDim: 16, hidden: 64 },
  { name: '4 heads, 4 kv, 32 wide, untied', heads: 4, kvHeads: 4, headDim: 32, hidden: 128, tied: false },
  { name: '8 heads, 1 kv, 16 wide', heads: 8, kvHeads: 1, headDim: 16, hidden: 128, ffn: 160 },
  { name: '9 heads, 3 kv, 64 wide', heads: 9, kvHeads: 3, headDim: 64, hidden: 576, layers: 2, ffn: 256 },
  { name: '2 heads, 1 kv, 128 wide, hidden 96', heads: 2, kvHeads: 1, headDim: 128, hidden: 96, layers: 3 },
];

/** Largest difference in nats: rounding alone in float32; llama.cpp rounds the inputs of float16 linears to float16. */
const tolerances = { F32: 0.002, F16: 0.2 } as const satisfies Partial<Record<GgufTypeName, number>>;

for (const { name, ...shape } of shapes) {
  for (const type of ['F32', 'F16'] as const) {
    test(`packs score as llama.cpp does, tiny model with ${name}, ${type}`, { skip: skipTiny }, async () => {
      const directory = await mkdtemp(join(tmpdir(), 'foretoken-parity-'));
      try {
        const isNorm = (tensor: string) => tensor.includes('norm');
        const options = { ...shape, tensorType: (tensor: string) => (isNorm(tensor) ? null : type) };
        const { path } = await writeTinyGguf(join(directory, 'tiny.gguf'), options);
        const sequences = [Array.from({ length: 200 }, (_, i) => (i * 7 + (i % 11) * 13) % 256)];
        const expected = await llama!.score(path, sequences, 'F32');
        const scored = await scoreWithEngine(path, 'fp32', sequences);
        const apart = Math.max(...scored[0].nll.map((nll, i) => Math.abs(nll - expected[0].nll[i])));
        const { agreement } = compare(scored, expected);
        assert.ok(apart <= tolerances[type], `up to ${apart} nats apart`);
        assert.ok(agreement >= 0.99, `the likeliest token agrees at ${percent(agreement)}`);
      } finally {
        await rm(directory, { recursive: true });
      }
    });
  }
}

function compare(scored: readonly LlamaScores[], expected: readonly LlamaScores[]) {
  const tops = scored.flatMap(({ top }) => top);
  const expectedTops = expected.flatMap(({ top }) => top);
  const agreeing = tops.filter((top, i) => top === expectedTops[i]).length;
  const perplexity = (scores: readonly LlamaScores[]) => {
    const nll = scores.flatMap((score) => score.nll);
    return Math.exp(nll.reduce((sum, value) => sum + value, 0) / nll.length);
  };
  return {
    tokens: tops.length,
    ours: perplexity(scored),
    theirs: perplexity(expected),
    agreement: agreeing / tops.length,
  };
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}
