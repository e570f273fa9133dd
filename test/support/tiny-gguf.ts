/**
 * A tiny random `llama` model as a GGUF file with a byte-level BPE vocabulary and a ChatML template: the model of the fast
 * tests. Equal options give equal bytes. Weights are scaled so that greedy decoding wanders and now and then repeats.
 * llama.cpp loads it too.
 */
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { GgufTypeName } from '../../src/models/block-formats.ts';
import { type EncodableGguf, type EncodableTensor, type EncodableValue, encodeGguf } from './gguf-encoder.ts';
import { type Random, randomRow, seededRandom } from './random-blocks.ts';
import { tinyVocabulary } from './tiny-vocabulary.ts';

export interface TinyGgufOptions {
  readonly seed?: number;
  readonly layers?: number;
  readonly hidden?: number;
  readonly heads?: number;
  readonly kvHeads?: number;
  readonly headDim?: number;
  readonly ffn?: number;
  /** Number of tokens, at least 259; beyond the built-in merges the rest are unused tokens. */
  readonly vocab?: number;
  readonly contextLength?: number;
  /** Is the head the embedding (no output.weight)? */
  readonly tied?: boolean;
  /** Type per tensor; null takes the default: norms F32, embedding and head Q8_0, linears Q4_1. */
  readonly tensorType?: (name: string) => GgufTypeName | null;
  /** Further metadata, or other values for keys that are written anyway. */
  readonly metadata?: ReadonlyMap<string, EncodableValue>;
}

export const tinyModel = {
  seed: 1,
  layers: 6,
  hidden: 64,
  heads: 4,
  kvHeads: 2,
  headDim: 16,
  ffn: 96,
  vocab: 320,
  contextLength: 512,
  tied: true,
} as const satisfies TinyGgufOptions;

/**
 * Standard deviations, found by trying: with smaller layers or a larger embedding the tied head repeats the last token, the
 * other way round text never repeats itself. These give bits of both, an entropy of 2 nats, and the end token in some answers.
 */
const LAYER_GAIN = 1.5;
const EMBEDDING_STD = 0.4;

/** Writes the file and gives its path and sum. */
export async function writeTinyGguf(
  path: string,
  options: TinyGgufOptions = {},
): Promise<{ path: string; sha256: string }> {
  const bytes = encodeGguf(tinyGguf(options));
  await writeFile(path, bytes);
  return { path, sha256: createHash('sha256').update(bytes).digest('hex') };
}

/** The file's contents before encoding, for tests that change some of it. */
export function tinyGguf(options: TinyGgufOptions = {}): EncodableGguf {
  const model = { ...tinyModel, ...options };
  const vocabulary = tinyVocabulary(model.vocab);
  const metadata = new Map<string, EncodableValue>([
    ['general.architecture', { type: 'string', value: 'llama' }],
    ['general.name', { type: 'string', value: 'Foretoken tiny' }],
    ['llama.block_count', { type: 'u32', value: model.layers }],
    ['llama.context_length', { type: 'u32', value: model.contextLength }],
    ['llama.embedding_length', { type: 'u32', value: model.hidden }],
    ['llama.feed_forward_length', { type: 'u32', value: model.ffn }],
    ['llama.attention.head_count', { type: 'u32', value: model.heads }],
    ['llama.attention.head_count_kv', { type: 'u32', value: model.kvHeads }],
    ['llama.attention.key_length', { type: 'u32', value: model.headDim }],
    ['llama.attention.value_length', { type: 'u32', value: model.headDim }],
    ['llama.attention.layer_norm_rms_epsilon', { type: 'f32', value: 1e-5 }],
    ['llama.rope.freq_base', { type: 'f32', value: 10_000 }],
    ['llama.rope.dimension_count', { type: 'u32', value: model.headDim }],
    ['llama.vocab_size', { type: 'u32', value: model.vocab }],
    ...vocabulary.metadata,
    ...(options.metadata ?? []),
  ]);
  const random = seededRandom(model.seed);
  return { metadata, tensors: [...tinyTensors(model, vocabulary.prominence, random)] };
}

function* tinyTensors(
  model: Required<Omit<TinyGgufOptions, 'tensorType' | 'metadata'>> & TinyGgufOptions,
  prominence: readonly number[],
  random: Random,
): Generator<EncodableTensor> {
  const { layers, hidden, heads, kvHeads, headDim, ffn, vocab, tied } = model;
  const matrix = (
    name: string,
    rows: number,
    cols: number,
    usual: GgufTypeName,
    std: (row: number) => number,
  ) => {
    const type = model.tensorType?.(name) ?? usual;
    const data = Buffer.concat(
      Array.from({ length: rows }, (_, row) => randomRow(type, cols, std(row), random)),
    );
    return { name, type, shape: [rows, cols], data };
  };
  const linear = (name: string, rows: number, cols: number) =>
    matrix(name, rows, cols, 'Q4_1', () => LAYER_GAIN / Math.sqrt(cols));
  const tokens = (name: string) =>
    matrix(name, vocab, hidden, 'Q8_0', (id) => EMBEDDING_STD * prominence[id]);

  yield tokens('token_embd.weight');
  for (let layer = 0; layer < layers; layer++) {
    const name = (part: string) => `blk.${layer}.${part}.weight`;
    yield norm(name('attn_norm'), hidden, random);
    yield linear(name('attn_q'), heads * headDim, hidden);
    yield linear(name('attn_k'), kvHeads * headDim, hidden);
    yield linear(name('attn_v'), kvHeads * headDim, hidden);
    yield linear(name('attn_output'), hidden, heads * headDim);
    yield norm(name('ffn_norm'), hidden, random);
    yield linear(name('ffn_gate'), ffn, hidden);
    yield linear(name('ffn_up'), ffn, hidden);
    yield linear(name('ffn_down'), hidden, ffn);
  }
  yield norm('output_norm.weight', hidden, random);
  if (!tied) yield tokens('output.weight');
}

/** Norm weights lie around 1. */
function norm(name: string, width: number, random: Random): EncodableTensor {
  const weights = Float32Array.from({ length: width }, () => 0.9 + 0.2 * random());
  return { name, type: 'F32', shape: [width], data: Buffer.from(weights.buffer) };
}
