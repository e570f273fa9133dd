/**
 * What one session asks of its drafter: the draft of a new round, more to go on behind what is under way, and, while it
 * waits, drafts for what may come back (outcomes.ts). One draft is in the making at a time; events hand it back through
 * the loop, and it counts only if what it was written behind still stands.
 */
import type { Draft, Drafter, DraftRequest } from '../drafting/drafter.ts';
import { emptyDraft, withoutFirst } from '../drafting/drafter.ts';
import type { Flight } from './flight.ts';
import type { LatencyModel } from './latency-model.ts';
import type { Session } from './session.ts';

/** What the drafts of all sessions share. */
export interface DraftsOptions {
  readonly drafter: Drafter;
  readonly latency: Pick<LatencyModel, 'terms' | 'pipeliningPays' | 'passShare'>;
  /** Asks for another turn of the loop. */
  readonly wake: () => void;
  /** Frames that one session may have under way, as of the last plan. */
  readonly window: () => number;
  /** Sessions at work, as of the last plan. */
  readonly working: () => number;
  /** For requests that leave it open. */
  readonly preDrafting: boolean;
}

/** Whose drafts they are. */
export interface DraftsOwner {
  readonly session: Session;
  readonly flight: Pick<Flight, 'length' | 'lastRound' | 'assumedIds' | 'guesses' | 'reach'>;
  /** A draft that was asked for is there; take() judges it. */
  readonly onDraft: (made: DraftInMaking, draft: Draft) => void;
}

export interface DraftInMaking {
  readonly abort: AbortController;
  /** Tokens, final and assumed, that it goes on after. */
  readonly contextLength: number;
}

export class SessionDrafts {
  private readonly owner: DraftsOwner;
  private readonly options: DraftsOptions;
  private making: DraftInMaking | null = null;
  private exhausted = false;
  /** The frame behind which outcomes are, or were, last prepared for. */
  private preparedRound: number | null = null;

  constructor(owner: DraftsOwner, options: DraftsOptions) {
    this.owner = owner;
    this.options = options;
  }

  get isMaking(): boolean {
    return this.making !== null;
  }

  /** The drafters had nothing to add to what is under way; they are asked again after the next verdict. */
  get isExhausted(): boolean {
    return this.exhausted;
  }

  /** May frames follow one another? A fixed draft length is one round's; frames behind it would make it longer. */
  get isPipelined(): boolean {
    const { request } = this.owner.session;
    const { rounds = 'auto' } = request.speculation;
    // The first guess of a frame behind others is right only if it equals the bonus token; rejection sampling loses by it.
    const byEquality = request.tail?.verification?.mode !== 'rejection';
    return rounds === 'async' || (rounds === 'auto' && byEquality && this.options.latency.pipeliningPays());
  }

  /** Frames that may be under way at once. */
  get framesMax(): number {
    const window = this.options.window();
    return window > 1 && this.isPipelined ? window : 1;
  }

  /** Asks for a draft. Gives what is at hand; null where it comes later, or there is nothing to add. */
  ask(): Draft | null {
    const { drafter, latency, wake, working } = this.options;
    const { session, flight, onDraft } = this.owner;
    const ids = flight.assumedIds();
    const made = { abort: new AbortController(), contextLength: session.tokens.length + ids.length };
    this.making = made;
    const request: DraftRequest = {
      sequence: session,
      draftTokensMax: session.draftTokensMax - ids.length,
      policy: session.request.speculation,
      pipelined: this.framesMax > 1,
      passShare: latency.passShare(),
      rowLoadMs: latency.terms().loadRowMs * Math.max(0, working() - 1),
      ...(flight.length === 0 ? {} : { ahead: { ids, reach: flight.reach() } }),
    };
    const atHand = drafter.draftNow?.(request) ?? null;
    if (atHand !== null) {
      // More may go on behind it.
      if (request.pipelined) wake();
      return this.take(made, atHand);
    }
    this.preparedRound = null;
    drafter.draft([request], made.abort.signal).then(
      ([draft]) => onDraft(made, draft ?? emptyDraft),
      // A drafter only rejects when aborted; a guess that never comes is no reason to lose an answer.
      () => onDraft(made, emptyDraft),
    );
    return null;
  }

  /** A draft is there: what is to be sent of it. Null if it was given up meanwhile, or has nothing to add. */
  take(made: DraftInMaking, written: Draft): Draft | null {
    if (this.making !== made) return null;
    this.making = null;
    const draft = this.inTime(made, written);
    if (draft === null) return this.ask();
    this.exhausted = this.owner.flight.length > 0 && draft.ids.length === 0;
    return this.exhausted ? null : draft;
  }

  /**
   * While a draft was made behind frames, the last of them may have come back and brought its bonus token: the draft
   * is good if that is its first guess. Null if it is not.
   */
  private inTime({ contextLength }: DraftInMaking, draft: Draft): Draft | null {
    const { tokens } = this.owner.session;
    const late = tokens.length > contextLength;
    if (!late || draft.ids.length === 0) return draft;
    return draft.ids[0] === tokens[contextLength] ? withoutFirst(draft) : null;
  }

  /** Has drafts written for what the frames under way may come back with, if that is not being done. */
  prepare(tokensMax: number): void {
    const { drafter, preDrafting: usual } = this.options;
    const { session, flight } = this.owner;
    const { lastRound } = flight;
    const { preDrafting = usual } = session.request.speculation;
    const goesOn = !this.exhausted && this.framesMax > 1 && flight.length < this.framesMax;
    if (!preDrafting || this.isMaking || goesOn) return;
    if (tokensMax === 0 || lastRound === null || lastRound === this.preparedRound) return;
    this.preparedRound = lastRound;
    const guesses = flight.guesses();
    drafter.prepare?.({
      ...{ sequence: session, guesses, policy: session.request.speculation, tokensMax },
      draftTokensMax: session.draftTokensMax - guesses.length,
      pipelined: this.framesMax > 1,
    });
  }

  /** A verdict confirmed what was under way: there may be more to add. */
  goOn(): void {
    this.exhausted = false;
  }

  /** What a draft in the making goes on behind no longer counts. */
  abandon(): void {
    this.making?.abort.abort();
    this.making = null;
    this.exhausted = false;
  }
}
