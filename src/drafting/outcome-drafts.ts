/**
 * Drafts for likely outcomes of a round, written while it is under way. Each outcome opens a branch behind the guesses
 * that it lets stand; the branch whose next token most likely counts is written on, token by token, so that a sure
 * outcome gets a long draft and an unlikely one a short one (best first by the product of all chances, as a tree would
 * be grown; arXiv 2506.11309). There is one cache: a branch that is left takes its rows along and brings them back.
 */
import type { Sampling } from '../../shards/sampler.ts';
import type { DraftModelOptions } from './draft-reader.ts';
import type { GuessRule, KeptRows, Reading } from './draft-reading.ts';
import { likelyOutcomes, type Outcome } from './outcomes.ts';

/** Runners-up that are looked at at each place, the guess among them. */
const expectedCount = 4;

/** A branch is left for a better one once its next token is worth less than this share of the other's. */
const leaveShare = 0.5;

export interface OutcomeTask {
  readonly sequence: string;
  readonly sampling: Sampling;
  /** What is under way behind the sequence's tokens. */
  readonly guesses: readonly number[];
  /** Chance that each is right, given those before. */
  readonly chances: readonly number[];
  /** Outcomes that need no draft: they have one. */
  readonly known: readonly Pick<Outcome, 'after' | 'id'>[];
  /** Longest draft of one outcome. */
  readonly count: number;
  /** A draft ends where the product of its confidences falls below this. */
  readonly reachMin: number;
  /** Tokens to be written for all outcomes together. */
  readonly tokensMax: number;
}

/** The draft of one outcome so far; told again when it grows. */
export interface OutcomeDraft extends Pick<Outcome, 'after' | 'id'> {
  readonly ids: Uint32Array;
  /** As in a draft; null if the model does not tell it. */
  readonly confidence: Float32Array | null;
  /** True if the model has nothing to add: what comes next is too unsure, or no token. */
  readonly ended: boolean;
}

interface Branch extends Outcome {
  readonly ids: number[];
  readonly confidence: number[];
  /** Chance that the outcome comes and all of ids are right. */
  value: number;
  /** Product of confidences alone. */
  reach: number;
  ended: boolean;
  rows: KeptRows | null;
}

/** Writes until `tokensMax` tokens, the last worthwhile branch, or `stop`. */
export async function prepareOutcomes(
  reading: Reading,
  task: OutcomeTask,
  model: Pick<DraftModelOptions, 'dims' | 'targetVocab' | 'eosIds'>,
  stop: () => Promise<boolean>,
  tell: (draft: OutcomeDraft) => void,
): Promise<void> {
  const { sampling, guesses, chances, known, count, reachMin, tokensMax } = task;
  const rule: GuessRule = { sampling, pairs: null, count: expectedCount };
  const base = reading.tokens.length - guesses.length;
  if (!(await readGuesses(reading, base, rule, stop))) return;
  const expected = [...guesses.keys(), guesses.length].map((i) => reading.expectedBehind(base - 1 + i));
  const line = reading.rowsFrom(base);
  const drafted = { ...rule, count: 1 };
  const tellsChance = reading.wants(drafted) === 'ranking';
  let open = likelyOutcomes(guesses, chances, expected)
    .filter(({ after, id }) => !known.some((other) => other.after === after && other.id === id))
    .filter(({ after, id }) => isOpen(id) && base + after + 1 < model.dims.contextLength)
    .map(newBranch);
  for (let written = 0; written < tokensMax && open.length > 0 && !(await stop()) && reading.stands; ) {
    open.sort((a, b) => b.value - a.value);
    const [branch, rival] = open as [Branch, Branch?];
    enter(branch);
    const worthMin = leaveShare * (rival?.value ?? 0);
    do {
      await writeOne(branch);
      written += 1;
    } while (
      !branch.ended &&
      branch.ids.length < count &&
      branch.value >= worthMin &&
      written < tokensMax &&
      !(await stop()) &&
      reading.stands
    );
    if (!reading.stands) return;
    branch.rows = reading.rowsFrom(base + branch.after);
    tell({
      ...{ after: branch.after, id: branch.id, ids: Uint32Array.from(branch.ids), ended: branch.ended },
      confidence: tellsChance ? Float32Array.from(branch.confidence) : null,
    });
    open = open.filter(({ ended, ids }) => !ended && ids.length < count);
  }
  if (!reading.stands) return;
  reading.truncate(base);
  reading.putBack(line, line.ids.length);

  /** Is there anything to be said behind this token? */
  function isOpen(id: number): boolean {
    return id < model.targetVocab && !model.eosIds.includes(id);
  }

  function enter({ after, rows }: Branch): void {
    reading.truncate(base);
    reading.putBack(line, after);
    if (rows !== null) reading.putBack(rows, rows.ids.length);
  }

  async function writeOne(branch: Branch): Promise<void> {
    const last = branch.ids.at(-1) ?? branch.id;
    const { id, chance } = (await reading.feed([last], 1, drafted))[0]![0]!;
    branch.reach *= chance;
    branch.value *= chance;
    if (id >= model.targetVocab || branch.reach < reachMin) {
      branch.ended = true;
      return;
    }
    branch.ids.push(id);
    branch.confidence.push(chance);
    branch.ended = !isOpen(id) || reading.length + 1 >= model.dims.contextLength;
  }
}

/** Feeds what is under way, so that what was expected behind each place from the last final token on is known. */
async function readGuesses(
  reading: Reading,
  base: number,
  rule: GuessRule,
  stop: () => Promise<boolean>,
): Promise<boolean> {
  if (!(await reading.catchUp(base - 1, stop)) || (await stop()) || !reading.stands) return false;
  let from = base - 1;
  while (from < reading.length && reading.expectedBehind(from) !== null) from += 1;
  reading.truncate(from);
  const unread = reading.tokens.slice(from);
  if (unread.length > 0) await reading.feed(unread, unread.length, rule);
  return true;
}

function newBranch(outcome: Outcome): Branch {
  return { ...outcome, ids: [], confidence: [], value: outcome.chance, reach: 1, ended: false, rows: null };
}
