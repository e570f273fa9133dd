/** Drafter 'none': plain decoding, one token a round. It exists to be counted like the others. */
import { countOutcome, type Drafter, emptyDraft, newDraftCounters } from './drafter.ts';

export function createNoneDrafter(): Drafter {
  const counters = newDraftCounters();
  return {
    name: 'none',
    counters,
    open() {},
    observe: (_sequence, outcome) => countOutcome(counters, outcome),
    async draft(requests, signal) {
      signal.throwIfAborted();
      return requests.map(() => emptyDraft);
    },
    close() {},
    async dispose() {},
  };
}
