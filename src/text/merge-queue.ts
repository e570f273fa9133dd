/** A binary heap of merges: highest score first, the leftmost of equals. It holds at most three per character of text. */

export interface Merge {
  /** Indices of the two pieces. */
  readonly left: number;
  readonly right: number;
  readonly score: number;
  /** Joined length when offered: differs from the pieces' later, and the merge is stale. */
  readonly length: number;
}

export class MergeQueue {
  readonly #heap: Merge[] = [];

  push(merge: Merge): void {
    let at = this.#heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(merge, this.#heap[parent])) break;
      this.#heap[at] = this.#heap[parent];
      at = parent;
    }
    this.#heap[at] = merge;
  }

  /** Takes the first one out, or null. */
  pop(): Merge | null {
    const last = this.#heap.pop();
    if (last === undefined) return null;
    if (this.#heap.length === 0) return last;
    const first = this.#heap[0];
    this.#sink(last);
    return first;
  }

  /** Puts a merge in place of the root. */
  #sink(merge: Merge): void {
    const heap = this.#heap;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child += 1;
      if (!isBefore(heap[child], merge)) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = merge;
  }
}

function isBefore(a: Merge, b: Merge): boolean {
  return a.score > b.score || (a.score === b.score && a.left < b.left);
}
