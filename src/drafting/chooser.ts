/**
 * Drafter 'auto', the planner that the scheduler asks: per sequence and round it picks the source and the draft length
 * with the least expected time per committed token, within what the request's policy fixes.
 * Suffix drafts are nearly free, so they are always made in full, cut to the chosen length, and later judged beyond
 * the cut against what was committed: their acceptance is learned even while nothing of them is sent.
 * Invariant: a drafter that fails costs a round its draft, never a request its answer.
 */
import { type LengthChoice, pricesByLength } from './draft-length.ts';
import {
  countOutcome,
  type Draft,
  type DraftCounters,
  type Drafter,
  type DraftPolicy,
  type DraftRequest,
  draftTokensLimit,
  emptyDraft,
  newDraftCounters,
} from './drafter.ts';
import { createExperience, type SessionExperience, type SourceExperience } from './experience.ts';

/** Another source must promise so much less time per token than the session's current one. */
const switchGain = 0.03;

/** A source that has to be run to be judged is tried again after so many rounds without it. */
const retryRounds = 32;

const autoPolicy: DraftPolicy = { drafter: 'auto', draftLength: 'auto' };

export interface DraftPlanner extends Drafter {
  /** Counters of every source by its name, 'none' (rounds without a draft) among them. */
  readonly countersBySource: ReadonlyMap<string, DraftCounters>;
}

export interface DraftPlannerOptions {
  readonly none: Drafter;
  readonly ngram: Drafter;
  /** A local model, if there is one. */
  readonly lm: Drafter | null;
  /** Called when a source fails; its request goes on without. */
  readonly onFailure: (source: string, error: unknown) => void;
}

/** What each source offers for one request before anything is sent. */
interface Plan {
  readonly request: DraftRequest;
  readonly policy: DraftPolicy;
  readonly session: SessionExperience;
  /** The suffix draft in full. */
  readonly suffix: Draft;
  readonly suffixLength: number;
  /** Tokens to ask the model for; 0 asks nothing. */
  readonly modelLength: number;
}

/** Hand drafts back to `observe` as they are: what lies behind one is found by its identity. */
export function createDraftPlanner({ none, ngram, lm, onFailure }: DraftPlannerOptions): DraftPlanner {
  const counters = newDraftCounters();
  const sources = [none, ngram, ...(lm === null ? [] : [lm])];
  const experience = createExperience();
  /** The full suffix draft behind each draft that was handed out. */
  const suffixBehind = new WeakMap<Draft, Draft>();

  /** The length that the policy fixes or the controller picks, and its price. */
  function lengthFor(
    { acceptance, length }: SourceExperience,
    policy: DraftPolicy,
    matchLength: number,
    available: number,
    draftMs: (length: number) => number,
  ): LengthChoice {
    const request = { matchLength, available, acceptance, roundMs: experience.roundMs, draftMs };
    if (policy.draftLength === 'auto') return length.choose(request);
    const fixed = Math.min(available, policy.draftLength);
    return { length: fixed, msPerToken: pricesByLength(request, fixed)[fixed]! };
  }

  function planOf(request: DraftRequest, suffix: Draft): Plan {
    const policy = request.policy ?? autoPolicy;
    const session = experience.of(request.sequence);
    const copy = lengthFor(session.ngram, policy, suffix.matchLength, suffix.ids.length, () => 0);
    const plan = { request, policy, session, suffix, suffixLength: copy.length, modelLength: 0 };
    if (lm === null || policy.drafter === 'ngram') return plan;
    const available = Math.min(request.draftTokensMax, draftTokensLimit);
    const model = lengthFor(session.lm, policy, 0, available, experience.modelDraftMs);
    if (policy.drafter === 'lm') return { ...plan, modelLength: model.length };
    const handicap = session.current === 'lm' ? 1 + switchGain : 1 - switchGain;
    const better = model.msPerToken < copy.msPerToken * handicap;
    const retry = session.roundsWithoutModel >= retryRounds;
    return better || retry ? { ...plan, modelLength: model.length } : plan;
  }

  /** Drafts of one source, in order; empty ones where it fails. */
  async function draftsOf(
    source: Drafter,
    requests: readonly DraftRequest[],
    signal: AbortSignal,
  ): Promise<readonly Draft[]> {
    if (requests.length === 0) return [];
    try {
      return await source.draft(requests, signal);
    } catch (error) {
      signal.throwIfAborted();
      onFailure(source.name, error);
      return requests.map(() => emptyDraft);
    }
  }

  function settle({ policy, session, suffix, suffixLength }: Plan, model: Draft | undefined): Draft {
    const fromModel = model !== undefined && model.ids.length > 0;
    session.current = fromModel ? 'lm' : 'ngram';
    session.roundsWithoutModel = fromModel ? 0 : session.roundsWithoutModel + 1;
    const draft = fromModel ? { ...model } : cut(suffix, policy.drafter === 'lm' ? 0 : suffixLength);
    suffixBehind.set(draft, suffix);
    return draft;
  }

  return {
    name: 'auto',
    counters,
    countersBySource: new Map(sources.map((source) => [source.name, source.counters])),

    open(sequence, { drafter } = autoPolicy) {
      // The model reads the prompt now, while the target does; for a request that will not ask it, it need not.
      const preparing = sources.filter(({ name }) => drafter === 'auto' || drafter === name);
      for (const source of preparing) source.open(sequence);
    },

    async draft(requests, signal) {
      signal.throwIfAborted();
      const drafting = requests.filter(
        ({ draftTokensMax, policy }) => draftTokensMax > 0 && policy?.drafter !== 'none',
      );
      const copies = await draftsOf(ngram, drafting, signal);
      const plans = drafting.map((request, i) => planOf(request, copies[i]!));
      const asking = plans.filter(({ modelLength }) => modelLength > 0);
      const written = await draftsOf(
        lm ?? none,
        asking.map(({ request, modelLength }) => ({ ...request, draftTokensMax: modelLength })),
        signal,
      );
      const drafts = new Map(
        plans.map((plan) => [plan.request, settle(plan, written[asking.indexOf(plan)])]),
      );
      return requests.map((request) => drafts.get(request) ?? { ...emptyDraft });
    },

    observe(sequence, outcome) {
      const { draft } = outcome;
      countOutcome(counters, outcome);
      sources.find(({ name }) => name === draft.source)?.observe(sequence, outcome);
      experience.observe(sequence, outcome, suffixBehind.get(draft));
    },

    close(sequence) {
      experience.forget(sequence);
      for (const source of sources) source.close(sequence);
    },

    async dispose() {
      await Promise.all(sources.map((source) => source.dispose()));
    },
  };
}

/** The first `length` tokens of a draft: always a new object, since drafts are told apart by identity. */
function cut(draft: Draft, length: number): Draft {
  if (length === 0) return { ...emptyDraft, draftMs: draft.draftMs };
  const fromPrediction = Math.min(draft.fromPrediction, length);
  return { ...draft, ids: draft.ids.slice(0, length), fromPrediction };
}
