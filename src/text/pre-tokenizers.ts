/**
 * Pre-tokenisers of byte-level BPE by the name that GGUF files give them (`tokenizer.ggml.pre`). Each is a list of
 * regular expressions; every one cuts the pieces left by those before it into its matches and what lies between.
 * Source: llama.cpp's llama-vocab.cpp; the test of parity compares all of them with llama.cpp itself.
 */
import { TextError } from './text-error.ts';

export interface PreTokenizer {
  /** Regular expressions in the syntax of tokenizer.json (Oniguruma). */
  readonly splits: readonly string[];
  /** A piece that is a token as a whole is taken without merging. */
  readonly ignoreMerges: boolean;
}

const gpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)";

/** Llama 3's expression with the longest run of digits that stays together. */
function llama3(digits: string): string {
  const contraction = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
  const word = '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+';
  const punctuation = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*';
  return `${contraction}|${word}|${digits}|${punctuation}|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
}

const llamaBpe: PreTokenizer = { splits: [llama3('\\p{N}{1,3}')], ignoreMerges: true };
const qwen2: PreTokenizer = { splits: [llama3('\\p{N}')], ignoreMerges: false };

const preTokenizers: ReadonlyMap<string, PreTokenizer> = new Map([
  ['smollm', { splits: ['\\p{N}', gpt2], ignoreMerges: false }],
  ['gpt-2', { splits: [gpt2], ignoreMerges: false }],
  ['llama-bpe', llamaBpe],
  ['llama-v3', llamaBpe],
  ['llama3', llamaBpe],
  ['qwen2', qwen2],
  ['deepseek-r1-qwen', qwen2],
  [
    'default',
    { splits: ['[\\p{P}\\$\\+<=>\\^~\\|]+', gpt2, '\\p{N}+', '[0-9][0-9][0-9]'], ignoreMerges: false },
  ],
]);

/** Throws TextError 'unsupported' for every other name: a wrong cut gives wrong ids, not an error. */
export function preTokenizerNamed(name: unknown): PreTokenizer {
  const known = typeof name === 'string' ? preTokenizers.get(name) : undefined;
  if (known !== undefined) return known;
  const found =
    name === undefined ? 'The file names no pre-tokeniser' : `Pre-tokeniser ${JSON.stringify(name)}`;
  const supported = [...preTokenizers.keys()].join(', ');
  throw new TextError(
    'unsupported',
    `${found} (tokenizer.ggml.pre) is not supported; supported are ${supported}. Use a file of a supported family.`,
  );
}
