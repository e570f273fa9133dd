/**
 * A text as the model would most likely write it behind other tokens: cut as the tokeniser cuts it there, since that is
 * what models are trained on. A guess by nature: a model may cut it otherwise.
 */
import type { Tokenizer } from './tokenizer.ts';

/** Tokens before the text that may sway its cut: those of a word or two. */
const contextTokens = 8;

type Encoder = Pick<Tokenizer, 'encodeText' | 'decode' | 'tokenBytes'>;

/** Ids that spell a prefix of `text`, all of it where the vocabulary can. */
export function encodeBehind(tokenizer: Encoder, before: readonly number[], text: string): number[] {
  const context = textTokens(tokenizer, before.slice(-contextTokens));
  const contextBytes = context.reduce((sum, id) => sum + tokenizer.tokenBytes(id).length, 0);
  const joined = tokenizer.encodeText(tokenizer.decode(context) + text);
  let bytes = 0;
  let at = 0;
  while (bytes < contextBytes && at < joined.length) bytes += tokenizer.tokenBytes(joined[at++]!).length;
  // A token that stands across the border is not to be had any more.
  const ids = bytes === contextBytes ? joined.slice(at) : tokenizer.encodeText(text);
  return spelling(tokenizer, ids, new TextEncoder().encode(text));
}

/** The tokens behind the last one without text. */
function textTokens(tokenizer: Encoder, ids: readonly number[]): readonly number[] {
  return ids.slice(ids.findLastIndex((id) => tokenizer.tokenBytes(id).length === 0) + 1);
}

/** The ids as far as they spell these bytes: some vocabularies begin a text with a space of their own. */
function spelling(tokenizer: Encoder, ids: readonly number[], bytes: Uint8Array): number[] {
  let at = 0;
  const right = ids.findIndex((id) => {
    const said = tokenizer.tokenBytes(id);
    const spells = said.length > 0 && said.every((byte, i) => byte === bytes[at + i]);
    at += said.length;
    return !spells;
  });
  return right === -1 ? [...ids] : ids.slice(0, right);
}
