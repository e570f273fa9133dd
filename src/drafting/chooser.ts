/**
 * Drafter 'auto', the planner that the scheduler asks: per sequence and round it picks the source and the draft length
 * with the least expected time per committed token, within what the request's policy fixes.
 * Suffix drafts are nearly free, so they are always made in full, cut to the chosen length, and later judged beyond
 * the cut against what was committed: their acceptance is learned even while nothing of them is sent.
 * Invariant: a drafter that fails costs a round its draft, never a request its answer.
 */
import { matchBucket, reachOf } from './acceptance.ts';
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
import {
  createExperience,
  type ModelExperience,
  type SessionExperience,
  type SourceExperience,
} from './experience.ts';

/** Another source must promise so much less time per token than the session's current one. */
const switchGain = 0.03;

/** A source that has to be run to be judged is tried again after so many rounds without it. */
const retryRounds = 32;

/**
 * A source that knows its confidence is asked up to this price against the copy's: its first tokens cost little, and
 * what it then says of its own draft decides between the two.
 */
const confidentHandicap = 1.3;

/** Longest draft of a source that ends its drafts by its own confidence. */
const confidentLengthMax = 16;

/**
 * Where frames flow behind one another a draft goes on while the chance that all of it is right is above this: a row
 * costs a few ms of passes, and a right one saves its share of a round trip.
 */
const pipelinedReachMin = 0.1;

/** Tokens that a model writes before they leave: the next ones are written while these travel. */
const pipelinedChunk = 4;

/** How far ahead sources are compared. */
const comparedTokens = 16;

const autoPolicy: DraftPolicy = { drafter: 'auto', draftLength: 'auto' };

export interface DraftPlanner extends Drafter {
  /** Counters of every source by its name, 'none' (rounds without a draft) among them. */
  readonly countersBySource: ReadonlyMap<string, DraftCounters>;
}

export interface DraftPlannerOptions {
  readonly none: Drafter;
  readonly ngram: Drafter;
  /** Local models: a trained head, a language model. Each must be run to be judged. */
  readonly models: readonly Drafter[];
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
  /** Expected time per token with the suffix draft, ms; Infinity where the two are not compared again. */
  readonly suffixMsPerToken: number;
  /** What a model is asked for; null asks none. */
  readonly asked: ModelAsked | null;
}

interface ModelAsked {
  readonly model: Drafter;
  readonly length: number;
  readonly reachMin: number;
}

interface ModelOffer extends ModelAsked {
  readonly known: ModelExperience;
  readonly msPerToken: number;
}

