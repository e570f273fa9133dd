/**
 * Source 'grammar': what an answer's grammar leaves no choice about is drafted for free, and other sources' drafts are
 * cut at the first token that the grammar refuses, since the tail would refuse it for sure. It stands around the
 * planner: guesses come from there, forced text goes behind them.
 * The grammar forces text, not tokens, so its drafts are guesses too; verification decides as ever.
 */
import type { Clock } from '../../shards/clock.ts';
import type { Trace } from '../../shards/grammar-call.ts';
import type { GrammarAnswer, GrammarThreads } from '../../shards/grammar-threads.ts';
import type { DraftPlanner } from './chooser.ts';
import { createCutBelief } from './cut-belief.ts';
import {
  countOutcome,
  type Draft,
  type DraftOutcome,
  type DraftRequest,
  draftTokensLimit,
  emptyDraft,
  newDraftCounters,
  type Sequence,
} from './drafter.ts';

/** A draft never waits longer for the grammar, to be opened or to be asked: its thread may be compiling another one. */
const grammarMsMax = 20;

/** So many forced tokens are a draft by themselves where they are mostly right: no model needs to be asked. */
const enoughTokens = 4;
const mostlyRight = 0.9;

/** A draft of forced text goes on while the chance that all of it is right is above this: rows are not free. */
const reachMin = 0.1;

export interface ForcedDraftsOptions {
  readonly planner: DraftPlanner;
  readonly grammars: Pick<GrammarThreads, 'open'>;
  /** Ids of a text as it would be written behind others. */
  readonly encodeBehind: (before: readonly number[], text: string) => number[];
  readonly clock: Pick<Clock, 'now' | 'after'>;
  /** Called when a grammar cannot be followed; its answer goes on without. */
  readonly onFailure: (error: unknown) => void;
}

/** What a draft that was handed out is made of. */
interface Parts {
  /** As the planner made it; null if it was not asked. */
  readonly guess: Draft | null;
  /** Tokens of the guess that were sent. */
  readonly kept: number;
}

export function withForcedDrafts(options: ForcedDraftsOptions): DraftPlanner {
  const { planner, grammars, encodeBehind, clock, onFailure } = options;
  const counters = newDraftCounters();
  const answers = new Map<string, Promise<GrammarAnswer | null>>();
  const partsOf = new WeakMap<Draft, Parts>();
  const cuts = createCutBelief();
  /** Answers whose last trace is not back yet: they draft without until it is. */
  const tracing = new Set<GrammarAnswer>();

  async function draftOne(request: DraftRequest, answer: GrammarAnswer, signal: AbortSignal): Promise<Draft> {
    const { sequence, ahead, policy } = request;
    const { drafter, draftLength } = policy ?? { drafter: 'auto', draftLength: 'auto' };
    const start = clock.now();
    const known = [...sequence.tokens.slice(sequence.promptLength), ...(ahead?.ids ?? [])];
    const lengthMax = Math.min(
      request.draftTokensMax,
      draftLength === 'auto' ? draftTokensLimit : draftLength,
    );
    const mayForce = drafter === 'auto' || drafter === 'grammar';
    const chance = cuts.chance(sequence.id);
    const tokensOf = (text: string, guesses: readonly number[]): number[] => {
      if (!mayForce) return [];
      const tokens = forcedTokens(text, [...sequence.tokens, ...(ahead?.ids ?? []), ...guesses]);
      return draftLength === 'auto' ? tokens.slice(0, Math.log(reachMin) / Math.log(chance)) : tokens;
    };
    const join = (guess: Draft | null, kept: number, forced: readonly number[]): Draft => {
      const told = { chance, offset: ahead?.ids.length ?? 0, draftMs: clock.now() - start };
      const draft = joined(guess ?? emptyDraft, kept, forced.slice(0, lengthMax - kept), told);
      partsOf.set(draft, { guess, kept });
      return draft;
    };

    if (mayForce) {
      const first = tokensOf((await trace(answer, known, [])).forcedFirst, []);
      const isEnough = first.length >= enoughTokens && chance >= mostlyRight;
      if (isEnough || drafter === 'grammar') return join(null, 0, first);
    }
    const guess = planner.draftNow(request) ?? (await planner.draft([request], signal))[0]!;
    // Cutting what was drawn from a law would change the law of the answer.
    if (guess.probs !== null) return guess;
    const guesses = [...guess.ids];
    const { allowed, forcedFirst, forced } = await trace(answer, known, guesses);
    const alone = tokensOf(forcedFirst, []);
    const behind = tokensOf(forced, guesses.slice(0, allowed));
    const asGuessed = chancesOf(guess, allowed, behind.length, chance);
    // Another source knows how this model cuts its words; the tokeniser only how they should be cut.
    if (expected(alone.map(() => chance)) > expected(asGuessed)) return join(guess, 0, alone);
    return allowed === guesses.length && behind.length === 0 ? guess : join(guess, allowed, behind);
  }

  /** Where another token may follow, white space at the end is mostly the beginning of that token. */
  function forcedTokens(text: string, before: readonly number[]): number[] {
    const certain = text.split('\ufffd')[0]!.trimEnd();
    return certain === '' ? [] : encodeBehind(before, certain);
  }

  async function trace(
    answer: GrammarAnswer,
    known: readonly number[],
    guesses: readonly number[],
  ): Promise<Trace> {
    const nothing = { allowed: guesses.length, forcedFirst: '', forced: '' };
    if (tracing.has(answer)) return nothing;
    tracing.add(answer);
    const traced = answer
      .trace(known, guesses)
      .catch((error) => {
        onFailure(error);
        return nothing;
      })
      .finally(() => tracing.delete(answer));
    return inTime(traced, nothing);
  }

  async function inTime<T>(result: Promise<T>, otherwise: T): Promise<T> {
    const { promise: late, resolve } = Promise.withResolvers<T>();
    const cancel = clock.after(grammarMsMax, () => resolve(otherwise));
    try {
      return await Promise.race([result, late]);
    } finally {
      cancel();
    }
  }

  function observe(sequence: Sequence, outcome: DraftOutcome): void {
    const { draft, verdict } = outcome;
    const { guess, kept } = partsOf.get(draft) ?? {
      guess: null,
      kept: draft.source === 'grammar' ? 0 : draft.ids.length,
    };
    if (kept < draft.ids.length && verdict.accepted >= kept) {
      const forced = { ...draft, ids: draft.ids.slice(kept), draftMs: kept === 0 ? draft.draftMs : 0 };
      const accepted = verdict.accepted - kept;
      cuts.observe(sequence.id, accepted, Math.min(forced.ids.length, accepted + 1));
      countOutcome(counters, {
        ...outcome,
        draft: forced,
        verdict: { ...verdict, accepted, ids: verdict.ids.slice(kept) },
      });
    }
    const roundRows = outcome.roundRows ?? draft.ids.length + 1;
    if (guess === null) planner.observe(sequence, { ...outcome, roundRows });
    else planner.observe(sequence, { ...outcome, roundRows, draft: guess, verdict: agreed(guess, verdict) });
  }

  return {
    name: planner.name,
    counters: planner.counters,
    countersBySource: new Map([...planner.countersBySource, ['grammar', counters]]),

    open(sequence, policy) {
      planner.open(sequence, policy);
      const { grammar } = sequence;
      if (grammar == null || policy?.drafter === 'none') return;
      const opened = grammars.open(grammar.ebnf, grammar.eosIds).catch((error) => {
        onFailure(error);
        return null;
      });
      answers.set(sequence.id, opened);
    },

    draftNow: (request) => (answers.has(request.sequence.id) ? null : planner.draftNow(request)),
    prepare: (request) => planner.prepare?.(request),

    async draft(requests, signal) {
      signal.throwIfAborted();
      const forced = await Promise.all(
        requests.map(async (request) => {
          const { sequence, draftTokensMax, policy } = request;
          if (draftTokensMax <= 0 || policy?.drafter === 'none') return null;
          const opening = answers.get(sequence.id);
          const answer = opening === undefined ? null : await inTime(opening, null);
          return answer === null ? null : draftOne(request, answer, signal);
        }),
      );
      const others = requests.filter((_, i) => forced[i] === null);
      const drafts = others.length === 0 ? [] : await planner.draft(others, signal);
      let next = 0;
      return forced.map((draft) => draft ?? drafts[next++]!);
    },

    observe,

    close(sequence) {
      planner.close(sequence);
      void answers.get(sequence.id)?.then((answer) => answer?.close());
      answers.delete(sequence.id);
      cuts.forget(sequence.id);
    },

    dispose: () => planner.dispose(),
  };
}

