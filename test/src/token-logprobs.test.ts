/** Tokens as clients read them: names, bytes, and what is no text by itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gatherScores } from '../../src/prompt-scores.ts';
import type { Tokenizer } from '../../src/text/tokenizer.ts';
import { ratedTokens } from '../../src/token-logprobs.ts';

const bytes = [[72, 105], [0xf0, 0x9f], [], [32, 0xc3, 0xa4], [0xef, 0xbb, 0xbf]].map((list) =>
  Uint8Array.from(list),
);
const tokenizer = {
  vocabSize: 5,
  tokens: ['Hi', 'ðŁ', '<|end|>', 'ĠÃ¤', 'ï»¿'],
  isSpecial: (id: number) => id === 2,
  tokenBytes: (id: number) => bytes[id]!,
} as Partial<Tokenizer> as Tokenizer;

const rowsOf = (own: number[]) => ({
  ...{ top: 0, topIds: new Uint32Array(0), topLogprobs: new Float32Array(0) },
  own: Float32Array.from(own),
});

test('ratedTokens names text, spells broken UTF-8, and gives control tokens no bytes', () => {
  const rows = {
    top: 1,
    own: Float32Array.of(-1, -2, -3, -4, -5, -6),
    topIds: Uint32Array.of(1, 0, 3, 2, 0, 0),
    topLogprobs: Float32Array.of(-0.5, -0.5, -0.5, -0.5, -0.5, -0.5),
  };
  const rated = ratedTokens(tokenizer, [0, 1, 2, 3, 4, 99], rows);
  assert.deepEqual(
    rated.map(({ token }) => token),
    ['Hi', '\\xf0\\x9f', '<|end|>', ' ä', '\uFEFF', ''],
  );
  assert.deepEqual(
    rated.map(({ bytes }) => bytes),
    [[72, 105], [0xf0, 0x9f], null, [32, 0xc3, 0xa4], [0xef, 0xbb, 0xbf], null],
  );
  assert.deepEqual(
    rated.map(({ logprob }) => logprob),
    [-1, -2, -3, -4, -5, -6],
  );
  assert.deepEqual(rated[0]!.top, [{ token: '\\xf0\\x9f', logprob: -0.5, bytes: [0xf0, 0x9f] }]);
});

test('gatherScores settles once all have come, also if some come twice', async () => {
  const scores = gatherScores(tokenizer, [0, 1, 3, 2]);
  scores.add(1, rowsOf([-1]));
  scores.add(1, rowsOf([-1, -2]));
  scores.add(3, rowsOf([-3]));
  const tokens = await scores.tokens;
  assert.deepEqual(
    tokens.map((token) => token?.logprob ?? null),
    [null, -1, -2, -3],
  );
  assert.deepEqual(await gatherScores(tokenizer, [4]).tokens, [null]);
});

test('gatherScores fails with its answer, and nobody need listen', async () => {
  const scores = gatherScores(tokenizer, [0, 1]);
  scores.fail(new Error('lost'));
  await new Promise((resolve) => setImmediate(resolve));
  await assert.rejects(scores.tokens, /lost/);
});
