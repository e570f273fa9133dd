/**
 * Byte-level BPE of a GGUF file as a tokenizer.json object, the form that @huggingface/tokenizers reads. Only tokens
 * that stand for text go in: the object has no added tokens and cannot produce a control token from any text.
 */
import { preTokenizerNamed } from './pre-tokenizers.ts';
import { TextError } from './text-error.ts';
import { type Metadata, readStrings, tokenTypes, type Vocabulary } from './vocabulary.ts';

/** The largest known vocabularies have about 515,000 merges. */
const MAX_MERGES = 1 << 21;

/** The part of the tokenizer.json format that is used here. */
export interface TokenizerJson {
  readonly version: '1.0';
  readonly added_tokens: readonly [];
  readonly normalizer: null;
  readonly pre_tokenizer: object;
  readonly post_processor: null;
  readonly decoder: null;
  readonly model: object;
}

/** Throws TextError. */
export function bpeTokenizerJson(metadata: Metadata, vocabulary: Vocabulary): TokenizerJson {
  const { splits, ignoreMerges } = preTokenizerNamed(metadata.get('tokenizer.ggml.pre'));
  const isolate = (regex: string) => ({
    type: 'Split',
    pattern: { Regex: regex },
    behavior: 'Isolated',
    invert: false,
  });
  const toByteCharacters = {
    type: 'ByteLevel',
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: false,
  };
  return {
    version: '1.0',
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: 'Sequence', pretokenizers: [...splits.map(isolate), toByteCharacters] },
    post_processor: null,
    decoder: null,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: ignoreMerges,
      vocab: Object.fromEntries(textTokens(vocabulary)),
      merges: readMerges(metadata),
    },
  };
}

/** [text, id] of the tokens that stand for text; of equal texts the last id counts. */
function textTokens({ tokens, types }: Vocabulary): [string, number][] {
  const isText = (id: number) => types[id] === tokenTypes.normal || types[id] === tokenTypes.userDefined;
  return tokens.map((token, id): [string, number] => [token, id]).filter(([, id]) => isText(id));
}

/** Merges "left right" by rank. Texts of byte-level tokens have no space in them. */
function readMerges(metadata: Metadata): readonly string[] {
  const merges = readStrings(metadata, 'tokenizer.ggml.merges', MAX_MERGES);
  const bad = merges.findIndex((merge) => !/^[^ ]+ [^ ]+$/.test(merge));
  if (bad < 0) return merges;
  throw new TextError('corrupt', `tokenizer.ggml.merges: entry ${bad} is not two texts with a space between`);
}
