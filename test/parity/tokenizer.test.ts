/**
 * Our ids are llama.cpp's: the default model's own vocabulary, and the same vocabulary under every other pre-tokeniser
 * that we support.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readGguf } from '../../src/models/gguf.ts';
import { createTokenizer, type Tokenizer } from '../../src/text/tokenizer.ts';
import { encodeGguf } from '../support/gguf-encoder.ts';
import { realModelPath } from '../support/real-model.ts';
import { corpus } from './corpus.ts';
import { addDistinguishingTokens, vocabularyMetadata } from './gguf-vocabulary.ts';
import { type LlamaCpp, loadLlamaCpp } from './llama-cpp.ts';
import { spmVocabulary } from './spm-vocabulary.ts';

const llama = await loadLlamaCpp();
const realModel = llama === null ? null : await realModelPath();
const skip = llama === null || realModel === null ? 'needs llama.cpp and the default model' : false;

test('createTokenizer gives the ids of llama.cpp for the default model', { skip }, async (t) => {
  const compared = await compare(realModel!, t.name);
  assert.ok(compared.strings >= 500);
});

for (const pre of ['gpt-2', 'llama-bpe', 'qwen2', 'default']) {
  test(`createTokenizer gives the ids of llama.cpp with pre-tokeniser ${pre}`, { skip }, async (t) => {
    const { metadata } = await readGguf(realModel!);
    const encodable = vocabularyMetadata(metadata);
    addDistinguishingTokens(encodable);
    encodable.set('tokenizer.ggml.pre', { type: 'string', value: pre });
    await withFile(encodeGguf({ metadata: encodable, tensors: [] }), (path) => compare(path, t.name));
  });
}

test('createTokenizer gives the ids of llama.cpp for a SentencePiece vocabulary', { skip }, async (t) => {
  await withFile(encodeGguf({ metadata: spmVocabulary(), tensors: [] }), (path) => compare(path, t.name));
});

/** Compares both ways of encoding over the corpus. */
async function compare(path: string, name: string): Promise<{ strings: number; tokens: number }> {
  const { metadata } = await readGguf(path);
  const tokenizer = createTokenizer(metadata);
  const specials = tokenizer.tokens
    .filter((_, id) => tokenizer.isSpecial(id))
    .filter((text) => text.length > 1);
  const texts = corpus(specials);
  const tokens =
    (await compareEncoding(llama!, path, texts, tokenizer, true)) +
    (await compareEncoding(llama!, path, texts, tokenizer, false));
  console.log(`${name}: ${texts.length} strings, ${tokens} tokens (special and not), all equal`);
  return { strings: texts.length, tokens };
}

async function compareEncoding(
  { tokenize }: LlamaCpp,
  path: string,
  texts: readonly string[],
  tokenizer: Tokenizer,
  special: boolean,
): Promise<number> {
  const expected = await tokenize(path, texts, special);
  const differing = texts.flatMap((text, i) => {
    const ids = special ? tokenizer.encode(text) : tokenizer.encodeText(text);
    if (ids.join() === expected[i].join()) return [];
    const show = (list: readonly number[]) =>
      list.map((id) => JSON.stringify(tokenizer.tokens[id])).join(' ');
    return [`${JSON.stringify(text)}\n  ours      ${show(ids)}\n  llama.cpp ${show(expected[i])}`];
  });
  const list = differing.slice(0, 10).join('\n');
  assert.equal(
    differing.length,
    0,
    `special=${special}: ${differing.length} of ${texts.length} differ\n${list}`,
  );
  return expected.flat().length;
}

async function withFile(bytes: Uint8Array, run: (path: string) => Promise<unknown>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'foretoken-parity-'));
  try {
    const path = join(directory, 'vocabulary.gguf');
    await writeFile(path, bytes);
    await run(path);
  } finally {
    await rm(directory, { recursive: true });
  }
}
