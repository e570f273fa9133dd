/**
 * A small language model that writes drafts: one executor over the whole model, a key/value cache per sequence.
 * The cache holds rows for what it was fed, drafts included; the next draft keeps the rows that turned out right and
 * feeds the rest, so a rejected draft needs no message. At temperature > 0 it draws with the target's own noise
 * (gumbel coupling, arXiv 2408.07978), which makes two similar models choose the same token more often.
 * Everything here blocks its thread while a pass runs: lm-thread.ts is where it lives.
 */
import { drawSparse, type SparseProbs, truncated } from '../../shards/draft-probs.ts';
import { createExecutor, type ExecutorOptions, type HeadOutput } from '../../shards/executor.ts';
import { KvStore } from '../../shards/kv-store.ts';
import {
  chooseToken,
  greedy,
  needsLogits,
  type Sampling,
  softmax,
  targetProbs,
} from '../../shards/sampler.ts';

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

export interface DraftTask {
  readonly sequence: string;
  readonly count: number;
  readonly sampling: Sampling;
  /** The draft ends where the product of its confidences falls below this; 0 for drafts as long as asked. */
  readonly reachMin: number;
  /** Guesses behind the sequence's tokens that the draft goes on after. */
  readonly ahead: readonly number[];
  /** Draft from the law of so many likeliest ids, and tell it; null for none. */
  readonly pairs: number | null;
}

export interface Drafted {
  readonly ids: Uint32Array;
  /** Probability of each id among those that the model scores; null if it was not told. */
  readonly confidence: Float32Array | null;
  /** Per id the law that it was drawn from, if the task asked for it. */
  readonly probs: readonly SparseProbs[] | null;
}

export interface DraftModel {
  /** The sequence's tokens from index `from` on; those before are known. Costs nothing. Throws RangeError on a gap. */
  learn(sequence: string, from: number, ids: Uint32Array): void;
  /** Fills the cache ahead of the first draft. `stop` is asked between passes. */
  read(sequence: string, stop: () => Promise<boolean>): Promise<void>;
  /**
   * Up to `count` ids after what was learned; fewer at an end token or at the end of the context, none if the model
   * cannot read the sequence. `stop` is asked between passes; a stopped draft gives what it has.
   */
  draft(task: DraftTask, stop: () => boolean): Promise<Drafted>;
  /** Forgets a sequence; a task of it that runs ends after its pass. */
  close(sequence: string): void;
  dispose(): Promise<void>;
}

interface SequenceState {
  /** What the sequence says. */
  readonly tokens: number[];
  /** What the cache holds rows for; as long as the cache. */
  readonly fed: number[];
}

/** What one task reads: the sequence, and what is assumed to follow it. */
interface Reading {
  readonly tokens: readonly number[];
  readonly fed: number[];
  /** False once the sequence was closed or begun anew. */
  stands(): boolean;
}

/** One drafted token; confidence 1 where it is not known. */
interface Choice {
  readonly id: number;
  readonly confidence: number;
  readonly law: SparseProbs | null;
}

/** How one token is to be drafted. */
type DraftRule = Pick<DraftTask, 'sampling' | 'pairs'>;

