/**
 * From a GGUF header to the dimensions of a decoder, or a refusal by name. The invariant: when this returns, every tensor
 * that a `llama` decoder of these dimensions reads is in the file with the right shape, there is no other tensor, and no
 * metadata asks for arithmetic that the engine does not have. Keys: ggml's docs/gguf.md and llama.cpp's llama-arch.cpp.
 */
import type { ModelDims } from '../../shards/manifest.ts';
import type { GgufFile } from './gguf.ts';
import type { GgufValue } from './gguf-metadata.ts';
import { ModelFileError } from './model-file-error.ts';

const supportedArchitectures = ['llama'] as const;

/** Deeper than any published decoder (126 layers) by far; bounds the walk over expected tensors. */
const MAX_LAYERS = 1024;
/** Widths and head counts: four times the widest published hidden row (16,384). */
const MAX_WIDTH = 65_536;
/** Four times the largest published feed-forward row (53,248, rounded up). */
const MAX_FFN = 262_144;
/** Longest published context (10 million positions), rounded up to a power of two. */
const MAX_CONTEXT_LENGTH = 1 << 24;

/**
 * Keys (after the architecture's prefix) that change the arithmetic, with the values that leave it alone. Any other value is
 * refused, since ignoring it would give wrong text.
 */
const neutralValues: Readonly<Record<string, readonly GgufValue[]>> = {
  expert_count: [0],
  expert_used_count: [0],
  'attention.sliding_window': [0],
  'attention.causal': [true],
  'attention.scale': [0],
  'attention.clamp_kqv': [0],
  'attention.max_alibi_bias': [0],
  'rope.scaling.type': ['none'],
  'rope.scaling.factor': [0, 1],
  'rope.scale_linear': [0, 1],
  'rope.scaling.attn_factor': [0, 1],
  logit_scale: [0, 1],
  residual_scale: [0, 1],
  embedding_scale: [0, 1],
  use_parallel_residual: [false],
};

/** Tensors that are refused with a reason of their own instead of as unknown. */
const refusedTensors: Readonly<Record<string, string>> = {
  'rope_freqs.weight': 'rope frequency factors (Llama 3.1 and later) are not implemented',
};

/** Throws ModelFileError: unsupported, missing, limit or corrupt, naming the file and the field. */
export function modelDims(file: GgufFile): ModelDims {
  const dims = readDims(file);
  refuseOtherArithmetic(file, dims.architecture);
  checkTensors(file, dims);
  return dims;
}

/** Does the file have an lm_head of its own, instead of the embedding? */
export function hasOutputTensor(file: GgufFile): boolean {
  return file.tensors.has('output.weight');
}

function readDims(file: GgufFile): ModelDims {
  const architecture = readArchitecture(file);
  const size = (key: string, max: number, fallback?: number) =>
    readSize(file, `${architecture}.${key}`, max, fallback);
  const hidden = size('embedding_length', MAX_WIDTH);
  const heads = size('attention.head_count', MAX_WIDTH);
  const kvHeads = size('attention.head_count_kv', MAX_WIDTH, heads);
  if (heads % kvHeads !== 0) {
    throw problem(file, 'corrupt', `${heads} heads cannot share ${kvHeads} key/value heads`);
  }
  const headDim = size('attention.key_length', MAX_WIDTH, hidden / heads);
  for (const key of ['attention.value_length', 'rope.dimension_count']) {
    const value = size(key, MAX_WIDTH, headDim);
    if (value !== headDim) {
      const difference = `${architecture}.${key} is ${value}, the key length ${headDim}`;
      throw problem(file, 'unsupported', `${difference}; only files where they are equal are supported`);
    }
  }
  if (headDim % 2 !== 0) throw problem(file, 'unsupported', `key length ${headDim} is odd; rope turns pairs`);
  return {
    architecture,
    layers: size('block_count', MAX_LAYERS),
    hidden,
    heads,
    kvHeads,
    headDim,
    ffn: size('feed_forward_length', MAX_FFN),
    vocab: readVocab(file, architecture),
    contextLength: size('context_length', MAX_CONTEXT_LENGTH),
    ropeTheta: readPositive(file, `${architecture}.rope.freq_base`, 10_000),
    rmsEpsilon: readPositive(file, `${architecture}.attention.layer_norm_rms_epsilon`),
  };
}

function readArchitecture(file: GgufFile): ModelDims['architecture'] {
  const value = file.metadata.get('general.architecture');
  if (value === undefined) throw problem(file, 'missing', 'there is no general.architecture');
  const known = supportedArchitectures.find((name) => name === value);
  if (known !== undefined) return known;
  const supported = supportedArchitectures.join(', ');
  throw problem(file, 'unsupported', `general.architecture is ${quote(value)}; supported: ${supported}`);
}

