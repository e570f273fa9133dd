/**
 * What a session asks its drafters for, before anything is sent: source and length with the least expected time per
 * committed token, within what the request's policy fixes. Reads what was learned (experience.ts), runs nothing.
 */
import { type Match, matchBucket, reachOf, runOf } from './acceptance.ts';
import { type LengthChoice, pricesByLength } from './draft-length.ts';
import {
  type Draft,
  type Drafter,
  type DraftPolicy,
  type DraftRequest,
  draftTokensLimit,
  emptyDraft,
  type PrepareRequest,
} from './drafter.ts';
import type { Experience, ModelExperience, SessionExperience, SourceExperience } from './experience.ts';

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
 * Where frames flow behind one another a draft goes on while the chance that all of it is right is worth a row. Of a row's
 * passes the answer pays the share of the time that is not spent on links, in which stages and cores would rest (docs/log.md).
 * That threshold has bounds: fill pauses, so a draft ends no earlier than at the upper one; below the lower one
 * hardly any is right.
 */
const flowingReachMin = 0.02;
const flowingReachMax = 0.1;

/** What opens a round is waited for in full: a model's first tokens end where one is not worth its draft and its row. */
const openingReachMax = 0.25;

/** Beside rows that slow others down the chance has to be worth them; a token that is nearly sure always goes. */
const loadedReachMax = 0.9;

/** Tokens that a model writes before they leave, in one frame: the next ones are written while these travel. */
export const pipelinedChunk = 3;

/** How far ahead sources are compared. */
const comparedTokens = 16;

export const autoPolicy: DraftPolicy = { drafter: 'auto', draftLength: 'auto' };

/** A model that was not asked for so many rounds is not made to prepare for the next. */
const preparedIdleRoundsMax = 4;

/** What each source offers for one request before anything is sent. */
export interface DraftPlan {
  readonly request: DraftRequest;
  readonly policy: DraftPolicy;
  readonly session: SessionExperience;
  /** The better suffix draft in full. */
  readonly suffix: Draft;
  /** It and its rival, for learning: both are known beyond what is sent. */
  readonly copies: readonly Draft[];
  readonly suffixLength: number;
  /** Expected time per token with the suffix draft, ms; Infinity where the two are not compared again. */
  readonly suffixMsPerToken: number;
  /** Where frames flow: tokens expected behind what a model writes first, if all of that is right. Null: nothing follows. */
  readonly behindTokens: number | null;
  /** What a model is asked for; null asks none. */
  readonly asked: ModelAsked | null;
}

export interface ModelAsked {
  readonly model: Drafter;
  readonly length: number;
  readonly reachMin: number;
}

interface ModelOffer extends ModelAsked {
  readonly known: ModelExperience;
  readonly msPerToken: number;
}

/** What a draft costs others. */
type LoadedRequest = Pick<DraftRequest, 'rowLoadMs'>;
type FlowingRequest = Pick<DraftRequest, 'rowLoadMs' | 'passShare'>;

/** What a model is to write for likely outcomes of the round under way. */
export interface Preparation {
  readonly model: Drafter;
  readonly draftTokensMax: number;
  readonly reachMin: number;
}

export interface DraftPlans {
  /** `suffix`: the suffix draft in full, with its rival; behind guesses that are under way there is none. */
  of(request: DraftRequest, suffix: Draft): DraftPlan;
  /** Null where no model is likely to be asked next. */
  preparation(request: PrepareRequest): Preparation | null;
}