export async function createDraftModel(options: DraftModelOptions): Promise<DraftModel> {
  const { dims, range, kvBytesMax, targetVocab, eosIds, confident = false } = options;
  const executor = await createExecutor(options);
  const store = new KvStore({
    shape: { layers: range.end - range.start, kvHeads: dims.kvHeads, headDim: dims.headDim },
    bytesMax: kvBytesMax,
    positionsMax: dims.contextLength,
  });
  const states = new Map<string, SequenceState>();

  /** The sequence with its cache cut to the rows that are still right; null if the model cannot read it. */
  function resume(sequence: string, ahead: readonly number[]): Reading | null {
    const state = states.get(sequence);
    if (state === undefined || state.tokens.length === 0) return null;
    const tokens = ahead.length === 0 ? state.tokens : [...state.tokens, ...ahead];
    const { fed } = state;
    if (tokens.length > dims.contextLength || tokens.some((id) => id >= dims.vocab)) return null;
    // The last token is always fed again, for its logits.
    let right = 0;
    while (right < fed.length && right < tokens.length - 1 && fed[right] === tokens[right]) right += 1;
    try {
      store.adopt(sequence, sequence, right);
      fed.length = right;
    } catch {
      // Evicted, or never there: start over.
      store.open(sequence);
      fed.length = 0;
    }
    return { tokens, fed, stands: () => states.get(sequence) === state };
  }

  /** Runs ids after what was fed; the choice for the token after the last one if `want` is a head. */
  async function feed(
    sequence: string,
    { fed }: Reading,
    ids: readonly number[],
    want: HeadOutput,
    { sampling, pairs }: DraftRule = { sampling: greedy, pairs: null },
  ): Promise<Choice> {
    const cache = store.get(sequence);
    store.reserve(sequence, cache.length + ids.length);
    const headFrom = want === 'none' ? ids.length : ids.length - 1;
    const pass = { ids: Uint32Array.from(ids), hidden: null, cache, headFrom, want };
    const { newkv, passRows, argmax, confidence, logits } = await executor.run(pass);
    cache.append(newkv, ids.length, passRows);
    fed.push(...ids);
    if (want === 'none') return { id: -1, confidence: 1, law: null };
    if (pairs !== null) return drawnFrom(logits!, sampling, pairs, fed.length);
    const id = argmax !== null ? argmax[0]! : chooseToken(logits!, sampling, fed.length);
    return { id, confidence: confidence === null ? 1 : confidence[0]!, law: null };
  }

  /** Ids that are padding to the target have no place in the law: a draft must not end because one was drawn. */
  function drawnFrom(logits: Float32Array, sampling: Sampling, pairs: number, position: number): Choice {
    const known = logits.subarray(0, targetVocab);
    const greedily = sampling.temperature <= 0;
    const law = truncated(greedily ? softmax(known) : targetProbs(known, sampling), pairs);
    return { id: greedily ? law.ids[0]! : drawSparse(law, sampling.seed, position), confidence: 1, law };
  }

  /** The next chunk of tokens to read, short of the last one. */
  function unread({ tokens, fed }: Reading): number[] {
    return tokens.slice(fed.length, Math.min(tokens.length - 1, fed.length + chunkRows));
  }

  async function write(reading: Reading, task: DraftTask, stop: () => boolean): Promise<Choice[]> {
    const { sequence, reachMin } = task;
    const count = Math.min(task.count, dims.contextLength - reading.tokens.length);
    const drafted: Choice[] = [];
    if (count <= 0) return drafted;
    for (let ids = unread(reading); ids.length > 0; ids = unread(reading)) {
      if (stop() || !reading.stands()) return drafted;
      await feed(sequence, reading, ids, 'none');
    }
    const want = wantOf(task);
    let last = reading.tokens.at(-1)!;
    let reach = 1;
    while (drafted.length < count && !stop() && reading.stands()) {
      const choice = await feed(sequence, reading, [last], want, task);
      reach *= choice.confidence;
      if (choice.id >= targetVocab || reach < reachMin) break;
      drafted.push(choice);
      last = choice.id;
      if (eosIds.includes(last)) break;
    }
    return drafted;
  }

  function wantOf({ sampling, pairs }: DraftRule): HeadOutput {
    if (pairs !== null || needsLogits(sampling)) return 'logits';
    return confident ? 'guess' : 'argmax';
  }

  /** Between tasks every cache may be evicted for another's sake. */
  async function withCache<T>(
    sequence: string,
    ahead: readonly number[],
    work: (reading: Reading) => Promise<T>,
  ): Promise<T | null> {
    const reading = resume(sequence, ahead);
    if (reading === null) return null;
    try {
      return await work(reading);
    } finally {
      store.keep(sequence);
    }
  }

  return {
    learn(sequence, from, ids) {
      const state = states.get(sequence) ?? { tokens: [], fed: [] };
      if (from > state.tokens.length)
        throw new RangeError(`tokens before ${from} of ${sequence} are not known`);
      states.set(sequence, state);
      state.tokens.length = from;
      for (const id of ids) state.tokens.push(id);
    },
    async read(sequence, stop) {
      await withCache(sequence, [], async (reading) => {
        for (let ids = unread(reading); ids.length > 0; ids = unread(reading)) {
          if ((await stop()) || !reading.stands()) return;
          await feed(sequence, reading, ids, 'none');
        }
      });
    },
    async draft(task, stop) {
      const drafted =
        (await withCache(task.sequence, task.ahead, (reading) => write(reading, task, stop))) ?? [];
      return {
        ids: Uint32Array.from(drafted, ({ id }) => id),
        confidence:
          wantOf(task) === 'guess' ? Float32Array.from(drafted, ({ confidence }) => confidence) : null,
        probs: task.pairs === null ? null : drafted.map(({ law }) => law!),
      };
    },
    close(sequence) {
      states.delete(sequence);
      store.free(sequence);
    },
    dispose: () => executor.dispose(),
  };
}
