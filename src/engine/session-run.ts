/**
 * What happens to one session while it is served: opening it on the ring, asking for drafts, sending them as frames,
 * taking over what comes back. Events only post notes; the step loop (scheduler.ts) hands them back one by one and
 * decides when a session opens and when it may draft.
 */
import { kvRoomOf } from '../../shards/kv-room.ts';
import type { LogprobRows } from '../../shards/logprobs.ts';
import type { Draft, Drafter, DraftRequest } from '../drafting/drafter.ts';
import { emptyDraft, withoutFirst } from '../drafting/drafter.ts';
import { GatewayError } from '../errors.ts';
import { AcceptanceTrend } from './acceptance-trend.ts';
import { Flight, type FlightFrame } from './flight.ts';
import type { LatencyModel } from './latency-model.ts';
import type { OutputLengths } from './output-lengths.ts';
import type { OwnerShares } from './owner-shares.ts';
import type { SessionView } from './plan.ts';
import type { PrefixCache } from './prefix-cache.ts';
import type { Frame, Ring, RingGap, RingStream, RingVerdict } from './ring.ts';
import { RoundTally } from './round-tally.ts';
import { type FinishReason, prefillChunkRows, type Session } from './session.ts';
import { countLeniency, countPrediction, newSessionStats, type SessionStats } from './session-stats.ts';
import { followingSlices, openingSlices, sliceRows } from './slices.ts';

/** An answer may take an hour on the ring; after that its caches are more use to others. */
const sessionTimeMaxMs = 3_600_000;

/** Gaps in a row before a session is given up: each worker of a ring may have lost its rows once. */
const gapsMax = 64;

/** Believed of a session's rounds before it has had one: their rows, and the tokens that they commit. */
const rowsExpected = 5;
const committedExpected = 2.5;

/** An estimate of who waits is as old as this at most: what the ring costs is learned meanwhile, a few rounds at a time. */
const estimateAgeMaxMs = 250;

/** What events leave for the loop. */
export type Note =
  | { readonly type: 'verdict'; readonly verdict: RingVerdict }
  | { readonly type: 'draft'; readonly made: DraftInMaking; readonly draft: Draft }
  | { readonly type: 'scores'; readonly position: number; readonly logprobs: LogprobRows }
  | { readonly type: 'gap'; readonly gap: RingGap }
  | { readonly type: 'error'; readonly error: unknown }
  | { readonly type: 'cancel' };

/** How a session ends. */
export interface Ending {
  readonly outcome: FinishReason | 'failed' | 'cancelled';
  readonly error: unknown;
}

interface DraftInMaking {
  readonly abort: AbortController;
  /** Tokens, final and assumed, that it goes on after. */
  readonly contextLength: number;
}

/** What all sessions share. */
export interface RunOptions {
  readonly ring: Ring;
  readonly drafter: Drafter;
  readonly latency: LatencyModel;
  readonly lengths: OutputLengths;
  readonly shares: OwnerShares;
  readonly prefixes: PrefixCache;
  /** Monotonic, ms. */
  readonly now: () => number;
  /** Leaves a note for the loop. */
  readonly post: (run: SessionRun, note: Note) => void;
  /** Asks for another turn of the loop. */
  readonly wake: () => void;
  /** Frames that one session may have under way, as of the last plan. */
  readonly window: () => number;
  /** Rows that all sessions have under way. */
  readonly rowsUnderWay: () => number;
  /** Sessions at work, as of the last plan. */
  readonly working: () => number;
  /** For requests that leave it open. */
  readonly preDrafting: boolean;
  readonly onRound?: (session: Session, record: SessionStats['rounds'][number]) => void;
}