export function createDraftPlans(models: readonly Drafter[], experience: Experience): DraftPlans {
  /**
   * Time of a round as everybody on the ring pays for it: what its rows beyond the first cost the others counts as its
   * own, which is what each would choose for all.
   */
  const roundMsOf =
    ({ rowLoadMs = 0 }: LoadedRequest) =>
    (rows: number): number =>
      experience.roundMs(rows) + rowLoadMs * (rows - 1);

  /** Below which chance a row behind others under way costs everybody more than the share of a token that it is worth. */
  function reachWorth({ rowLoadMs = 0, passShare = 1 }: FlowingRequest, run: number): number {
    const msPerToken = experience.roundMs(1) / run;
    const rowMs = experience.roundMs(2) - experience.roundMs(1);
    const own = Math.min(
      flowingReachMax,
      Math.max(flowingReachMin, chanceWorth(passShare * rowMs, msPerToken)),
    );
    return Math.min(loadedReachMax, Math.max(own, chanceWorth(rowLoadMs, msPerToken)));
  }

  /** Below which chance a token that a round waits for costs more than it is worth. */
  function openingWorth({ name }: Drafter, msPerToken: number): number {
    return Math.min(openingReachMax, chanceWorth(tokenMs(name, experience.roundMs), msPerToken));
  }

  /** What one more token of a model's draft takes: a row, and its writing. */
  function tokenMs(name: string, roundMs: (rows: number) => number): number {
    const writingMs = experience.modelDraftMs(name, 2) - experience.modelDraftMs(name, 1);
    return roundMs(2) - roundMs(1) + writingMs;
  }

  /** The length that the policy fixes or the controller picks, and its price. */
  function lengthFor(
    { acceptance, length }: SourceExperience,
    policy: DraftPolicy,
    match: Match,
    available: number,
    roundMs: (rows: number) => number,
    draftMs: (length: number) => number,
  ): LengthChoice {
    const request = { match, available, acceptance, roundMs, draftMs };
    if (policy.draftLength === 'auto') return length.choose(request);
    const fixed = Math.min(available, policy.draftLength);
    return { length: fixed, msPerToken: pricesByLength(request, fixed)[fixed]! };
  }

  /** What a session asks for behind guesses that are under way: models go on, copies were made in full. */
  function planAhead(request: DraftRequest): DraftPlan {
    const policy = request.policy ?? autoPolicy;
    const session = experience.of(request.sequence);
    const offers = pipelinedOffers(request, session, policy);
    const nothing = { suffix: emptyDraft, copies: [], suffixLength: 0, suffixMsPerToken: Infinity };
    return { request, policy, session, ...nothing, behindTokens: null, asked: cheapestOf(offers) };
  }

  /** Frames flow: what counts is how many tokens come through before the first wrong one. */
  function planPipelined(request: DraftRequest, copy: Draft): DraftPlan {
    const policy = request.policy ?? autoPolicy;
    const session = experience.of(request.sequence);
    const { acceptance } = session.ngram;
    const copies = rivalsOf(copy);
    const runs = copies.map((suffix) => {
      const chances = acceptance.chances(matchBucket(suffix));
      return { suffix, chances, run: runLength(chances, suffix.ids.length) };
    });
    const { suffix, chances, run } = runs.reduce((best, other) => (other.run > best.run ? other : best));
    const reachMin = reachWorth(request, run);
    let length = 0;
    while (length < suffix.ids.length && reachOf(chances, length + 1) >= reachMin) length += 1;
    const suffixMsPerToken = experience.roundMs(1) / run;
    const flowing = { suffix, copies, suffixLength: length, suffixMsPerToken };
    const plan = { request, policy, session, ...flowing, behindTokens: null, asked: null };
    const offer = cheapestOf(pipelinedOffers(request, session, policy));
    if (offer === null) return plan;
    const { known } = offer;
    const handicap = known.confident ? confidentHandicap : 1;
    const promises = offer.msPerToken < suffixMsPerToken * handicap;
    if (policy.drafter === 'auto' && !promises && known.idleRounds < retryRounds) return plan;
    const behindTokens = runOf(known.acceptance.chances(0), comparedTokens - offer.length);
    return { ...plan, behindTokens, asked: offer };
  }

  function pipelinedOffers(
    request: DraftRequest,
    session: SessionExperience,
    policy: DraftPolicy,
  ): ModelOffer[] {
    const { draftTokensMax, ahead } = request;
    const length = Math.min(draftTokensMax, pipelinedChunk);
    return models
      .filter(({ name }) => policy.drafter === 'auto' || policy.drafter === name)
      .map((model) => {
        const known = session.models.get(model.name)!;
        const run = runLength(known.acceptance.chances(0), comparedTokens);
        const msPerToken = (experience.roundMs(1) + experience.modelDraftMs(model.name, length)) / run;
        const worth = reachWorth(request, run);
        const reachMin =
          ahead === undefined ? Math.max(worth, openingWorth(model, msPerToken)) : worth / ahead.reach;
        return { model, known, length, reachMin, msPerToken };
      })
      .filter(({ reachMin }) => reachMin <= 1);
  }

  function planOf(request: DraftRequest, made: Draft): DraftPlan {
    const policy = request.policy ?? autoPolicy;
    const session = experience.of(request.sequence);
    const roundMs = roundMsOf(request);
    const copies = rivalsOf(made);
    const priced = copies.map((suffix) => ({
      suffix,
      ...lengthFor(session.ngram, policy, suffix, suffix.ids.length, roundMs, () => 0),
    }));
    const copy = priced.reduce((best, other) => (other.msPerToken < best.msPerToken ? other : best));
    const { suffix } = copy;
    const suffixPlan = { suffix, copies, suffixLength: copy.length, suffixMsPerToken: copy.msPerToken };
    const plan = { request, policy, session, ...suffixPlan, behindTokens: null, asked: null };
    const offers = models
      .filter(({ name }) => policy.drafter === 'auto' || policy.drafter === name)
      .map((model) => modelOffer(model, request, session, policy));
    if (policy.drafter !== 'auto') return { ...plan, asked: offers[0] ?? null };
    const best = cheapestOf(offers);
    if (best === null) return plan;
    const steadiness = session.current === best.model.name ? 1 + switchGain : 1 - switchGain;
    const handicap = best.known.confident ? confidentHandicap : steadiness;
    if (best.msPerToken < copy.msPerToken * handicap) return { ...plan, asked: best };
    return { ...plan, asked: offers.find(({ known }) => known.idleRounds >= retryRounds) ?? null };
  }

  /** The draft that a model would be asked for, and its price. */
  function modelOffer(
    model: Drafter,
    request: LoadedRequest & Pick<DraftRequest, 'draftTokensMax'>,
    session: SessionExperience,
    policy: DraftPolicy,
  ): ModelOffer {
    const known = session.models.get(model.name)!;
    const available = Math.min(request.draftTokensMax, draftTokensLimit);
    const roundMs = roundMsOf(request);
    const draftMs = (length: number): number => experience.modelDraftMs(model.name, length);
    const choice = lengthFor(known, policy, { matchLength: 0 }, available, roundMs, draftMs);
    const { msPerToken, reachMin } = confidentPrice(model, known, roundMs);
    const pays = choice.length > 0 || msPerToken < roundMs(1);
    if (policy.draftLength !== 'auto' || !known.confident || !pays) {
      return { model, known, ...choice, reachMin: 0 };
    }
    return { model, known, length: Math.min(available, confidentLengthMax), msPerToken, reachMin };
  }

  /**
   * What a model that knows its confidence came to so far, and where it is to stop: where one more token costs more than
   * the chance that it counts is worth.
   */
  function confidentPrice(
    { name }: Drafter,
    { yield: { drafted, committed } }: ModelExperience,
    roundMs: (rows: number) => number,
  ): { readonly msPerToken: number; readonly reachMin: number } {
    const draftMs = (length: number): number => experience.modelDraftMs(name, length);
    const msPerToken = (roundMs(drafted + 1) + draftMs(drafted)) / committed;
    return { msPerToken, reachMin: chanceWorth(tokenMs(name, roundMs), msPerToken) };
  }

  return {
    of(request, suffix) {
      if (request.ahead !== undefined) return planAhead(request);
      return mayFlow(request) ? planPipelined(request, suffix) : planOf(request, suffix);
    },
    preparation(request) {
      const { sequence, draftTokensMax, policy = autoPolicy } = request;
      const session = experience.of(sequence);
      const asked = models
        .map((model) => ({ model, known: session.models.get(model.name)! }))
        .filter(
          ({ model, known }) =>
            policy.drafter === model.name ||
            (policy.drafter === 'auto' && known.idleRounds < preparedIdleRoundsMax),
        )
        .map(({ model, known }) => ({ model, ...confidentPrice(model, known, experience.roundMs) }));
      const [best] = asked.sort((a, b) => a.msPerToken - b.msPerToken);
      if (best === undefined) return null;
      if (policy.draftLength !== 'auto') {
        return { ...best, draftTokensMax: Math.min(policy.draftLength, draftTokensMax), reachMin: 0 };
      }
      const reachMin = mayFlow(request) ? flowingReachMax : best.reachMin;
      return { model: best.model, draftTokensMax, reachMin };
    },
  };
}

/** Chance of a token, of `tokenMs` each, that is worth `costMs`: what costs nothing is worth any, though a fit say that rounds take no time. */
function chanceWorth(costMs: number, tokenMs: number): number {
  return costMs === 0 ? 0 : costMs / tokenMs;
}

/** A fixed length is that of one draft, whether it travels in one frame or in several. */
export function mayFlow({ pipelined = false, policy = autoPolicy }: DraftRequest): boolean {
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
  return 1 + runOf(chances, Math.min(available, comparedTokens));
}

/** A draft and its rival, if it has one; each without the other. */
function rivalsOf({ rival, ...draft }: Draft): readonly Draft[] {
  return rival === undefined ? [draft] : [draft, rival];
}
