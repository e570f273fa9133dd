/**
 * The life of one session while it is served: it waits, gets a place on the ring and its prompt under way, has its
 * rounds (session-rounds.ts), sends again what a worker has lost, gives its place up and comes back, and ends. Events
 * only post notes; the step loop (scheduler.ts) hands them back one by one and decides when a session opens and when
 * it may draft.
 */
import { kvRoomOf } from '../../shards/kv-room.ts';
import type { LogprobRows } from '../../shards/logprobs.ts';
import type { Draft } from '../drafting/drafter.ts';
import { GatewayError } from '../errors.ts';
import type { OutputLengths } from './output-lengths.ts';
import type { SessionView } from './plan.ts';
import type { PrefixCache } from './prefix-cache.ts';
import type { Ring, RingGap, RingHandlers, RingStream, RingVerdict } from './ring.ts';
import type { FinishReason, Session } from './session.ts';
import type { DraftInMaking } from './session-drafts.ts';
import { type RoundsOptions, SessionRounds } from './session-rounds.ts';
import { SessionStanding } from './session-standing.ts';
import { newSessionStats, type SessionStats } from './session-stats.ts';

/** An answer may take an hour on the ring; after that its caches are more use to others. */
const sessionTimeMaxMs = 3_600_000;

/** Gaps in a row before a session is given up: each worker of a ring may have lost its rows once. */
const gapsMax = 64;

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

/** What all sessions share. */
export interface RunOptions extends RoundsOptions {
  readonly ring: Ring;
  readonly lengths: OutputLengths;
  readonly prefixes: PrefixCache;
  /** Leaves a note for the loop. */
  readonly post: (run: SessionRun, note: Note) => void;
}

export class SessionRun {
  readonly session: Session;
  readonly stats: SessionStats;
  readonly standing: SessionStanding;
  readonly rounds: SessionRounds;
  private readonly options: RunOptions;
  private stream: RingStream | null = null;
  /** Its name on the ring: another one each time, since word of an end takes longer than that of a beginning. */
  name: string;
  /** Times that it was put on the ring. */
  private openings = 0;
  /** The session whose prefill this one waits for, to start from its rows. */
  awaited: Session | null = null;
  /** Gaps since the last verdict. */
  private gaps = 0;
  private readonly onAbort = (): void => this.options.post(this, { type: 'cancel' });

  constructor(session: Session, arrival: number, options: RunOptions) {
    this.session = session;
    this.name = session.id;
    this.options = options;
    const nowMs = options.now();
    this.stats = newSessionStats(nowMs);
    this.standing = new SessionStanding(session, arrival, options, nowMs);
    const onDraft = (made: DraftInMaking, draft: Draft): void =>
      options.post(this, { type: 'draft', made, draft });
    this.rounds = new SessionRounds(
      { session, stats: this.stats, standing: this.standing, onDraft },
      options,
    );
    const { signal } = session.request;
    signal.addEventListener('abort', this.onAbort, { once: true });
    if (signal.aborted) this.onAbort();
  }

  view(nowMs: number): SessionView {
    const { session, standing, rounds } = this;
    const { id, owner, status } = session;
    return {
      ...standing.at(nowMs),
      ...{ id, owner, status },
      ownerLead: this.options.shares.lead(owner),
      busy: rounds.drafts.isMaking,
      held: rounds.drafts.isExhausted || this.awaited?.status === 'prefill',
      frames: rounds.frames,
      rowsUnderWay: rounds.rowsUnderWay,
      rowsNext: standing.rowsNext,
      positions: kvRoomOf(session.rowsWanted),
      pipelined: rounds.drafts.isPipelined,
      backlogTokens: session.request.sink.backlogTokens(),
    };
  }

  /** Puts the session on the ring and its prompt under way, with what of the answer is final. */
  open(): Ending | null {
    const { ring, prefixes } = this.options;
    const { session } = this;
    const { owner, tokens, request } = session;
    this.name = this.openings === 0 ? session.id : `${session.id}-${this.openings}`;
    const adopt = request.scorePrompt === true ? null : prefixes.find(owner, tokens);
    const { sampling, eosIds, minTokens, ignoreEos } = request;
    const own = { sampling, eosIds, minTokens, ignoreEos, promptLength: session.promptLength };
    const tail = { ...own, ...request.tail };
    try {
      const open = { session: this.name, tail, adopt, remainingMs: sessionTimeMaxMs };
      this.stream = ring.open(open, this.handlers());
    } catch (error) {
      return { outcome: 'failed', error };
    }
    this.openings += 1;
    this.rounds.enter(this.stream);
    const adopted = adopt?.length ?? 0;
    session.status = 'prefill';
    session.adopt(adopted);
    prefixes.begin(this.name, owner, tokens, adopted);
    const predictedMs = this.rounds.prefill(tokens.length - adopted);
    if (this.openings === 1) this.begin(adopted, predictedMs);
    return this.startAnswer();
  }