export class SessionRun {
  readonly session: Session;
  /** Number in the order of arrival. */
  readonly arrival: number;
  readonly stats: SessionStats;
  private readonly options: RunOptions;
  private readonly abort = new AbortController();
  private tally = new RoundTally();
  private readonly flight = new Flight();
  private readonly trend = new AcceptanceTrend();
  private stream: RingStream | null = null;
  /** Its name on the ring: another one each time, since word of an end takes longer than that of a beginning. */
  name: string;
  /** Times that it was put on the ring. */
  private openings = 0;
  /** The session whose prefill this one waits for, to start from its rows. */
  awaited: Session | null = null;
  /** The draft that is being made; null if none is. */
  private drafting: DraftInMaking | null = null;
  /** The drafters had nothing to add to what is under way; asked again after the next verdict. */
  private exhausted = false;
  /** The frame behind which outcomes are, or were, last prepared for. */
  private preparedRound: number | null = null;
  /** Gaps since the last verdict. */
  private gaps = 0;
  /** Time that its rounds took, ms. */
  private attainedMs = 0;
  /** When it last had the ring, or arrived. */
  private idleSinceMs: number;
  /** Estimated time that its rounds will still take, when that was estimated, and whether it can be trusted. */
  remainingMs: number;
  private estimatedMs: number;
  private steady = false;
  private readonly onAbort = (): void => this.options.post(this, { type: 'cancel' });

  constructor(session: Session, arrival: number, options: RunOptions) {
    this.session = session;
    this.name = session.id;
    this.arrival = arrival;
    this.options = options;
    this.stats = newSessionStats(options.now());
    this.idleSinceMs = this.stats.submittedMs;
    this.remainingMs = this.estimateMs();
    this.estimatedMs = this.stats.submittedMs;
    const { signal } = session.request;
    signal.addEventListener('abort', this.onAbort, { once: true });
    if (signal.aborted) this.onAbort();
  }

  view(nowMs: number): SessionView {
    const { session, flight, options } = this;
    const { status, owner } = session;
    if (status === 'waiting' && nowMs - this.estimatedMs >= estimateAgeMaxMs) {
      this.remainingMs = this.estimateMs();
      this.estimatedMs = nowMs;
    }
    return {
      id: session.id,
      owner,
      ownerLead: options.shares.lead(owner),
      status,
      busy: this.drafting !== null,
      held: this.exhausted || this.awaited?.status === 'prefill',
      arrival: this.arrival,
      waitedMs: nowMs - this.idleSinceMs,
      attainedMs: this.attainedMs,
      remainingMs: this.remainingMs,
      steady: this.steady,
      frames: flight.length,
      rowsUnderWay: this.rowsUnderWay,
      rowsNext: status === 'waiting' ? Math.min(session.promptLength, prefillChunkRows) : this.rowsOfRound,
      positions: kvRoomOf(session.rowsWanted),
      pipelined: this.isPipelined(),
      backlogTokens: session.request.sink.backlogTokens(),
    };
  }

  /** Workers let verify frames pass the chunks of a prompt, so that of a prompt one chunk at most is in anybody's way. */
  get rowsUnderWay(): number {
    const { session, flight } = this;
    const rows = session.status === 'prefill' ? session.promptLength : flight.rows;
    return Math.min(rows, prefillChunkRows);
  }

  /** Rows of a round as they are on average; before there are any, a draft of a few tokens. */
  private get rowsOfRound(): number {
    return this.trend.rounds === 0 ? rowsExpected : 1 + Math.round(this.trend.draftedMean);
  }

  /** L * (gamma * td + tv) / (gamma * A + 1) with what is known so far (LAPS-SD), and the prefill that is to come. */
  private estimateMs(): number {
    const { session, trend } = this;
    const { latency, lengths } = this.options;
    const tokens = lengths.remaining(session.owner, session.outputLength, session.request.maxTokens);
    const committed = trend.rounds === 0 ? committedExpected : trend.committedMean;
    const roundMs = trend.draftMsMean + latency.roundMs(this.rowsOfRound, 0);
    const prefillMs = session.status === 'waiting' ? latency.prefillMs(session.promptLength, 0) : 0;
    return prefillMs + (tokens * roundMs) / committed;
  }

  /** A fixed draft length is one round's; frames behind it would make it longer. */
  private isPipelined(): boolean {
    const { request } = this.session;
    const { rounds = 'auto' } = request.speculation;
    // The first guess of a frame behind others is right only if it equals the bonus token; rejection sampling loses by it.
    const byEquality = request.tail?.verification?.mode !== 'rejection';
    return rounds === 'async' || (rounds === 'auto' && byEquality && this.options.latency.pipeliningPays());
  }

