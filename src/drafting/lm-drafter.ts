/**
 * Drafters 'lm' and 'head': a small model of the target's vocabulary, or a head trained for the target, on this machine
 * in a thread of its own. While a round is under way it writes drafts for its likely outcomes, so that most verdicts
 * find the next draft ready, or begun.
 */
import type { Drafted } from './draft-model.ts';
import type { DraftModelOptions } from './draft-reader.ts';
import { startDraftThread } from './draft-thread.ts';
import {
  type Ahead,
  countOutcome,
  type Draft,
  type Drafter,
  type DraftRequest,
  draftTokensLimit,
  emptyDraft,
  newDraftCounters,
} from './drafter.ts';
import type { OutcomeDraft } from './outcome-drafts.ts';
import { createPreparedDrafts } from './prepared-drafts.ts';

/** Longest draft of one outcome: of a surer one the rest is written when it has come. */
const outcomeTokensMax = 8;

const nothingAhead: Ahead = { ids: [], reach: 1 };

export interface LmDrafterOptions {
  /** Left out: lm. */
  readonly name?: 'lm' | 'head';
  readonly model: DraftModelOptions;
  /** Clock, ms. */
  readonly now: () => number;
  /** Called with what went wrong: a failed draft, or the end of the thread. */
  readonly onFailure: (error: Error) => void;
}

/** Starts the thread and loads the model. Throws an Error that says why it cannot be loaded. */
export async function startLmDrafter(options: LmDrafterOptions): Promise<Drafter> {
  const { name = 'lm', model, now, onFailure } = options;
  const counters = newDraftCounters();
  const thread = await startDraftThread(model, onFailure);
  const prepared = createPreparedDrafts();
  /** The preparation under way, by sequence. */
  const preparing = new Map<string, { stop(): void }>();

  function stopPreparing(sequence: string): void {
    preparing.get(sequence)?.stop();
    preparing.delete(sequence);
  }

  /** What there is of a draft before the model is asked. */
  function begin(request: DraftRequest): Begun {
    const { sequence, ahead = nothingAhead } = request;
    const found = prepared.find(sequence, ahead.ids);
    if (found.kind === 'hit') return { ...asAsked(found.draft, request), prepared: true };
    return found.kind === 'miss' ? { ...nothingBegun, prepared: false } : nothingBegun;
  }

  function draftOf(drafted: Drafted, { ahead = nothingAhead }: DraftRequest, rest: Partial<Draft>): Draft {
    const { ids, confidence, probs } = drafted;
    return {
      ...{ source: name, matchLength: 0, reach: 1, offset: ahead.ids.length, fromPrediction: 0, draftMs: 0 },
      ...{ ids, confidence, probs },
      ...rest,
    };
  }

  async function draftOne(request: DraftRequest, signal: AbortSignal): Promise<Draft> {
    const { sequence, draftTokensMax, reachMin = 0, ahead = nothingAhead } = request;
    const count = Math.min(draftTokensMax, draftTokensLimit);
    if (count <= 0 || !thread.ableFor(sequence)) return emptyDraft;
    const start = now();
    const begun = begin(request);
    const told = begun.prepared === undefined ? {} : { prepared: begun.prepared };
    if (begun.whole) return draftOf(begun, request, told);
    stopPreparing(sequence.id);
    const further = {
      count: count - begun.ids.length,
      reachMin: reachMin / begun.reach,
      ahead: [...ahead.ids, ...begun.ids],
    };
    const rest = await thread.draft(sequence, further, signal);
    return draftOf(joined(begun, rest), request, { ...told, draftMs: now() - start });
  }

  return {
    name,
    counters,
    open: (sequence) => thread.read(sequence),
    observe: (_sequence, outcome) => countOutcome(counters, outcome),
    draftNow(request) {
      if (!thread.ableFor(request.sequence)) return { ...emptyDraft };
      const begun = begin(request);
      // Where frames flow the rest follows behind; else it is worth the wait.
      const ready = begun.whole || (request.pipelined === true && begun.ids.length > 0);
      return ready ? draftOf(begun, request, { prepared: true }) : null;
    },
    prepare({ sequence, guesses, draftTokensMax, reachMin = 0, tokensMax }) {
      stopPreparing(sequence.id);
      // Where laws are told, how far a draft goes must not depend on what was drawn.
      const lawsTold = (sequence.draftPairs ?? null) !== null;
      if (lawsTold || !thread.ableFor(sequence) || draftTokensMax <= 0) return;
      const ids = guesses.map(({ id }) => id);
      const chances = guesses.map(({ chance }) => chance);
      const { known, add } = prepared.extend(sequence, ids);
      const count = Math.min(draftTokensMax, outcomeTokensMax);
      const task = { guesses: ids, chances, known, count, reachMin, tokensMax };
      preparing.set(sequence.id, thread.prepare(sequence, task, add));
    },
    async draft(drafts, signal) {
      signal.throwIfAborted();
      return Promise.all(drafts.map((request) => draftOne(request, signal)));
    },
    close({ id }) {
      stopPreparing(id);
      prepared.forget(id);
      thread.forget(id);
    },
    dispose: () => thread.end(),
  };
}

/** Tokens that were there before they were asked for. */
interface Begun extends Drafted {
  /** Product of the confidences. */
  readonly reach: number;
  /** Nothing is to be added. */
  readonly whole: boolean;
  /** Left out where nothing was prepared for. */
  readonly prepared?: boolean;
}

const nothingBegun: Begun = { ids: emptyDraft.ids, confidence: null, probs: null, reach: 1, whole: false };

/** A prepared draft as far as the request wants it. */
function asAsked(
  { ids, confidence, ended }: OutcomeDraft,
  { draftTokensMax, reachMin = 0 }: DraftRequest,
): Begun {
  const longest = Math.min(draftTokensMax, draftTokensLimit);
  let reach = 1;
  let length = 0;
  for (; length < Math.min(ids.length, longest); length++) {
    const further = reach * (confidence?.[length] ?? 1);
    if (further < reachMin) break;
    reach = further;
  }
  return {
    ...{ ids: ids.slice(0, length), confidence: confidence?.slice(0, length) ?? null, probs: null, reach },
    whole: ended || length < ids.length || length === longest,
  };
}

function joined({ ids, confidence }: Begun, rest: Drafted): Drafted {
  if (ids.length === 0) return rest;
  return {
    ids: Uint32Array.from([...ids, ...rest.ids]),
    confidence:
      confidence === null || rest.confidence === null
        ? null
        : Float32Array.from([...confidence, ...rest.confidence]),
    probs: null,
  };
}
