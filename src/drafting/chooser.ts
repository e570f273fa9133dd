/**
 * Drafter 'auto', the planner that the scheduler asks: per sequence and round it picks the source and the draft length
 * with the least expected time per committed token, within what the request's policy fixes (draft-plan.ts).
 * Suffix drafts are nearly free, so they are always made in full, cut to the chosen length, and later judged beyond
 * the cut against what was committed: their acceptance is learned even while nothing of them is sent.
 * Invariant: a drafter that fails costs a round its draft, never a request its answer.
 */
import { matchBucket, positionGroup } from './acceptance.ts';
import { autoPolicy, createDraftPlans, type DraftPlan, mayFlow } from './draft-plan.ts';
import {
  countOutcome,
  type Draft,
  type DraftCounters,
  type Drafter,
  type DraftRequest,
  draftTokensLimit,
  emptyDraft,
  newDraftCounters,
} from './drafter.ts';
import { createExperience, type SourceExperience } from './experience.ts';

export interface DraftPlanner extends Drafter {
  /** Counters of every source by its name, 'none' (rounds without a draft) among them. */
  readonly countersBySource: ReadonlyMap<string, DraftCounters>;
  draftNow(request: DraftRequest): Draft | null;
}

export interface DraftPlannerOptions {
  readonly none: Drafter;
  readonly ngram: Drafter;
  /** Local models: a trained head, a language model. Each must be run to be judged. */
  readonly models: readonly Drafter[];
  /** Called when a source fails; its request goes on without. */
  readonly onFailure: (source: string, error: unknown) => void;
}