  /** Puts the session on the ring and its prompt under way, with what of the answer is final. */
  open(): Ending | null {
    const { ring, drafter, latency, prefixes, rowsUnderWay, shares, now, post } = this.options;
    const { session } = this;
    const { request } = session;
    this.name = this.openings === 0 ? session.id : `${session.id}-${this.openings}`;
    const adopt = request.scorePrompt === true ? null : prefixes.find(session.owner, session.tokens);
    try {
      this.stream = ring.open(
        {
          session: this.name,
          tail: {
            sampling: request.sampling,
            promptLength: session.promptLength,
            eosIds: request.eosIds,
            minTokens: request.minTokens,
            ignoreEos: request.ignoreEos,
            ...request.tail,
          },
          adopt,
          remainingMs: sessionTimeMaxMs,
        },
        {
          onVerdict: (verdict) => post(this, { type: 'verdict', verdict }),
          onScores: (position, logprobs) => post(this, { type: 'scores', position, logprobs }),
          onGap: (gap) => post(this, { type: 'gap', gap }),
          onError: (error) => post(this, { type: 'error', error }),
        },
      );
    } catch (error) {
      return { outcome: 'failed', error };
    }
    session.status = 'prefill';
    session.adopt(adopt?.length ?? 0);
    prefixes.begin(this.name, session.owner, session.tokens, adopt?.length ?? 0);
    const rows = session.tokens.length - (adopt?.length ?? 0);
    shares.charge(session.owner, rows);
    for (const frame of session.prefillFrames()) this.stream.forward(frame);
    if (this.openings === 0) {
      this.stats.startedMs = now();
      this.stats.cachedTokens = adopt?.length ?? 0;
      this.stats.predictedPrefillMs = latency.prefillMs(rows, rowsUnderWay());
      drafter.open(session, request.speculation);
    }
    this.openings += 1;
    return this.startAnswer();
  }

  /** Behind the prompt: the first round, or the end where only scores are wanted. */
  private startAnswer(): Ending | null {
    if (this.session.request.maxTokens > 0) this.startDraft();
    else if (!this.session.awaitsScores) return { outcome: 'length', error: null };
    return null;
  }

  settle(note: Note): Ending | null {
    if (note.type === 'verdict') return this.settleVerdict(note.verdict);
    if (note.type === 'scores') return this.settleScores(note.position, note.logprobs);
    if (note.type === 'gap') return this.resume(note.gap);
    if (note.type === 'error') return { outcome: 'failed', error: note.error };
    if (note.type === 'cancel') return { outcome: 'cancelled', error: null };
    this.sendDraft(note.made, note.draft);
    return null;
  }

  /** Asks for a draft: of a new round, or to go on behind what is under way. */
  startDraft(): void {
    const { drafter, now, post, wake } = this.options;
    const { session, flight } = this;
    const ids = flight.assumedIds();
    const made = { abort: new AbortController(), contextLength: session.tokens.length + ids.length };
    this.drafting = made;
    const waitedMs = now() - this.idleSinceMs;
    if (flight.length === 0 && session.status === 'decode') this.stats.yieldedMs += waitedMs;
    const request: DraftRequest = {
      sequence: session,
      draftTokensMax: session.draftTokensMax - ids.length,
      policy: session.request.speculation,
      pipelined: this.options.window() > 1 && this.isPipelined(),
      rowLoadMs: this.options.latency.terms().loadRowMs * Math.max(0, this.options.working() - 1),
      ...(flight.length === 0 ? {} : { ahead: { ids, reach: flight.reach() } }),
    };
    // What is at hand leaves in the step that the verdict before it was settled in.
    const atHand = drafter.draftNow?.(request) ?? null;
    if (atHand !== null) {
      this.sendDraft(made, atHand);
      // More may go on behind it.
      if (request.pipelined) wake();
      return;
    }
    this.preparedRound = null;
    drafter.draft([request], AbortSignal.any([this.abort.signal, made.abort.signal])).then(
      ([draft]) => post(this, { type: 'draft', made, draft: draft ?? emptyDraft }),
      // A drafter only rejects when aborted; a guess that never comes is no reason to lose an answer.
      () => post(this, { type: 'draft', made, draft: emptyDraft }),
    );
  }

