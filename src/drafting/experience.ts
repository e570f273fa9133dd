/**
 * What the planner has learned: the time of a round by its rows and of a model draft by its tokens, and per source how
 * far drafts are right, in all sessions and in each. Choosing reads it (chooser.ts); outcomes alone change it.
 */
import {
  type Acceptance,
  createSessionAcceptance,
  createSharedAcceptance,
  matchBucket,
  modelPrior,
  suffixPrior,
} from './acceptance.ts';
import { createDraftLength, type DraftLength } from './draft-length.ts';
import type { Draft, DraftOutcome, Sequence } from './drafter.ts';
import { createLineFit } from './line-fit.ts';

/** Believed until the first round is measured: a ring of five 15 ms hops, and a row of a 135M model. */
const roundPrior = { level: 100, slope: 4 };

/** Believed of a local model until its first draft is measured. */
const modelDraftPrior = { level: 30, slope: 12 };

/** Sequences with state; beyond it the one seen first starts anew. */
const sessionsMax = 4096;

/** What is known of one source in one session. */
export interface SourceExperience {
  readonly acceptance: Acceptance;
  readonly length: DraftLength;
}

export interface SessionExperience {
  readonly ngram: SourceExperience;
  readonly lm: SourceExperience;
  /** Source of the last round's draft. */
  current: 'ngram' | 'lm';
  roundsWithoutModel: number;
}

export interface Experience {
  /** Time of a round with so many rows, ms. */
  roundMs(rows: number): number;
  /** Time in which the local model drafts so many tokens, ms. */
  modelDraftMs(length: number): number;
  of(sequence: Sequence): SessionExperience;
  /** `suffix` is the suffix draft of that round before it was cut, also if nothing of it was sent. */
  observe(sequence: Sequence, outcome: DraftOutcome, suffix: Draft | undefined): void;
  forget(sequence: Sequence): void;
}

export function createExperience(): Experience {
  const shared = { ngram: createSharedAcceptance(suffixPrior), lm: createSharedAcceptance(modelPrior) };
  const roundTime = createLineFit(roundPrior);
  const modelDraftTime = createLineFit(modelDraftPrior);
  const sessions = new Map<string, SessionExperience>();

  function sourceIn(acceptance: Acceptance): SourceExperience {
    return { acceptance: createSessionAcceptance(acceptance), length: createDraftLength() };
  }

  function of({ id }: Sequence): SessionExperience {
    const known = sessions.get(id);
    if (known !== undefined) return known;
    const session: SessionExperience = {
      ngram: sourceIn(shared.ngram),
      lm: sourceIn(shared.lm),
      current: 'ngram',
      roundsWithoutModel: 0,
    };
    if (sessions.size >= sessionsMax) sessions.delete(sessions.keys().next().value!);
    sessions.set(id, session);
    return session;
  }

  return {
    roundMs: (rows) => roundTime.at(rows),
    modelDraftMs: (length) => modelDraftTime.at(length),
    of,
    observe(sequence, outcome, suffix) {
      const { draft, verdict, roundMs } = outcome;
      const session = of(sequence);
      if (roundMs !== null) roundTime.observe(draft.ids.length + 1, roundMs);
      if (suffix !== undefined) judge(suffix, outcome, shared.ngram, session.ngram.acceptance);
      if (draft.source === 'ngram') {
        session.ngram.length.observe(draft.matchLength, draft.ids.length, verdict.accepted);
      } else if (draft.source === 'lm') {
        modelDraftTime.observe(draft.ids.length, draft.draftMs);
        judge(draft, outcome, shared.lm, session.lm.acceptance);
        session.lm.length.observe(draft.matchLength, draft.ids.length, verdict.accepted);
      }
    },
    forget: ({ id }) => void sessions.delete(id),
  };
}

/** Tells acceptances how far a draft, sent or not, agreed with what was committed. */
function judge(draft: Draft, { verdict }: DraftOutcome, ...acceptances: Acceptance[]): void {
  const known = Math.min(draft.ids.length, verdict.ids.length);
  let accepted = 0;
  while (accepted < known && draft.ids[accepted] === verdict.ids[accepted]) accepted += 1;
  const judged = Math.min(known, accepted + 1);
  for (const acceptance of acceptances) acceptance.observe(matchBucket(draft.matchLength), accepted, judged);
}
