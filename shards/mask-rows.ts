/**
 * Masks of the rows of one pass, in memory that the thread that makes them shares with the one that verifies. They are
 * made one after the other while the pass runs, and only as far as verification goes.
 * Invariant: a row that was read was whole when it was read, and is what the grammar says behind the ids before it.
 */
import { ShardError } from './errors.ts';

/**
 * Words of control: by the maker the rows that are ready, with a bit once no more will come, and a flag by the reader. The
 * bit is in the word that the reader waits on, so that a failure in the moment before it waits wakes it too.
 */
const readyAt = 0;
const stoppedAt = 1;
const controlWords = 2;
const failedBit = 1 << 30;

/**
 * A row is made in 18 ms at most with 49,152 tokens. A grammar that takes so long over one is out of hand: what ambiguous
 * ones take grows with the cube of the text, and the engine waits.
 */
const rowMsMax = 2000;

export class MaskRows {
  readonly memory: SharedArrayBuffer;
  readonly #control: Int32Array;
  readonly #words: number;
  readonly #waitMsMax: number;
  #late = false;

  private constructor(memory: SharedArrayBuffer, vocab: number, waitMsMax: number) {
    this.memory = memory;
    this.#waitMsMax = waitMsMax;
    this.#control = new Int32Array(memory, 0, controlWords);
    this.#words = (vocab + 31) >> 5;
  }

  /** `delayMs`: what the thread that makes them may be busy with before. */
  static create(rows: number, vocab: number, delayMs: number): MaskRows {
    const wordsPerRow = 1 + ((vocab + 31) >> 5);
    const memory = new SharedArrayBuffer(4 * (controlWords + rows * wordsPerRow));
    return new MaskRows(memory, vocab, delayMs + rowMsMax);
  }

  /** The same rows in another thread. */
  static over(memory: SharedArrayBuffer, vocab: number): MaskRows {
    return new MaskRows(memory, vocab, rowMsMax);
  }

  /** Does anybody wait for the next row? */
  get wanted(): boolean {
    return Atomics.load(this.#control, stoppedAt) === 0;
  }

  /** Was a row waited for in vain? The thread is still busy with it then. */
  get late(): boolean {
    return this.#late;
  }

  /** Rows come in order, each once. `mask` null: nothing of the grammar may follow. */
  write(row: number, mask: Int32Array | null): void {
    const { flag, words } = this.#row(row);
    flag[0] = mask === null ? 0 : 1;
    if (mask !== null) words.set(mask);
    Atomics.add(this.#control, readyAt, 1);
    Atomics.notify(this.#control, readyAt);
  }

  /** No row comes any more; those that are ready stay good. */
  fail(): void {
    Atomics.or(this.#control, readyAt, failedBit);
    Atomics.notify(this.#control, readyAt);
  }

  /** Blocks until the row is there: a view, or null behind the end of the grammar. Throws engine_failed, deadline. */
  read(row: number): Int32Array | null {
    const control = this.#control;
    for (;;) {
      const state = Atomics.load(control, readyAt);
      if ((state & ~failedBit) > row) break;
      if ((state & failedBit) !== 0)
        throw new ShardError('engine_failed', 'the grammar was lost; send the request again');
      if (Atomics.wait(control, readyAt, state, this.#waitMsMax) === 'timed-out') {
        this.#late = true;
        throw new ShardError(
          'deadline',
          `the grammar takes more than ${rowMsMax} ms a token; it is ambiguous`,
        );
      }
    }
    const { flag, words } = this.#row(row);
    return flag[0] === 0 ? null : words;
  }

  /** What was not read is not needed. */
  stop(): void {
    Atomics.store(this.#control, stoppedAt, 1);
  }

  #row(row: number): { readonly flag: Int32Array; readonly words: Int32Array } {
    const start = 4 * (controlWords + row * (1 + this.#words));
    return {
      flag: new Int32Array(this.memory, start, 1),
      words: new Int32Array(this.memory, start + 4, this.#words),
    };
  }
}
