/**
 * Drafter 'ngram': copies what followed the same words before, out of one suffix index per sequence and the earlier
 * outputs of its owner. It costs about 0.1 ms a draft, so it always drafts as far as it is asked, out of both; which of
 * them to send, and how much, is the planner's choice.
 */

import { expectedRun, longMatchTokens } from './acceptance.ts';
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
import { createSuffixIndex, type SuffixDraft, type SuffixIndex } from './suffix-index.ts';

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
    const index = indexOf(sequence);
    const own = index.draft(count);
    // A long match in the text itself is as good as right.
    const isSure = own.matchLength >= longMatchTokens;
    const earlier = isSure ? null : index.draftFromEarlier(count);
    const draftMs = now() - start;
    const fromText = draftOf(own, false, draftMs);
    if (earlier === null || earlier.ids.length === 0) return fromText;
    const fromEarlier = draftOf(earlier, true, draftMs);
    if (own.ids.length === 0) return fromEarlier;
    return runOfCopy(fromEarlier) > runOfCopy(fromText)
      ? { ...fromEarlier, rival: fromText }
      : { ...fromText, rival: fromEarlier };
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

function draftOf(
  { ids, matchLength, fromPrediction }: SuffixDraft,
  fromEarlier: boolean,
  draftMs: number,
): Draft {
  return { ...emptyDraft, source: 'ngram', ids, matchLength, fromEarlier, fromPrediction, draftMs };
}

function runOfCopy(draft: Draft): number {
  return expectedRun(draft, draft.ids.length);
}
