/**
 * The seam of drafting: whatever guesses ahead of the target. Four verbs, batch-first, counters per position
 * (shape after llama.cpp's speculative drafters). A drafter may be wrong at will: verification decides what counts.
 */
import type { SparseProbs } from '../../shards/draft-probs.ts';
import type { Sampling } from '../../shards/sampler.ts';
import type { Verdict } from '../../shards/verify.ts';

/** Longest draft there is: on an exact prediction 32 is worth 1.5x over 16, and beyond 64 no measured text gains. */
export const draftTokensLimit = 64;

/** What a drafter may see of a session. `tokens` grows by committed ids only. */
export interface Sequence {
  readonly id: string;
  /** Prompt, then output. */
  readonly tokens: readonly number[];
  readonly promptLength: number;
  /** Ids of the client's predicted output (OpenAI `prediction`), or null. */
  readonly prediction: Uint32Array | null;
  /** Whose text this is; stores of earlier outputs never cross owners. */
  readonly owner: string;
  /** How the target chooses: a drafter with probabilities draws with the same noise, so that it agrees more often. */
  readonly sampling: Sampling;
  /** Pairs of draft probabilities per token that verification wants of a drafter that has them; left out or null: none. */
  readonly draftPairs?: number | null;
  /** What the answer must look like, and the ids that may end it; left out or null: anything. */
  readonly grammar?: { readonly ebnf: string; readonly eosIds: readonly number[] } | null;
}

/** What a request may fix: which drafter, and a length of 0 to draftTokensLimit. 'auto' leaves it to the planner. */
export interface DraftPolicy {
  readonly drafter: 'auto' | 'none' | 'ngram' | 'lm' | 'head' | 'grammar';
  readonly draftLength: number | 'auto';
  /**
   * Read by the scheduler: one draft at a time (sync), or frames that follow one another while earlier ones are under
   * way (async). Left out, or auto: async where links cost more than passes.
   */
  readonly rounds?: 'auto' | 'sync' | 'async';
  /**
   * Read by the scheduler: are drafts written for likely outcomes while a round is under way? Left out: where the
   * gateway has a core that no worker needs.
   */
  readonly preDrafting?: boolean;
}

export interface DraftRequest {
  readonly sequence: Sequence;
  /** Upper bound for ids (the tokens that may still be committed, less one); 0 gives an empty draft. */
  readonly draftTokensMax: number;
  /** Read by the planner alone; a single drafter drafts as far as it can. Left out: all 'auto'. */
  readonly policy?: DraftPolicy;
  /**
   * A drafter that knows its confidence stops where the chance that the whole draft is right falls below this. Left out: 0.
   */
  readonly reachMin?: number;
  /** Frames flow behind one another: a longer draft costs no time, only rows. Left out: the draft is one frame. */
  readonly pipelined?: boolean;
  /** Where frames flow: share of a round trip that passes take, the rest being links. Left out: 1. */
  readonly passShare?: number;
  /** What one more row costs the other sessions on the ring together, ms; left out: 0, as for one alone. */
  readonly rowLoadMs?: number;
  /** Guesses that are under way behind sequence.tokens: the draft goes on after them. Left out: none are. */
  readonly ahead?: Ahead;
}

/** What a session has under way when it asks for more. */
export interface Ahead {
  readonly ids: readonly number[];
  /** Chance that all of them are right. */
  readonly reach: number;
}

export interface Draft {
  readonly ids: Uint32Array;
  /**
   * Per token the law that it was drawn from, or null for a point mass. Exactness rests on it: where they are told, no
   * draft ends, and no token is left out, because of what was drawn.
   */
  readonly probs: readonly SparseProbs[] | null;
  /** Per token the chance that its drafter gives it, given those before; null where it tells none. */
  readonly confidence: Float32Array | null;
  /** Name of the drafter that made it, or its beginning: 'none', 'ngram', 'lm', 'head', 'grammar'. */
  readonly source: string;
  /** Tokens of context that the match behind this draft agreed on; 0 where that has no meaning. */
  readonly matchLength: number;
  /** Copied from an earlier answer, not from the text itself. Left out: it was not. */
  readonly fromEarlier?: boolean;
  /** Another draft for the same place, made by the same drafter; which is better the planner knows. Left out: none. */
  readonly rival?: Draft;
  /** Chance that all of ids are right, as the planner believed when it was made; 1 for an empty draft. */
  readonly reach: number;
  /** Guesses that stood before the first of ids when it was made (`ahead`). */
  readonly offset: number;
  /** Per token the planner's belief that it is right, given those before; left out before the planner saw it. */
  readonly chances?: ArrayLike<number>;
  /** How many of ids were copied from the client's prediction (a prefix of ids). */
  readonly fromPrediction: number;
  /** Was it written while the round before was under way? Left out where nothing had been prepared for. */
  readonly prepared?: boolean;
  /** Wall time of making it, ms. */
  readonly draftMs: number;
}

