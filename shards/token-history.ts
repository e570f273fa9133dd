/**
 * Ids of one session at their positions, as the tail has been sent them, and whoever counts along (penalties, a
 * grammar). Invariant: it holds as many ids as the cache holds rows; followers have been told exactly a prefix of
 * them, and what a frame's position forgets is taken back from them, newest first. A rejected draft stays in the
 * history until the next frame's position, but no follower ever hears of it.
 */

/** Something whose state is a function of the ids that it was told. */
export interface HistoryFollower {
  /** The id at `position` joins. */
  push(id: number, position: number): void;
  /** The newest id, at `position`, is taken back. */
  pop(id: number, position: number): void;
}

export class TokenHistory {
  readonly #ids: number[] = [];
  #followers: readonly HistoryFollower[] = [];
  #told = 0;

  /** Ids held. */
  get length(): number {
    return this.#ids.length;
  }

  /** Replaces all followers; each starts with nothing told. */
  follow(followers: readonly HistoryFollower[]): void {
    this.#followers = followers;
    this.#told = 0;
  }

  /** Forgets everything from `position` on and puts ids there. `position` is at most length. */
  write(position: number, ids: Iterable<number>): void {
    if (position > this.#ids.length)
      throw new RangeError(`no ids before ${position}: ${this.length} are held`);
    if (this.#told > position) this.tell(position);
    this.#ids.length = position;
    for (const id of ids) this.#ids.push(id);
  }

  /** Brings every follower to exactly the first `length` ids. */
  tell(length: number): void {
    while (this.#told > length) {
      this.#told -= 1;
      for (const follower of this.#followers) follower.pop(this.#ids[this.#told]!, this.#told);
    }
    for (; this.#told < length; this.#told++) {
      for (const follower of this.#followers) follower.push(this.#ids[this.#told]!, this.#told);
    }
  }

  /** The first `length` ids, or as many as are held. */
  head(length: number): readonly number[] {
    return this.#ids.slice(0, length);
  }
}
