/** The metadata that makes a file with a vocabulary and no weights, which llama.cpp opens for its tokeniser alone. */
import type { GgufValue } from '../../src/models/gguf-metadata.ts';
import type { EncodableValue } from '../support/gguf-encoder.ts';

/** The vocabulary of `metadata` in a `llama` file. */
export function vocabularyMetadata(metadata: ReadonlyMap<string, GgufValue>): Map<string, EncodableValue> {
  const encodable = architectureMetadata();
  for (const [key, value] of metadata) {
    if (key.startsWith('tokenizer.')) encodable.set(key, encodableValue(value));
  }
  return encodable;
}

/**
 * Adds tokens that tell pre-tokenisers apart: all numbers of two and three digits, merged, and a word that no merges lead
 * to, which only a pre-tokeniser that ignores merges gives.
 */
export function addDistinguishingTokens(metadata: Map<string, EncodableValue>): void {
  const tokens = [...stringsOf(metadata, 'tokenizer.ggml.tokens'), unmergeableToken];
  const merges = [...stringsOf(metadata, 'tokenizer.ggml.merges')];
  const digits = [...'0123456789'];
  for (const head of [...digits, ...digits.flatMap((a) => digits.map((b) => a + b))]) {
    for (const digit of digits) {
      tokens.push(head + digit);
      merges.push(`${head} ${digit}`);
    }
  }
  const types = metadata.get('tokenizer.ggml.token_type');
  if (types?.type !== 'i32s') throw new Error('the vocabulary has no token types');
  const added = new Array<number>(tokens.length - types.value.length).fill(NORMAL);
  metadata.set('tokenizer.ggml.tokens', { type: 'strings', value: tokens });
  metadata.set('tokenizer.ggml.merges', { type: 'strings', value: merges });
  metadata.set('tokenizer.ggml.token_type', { type: 'i32s', value: [...types.value, ...added] });
}

/** A word of the corpus. */
const unmergeableToken = 'supercalifragilisticexpialidocious';
/** Token type of the format. */
const NORMAL = 1;

function stringsOf(metadata: ReadonlyMap<string, EncodableValue>, key: string): readonly string[] {
  const value = metadata.get(key);
  if (value?.type !== 'strings') throw new Error(`${key} is not an array of strings`);
  return value.value;
}

/** What llama.cpp wants to know of a `llama` model before it looks at the vocabulary. */
export function architectureMetadata(): Map<string, EncodableValue> {
  const sizes = { block_count: 1, context_length: 512, embedding_length: 32, feed_forward_length: 32 };
  const heads = { head_count: 1, head_count_kv: 1 };
  return new Map<string, EncodableValue>([
    ['general.architecture', { type: 'string', value: 'llama' }],
    ['llama.attention.layer_norm_rms_epsilon', { type: 'f32', value: 1e-5 }],
    ...Object.entries(sizes).map(([key, value]): [string, EncodableValue] => [
      `llama.${key}`,
      { type: 'u32', value },
    ]),
    ...Object.entries(heads).map(([key, value]): [string, EncodableValue] => [
      `llama.attention.${key}`,
      { type: 'u32', value },
    ]),
  ]);
}

function encodableValue(value: GgufValue): EncodableValue {
  if (typeof value === 'string') return { type: 'string', value };
  if (typeof value === 'boolean') return { type: 'bool', value };
  if (typeof value === 'number') return { type: 'u32', value };
  if (Array.isArray(value)) {
    if (value.every((entry) => typeof entry === 'string')) return { type: 'strings', value };
    if (value.every((entry) => typeof entry === 'number')) return { type: 'i32s', value };
  }
  throw new Error(`no tokeniser key has such a value: ${String(value)}`);
}