/** The first `kept` tokens of a guess and forced ones behind: always a new object, told apart by identity. */
function joined(
  guess: Draft,
  kept: number,
  forced: readonly number[],
  { chance, offset, draftMs }: Pick<Draft, 'offset' | 'draftMs'> & { readonly chance: number },
): Draft {
  const ids = Uint32Array.from([...guess.ids.subarray(0, kept), ...forced]);
  if (ids.length === 0) return { ...emptyDraft, draftMs };
  const chances = chancesOf(guess, kept, forced.length, chance);
  const told = { ids, chances, reach: chances.reduce((reach, chance) => reach * chance, 1), draftMs };
  if (kept === 0) return { ...emptyDraft, ...told, source: 'grammar', offset };
  const confidence =
    guess.confidence && Float32Array.from([...guess.confidence.subarray(0, kept), ...forced.map(() => 1)]);
  return { ...guess, ...told, confidence, fromPrediction: Math.min(guess.fromPrediction, kept) };
}

/** Per token of a draft the belief that it is right. */
function chancesOf(guess: Draft, kept: number, forced: number, chance: number): number[] {
  const believed = guess.chances ?? guess.ids.map(() => 1);
  return [...Array.from(believed).slice(0, kept), ...Array<number>(forced).fill(chance)];
}

/** Tokens before the first wrong one. */
function expected(chances: readonly number[]): number {
  let [reach, tokens] = [1, 0];
  for (const chance of chances) {
    reach *= chance;
    tokens += reach;
  }
  return tokens;
}

/** The verdict on a guess of which not all was sent, as far as it is known from what was committed. */
function agreed({ ids }: Draft, verdict: DraftOutcome['verdict']): DraftOutcome['verdict'] {
  const most = Math.min(ids.length, verdict.ids.length - 1);
  let accepted = 0;
  while (accepted < most && ids[accepted] === verdict.ids[accepted]) accepted += 1;
  const kind = accepted < ids.length ? 'recovered' : 'bonus';
  return { accepted, ids: verdict.ids.slice(0, accepted + 1), kind, finished: verdict.finished };
}
