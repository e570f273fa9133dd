/**
 * Drafter 'auto', the planner that the scheduler asks: per sequence and round it picks the source and the draft length
 * with the least expected time per committed token, within what the request's policy fixes.
 * Suffix drafts are nearly free, so they are always made in full, cut to the chosen length, and later judged beyond
 * the cut against what was committed: their acceptance is learned even while nothing of them is sent.
 * Invariant: a drafter that fails costs a round its draft, never a request its answer.
 */
import {
  type Acceptance,
  createSessionAcceptance,
  createSharedAcceptance,
  matchBucket,
  modelPrior,
  suffixPrior,
} from './acceptance.ts';
import { createDraftLength, type DraftLength, type LengthChoice, pricesByLength } from './draft-length.ts';
import {
  countOutcome,
  type Draft,
  type DraftCounters,
  type Drafter,
  type DraftOutcome,
  type DraftPolicy,
  type DraftRequest,
  draftTokensLimit,
  emptyDraft,
  newDraftCounters,
  type Sequence,
} from './drafter.ts';
import { createLineFit } from './line-fit.ts';

/** Believed until the first round is measured: a ring of five 15 ms hops, and a row of a 135M model. */
const roundPrior = { level: 100, slope: 4 };

/** Believed of a local model until its first draft is measured. */
const modelDraftPrior = { level: 30, slope: 12 };

/** Another source must promise so much less time per token than the session's current one. */
const switchGain = 0.03;

/** A source that has to be run to be judged is tried again after so many rounds without it. */
const retryRounds = 32;

/** Sequences with state; beyond it the one seen first starts anew. */
const sessionsMax = 4096;

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

/** What is known of one source in one session. */
interface SourceState {
  readonly acceptance: Acceptance;
  readonly length: DraftLength;
}

interface SessionState {
  readonly ngram: SourceState;
  readonly lm: SourceState;
  current: 'ngram' | 'lm';
  roundsWithoutModel: number;
}

/** Before it is sent: the suffix draft in full, and what each source offers. */
interface Plan {
  readonly request: DraftRequest;
  readonly state: SessionState;
  readonly suffix: Draft;
  readonly suffixChoice: LengthChoice;
  /** Tokens to ask the model for; 0 asks nothing. */
  readonly modelLength: number;
}

