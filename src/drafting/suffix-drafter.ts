/**
 * Drafter 'ngram': copies what followed the same words before, out of one suffix index per sequence and the earlier
 * outputs of its owner. It costs about
 * 0.1 ms a draft, so it always drafts as far as it is asked; how much of that to send is the planner's choice.
 */
import {
  countOutcome,
  type Draft,
  type Drafter,
  type DraftOutcome,
  type DraftRequest,
  draftTokensLimit,
  emptyDraft,
  newDraftCounters,
  type Sequence,
} from './drafter.ts';
import { createEarlierOutputs } from './earlier-outputs.ts';
import { createSuffixIndex, type SuffixIndex } from './suffix-index.ts';

/** Indexes kept at once; beyond it the one opened first is rebuilt when it is next asked. A few MB each at most. */
const indexesMax = 256;

export interface SuffixDrafterOptions {
  /** Clock, ms. */
  readonly now: () => number;
}

export function createSuffixDrafter({ now }: SuffixDrafterOptions): Drafter {
  const counters = newDraftCounters();
  const earlier = createEarlierOutputs();
  const indexes = new Map<string, { index: SuffixIndex; length: number }>();

  /** The sequence's index, with all its committed tokens in it. */
  function indexOf(sequence: Sequence): SuffixIndex {
    let entry = indexes.get(sequence.id);
    if (entry === undefined) {
      const prompt = sequence.tokens.slice(0, sequence.promptLength);
      const index = createSuffixIndex({
        prompt,
        prediction: sequence.prediction,
        earlier: earlier.of(sequence.owner),
      });
      entry = { index, length: prompt.length };
      if (indexes.size >= indexesMax) indexes.delete(indexes.keys().next().value!);
      indexes.set(sequence.id, entry);
    }
    for (; entry.length < sequence.tokens.length; entry.length++) {
      entry.index.append(sequence.tokens[entry.length]!);
    }
    return entry.index;
  }

  function draftOne({ sequence, draftTokensMax }: DraftRequest): Draft {
    const count = Math.min(draftTokensMax, draftTokensLimit);
    if (count <= 0) return emptyDraft;
    const start = now();
    const { ids, matchLength, fromPrediction } = indexOf(sequence).draft(count);
    return {
      ids,
      probs: null,
      confidence: null,
      source: 'ngram',
      matchLength,
      reach: 1,
      offset: 0,
      fromPrediction,
      draftMs: now() - start,
    };
  }

  return {
    name: 'ngram',
    counters,
    open: (sequence) => void indexOf(sequence),
    observe(_sequence: Sequence, outcome: DraftOutcome) {
      countOutcome(counters, outcome);
    },
    draftNow: draftOne,
    async draft(requests, signal) {
      signal.throwIfAborted();
      return requests.map(draftOne);
    },
    close(sequence) {
      indexes.delete(sequence.id);
      earlier.add(sequence.owner, sequence.tokens.slice(sequence.promptLength));
    },
    async dispose() {
      indexes.clear();
    },
  };
}
