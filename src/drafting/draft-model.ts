/**
 * A small language model that writes drafts. At temperature > 0 it draws with the target's own noise (gumbel coupling,
 * arXiv 2408.07978), which makes two similar models choose the same token more often. While the target looks at one
 * draft it can write the next ones ahead, for each likely answer of the target one (outcomes.ts).
 */
import type { SparseProbs } from '../../shards/draft-probs.ts';
import type { Sampling } from '../../shards/sampler.ts';
import { type DraftModelOptions, DraftReader } from './draft-reader.ts';
import type { Guess, GuessRule, Reading } from './draft-reading.ts';
import { type OutcomeDraft, type OutcomeTask, prepareOutcomes } from './outcome-drafts.ts';

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
  /** Chance of each id that a greedy target says it, given those before; null if it was not told. */
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
  /** Drafts for likely outcomes, told as they are made. `stop` is asked between passes. */
  prepare(
    task: OutcomeTask,
    stop: () => Promise<boolean>,
    tell: (draft: OutcomeDraft) => void,
  ): Promise<void>;
  /** Forgets a sequence; a task of it that runs ends after its pass. */
  close(sequence: string): void;
  dispose(): Promise<void>;
}

export async function createDraftModel(options: DraftModelOptions): Promise<DraftModel> {
  const { dims, targetVocab, eosIds, confident = false } = options;
  const reader = await DraftReader.open(options);

  async function write(reading: Reading, task: DraftTask, stop: () => boolean): Promise<Guess[]> {
    const { sampling, pairs, reachMin } = task;
    const rule: GuessRule = { sampling, pairs, count: 1 };
    const count = Math.min(task.count, dims.contextLength - reading.tokens.length);
    const drafted: Guess[] = [];
    if (count <= 0 || !(await reading.catchUp(reading.tokens.length - 1, stop))) return drafted;
    let last = reading.tokens.at(-1)!;
    let reach = 1;
    while (drafted.length < count && !stop() && reading.stands) {
      const guess = (await reading.feed([last], 1, rule))[0]![0]!;
      reach *= guess.chance;
      if (guess.id >= targetVocab || reach < reachMin) break;
      drafted.push(guess);
      last = guess.id;
      if (eosIds.includes(last)) break;
    }
    return drafted;
  }

  return {
    learn: (sequence, from, ids) => reader.learn(sequence, from, ids),
    async read(sequence, stop) {
      await reader.read(sequence, [], (reading) => reading.catchUp(reading.tokens.length - 1, stop));
    },
    async draft(task, stop) {
      let tellsChance = false;
      const drafted = await reader.read(task.sequence, task.ahead, (reading) => {
        tellsChance = confident && reading.wants({ ...task, count: 1 }) === 'ranking';
        return write(reading, task, stop);
      });
      const guesses = drafted ?? [];
      return {
        ids: Uint32Array.from(guesses, ({ id }) => id),
        confidence: tellsChance ? Float32Array.from(guesses, ({ chance }) => chance) : null,
        probs: task.pairs === null ? null : guesses.map(({ law }) => law!),
      };
    },
    async prepare(task, stop, tell) {
      await reader.read(task.sequence, task.guesses, (reading) =>
        prepareOutcomes(reading, task, { dims, targetVocab, eosIds }, stop, tell),
      );
    },
    close: (sequence) => reader.close(sequence),
    dispose: () => reader.dispose(),
  };
}
