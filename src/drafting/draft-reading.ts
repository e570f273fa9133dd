/**
 * One sequence while a draft model reads it: rows are fed behind those that its cache holds, and the head says what it
 * expects behind the last ones. Rows may be taken out and put back, so that several continuations can be tried.
 * Everything here blocks its thread while a pass runs: lm-thread.ts is where it lives.
 */
import { drawSparse, type SparseProbs, truncated } from '../../shards/draft-probs.ts';
import type { Executor, ExecutorResult, HeadOutput } from '../../shards/executor.ts';
import type { KvStore } from '../../shards/kv-store.ts';
import { chooseToken, needsLogits, type Sampling, softmax, targetProbs } from '../../shards/sampler.ts';
import { greedyChances } from './greedy-chances.ts';
import { rankTokens } from './ranking.ts';

/** Rows of one pass over a prompt: longer ones block the thread for no gain in time per row. */
const chunkRows = 64;

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
  /** Of a greedy target; 1 where the model does not tell. */
  readonly chance: number;
  /** The law that it was drawn from, if that was asked for. */
  readonly law: SparseProbs | null;
}

interface ReadingParts {
  readonly executor: Executor;
  readonly store: KvStore;
  readonly sequence: string;
  readonly tokens: readonly number[];
  /** What the cache holds rows for, and what was expected behind each; both grow as it is fed. */
  readonly fed: number[];
  readonly expected: (readonly Guess[] | null)[];
  /** Ids that rows of logits have. */
  readonly vocab: number;
  /** Ids from here on are padding to the target. */
  readonly targetVocab: number;
  /** Does the graph rank ids and tell how sure it is? */
  readonly confident: boolean;
  /** Log odds by which its first choice is right more often than it tells. */
  readonly greedyShift: number;
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
    if (this.#parts.confident) return 'ranking';
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
      const { width, ids } = ranking;
      const told = ranking.chances.subarray(row * width, (row + 1) * width);
      const chances = greedyChances(told, this.#parts.greedyShift);
      return Array.from({ length: width }, (_, place) => ({
        ...{ id: ids[row * width + place]!, chance: chances[place]!, law: null },
      }));
    }
    if (argmax !== null) return [{ id: argmax[row]!, chance: 1, law: null }];
    const { vocab } = this.#parts;
    const scores = logits!.subarray(row * vocab, (row + 1) * vocab);
    const { sampling, pairs, count } = rule;
    if (pairs !== null) return [this.#drawn(scores, sampling, pairs, position)];
    if (count === 1) return [{ id: chooseToken(scores, sampling, position), chance: 1, law: null }];
    return rankTokens(scores, sampling, position, count).map((guess) => ({ ...guess, law: null }));
  }

  /** Ids that are padding to the target have no place in the law: a draft must not end because one was drawn. */
  #drawn(scores: Float32Array, sampling: Sampling, pairs: number, position: number): Guess {
    const known = scores.subarray(0, this.#parts.targetVocab);
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
