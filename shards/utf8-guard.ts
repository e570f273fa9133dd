/**
 * Keeps a text made of tokens valid UTF-8 (RFC 3629): the library's character classes let overlong forms and surrogates
 * through, which decode to several U+FFFD and break lengths that a grammar has counted.
 */

/** Bytes still to come, and what the next may be; 0 is between characters. Columns: lowest, highest, state behind. */
const expectations = [
  null,
  [0x80, 0xbf, 0],
  [0x80, 0xbf, 1],
  [0x80, 0xbf, 2],
  [0xa0, 0xbf, 1], // behind E0
  [0x80, 0x9f, 1], // behind ED
  [0x90, 0xbf, 2], // behind F0
  [0x80, 0x8f, 2], // behind F4
] as const;

export class Utf8Guard {
  readonly #tokenBytes: readonly Uint8Array[];
  readonly #words: number;
  /** By state, made when first asked for. */
  readonly #masks: (Int32Array | undefined)[] = [];

  /** `vocab`: ids of a mask; those without bytes are never refused. */
  constructor(tokenBytes: readonly Uint8Array[], vocab: number) {
    this.#tokenBytes = tokenBytes;
    this.#words = (vocab + 31) >> 5;
  }

  /** The state behind a token, or null where it is not UTF-8. */
  after(state: number, id: number): number | null {
    let at: number | null = state;
    for (const byte of this.#tokenBytes[id] ?? []) {
      at = step(at, byte);
      if (at === null) return null;
    }
    return at;
  }

  /** Bits by id of the tokens that may follow in `state`. */
  mask(state: number): Int32Array {
    const known = this.#masks[state];
    if (known !== undefined) return known;
    const mask = new Int32Array(this.#words).fill(-1);
    for (let id = 0; id < this.#tokenBytes.length; id++) {
      if (this.after(state, id) === null) mask[id >> 5]! &= ~(1 << (id & 31));
    }
    this.#masks[state] = mask;
    return mask;
  }
}

function step(state: number, byte: number): number | null {
  const expected = expectations[state]!;
  if (expected !== null) return byte >= expected[0] && byte <= expected[1] ? expected[2] : null;
  if (byte < 0x80) return 0;
  if (byte < 0xc2 || byte > 0xf4) return null;
  if (byte < 0xe0) return 1;
  if (byte < 0xf0) return byte === 0xe0 ? 4 : byte === 0xed ? 5 : 2;
  return byte === 0xf0 ? 6 : byte === 0xf4 ? 7 : 3;
}