export const emptyDraft: Draft = {
  ids: new Uint32Array(0),
  probs: null,
  confidence: null,
  source: 'none',
  matchLength: 0,
  reach: 1,
  offset: 0,
  chances: [],
  fromPrediction: 0,
  draftMs: 0,
};

/** What is left of a draft whose first token was committed while it was being made. */
export function withoutFirst(draft: Draft): Draft {
  return {
    ...draft,
    ids: draft.ids.slice(1),
    probs: draft.probs?.slice(1) ?? null,
    confidence: draft.confidence?.slice(1) ?? null,
    ...(draft.chances !== undefined && { chances: Array.from(draft.chances).slice(1) }),
    offset: draft.offset + 1,
    fromPrediction: Math.max(0, draft.fromPrediction - 1),
  };
}

/** What a session has under way, for a drafter that uses the time. */
export interface PrepareRequest
  extends Pick<DraftRequest, 'sequence' | 'policy' | 'pipelined' | 'draftTokensMax' | 'reachMin'> {
  /** In order, with the chance that each is right given those before it. */
  readonly guesses: readonly { readonly id: number; readonly chance: number }[];
  /** Tokens that may be written for all outcomes together. */
  readonly tokensMax: number;
}

/** What became of a draft: handed to `observe` after the committed ids were appended to sequence.tokens. */
export interface DraftOutcome {
  readonly draft: Draft;
  readonly verdict: Verdict;
  /**
   * Time from a frame's departure to its verdict, ms, of a frame that met an idle ring; null if there was none, or if
   * it carried a prompt.
   */
  readonly roundMs: number | null;
  /** Rows of that frame; left out: the draft and one more. */
  readonly roundRows?: number;
}

/** Counters of one drafter; position i counts the (i+1)-th token of a draft. */
export interface DraftCounters {
  drafts: number;
  drafted: number;
  accepted: number;
  /** How often position i was offered with all before it accepted, and how often it was then accepted. */
  readonly offeredAt: number[];
  readonly acceptedAt: number[];
  draftMs: number;
}

export interface Drafter {
  readonly name: string;
  readonly counters: DraftCounters;
  /** `policy` tells the planner which sources need not prepare; left out: all 'auto'. */
  open(sequence: Sequence, policy?: DraftPolicy): void;
  observe(sequence: Sequence, outcome: DraftOutcome): void;
  /** One draft per request, in order. Rejects only when aborted; a drafter that fails drafts nothing. */
  draft(requests: readonly DraftRequest[], signal: AbortSignal): Promise<Draft[]>;
  /**
   * The draft, if it is at hand: one that needs no waiting, or that was prepared. Null where `draft` has to be asked,
   * with the same request. Left out: nothing ever is.
   */
  draftNow?(request: DraftRequest): Draft | null;
  /** Writes drafts for what may come back, until the next call for the sequence. Left out: it has no use for the time. */
  prepare?(request: PrepareRequest): void;
  close(sequence: Sequence): void;
  /** Ends threads and frees memory. */
  dispose(): Promise<void>;
}

export function newDraftCounters(): DraftCounters {
  return { drafts: 0, drafted: 0, accepted: 0, offeredAt: [], acceptedAt: [], draftMs: 0 };
}

/** Adds one verdict on one draft to its counters. */
export function countOutcome(counters: DraftCounters, { draft, verdict }: DraftOutcome): void {
  counters.drafts += 1;
  counters.drafted += draft.ids.length;
  counters.accepted += verdict.accepted;
  counters.draftMs += draft.draftMs;
  for (let i = 0; i < draft.ids.length && i <= verdict.accepted; i++) {
    counters.offeredAt[i] = (counters.offeredAt[i] ?? 0) + 1;
    if (i < verdict.accepted) counters.acceptedAt[i] = (counters.acceptedAt[i] ?? 0) + 1;
  }
}