  /** Has drafts written for what the frames under way may come back with, if that is not being done. */
  prepare(tokensMax: number): void {
    const { session, flight } = this;
    const { speculation } = session.request;
    const { lastRound } = flight;
    const pipelined = this.options.window() > 1 && this.isPipelined();
    const goesOn = pipelined && !this.exhausted && flight.length < this.options.window();
    const { preDrafting = this.options.preDrafting } = speculation;
    if (!preDrafting || this.drafting !== null || goesOn) return;
    if (tokensMax === 0 || lastRound === null || lastRound === this.preparedRound) return;
    this.preparedRound = lastRound;
    const guesses = flight.guesses();
    this.options.drafter.prepare?.({
      ...{ sequence: session, guesses, policy: speculation, tokensMax },
      draftTokensMax: session.draftTokensMax - guesses.length,
      pipelined,
    });
  }

  private sendDraft(made: DraftInMaking, written: Draft): void {
    const { ring, latency, now } = this.options;
    const { session, flight, stream } = this;
    if (this.drafting !== made) return; // made for an epoch that has ended since
    this.drafting = null;
    const draft = this.inTime(made, written);
    if (draft === null) {
      this.startDraft();
      return;
    }
    const behind = flight.length > 0;
    // Behind a prompt its time is part of the prefill's.
    const waitedFor = !behind && session.status === 'decode' && draft.source !== 'none';
    const expectedDraftMs = latency.draftMs(draft);
    if (behind && draft.ids.length === 0) {
      this.exhausted = true;
      return;
    }
    const window = this.options.window();
    const room = window > 1 && this.isPipelined() ? Math.max(1, window - flight.length) : 1;
    const rows = sliceRows(draft.ids.length, ring.stages(), latency.stage());
    const counts = behind
      ? followingSlices(draft.ids.length, rows, room)
      : openingSlices(draft.ids.length, rows, room);
    let from = 0;
    for (const count of counts) {
      const guesses = draft.ids.subarray(from, from + count);
      const probs = draft.probs?.slice(from, from + count) ?? null;
      const first = flight.length === 0;
      const frame = first ? session.roundFrame(guesses, probs) : session.followingFrame(guesses, probs);
      this.launch(frame, draft, first, from);
      stream!.forward(frame);
      from += count;
    }
    this.tally.begin(now());
    if (waitedFor) this.stats.predictedDraftMs += expectedDraftMs;
  }

  /** A frame leaves: what it meets on the ring, and when the model expects its verdict. */
  private launch(frame: Frame, draft: Draft, first: boolean, from: number): void {
    const { latency, rowsUnderWay, shares, now } = this.options;
    const { session, stats, flight } = this;
    const opening = first && session.status === 'prefill';
    const rows = frame.ids.length;
    const othersRows = rowsUnderWay() - this.rowsUnderWay;
    const pass = latency.stage();
    const aloneMs = now() + latency.roundMs(rows, othersRows);
    const behindMs = (flight.expectedMs ?? 0) + pass.fixedMs + pass.perRowMs * rows;
    const expectedMs = opening ? stats.startedMs + stats.predictedPrefillMs : Math.max(aloneMs, behindMs);
    flight.push({
      frame,
      draft,
      from,
      continues: !first,
      sentMs: now(),
      opening,
      alone: first,
      othersRows,
      expectedMs,
    });
    if (!opening) shares.charge(session.owner, rows);
  }

  /**
   * While a draft was made behind frames, the last of them may have come back and brought its bonus token: the draft
   * is good if that is its first guess. Null if it is not.
   */
  private inTime({ contextLength }: DraftInMaking, draft: Draft): Draft | null {
    const { tokens } = this.session;
    const late = tokens.length > contextLength;
    if (!late || draft.ids.length === 0) return draft;
    return draft.ids[0] === tokens[contextLength] ? withoutFirst(draft) : null;
  }

  /** A worker no longer holds what a frame stands on: everything from there on is sent again, in a new epoch. */
  private resume(gap: RingGap): Ending | null {
    const { session, stats } = this;
    if (!session.resumeFrom(gap)) return null;
    if (this.gaps === gapsMax) {
      const message = 'A shard of the model keeps losing this answer. Send the request again.';
      return { outcome: 'failed', error: new GatewayError('shard_lost', message) };
    }
    this.gaps += 1;
    stats.cachedTokens = Math.min(stats.cachedTokens, gap.length);
    this.abandon();
    this.options.shares.charge(session.owner, session.tokens.length - gap.length);
    for (const frame of session.prefillFrames()) this.stream!.forward(frame);
    this.startDraft();
    return null;
  }

