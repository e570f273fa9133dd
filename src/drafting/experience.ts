/**
 * What the planner has learned: the time of a round by its rows and of a model's draft by its tokens, and per source
 * how far drafts are right, in all sessions and in each. Choosing reads it (chooser.ts); outcomes alone change it.
 */
import {
  type Acceptance,
  createSessionAcceptance,
  createSharedAcceptance,
  headPrior,
  matchBucket,
  modelPrior,
  suffixPrior,
} from './acceptance.ts';
import { createDraftLength, type DraftLength } from './draft-length.ts';
import { createDraftYield, type DraftYield } from './draft-yield.ts';
import type { Draft, DraftOutcome, Sequence } from './drafter.ts';
import { createLineFit, type LineFit } from './line-fit.ts';

/** Believed until the first round is measured: a ring of five 15 ms hops, and a row of a 135M model. */
const roundPrior = { level: 100, slope: 4 };

/** Believed of a local model until its first drafts are measured: its time, and how right it is. */
const modelPriors = {
  lm: { draftMs: { level: 30, slope: 12 }, acceptance: modelPrior },
  head: { draftMs: { level: 1, slope: 1.5 }, acceptance: headPrior },
} as const;

/** Believed of a source with confidence: on average it drafts so far, and so many tokens of a round count. */
const yieldPrior = { drafted: 4, committed: 2.2 };

/** Sequences with state; beyond it the one seen first starts anew. */
const sessionsMax = 4096;

/** What is known of one source in one session. */
export interface SourceExperience {
  readonly acceptance: Acceptance;
  readonly length: DraftLength;
}

/** What is known of a model in one session. */
export interface ModelExperience extends SourceExperience {
  readonly yield: DraftYield;
  /** Did its last draft tell its confidence? */
  confident: boolean;
  idleRounds: number;
}

export interface SessionExperience {
  readonly ngram: SourceExperience;
  /** By the models' names, in the order in which they were named. */
  readonly models: ReadonlyMap<string, ModelExperience>;
  /** Source of the last round's draft. */
  current: string;
}

export interface Experience {
  /** Time of a round with so many rows, ms. */
  roundMs(rows: number): number;
  /** Time in which a model drafts so many tokens, ms. */
  modelDraftMs(model: string, length: number): number;
  of(sequence: Sequence): SessionExperience;
  /** `copies` are the suffix drafts of that round before they were cut, also if nothing of them was sent. */
  observe(sequence: Sequence, outcome: DraftOutcome, copies: readonly Draft[]): void;
  forget(sequence: Sequence): void;
}

/** What all sessions saw of one model. */
interface SharedModel {
  readonly acceptance: Acceptance;
  readonly yield: DraftYield;
  readonly draftTime: LineFit;
}

/** `models`: names of the sources that have to be run to be judged. */
export function createExperience(models: readonly string[]): Experience {
  const sharedNgram = createSharedAcceptance(suffixPrior);
  const sharedModels = new Map(models.map((name) => [name, newSharedModel(name)]));
  const roundTime = createLineFit(roundPrior);
  const sessions = new Map<string, SessionExperience>();

  function of({ id }: Sequence): SessionExperience {
    const known = sessions.get(id);
    if (known !== undefined) return known;
    const session: SessionExperience = {
      ngram: sourceIn(sharedNgram),
      models: new Map([...sharedModels].map(([name, shared]) => [name, modelIn(shared)])),
      current: 'ngram',
    };
    if (sessions.size >= sessionsMax) sessions.delete(sessions.keys().next().value!);
    sessions.set(id, session);
    return session;
  }

  function observeModel(model: ModelExperience, shared: SharedModel, outcome: DraftOutcome): void {
    const { draft, verdict } = outcome;
    shared.draftTime.observe(draft.ids.length, draft.draftMs);
    judge(draft, outcome, shared.acceptance, model.acceptance);
    for (const means of [shared.yield, model.yield]) means.observe(draft.ids.length, verdict.ids.length);
    model.confident = draft.confidence !== null;
  }

  return {
    roundMs: (rows) => roundTime.at(rows),
    modelDraftMs: (model, length) => sharedModels.get(model)!.draftTime.at(length),
    of,
    observe(sequence, outcome, copies) {
      const { draft, roundMs, roundRows = draft.ids.length + 1 } = outcome;
      const session = of(sequence);
      if (roundMs !== null) roundTime.observe(roundRows, roundMs);
      for (const copy of copies) judge(copy, outcome, sharedNgram, session.ngram.acceptance);
      const shared = sharedModels.get(draft.source);
      if (shared !== undefined) observeModel(session.models.get(draft.source)!, shared, outcome);
    },
    forget: ({ id }) => void sessions.delete(id),
  };
}

function newSharedModel(name: string): SharedModel {
  const { draftMs, acceptance } = name === 'head' ? modelPriors.head : modelPriors.lm;
  return {
    acceptance: createSharedAcceptance(acceptance),
    yield: createDraftYield(yieldPrior),
    draftTime: createLineFit(draftMs),
  };
}

function sourceIn(shared: Acceptance): SourceExperience {
  return { acceptance: createSessionAcceptance(shared), length: createDraftLength() };
}

function modelIn(shared: SharedModel): ModelExperience {
  return {
    ...sourceIn(shared.acceptance),
    yield: createDraftYield(shared.yield),
    confident: false,
    idleRounds: 0,
  };
}

/** Tells acceptances how far a draft, sent or not, agreed with what was committed. */
function judge(draft: Draft, { verdict }: DraftOutcome, ...acceptances: Acceptance[]): void {
  const known = Math.min(draft.ids.length, verdict.ids.length);
  let accepted = 0;
  while (accepted < known && draft.ids[accepted] === verdict.ids[accepted]) accepted += 1;
  const judged = Math.min(known, accepted + 1);
  for (const acceptance of acceptances)
    acceptance.observe(matchBucket(draft), accepted, judged, draft.offset);
}
