/**
 * SentencePiece encoding by scores (tokenizer model 'llama': Llama 2, TinyLlama, Mistral v0.1): of all neighbours whose
 * joined text is a token the highest score merges first, the leftmost of equals. Text that is no token becomes bytes.
 * Source: SentencePiece's bpe_model.cc as llama.cpp runs it, with one difference: control and byte tokens never arise
 * from text. O(n log n) in the length of the text.
 */
import { MergeQueue } from './merge-queue.ts';
import { TextError } from './text-error.ts';
import {
  byteNamed,
  type Metadata,
  readFlag,
  readNumbers,
  tokenTypes,
  type Vocabulary,
} from './vocabulary.ts';

/** SentencePiece's stand-in for a space. */
export const spaceMark = '\u2581';

/** Encodes text that has no user-defined tokens in it. Throws TextError when the vocabulary cannot spell every text. */
export function createSpmEncoder(metadata: Metadata, vocabulary: Vocabulary): (text: string) => number[] {
  const { tokens, types } = vocabulary;
  const scores = readNumbers(metadata, 'tokenizer.ggml.scores', tokens.length);
  const prefix = readFlag(metadata, 'tokenizer.ggml.add_space_prefix', true) ? spaceMark : '';
  const byteIds = readByteIds(vocabulary);
  const ids = new Map<string, number>();
  for (const [id, token] of tokens.entries()) {
    if (types[id] === tokenTypes.normal || types[id] === tokenTypes.userDefined) ids.set(token, id);
  }
  const utf8 = new TextEncoder();

  return (text) => {
    if (text === '') return [];
    const merged = mergePieces(prefix + text.toWellFormed().replaceAll(' ', spaceMark), ids, scores);
    return merged.flatMap((piece) => {
      const id = ids.get(piece);
      return id === undefined ? Array.from(utf8.encode(piece), (byte) => byteIds[byte]) : [id];
    });
  };
}

function mergePieces(text: string, ids: ReadonlyMap<string, number>, scores: readonly number[]): string[] {
  const pieces: string[] = [...text];
  const previous = pieces.map((_, i) => i - 1);
  const next = pieces.map((_, i) => i + 1);
  const queue = new MergeQueue();
  const offer = (left: number, right: number) => {
    if (left < 0 || right >= pieces.length) return;
    const id = ids.get(pieces[left] + pieces[right]);
    if (id !== undefined) queue.push({ left, right, score: scores[id], length: tokenLength(left, right) });
  };
  const tokenLength = (left: number, right: number) => pieces[left].length + pieces[right].length;

  for (let i = 1; i < pieces.length; i++) offer(i - 1, i);
  for (let merge = queue.pop(); merge !== null; merge = queue.pop()) {
    const { left, right, length } = merge;
    const isStale = pieces[left] === '' || pieces[right] === '' || tokenLength(left, right) !== length;
    if (isStale) continue;
    pieces[left] += pieces[right];
    pieces[right] = '';
    next[left] = next[right];
    if (next[right] < pieces.length) previous[next[right]] = left;
    offer(previous[left], left);
    offer(left, next[left]);
  }
  return pieces.filter((piece) => piece !== '');
}

/** Id of the token of each byte, `<0x00>` to `<0xFF>`. */
function readByteIds({ tokens, types }: Vocabulary): readonly number[] {
  const byteIds = new Array<number>(256).fill(-1);
  for (const [id, token] of tokens.entries()) {
    const byte = types[id] === tokenTypes.byte ? byteNamed(token) : null;
    if (byte !== null) byteIds[byte] = id;
  }
  const unknown = types.indexOf(tokenTypes.unknown);
  if (byteIds.includes(-1) && unknown < 0) {
    throw new TextError(
      'unsupported',
      'the vocabulary has neither a token for each byte nor an unknown token',
    );
  }
  return byteIds.map((id) => (id < 0 ? unknown : id));
}
