/**
 * The bytes that each token adds to a text. Control tokens and the like add none; everything else about turning ids
 * into text follows from these bytes alone (decode, detokeniser, grammar).
 */
import { spaceMark } from './spm.ts';
import { byteNamed, tokenTypes, type Vocabulary } from './vocabulary.ts';

/** Bytes per token, all in one buffer. */
export class TokenBytes {
  readonly #bytes: Uint8Array;
  /** Token i is bytes [ends[i - 1], ends[i]). */
  readonly #ends: Uint32Array;

  constructor(vocabulary: Vocabulary) {
    const tokens = vocabulary.tokens.map((_, id) => bytesOf(vocabulary, id));
    this.#ends = new Uint32Array(tokens.length);
    let end = 0;
    for (const [id, bytes] of tokens.entries()) {
      end += bytes.length;
      this.#ends[id] = end;
    }
    this.#bytes = new Uint8Array(end);
    for (const [id, bytes] of tokens.entries()) this.#bytes.set(bytes, this.#ends[id] - bytes.length);
  }

  /** A view, not a copy. An id outside the vocabulary has no bytes. */
  of(id: number): Uint8Array {
    return this.#bytes.subarray(id === 0 ? 0 : (this.#ends[id - 1] ?? 0), this.#ends[id] ?? 0);
  }
}

const utf8 = new TextEncoder();

function bytesOf({ model, tokens, types }: Vocabulary, id: number): Uint8Array {
  const token = tokens[id];
  switch (types[id]) {
    case tokenTypes.normal:
      return model === 'gpt2' ? byteLevelBytes(token) : utf8.encode(token.replaceAll(spaceMark, ' '));
    case tokenTypes.userDefined:
      return utf8.encode(token);
    case tokenTypes.byte:
      return Uint8Array.of(byteNamed(token) ?? 0);
    default:
      return new Uint8Array(0);
  }
}

/** Characters of byte-level tokens back to bytes; a character that stands for no byte is itself. */
function byteLevelBytes(token: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = byteOf.get(character);
    if (byte === undefined) bytes.push(...utf8.encode(character));
    else bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

/**
 * GPT-2's alphabet: printable Latin-1 characters stand for their own byte, the other bytes, ascending, for the
 * characters from U+0100 on.
 */
const byteOf: ReadonlyMap<string, number> = (() => {
  const isPrintable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  const map = new Map<string, number>();
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++)
    map.set(String.fromCharCode(isPrintable(byte) ? byte : next++), byte);
  return map;
})();
