/**
 * Keys and values of one session in one layer range. Invariant: after `truncate(n)` a cache equals one that never grew
 * past n; rollback moves no data.
 */
export interface KvShape {
  /** Layers of the range; each has a key and a value buffer. */
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** Bytes of keys and values that one position takes. */
export function kvBytesPerPosition({ layers, kvHeads, headDim }: KvShape): number {
  return 2 * layers * kvHeads * headDim * Float32Array.BYTES_PER_ELEMENT;
}

export class KvCache {
  readonly shape: KvShape;
  /** Key, value, key, value, …: each [kvHeads, capacity, headDim]. Replaced when the cache grows. */
  readonly buffers: Float32Array[];
  #capacity = 0;
  #length = 0;

  constructor(shape: KvShape) {
    this.shape = shape;
    this.buffers = Array.from({ length: 2 * shape.layers }, () => new Float32Array(0));
  }

  /** Positions held. */
  get length(): number {
    return this.#length;
  }

  /** Positions that fit without growing. */
  get capacity(): number {
    return this.#capacity;
  }

  get bytes(): number {
    return this.#capacity * kvBytesPerPosition(this.shape);
  }

  /** Forgets everything from `length` on. */
  truncate(length: number): void {
    if (length < this.#length) this.#length = length;
  }

  /**
   * Adds positions: `rows` rows of newkv [2 layers, kvHeads, passRows, headDim] from firstRow on. They must fit.
   */
  append(newkv: Float32Array, rows: number, passRows: number, firstRow = 0): void {
    const { kvHeads, headDim } = this.shape;
    if (this.#length + rows > this.#capacity) throw new RangeError(`${rows} rows do not fit into the cache`);
    this.buffers.forEach((buffer, index) => {
      for (let head = 0; head < kvHeads; head++) {
        const from = ((index * kvHeads + head) * passRows + firstRow) * headDim;
        const to = (head * this.#capacity + this.#length) * headDim;
        buffer.set(newkv.subarray(from, from + rows * headDim), to);
      }
    });
    this.#length += rows;
  }

  /** Positions from `from` on, as `append` takes them. */
  rows(from: number): Float32Array {
    const { kvHeads, headDim } = this.shape;
    const count = Math.max(0, this.#length - from);
    const rows = new Float32Array(this.buffers.length * kvHeads * count * headDim);
    this.buffers.forEach((buffer, index) => {
      for (let head = 0; head < kvHeads; head++) {
        const at = (head * this.#capacity + from) * headDim;
        rows.set(buffer.subarray(at, at + count * headDim), (index * kvHeads + head) * count * headDim);
      }
    });
    return rows;
  }

  /** Makes room for exactly `capacity` positions, never less than it has. */
  grow(capacity: number): void {
    if (capacity <= this.#capacity) return;
    const { kvHeads, headDim } = this.shape;
    const held = this.#length * headDim;
    this.buffers.forEach((old, index) => {
      const wide = new Float32Array(kvHeads * capacity * headDim);
      for (let head = 0; head < kvHeads; head++) {
        const from = head * this.#capacity * headDim;
        wide.set(old.subarray(from, from + held), head * capacity * headDim);
      }
      this.buffers[index] = wide;
    });
    this.#capacity = capacity;
  }

  /** Becomes a copy of the donor's first `length` positions. Must fit. */
  copyFrom(donor: KvCache, length: number): void {
    const { kvHeads, headDim } = this.shape;
    if (length > this.#capacity || length > donor.length)
      throw new RangeError(`${length} positions cannot be copied`);
    this.buffers.forEach((buffer, index) => {
      for (let head = 0; head < kvHeads; head++) {
        const from = head * donor.capacity * headDim;
        const rows = donor.buffers[index]!.subarray(from, from + length * headDim);
        buffer.set(rows, head * this.#capacity * headDim);
      }
    });
    this.#length = length;
  }
}