export function createDraftPlanner({ none, ngram, lm, onFailure }: DraftPlannerOptions): DraftPlanner {
  const counters = newDraftCounters();
  const sources = [none, ngram, ...(lm === null ? [] : [lm])];
  const shared = { ngram: createSharedAcceptance(suffixPrior), lm: createSharedAcceptance(modelPrior) };
  const roundTime = createLineFit(roundPrior);
  const modelDraftTime = createLineFit(modelDraftPrior);
  const sessions = new Map<string, SessionState>();
  /** The full suffix draft behind each draft that was handed out. */
  const suffixBehind = new WeakMap<Draft, Draft>();

  const roundMs = (rows: number): number => roundTime.at(rows);
  const modelDraftMs = (length: number): number => modelDraftTime.at(length);
  const noCost = (): number => 0;

  function sessionOf(sequence: Sequence): SessionState {
    const known = sessions.get(sequence.id);
    if (known !== undefined) return known;
    const sourceState = (acceptance: Acceptance): SourceState => ({
      acceptance: createSessionAcceptance(acceptance),
      length: createDraftLength(),
    });
    const state: SessionState = {
      ngram: sourceState(shared.ngram),
      lm: sourceState(shared.lm),
      current: 'ngram',
      roundsWithoutModel: 0,
    };
    if (sessions.size >= sessionsMax) sessions.delete(sessions.keys().next().value!);
    sessions.set(sequence.id, state);
    return state;
  }

  /** The length that the policy fixes or the controller picks, and its price. */
  function lengthFor(
    source: SourceState,
    policy: DraftPolicy,
    matchLength: number,
    available: number,
    draftMs: (length: number) => number,
  ): LengthChoice {
    const request = { matchLength, available, acceptance: source.acceptance, roundMs, draftMs };
    if (policy.draftLength === 'auto') return source.length.choose(request);
    const length = Math.min(available, policy.draftLength);
    return { length, msPerToken: pricesByLength(request, length)[length]! };
  }

  function planOf(request: DraftRequest, suffix: Draft): Plan {
    const policy = request.policy ?? autoPolicy;
    const state = sessionOf(request.sequence);
    const suffixChoice = lengthFor(state.ngram, policy, suffix.matchLength, suffix.ids.length, noCost);
    const plan = { request, state, suffix, suffixChoice, modelLength: 0 };
    if (lm === null || (policy.drafter !== 'auto' && policy.drafter !== 'lm')) return plan;
    const available = Math.min(request.draftTokensMax, draftTokensLimit);
    const modelChoice = lengthFor(state.lm, policy, 0, available, modelDraftMs);
    if (policy.drafter === 'lm') return { ...plan, modelLength: modelChoice.length };
    const handicap = state.current === 'lm' ? 1 + switchGain : 1 - switchGain;
    const better = modelChoice.msPerToken < suffixChoice.msPerToken * handicap;
    const retry = state.roundsWithoutModel >= retryRounds && modelChoice.length > 0;
    return better || retry ? { ...plan, modelLength: modelChoice.length } : plan;
  }

  /** Drafts of one source for some requests; empty ones where it fails. */
  async function draftsOf(
    source: Drafter,
    requests: readonly DraftRequest[],
    signal: AbortSignal,
  ): Promise<Draft[]> {
    if (requests.length === 0) return [];
    try {
      return await source.draft(requests, signal);
    } catch (error) {
      signal.throwIfAborted();
      onFailure(source.name, error);
      return requests.map(() => emptyDraft);
    }
  }

  function settle({ state, suffix, suffixChoice, request }: Plan, model: Draft | undefined): Draft {
    const fromModel = model !== undefined && model.ids.length > 0;
    state.current = fromModel ? 'lm' : 'ngram';
    state.roundsWithoutModel = fromModel ? 0 : state.roundsWithoutModel + 1;
    const mayCopy = (request.policy ?? autoPolicy).drafter !== 'lm';
    const draft = fromModel ? { ...model } : mayCopy ? cut(suffix, suffixChoice.length) : { ...emptyDraft };
    suffixBehind.set(draft, suffix);
    return draft;
  }

  return {
    name: 'auto',
    counters,
    countersBySource: new Map(sources.map((source) => [source.name, source.counters])),

    open(sequence) {
      for (const source of sources) source.open(sequence);
    },

    async draft(requests, signal) {
      signal.throwIfAborted();
      const wantsCopy = (request: DraftRequest): boolean =>
        request.draftTokensMax > 0 && (request.policy ?? autoPolicy).drafter !== 'none';
      const copying = requests.filter(wantsCopy);
      const copies = await draftsOf(ngram, copying, signal);
      const plans = new Map(copying.map((request, i) => [request, planOf(request, copies[i]!)]));
      const modelRequests = [...plans.values()]
        .filter((plan) => plan.modelLength > 0)
        .map(({ request, modelLength }) => ({ ...request, draftTokensMax: modelLength, plan: request }));
      const modelDrafts = lm === null ? [] : await draftsOf(lm, modelRequests, signal);
      const modelDraftOf = new Map(modelRequests.map((request, i) => [request.plan, modelDrafts[i]!]));
      return requests.map((request) => {
        const plan = plans.get(request);
        return plan === undefined ? { ...emptyDraft } : settle(plan, modelDraftOf.get(request));
      });
    },

    observe(sequence, outcome) {
      const { draft, verdict } = outcome;
      countOutcome(counters, outcome);
      sources.find((source) => source.name === draft.source)?.observe(sequence, outcome);
      if (outcome.roundMs !== null) roundTime.observe(draft.ids.length + 1, outcome.roundMs);
      const state = sessionOf(sequence);
      const suffix = suffixBehind.get(draft);
      if (suffix !== undefined) judge(suffix, outcome, shared.ngram, state.ngram.acceptance);
      if (draft.source === 'ngram') {
        state.ngram.length.observe(draft.matchLength, draft.ids.length, verdict.accepted);
      } else if (draft.source === 'lm') {
        modelDraftTime.observe(draft.ids.length, draft.draftMs);
        judge(draft, outcome, shared.lm, state.lm.acceptance);
        state.lm.length.observe(draft.matchLength, draft.ids.length, verdict.accepted);
      }
    },

    close(sequence) {
      sessions.delete(sequence.id);
      for (const source of sources) source.close(sequence);
    },

    async dispose() {
      await Promise.all(sources.map((source) => source.dispose()));
    },
  };
}

/** Tells the acceptance of session and source how far a draft, sent or not, agreed with what was committed. */
function judge(draft: Draft, { verdict }: DraftOutcome, ...acceptances: Acceptance[]): void {
  const known = Math.min(draft.ids.length, verdict.ids.length);
  let accepted = 0;
  while (accepted < known && draft.ids[accepted] === verdict.ids[accepted]) accepted += 1;
  const judged = Math.min(known, accepted + 1);
  for (const acceptance of acceptances) acceptance.observe(matchBucket(draft.matchLength), accepted, judged);
}

/** The first `length` tokens of a draft: always a new object, since drafts are told apart by identity. */
function cut(draft: Draft, length: number): Draft {
  if (length === 0) return { ...emptyDraft, draftMs: draft.draftMs };
  const fromPrediction = Math.min(draft.fromPrediction, length);
  return { ...draft, ids: draft.ids.slice(0, length), fromPrediction };
}
