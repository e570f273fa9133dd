/**
 * What a local draft model has read: one executor over the whole model and a key/value cache per sequence. A cache
 * holds rows for what was fed, guesses included; the next reading (draft-reading.ts) keeps the rows that turned out
 * right and feeds the rest, so a rejected draft needs no message.
 */
import { createExecutor, type Executor, type ExecutorOptions } from '../../shards/executor.ts';
import { KvStore } from '../../shards/kv-store.ts';
import { type Guess, Reading } from './draft-reading.ts';

/** Plain data: it crosses threads. */
export interface DraftModelOptions extends ExecutorOptions {
  /** Budget for keys and values of all sequences; those drafted for longest ago lose theirs first. */
  readonly kvBytesMax: number;
  /** Ids from here on are padding to the target and end a draft. */
  readonly targetVocab: number;
  /** Ids that end an answer: nothing is drafted after one. */
  readonly eosIds: readonly number[];
  /** Does the graph tell how sure it is, as a draft head's does? Left out: no. */
  readonly confident?: boolean;
  /** Log odds by which its first choice is right more often than it tells, greedily. Left out: 0. */
  readonly greedyShift?: number;
}

interface SequenceState {
  /** What the sequence says. */
  readonly tokens: number[];
  /** What the cache holds rows for; as long as the cache. */
  readonly fed: number[];
  /** For each of fed, what was expected behind it, as far as a pass told more than one guess. */
  readonly expected: (readonly Guess[] | null)[];
}

export class DraftReader {
  readonly #executor: Executor;
  readonly #options: DraftModelOptions;
  readonly #store: KvStore;
  readonly #states = new Map<string, SequenceState>();

  private constructor(executor: Executor, options: DraftModelOptions) {
    const { dims, range, kvBytesMax: bytesMax } = options;
    const shape = { layers: range.end - range.start, kvHeads: dims.kvHeads, headDim: dims.headDim };
    this.#executor = executor;
    this.#options = options;
    this.#store = new KvStore({ shape, bytesMax, positionsMax: dims.contextLength });
  }

  static async open(options: DraftModelOptions): Promise<DraftReader> {
    return new DraftReader(await createExecutor(options), options);
  }

  /** The sequence's tokens from index `from` on; those before are known. Costs nothing. Throws RangeError on a gap. */
  learn(sequence: string, from: number, ids: Uint32Array): void {
    const state = this.#states.get(sequence) ?? { tokens: [], fed: [], expected: [] };
    if (from > state.tokens.length)
      throw new RangeError(`tokens before ${from} of ${sequence} are not known`);
    this.#states.set(sequence, state);
    state.tokens.length = from;
    for (const id of ids) state.tokens.push(id);
  }

  /** Forgets a sequence; a reading of it no longer stands. */
  close(sequence: string): void {
    this.#states.delete(sequence);
    this.#store.free(sequence);
  }

  dispose(): Promise<void> {
    return this.#executor.dispose();
  }

  /**
   * Reads on in a sequence and the guesses `ahead` of it. Null if the model cannot read it. Between readings every
   * cache may be evicted for another's sake.
   */
  async read<T>(
    sequence: string,
    ahead: readonly number[],
    work: (reading: Reading) => Promise<T>,
  ): Promise<T | null> {
    const state = this.#states.get(sequence);
    if (state === undefined || state.tokens.length === 0) return null;
    const { dims } = this.#options;
    // A copy: more may be learned while this is read.
    const tokens = [...state.tokens, ...ahead];
    if (tokens.length > dims.contextLength || tokens.some((id) => id >= dims.vocab)) return null;
    this.#keepRight(sequence, state, tokens);
    const { targetVocab, confident = false, greedyShift = 0 } = this.#options;
    const reading = new Reading({
      ...{ executor: this.#executor, store: this.#store, sequence },
      ...{ tokens, fed: state.fed, expected: state.expected },
      ...{ vocab: dims.vocab, targetVocab, confident, greedyShift },
      stands: () => this.#states.get(sequence) === state,
    });
    try {
      return await work(reading);
    } finally {
      this.#store.keep(sequence);
    }
  }

  /** Cuts the cache to the rows that are still right. The last token is always fed again, for what follows it. */
  #keepRight(sequence: string, { fed, expected }: SequenceState, tokens: readonly number[]): void {
    let right = 0;
    while (right < fed.length && right < tokens.length - 1 && fed[right] === tokens[right]) right += 1;
    try {
      this.#store.adopt(sequence, sequence, right);
    } catch {
      // Evicted, or never there: start over.
      this.#store.open(sequence);
      right = 0;
    }
    fed.length = right;
    expected.length = right;
  }
}