/** Hand drafts back to `observe` as they are: what lies behind one is found by its identity. */
export function createDraftPlanner({ none, ngram, models, onFailure }: DraftPlannerOptions): DraftPlanner {
  const counters = newDraftCounters();
  const sources = [none, ngram, ...models];
  const experience = createExperience(models.map(({ name }) => name));
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

  /** What a session asks for behind guesses that are under way: models go on, copies were made in full. */
  function planAhead(request: DraftRequest): Plan {
    const policy = request.policy ?? autoPolicy;
    const session = experience.of(request.sequence);
    const offers = pipelinedOffers(request, session, policy);
    const nothing = { suffix: emptyDraft, suffixLength: 0, suffixMsPerToken: Infinity };
    return { request, policy, session, ...nothing, asked: cheapestOf(offers) };
  }

  /** Frames flow: what counts is how many tokens come through before the first wrong one. */
  function planPipelined(request: DraftRequest, suffix: Draft): Plan {
    const policy = request.policy ?? autoPolicy;
    const session = experience.of(request.sequence);
    const chances = session.ngram.acceptance.chances(matchBucket(suffix.matchLength));
    let length = 0;
    while (length < suffix.ids.length && reachOf(chances, length + 1) >= pipelinedReachMin) length += 1;
    const flowing = { suffix, suffixLength: length, suffixMsPerToken: Infinity };
    const plan = { request, policy, session, ...flowing, asked: null };
    const offer = cheapestOf(pipelinedOffers(request, session, policy));
    if (offer === null) return plan;
    const copyMs = experience.roundMs(1) / runLength(chances, suffix.ids.length);
    const asks =
      policy.drafter !== 'auto' || offer.msPerToken < copyMs || offer.known.idleRounds >= retryRounds;
    return asks ? { ...plan, asked: offer } : plan;
  }

  function pipelinedOffers(
    { draftTokensMax, ahead }: DraftRequest,
    session: SessionExperience,
    policy: DraftPolicy,
  ): ModelOffer[] {
    const reachMin = pipelinedReachMin / (ahead?.reach ?? 1);
    if (reachMin > 1) return [];
    const length = Math.min(draftTokensMax, pipelinedChunk);
    return models
      .filter(({ name }) => policy.drafter === 'auto' || policy.drafter === name)
      .map((model) => {
        const known = session.models.get(model.name)!;
        const run = runLength(known.acceptance.chances(0), comparedTokens);
        const msPerToken = (experience.roundMs(1) + experience.modelDraftMs(model.name, length)) / run;
        return { model, known, length, reachMin, msPerToken };
      });
  }

  function planOf(request: DraftRequest, suffix: Draft): Plan {
    const policy = request.policy ?? autoPolicy;
    const session = experience.of(request.sequence);
    const copy = lengthFor(session.ngram, policy, suffix.matchLength, suffix.ids.length, () => 0);
    const suffixPlan = { suffix, suffixLength: copy.length, suffixMsPerToken: copy.msPerToken };
    const plan = { request, policy, session, ...suffixPlan, asked: null };
    const offers = models
      .filter(({ name }) => policy.drafter === 'auto' || policy.drafter === name)
      .map((model) => offerOf(model, request, session, policy));
    if (policy.drafter !== 'auto') return { ...plan, asked: offers[0] ?? null };
    const best = cheapestOf(offers);
    if (best === null) return plan;
    const steadiness = session.current === best.model.name ? 1 + switchGain : 1 - switchGain;
    const handicap = best.known.confident ? confidentHandicap : steadiness;
    if (best.msPerToken < copy.msPerToken * handicap) return { ...plan, asked: best };
    return { ...plan, asked: offers.find(({ known }) => known.idleRounds >= retryRounds) ?? null };
  }

  /** The draft that a model would be asked for, and its price. */
  function offerOf(
    model: Drafter,
    { draftTokensMax }: DraftRequest,
    session: SessionExperience,
    policy: DraftPolicy,
  ): ModelOffer {
    const known = session.models.get(model.name)!;
    const available = Math.min(draftTokensMax, draftTokensLimit);
    const draftMs = (length: number): number => experience.modelDraftMs(model.name, length);
    const choice = lengthFor(known, policy, 0, available, draftMs);
    const { drafted, committed } = known.yield;
    const msPerToken = (experience.roundMs(drafted + 1) + draftMs(drafted)) / committed;
    const pays = choice.length > 0 || msPerToken < experience.roundMs(1);
    if (policy.draftLength !== 'auto' || !known.confident || !pays) {
      return { model, known, ...choice, reachMin: 0 };
    }
    // It decides itself where to stop: where one more token costs more than the chance that it counts is worth.
    const tokenMs = experience.roundMs(2) - experience.roundMs(1) + draftMs(2) - draftMs(1);
    return {
      model,
      known,
      length: Math.min(available, confidentLengthMax),
      msPerToken,
      reachMin: tokenMs / msPerToken,
    };
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

  /** Is a model's own draft, as sure as it is of it, still better than the copy? */
  function isBetter(written: Draft, { policy, suffixMsPerToken }: Plan): boolean {
    if (written.ids.length === 0) return false;
    if (policy.drafter !== 'auto' || written.confidence === null) return true;
    let reach = 1;
    let tokens = 1;
    for (const chance of written.confidence) {
      reach *= chance;
      tokens += reach;
    }
    return experience.roundMs(written.ids.length + 1) / tokens <= suffixMsPerToken;
  }

  function settle(plan: Plan, written: Draft | undefined): Draft {
    const { policy, session, suffix, suffixLength, asked } = plan;
    const fromModel = written !== undefined && isBetter(written, plan);
    const mayCopy = policy.drafter === 'auto' || policy.drafter === 'ngram';
    const known = fromModel ? session.models.get(written.source)! : session.ngram;
    const chosen = fromModel ? written : cut(suffix, mayCopy ? suffixLength : 0);
    // What a model wrote in vain took its time all the same.
    const draftMs = fromModel ? written.draftMs : chosen.draftMs + (written?.draftMs ?? 0);
    const draft = { ...chosen, draftMs, reach: believedReach(chosen, known) };
    session.current = fromModel ? written.source : 'ngram';
    for (const [name, model] of session.models)
      model.idleRounds = name === asked?.model.name ? 0 : model.idleRounds + 1;
    suffixBehind.set(draft, suffix);
    return draft;
  }

  /** What each model wrote for the plans that ask it. */
  async function writtenFor(plans: readonly Plan[], signal: AbortSignal): Promise<Map<Plan, Draft>> {
    const written = new Map<Plan, Draft>();
    await Promise.all(
      models.map(async (model) => {
        const asking = plans.filter(({ asked }) => asked?.model === model && asked.length > 0);
        const requests = asking.map(({ request, asked }) => ({
          ...request,
          draftTokensMax: asked!.length,
          reachMin: asked!.reachMin,
        }));
        const drafts = await draftsOf(model, requests, signal);
        asking.forEach((plan, i) => {
          written.set(plan, drafts[i]!);
        });
      }),
    );
    return written;
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
      const fresh = drafting.filter(({ ahead }) => ahead === undefined);
      const copies = await draftsOf(ngram, fresh, signal);
      const plans = [
        ...fresh.map((request, i) =>
          mayFlow(request) ? planPipelined(request, copies[i]!) : planOf(request, copies[i]!),
        ),
        ...drafting.filter((request) => request.ahead !== undefined && mayFlow(request)).map(planAhead),
      ];
      const written = await writtenFor(plans, signal);
      const drafts = new Map(plans.map((plan) => [plan.request, settle(plan, written.get(plan))]));
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

/** A fixed length is that of one draft, whether it travels in one frame or in several. */
function mayFlow({ pipelined = false, policy = autoPolicy }: DraftRequest): boolean {
  return pipelined && policy.draftLength === 'auto';
}

function cheapestOf(offers: readonly ModelOffer[]): ModelOffer | null {
  return offers.reduce<ModelOffer | null>(
    (least, offer) => (least === null || offer.msPerToken < least.msPerToken ? offer : least),
    null,
  );
}

/** Tokens that a run of guesses is expected to commit: those before the first wrong one, and the target's own. */
function runLength(chances: Float64Array, available: number): number {
  let tokens = 1;
  for (let length = 1; length <= Math.min(available, comparedTokens); length++)
    tokens += reachOf(chances, length);
  return tokens;
}

/** Chance that a whole draft is right: by its own confidence where it has one, else as its source fared so far. */
function believedReach(
  { ids, confidence, matchLength, offset }: Draft,
  { acceptance }: SourceExperience,
): number {
  if (confidence !== null) return confidence.reduce((reach, chance) => reach * chance, 1);
  return reachOf(acceptance.chances(matchBucket(matchLength)), ids.length, offset);
}

/** The first `length` tokens of a draft: always a new object, since drafts are told apart by identity. */
function cut(draft: Draft, length: number): Draft {
  if (length === 0) return { ...emptyDraft, draftMs: draft.draftMs };
  const fromPrediction = Math.min(draft.fromPrediction, length);
  const confidence = draft.confidence?.slice(0, length) ?? null;
  return { ...draft, ids: draft.ids.slice(0, length), confidence, fromPrediction };
}