/** Rows of the embedding; they must agree with the vocabulary size and the number of tokens, where the file has these. */
function readVocab(file: GgufFile, architecture: string): number {
  const embedding = file.tensors.get('token_embd.weight');
  if (embedding === undefined) throw problem(file, 'missing', 'there is no tensor token_embd.weight');
  const [vocab] = embedding.shape;
  const tokens = file.metadata.get('tokenizer.ggml.tokens');
  const counts = {
    [`${architecture}.vocab_size`]: file.metadata.get(`${architecture}.vocab_size`),
    'length of tokenizer.ggml.tokens': Array.isArray(tokens) ? tokens.length : undefined,
  };
  for (const [field, count] of Object.entries(counts)) {
    if (count !== undefined && count !== vocab) {
      throw problem(file, 'corrupt', `${field} is ${quote(count)}, token_embd.weight has ${vocab} rows`);
    }
  }
  return vocab;
}

function refuseOtherArithmetic(file: GgufFile, architecture: string): void {
  const parts = file.metadata.get('split.count') ?? 0;
  if (parts !== 0 && parts !== 1) {
    throw problem(file, 'unsupported', `this is one of ${quote(parts)} split files; merge them into one`);
  }
  for (const [suffix, neutral] of Object.entries(neutralValues)) {
    const key = `${architecture}.${suffix}`;
    const value = file.metadata.get(key);
    if (value !== undefined && !neutral.includes(value)) {
      throw problem(file, 'unsupported', `${key} = ${quote(value)} is not implemented`);
    }
  }
}

function checkTensors(file: GgufFile, dims: ModelDims): void {
  const expected = expectedShapes(dims, hasOutputTensor(file));
  for (const name of file.tensors.keys()) {
    if (expected.has(name)) continue;
    const reason =
      refusedTensors[name] ?? `no ${dims.architecture} decoder of ${dims.layers} layers reads it`;
    throw problem(file, 'unsupported', `tensor ${name} is not supported: ${reason}`);
  }
  for (const [name, shape] of expected) {
    const tensor = file.tensors.get(name);
    if (tensor === undefined) throw problem(file, 'missing', `there is no tensor ${name}`);
    if (tensor.shape.length !== shape.length || tensor.shape.some((dim, i) => dim !== shape[i])) {
      const found = `[${tensor.shape.join(', ')}]`;
      throw problem(file, 'corrupt', `tensor ${name} is ${found}, expected [${shape.join(', ')}]`);
    }
  }
}

function expectedShapes(dims: ModelDims, hasOutput: boolean): Map<string, readonly number[]> {
  const { layers, hidden, heads, kvHeads, headDim, ffn, vocab } = dims;
  const shapes = new Map<string, readonly number[]>([
    ['token_embd.weight', [vocab, hidden]],
    ['output_norm.weight', [hidden]],
  ]);
  if (hasOutput) shapes.set('output.weight', [vocab, hidden]);
  for (let layer = 0; layer < layers; layer++) {
    const put = (part: string, shape: readonly number[]) => shapes.set(`blk.${layer}.${part}.weight`, shape);
    put('attn_norm', [hidden]);
    put('attn_q', [heads * headDim, hidden]);
    put('attn_k', [kvHeads * headDim, hidden]);
    put('attn_v', [kvHeads * headDim, hidden]);
    put('attn_output', [hidden, heads * headDim]);
    put('ffn_norm', [hidden]);
    put('ffn_gate', [ffn, hidden]);
    put('ffn_up', [ffn, hidden]);
    put('ffn_down', [hidden, ffn]);
  }
  return shapes;
}

/** A whole number from 1 to max. */
function readSize(file: GgufFile, key: string, max: number, fallback?: number): number {
  const value = file.metadata.get(key) ?? fallback;
  if (value === undefined) throw problem(file, 'missing', `there is no ${key}`);
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1) {
    throw problem(file, 'corrupt', `${key} is ${quote(value)}, expected one whole number above 0`);
  }
  if (value > max) throw problem(file, 'limit', `${key} is ${value}, the limit is ${max}`);
  return value;
}

function readPositive(file: GgufFile, key: string, fallback?: number): number {
  const value = file.metadata.get(key) ?? fallback;
  if (value === undefined) throw problem(file, 'missing', `there is no ${key}`);
  if (typeof value === 'number' && value > 0 && Number.isFinite(value)) return value;
  throw problem(file, 'corrupt', `${key} is ${quote(value)}, expected a number above 0`);
}

function problem(file: GgufFile, code: ModelFileError['code'], what: string): ModelFileError {
  return new ModelFileError(code, `${file.path}: ${what}`);
}

function quote(value: GgufValue): string {
  if (Array.isArray(value)) return `an array of ${value.length}`;
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 80)) : String(value);
}
