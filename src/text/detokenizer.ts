/**
 * Ids to text, one at a time: a character comes out when its last byte is in. What push and flush return, joined, is
 * exactly what decoding all ids at once gives, invalid bytes included (one U+FFFD each, as the Encoding Standard has it).
 */

/** What the detokeniser needs of a tokeniser. */
export interface ByteSource {
  tokenBytes(id: number): Uint8Array;
}

export class Detokenizer {
  readonly #source: ByteSource;
  /** Holds back at most the three first bytes of a character. */
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** Text that this id completes; '' inside a character and for tokens without text, such as the end token. */
  push(id: number): string {
    return this.#decoder.decode(this.#source.tokenBytes(id), { stream: true });
  }

  /** What an unfinished character at the end comes to: U+FFFD or ''. Afterwards a new text may begin. */
  flush(): string {
    return this.#decoder.decode();
  }
}
