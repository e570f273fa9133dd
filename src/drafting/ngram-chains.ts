/**
 * A list of token ids in which the places where an n-gram ends are found without a search: per n-gram order one hash
 * table of newest positions and one array of links to the position before (as LZ77 encoders keep them).
 * Invariant: every candidate is checked against the ids themselves, so a hash collision costs a step, never a wrong
 * match. Appending is O(1) amortised; memory is 52 bytes a token, twice that just after the tables have grown.
 */

/** Stands between documents in one list; equal to no id. */
export const boundary = -1;

/** Suffixes are compared up to here; whether 32 or 300 tokens agree makes no difference to acceptance. */
export const matchLengthMax = 32;

/** n-gram lengths with a chain. Lengths between are found in the chain of the next shorter one. */
const orders = [1, 2, 4, 8] as const;

/** Steps along one chain: newest first, enough for a frequency, and a bound for text that repeats itself. */
const stepsMax = 64;

const capacityMin = 256;

/** Where a suffix of the context occurs: ids[end] is its last token, `length` tokens agree. */
export interface Occurrence {
  readonly chains: NgramChains;
  readonly end: number;
  readonly length: number;
}

export interface NgramChainsOptions {
  /** Above this many tokens the older half is forgotten. */
  readonly tokensMax: number;
  /** No match ends before this position (a lead-in that is context only). 0 unless told. */
  readonly matchFrom?: number;
}

export class NgramChains {
  readonly #tokensMax: number;
  #matchFrom: number;
  #length = 0;
  #forgotten = 0;
  #ids = new Int32Array(capacityMin);
  /** Per order: slot → newest position + 1, 0 for none. */
  #heads = orders.map(() => new Int32Array(2 * capacityMin));
  /** Per order: position → the position before it in its chain + 1, 0 for none. */
  #links = orders.map(() => new Int32Array(capacityMin));

  constructor(options: NgramChainsOptions) {
    this.#tokensMax = Math.max(2 * matchLengthMax, options.tokensMax);
    this.#matchFrom = options.matchFrom ?? 0;
  }

  get length(): number {
    return this.#length;
  }

  /** Ids that were forgotten: what stood at a position stands so many places before. */
  get forgotten(): number {
    return this.#forgotten;
  }

  /** The id at a position, or `boundary` beyond either end. */
  at(position: number): number {
    return position >= 0 && position < this.#length ? this.#ids[position]! : boundary;
  }

  append(id: number): void {
    if (this.#length === this.#tokensMax) this.#forgetOlderHalf();
    if (this.#length === this.#ids.length) this.#grow();
    this.#ids[this.#length] = id;
    this.#link(this.#length);
    this.#length += 1;
  }

  /** The last `count` ids (fewer if there are fewer). A view: valid until the next append. */
  tail(count: number): Int32Array {
    return this.#ids.subarray(Math.max(0, this.#length - count), this.#length);
  }

  /**
   * Adds to `found` where suffixes of `context` occur here with a token after them (or, for the list whose own tail
   * the context is, before its very end). Newest first within an order; each end once. About 256 comparisons at most.
   */
  collect(context: Int32Array, found: Occurrence[]): void {
    if (context.length === 0 || context[context.length - 1]! < 0) return;
    let hash = 0;
    let length = 0;
    for (let order = 0; order < orders.length; order++) {
      for (; length < orders[order]!; length++) {
        const id = context[context.length - 1 - length];
        if (id === undefined || id < 0) return;
        hash = mix(hash, id);
      }
      const links = this.#links[order]!;
      // Longer matches come from the longer chain; taking them here too would count them twice.
      const tooLong = orders[order + 1] ?? matchLengthMax + 1;
      let end = this.#heads[order]![this.#slot(hash)]! - 1;
      for (let step = 0; step < stepsMax && end >= 0; step++, end = links[end]! - 1) {
        if (end === this.#length - 1) continue;
        const agreed = this.#agreement(context, end);
        if (agreed >= orders[order]! && agreed < tooLong) found.push({ chains: this, end, length: agreed });
      }
    }
  }

  #agreement(context: Int32Array, end: number): number {
    const ids = this.#ids;
    const bound = Math.min(matchLengthMax, context.length, end + 1);
    let agreed = 0;
    while (agreed < bound) {
      const id = ids[end - agreed]!;
      if (id < 0 || id !== context[context.length - 1 - agreed]) break;
      agreed += 1;
    }
    return agreed;
  }

  #link(position: number): void {
    if (position < this.#matchFrom) return;
    let hash = 0;
    let length = 0;
    for (let order = 0; order < orders.length; order++) {
      for (; length < orders[order]!; length++) {
        const id = position - length < 0 ? boundary : this.#ids[position - length]!;
        if (id < 0) return;
        hash = mix(hash, id);
      }
      const slot = this.#slot(hash);
      this.#links[order]![position] = this.#heads[order]![slot]!;
      this.#heads[order]![slot] = position + 1;
    }
  }

  #slot(hash: number): number {
    return (hash ^ (hash >>> 15)) & (this.#heads[0]!.length - 1);
  }

  #grow(): void {
    const capacity = 2 * this.#ids.length;
    const ids = new Int32Array(capacity);
    ids.set(this.#ids);
    this.#ids = ids;
    this.#rebuild(capacity);
  }

  #forgetOlderHalf(): void {
    const kept = this.#length >>> 1;
    this.#ids.copyWithin(0, this.#length - kept, this.#length);
    this.#matchFrom = Math.max(0, this.#matchFrom - (this.#length - kept));
    this.#forgotten += this.#length - kept;
    this.#length = kept;
    this.#rebuild(this.#ids.length);
  }

  #rebuild(capacity: number): void {
    this.#heads = orders.map(() => new Int32Array(2 * capacity));
    this.#links = orders.map(() => new Int32Array(capacity));
    for (let position = 0; position < this.#length; position++) this.#link(position);
  }
}

function mix(hash: number, id: number): number {
  return Math.imul((hash ^ id) + 0x7f4a7c15, 0x9e3779b1) ^ (hash >>> 13);
}
