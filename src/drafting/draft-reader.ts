/**
 * What a local draft model has read: one executor over the whole model and a key/value cache per sequence. A cache
 * holds rows for what was fed, guesses included; the next reading keeps the rows that turned out right and feeds the
 * rest, so a rejected draft needs no message.
 * Everything here blocks its thread while a pass runs: lm-thread.ts is where it lives.
 */
import { drawSparse, type SparseProbs, truncated } from '../../shards/draft-probs.ts';
import {
  createExecutor,
  type Executor,
  type ExecutorOptions,
  type ExecutorResult,
  type HeadOutput,
} from '../../shards/executor.ts';
import { KvStore } from '../../shards/kv-store.ts';
import type { Sampling } from '../../shards/sampler.ts';
import { chooseToken, needsLogits, softmax, targetProbs } from '../../shards/sampler.ts';
import { rankTokens } from './ranking.ts';

/** Rows of one pass over a prompt: longer ones block the thread for no gain in time per row. */
const chunkRows = 64;

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
}

/** How the token behind a row is to be guessed. */
export interface GuessRule {
  readonly sampling: Sampling;
  /** Draw from the law of so many likeliest ids, and tell it; null for none. */
  readonly pairs: number | null;
  /** Guesses wanted for each row, best first. A head gives its own number whatever is asked. */
  readonly count: number;
}

/** What the model expects behind a row. */
export interface Guess {
  readonly id: number;
  /** The model's own probability of it; 1 where it does not tell. */
  readonly chance: number;
  /** The law that it was drawn from, if that was asked for. */
  readonly law: SparseProbs | null;
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
    const reading = new Reading({
      ...{ executor: this.#executor, options: this.#options, store: this.#store, sequence },
      ...{ tokens, fed: state.fed, expected: state.expected },
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

interface ReadingParts {
  readonly executor: Executor;
  readonly options: DraftModelOptions;
  readonly store: KvStore;
  readonly sequence: string;
  readonly tokens: readonly number[];
  readonly fed: number[];
  readonly expected: (readonly Guess[] | null)[];
  /** False once the sequence was closed or begun anew. */
  readonly stands: () => boolean;
}

/** One sequence while it is being read. */
export class Reading {
  readonly #parts: ReadingParts;

  constructor(parts: ReadingParts) {
    this.#parts = parts;
  }

  /** What the sequence says, and what is assumed to follow it. */
  get tokens(): readonly number[] {
    return this.#parts.tokens;
  }

  /** Rows in the cache. */
  get length(): number {
    return this.#parts.fed.length;
  }

  get stands(): boolean {
    return this.#parts.stands();
  }

  /** What was expected behind the token at a position that was fed; null if no pass told. */
  expectedBehind(position: number): readonly Guess[] | null {
    return this.#parts.expected[position] ?? null;
  }

  /** Feeds tokens chunk by chunk up to `position`; false if it was stopped before. */
  async catchUp(position: number, stop: () => boolean | Promise<boolean>): Promise<boolean> {
    while (this.length < position) {
      if ((await stop()) || !this.stands) return false;
      const ids = this.tokens.slice(this.length, Math.min(position, this.length + chunkRows));
      await this.#run(ids, 0, 'none');
    }
    return true;
  }

  /** Runs ids behind what was fed; the guesses for what follows each of the last `heads` of them. */
  async feed(ids: readonly number[], heads: number, rule: GuessRule): Promise<(readonly Guess[])[]> {
    const { fed, expected } = this.#parts;
    const from = fed.length + ids.length - heads;
    const result = await this.#run(ids, heads, this.wants(rule));
    const told = Array.from({ length: heads }, (_, row) => this.#guesses(result, row, rule, from + row + 1));
    for (const [row, guesses] of told.entries()) if (guesses.length > 1) expected[from + row] = guesses;
    return told;
  }

  /** What a head gives for a rule. */
  wants({ sampling, pairs, count }: GuessRule): HeadOutput {
    if (pairs !== null || needsLogits(sampling)) return 'logits';
    if (this.#parts.options.confident) return 'ranking';
    return count > 1 ? 'logits' : 'argmax';
  }

  /** Forgets the rows from `position` on. */
  truncate(position: number): void {
    const { store, sequence, fed, expected } = this.#parts;
    store.get(sequence).truncate(position);
    fed.length = Math.min(fed.length, position);
    expected.length = fed.length;
  }

  /** The rows from `position` on, to be put back later. */
  rowsFrom(position: number): KeptRows {
    const { store, sequence, fed, expected } = this.#parts;
    return {
      ids: fed.slice(position),
      expected: expected.slice(position),
      values: store.get(sequence).rows(position),
    };
  }

  /** Puts the first `count` of those rows behind what is there. */
  putBack(kept: KeptRows, count: number): void {
    const { store, sequence, fed, expected } = this.#parts;
    store.reserve(sequence, fed.length + count);
    store.get(sequence).append(kept.values, count, kept.ids.length);
    for (let row = 0; row < count; row++) {
      fed.push(kept.ids[row]!);
      expected.push(kept.expected[row]!);
    }
  }

  async #run(ids: readonly number[], heads: number, want: HeadOutput): Promise<ExecutorResult> {
    const { executor, store, sequence, fed, expected } = this.#parts;
    const cache = store.get(sequence);
    store.reserve(sequence, cache.length + ids.length);
    const headFrom = ids.length - heads;
    const rows = { ids: Uint32Array.from(ids), hidden: null, cache, headFrom, want };
    const [result] = (await executor.run([rows])) as [ExecutorResult];
    cache.append(result.newkv, ids.length, result.passRows);
    for (const id of ids) {
      fed.push(id);
      expected.push(null);
    }
    return result;
  }

  #guesses(result: ExecutorResult, row: number, rule: GuessRule, position: number): readonly Guess[] {
    const { ranking, argmax, logits } = result;
    if (ranking !== null) {
      const { width, ids, chances } = ranking;
      return Array.from({ length: width }, (_, place) => ({
        ...{ id: ids[row * width + place]!, chance: chances[row * width + place]!, law: null },
      }));
    }
    if (argmax !== null) return [{ id: argmax[row]!, chance: 1, law: null }];
    const { vocab } = this.#parts.options.dims;
    const scores = logits!.subarray(row * vocab, (row + 1) * vocab);
    const { sampling, pairs, count } = rule;
    if (pairs !== null) return [this.#drawn(scores, sampling, pairs, position)];
    if (count === 1) return [{ id: chooseToken(scores, sampling, position), chance: 1, law: null }];
    return rankTokens(scores, sampling, position, count).map((guess) => ({ ...guess, law: null }));
  }

  /** Ids that are padding to the target have no place in the law: a draft must not end because one was drawn. */
  #drawn(scores: Float32Array, sampling: Sampling, pairs: number, position: number): Guess {
    const known = scores.subarray(0, this.#parts.options.targetVocab);
    const greedily = sampling.temperature <= 0;
    const law = truncated(greedily ? softmax(known) : targetProbs(known, sampling), pairs);
    return { id: greedily ? law.ids[0]! : drawSparse(law, sampling.seed, position), chance: 1, law };
  }
}

/** Rows that were taken out of a cache. */
export interface KeptRows {
  readonly ids: readonly number[];
  readonly expected: readonly (readonly Guess[] | null)[];
  readonly values: Float32Array;
}