  private handlers(): RingHandlers {
    const { post } = this.options;
    return {
      onVerdict: (verdict) => post(this, { type: 'verdict', verdict }),
      onScores: (position, logprobs) => post(this, { type: 'scores', position, logprobs }),
      onGap: (gap) => post(this, { type: 'gap', gap }),
      onError: (error) => post(this, { type: 'error', error }),
    };
  }

  /** The first time on the ring. */
  private begin(adopted: number, predictedPrefillMs: number): void {
    const { drafter, now } = this.options;
    const { session, stats } = this;
    stats.startedMs = now();
    stats.cachedTokens = adopted;
    stats.predictedPrefillMs = predictedPrefillMs;
    drafter.open(session, session.request.speculation);
  }

  /** Behind what was sent: the next round, or the end where only scores are wanted and none are missing. */
  private startAnswer(): Ending | null {
    if (this.session.request.maxTokens > 0) this.rounds.start();
    else if (!this.session.awaitsScores) return { outcome: 'length', error: null };
    return null;
  }

  settle(note: Note): Ending | null {
    if (note.type === 'verdict') return this.settleVerdict(note.verdict);
    if (note.type === 'scores') return this.settleScores(note.position, note.logprobs);
    if (note.type === 'gap') return this.resume(note.gap);
    // Off the ring it is word of a stream that was left in the step in which it broke: the next one will do.
    if (note.type === 'error') return this.stream === null ? null : { outcome: 'failed', error: note.error };
    if (note.type === 'cancel') return { outcome: 'cancelled', error: null };
    this.rounds.take(note.made, note.draft);
    return null;
  }

  private settleVerdict(verdict: RingVerdict): Ending | null {
    const isFirst = this.session.status === 'prefill';
    const settled = this.rounds.settle(verdict);
    if (settled === null) return null;
    this.gaps = 0;
    if (isFirst) this.options.prefixes.ready(this.name);
    return settled.finish === null ? null : { outcome: settled.finish, error: null };
  }

  private settleScores(position: number, logprobs: LogprobRows): Ending | null {
    const { session } = this;
    session.settleScores(position, logprobs);
    const done = session.request.maxTokens === 0 && !session.awaitsScores;
    return done ? { outcome: 'length', error: null } : null;
  }

  /** A worker no longer holds what a frame stands on: everything from there on is sent again, in a new epoch. */
  private resume(gap: RingGap): Ending | null {
    const { session, stats, rounds } = this;
    if (!session.resumeFrom(gap)) return null;
    if (this.gaps === gapsMax) {
      const message = 'A shard of the model keeps losing this answer. Send the request again.';
      return { outcome: 'failed', error: new GatewayError('shard_lost', message) };
    }
    this.gaps += 1;
    stats.cachedTokens = Math.min(stats.cachedTokens, gap.length);
    rounds.abandon();
    this.standing.rest(this.options.now());
    rounds.prefill(session.tokens.length - gap.length);
    return this.startAnswer();
  }

  /**
   * Leaves the ring to make room. Its caches stay until the memory is needed; what is final comes back with it.
   */
  suspend(): void {
    const { prefixes, now } = this.options;
    const { session } = this;
    const whole = session.status === 'decode';
    this.rounds.leave();
    this.stream!.close(whole ? 'keep' : 'free');
    this.stream = null;
    if (whole) prefixes.keep(this.name, session.tokens);
    else prefixes.drop(this.name);
    session.leaveRing();
    this.standing.leaveRing(now());
  }

  /** Leaves the ring and tells the sink. */
  end({ outcome, error }: Ending): void {
    const { drafter, lengths, prefixes, now } = this.options;
    const { session, stats } = this;
    const { sink, signal } = session.request;
    signal.removeEventListener('abort', this.onAbort);
    this.rounds.leave();
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
