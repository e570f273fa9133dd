/**
 * The vocabulary as the GGUF metadata (keys `tokenizer.ggml.*`) states it, checked once: every array has one entry per
 * token, every id lies inside, every size has a limit. Key names and defaults: llama.cpp's llama-vocab.cpp.
 */
import { TextError } from './text-error.ts';

/** GGUF metadata, seen structurally; nothing in it is trusted. */
export type Metadata = ReadonlyMap<string, unknown>;

/** llama_token_type: 1 and 6 are text, 4 is text that is matched whole, 2, 3 and 5 never stand for text. */
export const tokenTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** The largest known vocabularies have 262,144 tokens. */
const MAX_TOKENS = 1 << 20;
/** Runs of spaces and dashes reach 128 characters. */
const MAX_TOKEN_CHARS = 1024;

export interface Vocabulary {
  /** 'gpt2': byte-level BPE with merges; 'llama': SentencePiece with scores. */
  readonly model: 'gpt2' | 'llama';
  readonly tokens: readonly string[];
  /** One of tokenTypes per token. */
  readonly types: readonly number[];
  readonly bosId: number | null;
  /** Whether a sequence begins with bosId. */
  readonly addBos: boolean;
  /** Ids that end an answer, ascending. */
  readonly eosIds: readonly number[];
}

/**
 * Control tokens that end a turn in the chat formats of the supported families. A file names one or two ids; which of
 * these its template really ends turns with is known only to whoever trained it, so all count (as in llama.cpp).
 */
const turnEnds = new Set([
  '<|im_end|>',
  '<|eot_id|>',
  '<|eom_id|>',
  '<|end|>',
  '<|end_of_text|>',
  '<|endoftext|>',
  '<end_of_turn>',
  '</s>',
]);

/** Reads and checks. Throws TextError. */
export function readVocabulary(metadata: Metadata): Vocabulary {
  const model = metadata.get('tokenizer.ggml.model');
  if (model !== 'gpt2' && model !== 'llama') {
    const found = model === undefined ? 'none' : JSON.stringify(model);
    throw new TextError(
      'unsupported',
      `tokenizer model ${found}: supported are "gpt2" (BPE) and "llama" (SPM)`,
    );
  }
  const tokens = readStrings(metadata, 'tokenizer.ggml.tokens', MAX_TOKENS);
  if (tokens.length === 0) throw new TextError('corrupt', 'tokenizer.ggml.tokens is empty');
  const long = tokens.findIndex((token) => token.length > MAX_TOKEN_CHARS);
  if (long >= 0) {
    throw new TextError(
      'limit',
      `token ${long} has ${tokens[long].length} characters, more than ${MAX_TOKEN_CHARS}`,
    );
  }
  const types = readNumbers(metadata, 'tokenizer.ggml.token_type', tokens.length);
  const bosId =
    readId(metadata, 'tokenizer.ggml.bos_token_id', tokens.length) ?? (model === 'llama' ? 1 : null);
  const addBosDefault = model === 'llama' || metadata.get('tokenizer.ggml.pre') === 'llama-bpe';
  const addBos = bosId !== null && readFlag(metadata, 'tokenizer.ggml.add_bos_token', addBosDefault);
  return { model, tokens, types, bosId, addBos, eosIds: readEosIds(metadata, tokens, types) };
}

function readEosIds(metadata: Metadata, tokens: readonly string[], types: readonly number[]): number[] {
  const named = ['eos', 'eot', 'eom'].map((name) =>
    readId(metadata, `tokenizer.ggml.${name}_token_id`, tokens.length),
  );
  const ids = new Set(named.filter((id) => id !== null));
  for (const [id, type] of types.entries()) {
    if (type === tokenTypes.control && turnEnds.has(tokens[id])) ids.add(id);
  }
  if (ids.size === 0) {
    throw new TextError(
      'missing',
      'the file names no end token (tokenizer.ggml.eos_token_id): answers would not end',
    );
  }
  return [...ids].sort((a, b) => a - b);
}

/** The byte that a byte token, `<0x00>` to `<0xFF>`, stands for; null for other texts. */
export function byteNamed(token: string): number | null {
  return /^<0x[0-9A-F]{2}>$/.test(token) ? Number.parseInt(token.slice(3, 5), 16) : null;
}

/** An array of at most `max` strings. */
export function readStrings(metadata: Metadata, key: string, max: number): readonly string[] {
  const value = readArray(metadata, key);
  if (value.length > max)
    throw new TextError('limit', `${key} has ${value.length} entries, more than ${max}`);
  if (!value.every((entry) => typeof entry === 'string'))
    throw new TextError('corrupt', `${key}: not all are strings`);
  return value;
}

/** An array of exactly `length` numbers. */
export function readNumbers(metadata: Metadata, key: string, length: number): readonly number[] {
  const value = readArray(metadata, key);
  if (value.length !== length) {
    throw new TextError('corrupt', `${key} has ${value.length} entries; the vocabulary has ${length} tokens`);
  }
  if (!value.every((entry) => typeof entry === 'number'))
    throw new TextError('corrupt', `${key}: not all are numbers`);
  return value;
}

/** A boolean that may be absent. */
export function readFlag(metadata: Metadata, key: string, absent: boolean): boolean {
  const value = metadata.get(key) ?? absent;
  if (typeof value === 'boolean') return value;
  throw new TextError('corrupt', `${key} is not a boolean`);
}

function readArray(metadata: Metadata, key: string): readonly unknown[] {
  const value = metadata.get(key);
  if (value === undefined)
    throw new TextError('missing', `the file has no ${key}: it cannot be used for text`);
  if (Array.isArray(value)) return value;
  throw new TextError('corrupt', `${key} is not an array`);
}

function readId(metadata: Metadata, key: string, tokenCount: number): number | null {
  const value = metadata.get(key);
  if (value === undefined) return null;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < tokenCount) return value;
  throw new TextError('corrupt', `${key} is not an id below ${tokenCount}: ${String(value)}`);
}
