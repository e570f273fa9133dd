/** Vocabularies for tests of src/text, as a GGUF reader would give their metadata. */
import type { Metadata } from '../../src/text/vocabulary.ts';
import { tinyVocabulary } from './tiny-vocabulary.ts';

/** The tiny model's byte-level vocabulary, with other values for some keys; undefined removes a key. */
export function tinyTextMetadata(changes: Readonly<Record<string, unknown>> = {}): Metadata {
  const metadata = new Map<string, unknown>();
  for (const [key, { value }] of tinyVocabulary(320).metadata) metadata.set(key, value);
  return withChanges(metadata, changes);
}

/** The tiny vocabulary with more tokens: [text, type] of each, from id 320 on. */
export function extendedTextMetadata(
  tokens: readonly (readonly [string, number])[],
  changes: Readonly<Record<string, unknown>> = {},
): Metadata {
  const { value: texts } = tinyVocabulary(320).metadata.get('tokenizer.ggml.tokens')!;
  const { value: types } = tinyVocabulary(320).metadata.get('tokenizer.ggml.token_type')!;
  return tinyTextMetadata({
    'tokenizer.ggml.tokens': [...(texts as string[]), ...tokens.map(([text]) => text)],
    'tokenizer.ggml.token_type': [...(types as number[]), ...tokens.map(([, type]) => type)],
    ...changes,
  });
}

/** A SentencePiece vocabulary: unknown, control tokens <s> and </s>, 256 bytes, then these pieces with their scores. */
export function spmTextMetadata(
  pieces: readonly (readonly [string, number])[],
  changes: Readonly<Record<string, unknown>> = {},
): Metadata {
  const bytes = Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`);
  const metadata = new Map<string, unknown>([
    ['tokenizer.ggml.model', 'llama'],
    ['tokenizer.ggml.tokens', ['<unk>', '<s>', '</s>', ...bytes, ...pieces.map(([piece]) => piece)]],
    ['tokenizer.ggml.token_type', [2, 3, 3, ...bytes.map(() => 6), ...pieces.map(() => 1)]],
    ['tokenizer.ggml.scores', [0, 0, 0, ...bytes.map(() => 0), ...pieces.map(([, score]) => score)]],
    ['tokenizer.ggml.bos_token_id', 1],
    ['tokenizer.ggml.eos_token_id', 2],
  ]);
  return withChanges(metadata, changes);
}

function withChanges(metadata: Map<string, unknown>, changes: Readonly<Record<string, unknown>>): Metadata {
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) metadata.delete(key);
    else metadata.set(key, value);
  }
  return metadata;
}
