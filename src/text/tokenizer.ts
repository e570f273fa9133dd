/**
 * Text to ids and back, as llama.cpp does it, from the metadata of a GGUF file. Text goes two ways: `encode` turns the
 * names of control tokens into those tokens (prompts that we wrote), `encodeText` never does (text that users wrote).
 */
import { Tokenizer as BpeTokenizer } from '@huggingface/tokenizers';
import { createSpmEncoder } from './spm.ts';
import { TextError } from './text-error.ts';
import { TokenBytes } from './token-bytes.ts';
import { TokenTrie } from './token-trie.ts';
import { bpeTokenizerJson } from './tokenizer-json.ts';
import { type Metadata, readVocabulary, tokenTypes, type Vocabulary } from './vocabulary.ts';

export interface Tokenizer {
  readonly vocabSize: number;
  /** Tokens as the file writes them (byte-level characters or U+2581 for spaces), by id. */
  readonly tokens: readonly string[];
  /** Ids that end an answer, ascending, never empty. */
  readonly eosIds: readonly number[];
  readonly bosId: number | null;
  /** Whether every sequence begins with bosId; encode does not add it. */
  readonly addBos: boolean;
  /** Control tokens parsed. Characters that the vocabulary cannot spell are left out, as in llama.cpp. */
  encode(text: string): number[];
  /** No control token, whatever the text. */
  encodeText(text: string): number[];
  /** Text between control tokens, and their ids, in order. */
  splitSpecial(text: string): (string | number)[];
  /** The text of these ids behind other text: control tokens are '', invalid UTF-8 becomes U+FFFD. */
  decode(ids: Iterable<number>): string;
  /** The bytes that a token adds to the text, none for control tokens: a view that must not be written to. */
  tokenBytes(id: number): Uint8Array;
  /** Control, unknown and unused tokens: they stand for no text. */
  isSpecial(id: number): boolean;
}

/** `metadata`: of the GGUF file. Throws TextError. */
export function createTokenizer(metadata: Metadata): Tokenizer {
  const vocabulary = readVocabulary(metadata);
  const { tokens, types } = vocabulary;
  const controlTokens = new TokenTrie([
    ...namedTokens(vocabulary, tokenTypes.unknown),
    ...namedTokens(vocabulary, tokenTypes.control),
  ]);
  const userDefined = new TokenTrie(namedTokens(vocabulary, tokenTypes.userDefined));
  const encodePiece = createEncoder(metadata, vocabulary);
  const bytes = new TokenBytes(vocabulary);

  const encodeText = (text: string) =>
    userDefined.split(text).flatMap((part) => (typeof part === 'number' ? [part] : encodePiece(part)));
  const splitSpecial = (text: string) => controlTokens.split(text);
  const isSpecial = (id: number) =>
    types[id] === tokenTypes.control || types[id] === tokenTypes.unknown || types[id] === tokenTypes.unused;

  return {
    vocabSize: tokens.length,
    tokens,
    eosIds: vocabulary.eosIds,
    bosId: vocabulary.bosId,
    addBos: vocabulary.addBos,
    encode: (text) =>
      splitSpecial(text).flatMap((part) => (typeof part === 'number' ? [part] : encodeText(part))),
    encodeText,
    splitSpecial,
    decode: (ids) =>
      new TextDecoder('utf-8', { ignoreBOM: true }).decode(
        Buffer.concat(Array.from(ids, (id) => bytes.of(id))),
      ),
    tokenBytes: (id) => bytes.of(id),
    isSpecial,
  };
}

/**
 * [text, id] of the tokens of one type, to search text for. A control token of one character is never searched for: nothing
 * could tell it from that character.
 */
function namedTokens({ tokens, types }: Vocabulary, type: number): [string, number][] {
  const isNamed = (token: string) => type === tokenTypes.userDefined || [...token].length > 1;
  return tokens
    .map((token, id): [string, number] => [token, id])
    .filter(([token, id]) => types[id] === type && isNamed(token));
}

/** Encodes text without control or user-defined tokens in it. */
function createEncoder(metadata: Metadata, vocabulary: Vocabulary): (text: string) => number[] {
  if (vocabulary.model === 'llama') return createSpmEncoder(metadata, vocabulary);
  const json = bpeTokenizerJson(metadata, vocabulary);
  try {
    const bpe = new BpeTokenizer(json, {});
    return (text) => bpe.encode(text, { add_special_tokens: false }).ids;
  } catch (cause) {
    throw new TextError('unsupported', `the tokeniser cannot be built: ${String(cause)}`, { cause });
  }
}