  /** What is under way and what is being drafted behind it no longer counts. */
  private abandon(): void {
    this.flight.clear();
    this.drafting?.abort.abort();
    this.drafting = null;
    this.exhausted = false;
  }

  /**
   * Leaves the ring to make room. Its caches stay until the memory is needed; what is final comes back with it.
   */
  suspend(): void {
    const { prefixes, now } = this.options;
    const { session } = this;
    const whole = session.status === 'decode';
    this.abandon();
    this.stream!.close(whole ? 'keep' : 'free');
    if (whole) prefixes.keep(this.name, session.tokens);
    else prefixes.drop(this.name);
    this.stream = null;
    this.tally = new RoundTally();
    this.idleSinceMs = now();
    session.leaveRing();
  }

  private settleScores(position: number, logprobs: LogprobRows): Ending | null {
    const { session } = this;
    session.settleScores(position, logprobs);
    const done = session.request.maxTokens === 0 && !session.awaitsScores;
    return done ? { outcome: 'length', error: null } : null;
  }

  private settleVerdict({ round, verdict, stages }: RingVerdict): Ending | null {
    const { drafter, latency, prefixes, now, onRound } = this.options;
    const { session, stats, flight, tally, trend } = this;
    const settlement = flight.settle(round, verdict);
    if (settlement === null) return null; // a late answer to a frame that no longer counts
    const { settled, judged, alive } = settlement;
    countLeniency(stats, verdict);
    this.gaps = 0;
    if (alive) this.exhausted = false;
    else this.abandon();
    if (session.outputLength === 0) {
      stats.firstTokenMs = now();
    }
    if (session.status === 'prefill') prefixes.ready(this.name);
    const before = session.outputLength;
    const reason = session.settle(verdict, alive);
    tally.add(settled, { nowMs: now(), stages, committed: session.outputLength - before });
    latency.observeVerdict({ ...settled, rows: settled.frame.ids.length }, { nowMs: now(), stages });
    if (settled.opening && before === 0) this.observePrefill(settled);
    for (const { draft, verdict: whole } of judged) {
      const record = tally.conclude(draft, whole, now(), this.stream!.linkBytes());
      stats.rounds.push(record);
      trend.observe(record);
      latency.observeDraft(draft);
      this.attainedMs += record.roundMs + (record.fromIdle ? record.draftMs : 0);
      countPrediction(stats, draft, whole);
      drafter.observe(session, { draft, verdict: whole, ...tally.takeRoundTime() });
      onRound?.(session, record);
    }
    this.remainingMs = this.estimateMs();
    this.steady = trend.steady;
    if (flight.length === 0) {
      tally.rest();
      this.idleSinceMs = now();
    }
    return reason === null ? null : { outcome: reason, error: null };
  }

  private observePrefill({ othersRows }: FlightFrame): void {
    const { session, stats } = this;
    const rows = session.promptLength - stats.cachedTokens;
    this.options.latency.observePrefill(rows, othersRows, stats.firstTokenMs - stats.startedMs);
  }

  /** Leaves the ring and tells the sink. */
  end({ outcome, error }: Ending): void {
    const { drafter, lengths, prefixes, now } = this.options;
    const { session, stats } = this;
    const { sink, signal } = session.request;
    signal.removeEventListener('abort', this.onAbort);
    this.abort.abort();
    stats.finishedMs = now();
    if (this.openings > 0) drafter.close(session);
    const complete = outcome === 'stop' || outcome === 'length';
    session.status = complete ? 'finished' : 'failed';
    this.stream?.close(complete ? 'keep' : 'free');
    if (session.outputLength > 0) lengths.observe(session.owner, session.outputLength, outcome === 'stop');
    if (complete) {
      prefixes.keep(this.name, session.tokens);
      sink.end(outcome, stats);
    } else {
      prefixes.drop(this.name);
      sink.fail(error ?? new GatewayError('client_gone', 'The client left before the answer was complete.'));
    }
  }
}