/** Hand drafts back to `observe` as they are: what lies behind one is found by its identity. */
export function createDraftPlanner({ none, ngram, models, onFailure }: DraftPlannerOptions): DraftPlanner {
  const counters = newDraftCounters();
  const sources = [none, ngram, ...models];
  const experience = createExperience(models.map(({ name }) => name));
  const plans = createDraftPlans(models, experience);
  /** The full suffix drafts behind each draft that was handed out. */
  const suffixesBehind = new WeakMap<Draft, readonly Draft[]>();
  /** Made when a draft was wanted at once; a plan counts as a round, so it is made once. */
  const planned = new WeakMap<DraftRequest, DraftPlan>();

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

  /** What a source has at hand; null where it has to be asked. */
  function atHand(source: Drafter, request: DraftRequest): Draft | null {
    try {
      return source.draftNow?.(request) ?? null;
    } catch (error) {
      onFailure(source.name, error);
      return emptyDraft;
    }
  }

  /** Is a model's own draft, as sure as it is of it, still better than the copy? */
  function isBetter(written: Draft, { policy, suffixMsPerToken, behindTokens }: DraftPlan): boolean {
    if (written.ids.length === 0) return false;
    if (policy.drafter !== 'auto' || written.confidence === null) return true;
    let reach = 1;
    let tokens = 1;
    for (const chance of written.confidence) {
      reach *= chance;
      tokens += reach;
    }
    const rows = behindTokens === null ? written.ids.length + 1 : 1;
    return experience.roundMs(rows) / (tokens + reach * (behindTokens ?? 0)) <= suffixMsPerToken;
  }

  function settle(plan: DraftPlan, written: Draft | undefined): Draft {
    const { policy, session, suffix, suffixLength, asked } = plan;
    const fromModel = written !== undefined && isBetter(written, plan);
    const mayCopy = policy.drafter === 'auto' || policy.drafter === 'ngram';
    const known = fromModel ? session.models.get(written.source)! : session.ngram;
    const chosen = fromModel ? written : cut(suffix, mayCopy ? suffixLength : 0);
    const chances = believedChances(chosen, known);
    const draft = {
      ...chosen,
      // What a model wrote in vain took its time all the same.
      draftMs: fromModel ? written.draftMs : chosen.draftMs + (written?.draftMs ?? 0),
      chances,
      reach: chances.reduce((reach, chance) => reach * chance, 1),
      ...(written?.prepared !== undefined && { prepared: written.prepared }),
    };
    session.current = fromModel ? written.source : 'ngram';
    for (const [name, model] of session.models)
      model.idleRounds = name === asked?.model.name ? 0 : model.idleRounds + 1;
    suffixesBehind.set(draft, plan.copies);
    return draft;
  }

  /** What each model wrote for the plans that ask it. */
  async function writtenFor(
    asking: readonly DraftPlan[],
    signal: AbortSignal,
  ): Promise<Map<DraftPlan, Draft>> {
    const written = new Map<DraftPlan, Draft>();
    await Promise.all(
      models.map(async (model) => {
        const ofModel = asking.filter(({ asked }) => asked?.model === model && asked.length > 0);
        const drafts = await draftsOf(model, ofModel.map(modelRequest), signal);
        ofModel.forEach((plan, i) => {
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

    draftNow(request) {
      if (isSilent(request)) return { ...emptyDraft };
      const suffix = request.ahead === undefined ? atHand(ngram, request) : emptyDraft;
      if (suffix === null) return null;
      const plan = plans.of(request, suffix);
      if (plan.asked === null || plan.asked.length === 0) return settle(plan, undefined);
      const written = atHand(plan.asked.model, modelRequest(plan));
      if (written !== null) return settle(plan, written);
      planned.set(request, plan);
      return null;
    },

    async draft(requests, signal) {
      signal.throwIfAborted();
      const speaking = requests.filter((request) => !isSilent(request));
      const fresh = speaking.filter((request) => request.ahead === undefined && !planned.has(request));
      const copies = await draftsOf(ngram, fresh, signal);
      const suffixes = new Map(fresh.map((request, i) => [request, copies[i]!]));
      const asking = speaking.map(
        (request) => planned.get(request) ?? plans.of(request, suffixes.get(request) ?? emptyDraft),
      );
      const written = await writtenFor(asking, signal);
      const drafts = new Map(asking.map((plan) => [plan.request, settle(plan, written.get(plan))]));
      return requests.map((request) => drafts.get(request) ?? { ...emptyDraft });
    },

    prepare(request) {
      if (request.policy?.drafter === 'none' || request.draftTokensMax <= 0) return;
      const preparation = plans.preparation(request);
      if (preparation === null) return;
      const { model, draftTokensMax, reachMin } = preparation;
      model.prepare?.({ ...request, draftTokensMax, reachMin });
    },

    observe(sequence, outcome) {
      const { draft } = outcome;
      countOutcome(counters, outcome);
      sources.find(({ name }) => name === draft.source)?.observe(sequence, outcome);
      experience.observe(sequence, outcome, suffixesBehind.get(draft) ?? []);
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

/** Nothing may be drafted: by the request's own wish, or because a draft of fixed length is under way already. */
function isSilent(request: DraftRequest): boolean {
  const { draftTokensMax, policy, ahead } = request;
  return draftTokensMax <= 0 || policy?.drafter === 'none' || (ahead !== undefined && !mayFlow(request));
}

function modelRequest({ request, asked }: DraftPlan): DraftRequest {
  return { ...request, draftTokensMax: asked!.length, reachMin: asked!.reachMin };
}

/** Chances that the tokens are right: by the draft's own confidence where it has one, else as its source fared so far. */
function believedChances(
  { ids, confidence, offset, ...match }: Draft,
  { acceptance }: SourceExperience,
): number[] {
  if (confidence !== null) return [...confidence];
  const chances = acceptance.chances(matchBucket(match));
  return Array.from(ids, (_, i) => chances[positionGroup(Math.min(offset + i, draftTokensLimit - 1))]!);
}

/** The first `length` tokens of a draft: always a new object, since drafts are told apart by identity. */
function cut(draft: Draft, length: number): Draft {
  if (length === 0) return { ...emptyDraft, draftMs: draft.draftMs };
  const fromPrediction = Math.min(draft.fromPrediction, length);
  const confidence = draft.confidence?.slice(0, length) ?? null;
  return { ...draft, ids: draft.ids.slice(0, length), confidence, fromPrediction };
}
