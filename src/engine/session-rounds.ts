/**
 * The rounds of one session: a draft leaves in frames, and verdicts judge it. Where frames follow one another a further
 * draft goes on behind those under way, and one wrong token ends all of them (SwiftSpec, arXiv 2506.11309; PipeInfer).
 * What a verdict tells goes to everybody who learns from it: the latency model, the drafter, the session's standing and
 * its counts.
 */
import type { Draft, Drafter } from '../drafting/drafter.ts';
import { Flight, type FlightFrame, type Settlement } from './flight.ts';
import type { LatencyModel, RingLoad } from './latency-model.ts';
import type { OwnerShares } from './owner-shares.ts';
import type { Frame, Ring, RingStream, RingVerdict } from './ring.ts';
import { RoundTally } from './round-tally.ts';
import { type FinishReason, prefillChunkRows, type Session } from './session.ts';
import { type DraftInMaking, type DraftsOptions, type DraftsOwner, SessionDrafts } from './session-drafts.ts';
import type { SessionStanding } from './session-standing.ts';
import { countLeniency, countPrediction, type RoundRecord, type SessionStats } from './session-stats.ts';
import { followingSlices, openingSlices, sliceRows } from './slices.ts';

/** What the rounds of all sessions share. */
export interface RoundsOptions extends DraftsOptions {
  readonly ring: Pick<Ring, 'stages'>;
  readonly drafter: Drafter;
  readonly latency: LatencyModel;
  readonly shares: OwnerShares;
  /** Monotonic, ms. */
  readonly now: () => number;
  /** What all sessions have under way. */
  readonly underWay: () => RingLoad;
  readonly onRound?: (session: Session, record: RoundRecord) => void;
}

/** Whose rounds they are. */
export interface RoundsOwner extends Pick<DraftsOwner, 'session' | 'onDraft'> {
  readonly stats: SessionStats;
  readonly standing: SessionStanding;
}

/** Rows that the ring lacked, on their way to it ahead of a round. */
interface Prefill {
  readonly rows: number;
  readonly sentMs: number;
  /** When the latency model expected the verdict of the round behind, on the clock of sentMs. */
  readonly expectedMs: number;
}

export class SessionRounds {
  readonly drafts: SessionDrafts;
  private readonly owner: RoundsOwner;
  private readonly options: RoundsOptions;
  private readonly flight = new Flight();
  private tally = new RoundTally();
  private stream: RingStream | null = null;
  /** What goes ahead of the next round, or of the one under way; null if nothing does. */
  private ahead: Prefill | null = null;

  constructor(owner: RoundsOwner, options: RoundsOptions) {
    this.owner = owner;
    this.options = options;
    this.drafts = new SessionDrafts(
      { session: owner.session, flight: this.flight, onDraft: owner.onDraft },
      options,
    );
  }

  /** Frames under way. */
  get frames(): number {
    return this.flight.length;
  }

  /** Workers let verify frames pass the chunks of a prompt, so that of a prompt one chunk at most is in anybody's way. */
  get rowsUnderWay(): number {
    const { status, promptLength } = this.owner.session;
    const rows = status === 'prefill' ? promptLength : this.flight.rows;
    return Math.min(rows, prefillChunkRows);
  }

  /** What others meet of this session on the ring. */
  get underWay(): RingLoad {
    const { ahead, flight } = this;
    if (ahead === null) return { rows: flight.rows, prompts: 0 };
    return ahead.rows > prefillChunkRows ? { rows: 0, prompts: 1 } : { rows: ahead.rows, prompts: 0 };
  }

  /** On the ring: frames go out by this stream. */
  enter(stream: RingStream): void {
    this.stream = stream;
  }

  /** Off the ring. */
  leave(): void {
    this.abandon();
    this.stream = null;
    this.ahead = null;
    this.tally = new RoundTally();
  }

  /** What is under way and what is being drafted behind it no longer counts. */
  abandon(): void {
    this.flight.clear();
    this.drafts.abandon();
  }

  /**
   * Sends `rows` tokens that the ring lacks, but for the last ones, which go with the round behind them. Returns the
   * time until that round's verdict as the latency model expects it, ms.
   */
  prefill(rows: number): number {
    const { latency, shares, now } = this.options;
    const { session } = this.owner;
    shares.charge(session.owner, rows);
    const sentMs = now();
    const predictedMs = latency.prefillMs(rows, this.others());
    this.ahead = { rows, sentMs, expectedMs: sentMs + predictedMs };
    for (const frame of session.prefillFrames()) this.stream!.forward(frame);
    return predictedMs;
  }

  /** A round begins, or goes on behind what is under way. What is at hand leaves in this step. */
  start(): void {
    const { session, stats, standing } = this.owner;
    const isIdle = this.flight.length === 0 && session.status === 'decode';
    if (isIdle) stats.yieldedMs += standing.waitedMs(this.options.now());
    this.send(this.drafts.ask());
  }

  /** A draft that was asked for is there. */
  take(made: DraftInMaking, written: Draft): void {
    this.send(this.drafts.take(made, written));
  }

  private send(draft: Draft | null): void {
    if (draft === null) return;
    const { latency, now } = this.options;
    const { session, stats } = this.owner;
    const { flight, stream } = this;
    // Behind a prompt its time is part of the prefill's.
    const waitedFor = flight.length === 0 && session.status === 'decode' && draft.source !== 'none';
    if (waitedFor) stats.predictedDraftMs += latency.draftMs(draft);
    let from = 0;
    for (const count of this.slices(draft)) {
      const guesses = draft.ids.subarray(from, from + count);
      const probs = draft.probs?.slice(from, from + count) ?? null;
      const first = flight.length === 0;
      const frame = first ? session.roundFrame(guesses, probs) : session.followingFrame(guesses, probs);
      this.launch(frame, draft, first, from);
      stream!.forward(frame);
      from += count;
    }
    this.tally.begin(now());
  }

  /** Guesses of each frame of a draft. */
  private slices({ ids }: Draft): number[] {
    const { ring, latency } = this.options;
    const { length: underWay } = this.flight;
    const framesMax = Math.max(1, this.drafts.framesMax - underWay);
    const rows = sliceRows(ids.length, ring.stages(), latency.stage());
    const slicesOf = underWay > 0 ? followingSlices : openingSlices;
    return slicesOf(ids.length, rows, framesMax);
  }

  /** A frame is entered in the ledger: what it meets on the ring, and when the latency model expects its verdict. */
  private launch(frame: Frame, draft: Draft, first: boolean, from: number): void {
    const { latency, shares, now } = this.options;
    const { flight, ahead } = this;
    const opening = first && ahead !== null;
    const rows = frame.ids.length;
    const others = this.others();
    const pass = latency.stage();
    const sentMs = now();
    const aloneMs = sentMs + latency.roundMs(rows, others);
    const behindMs = (flight.expectedMs ?? 0) + pass.fixedMs + pass.perRowMs * rows;
    const expectedMs = opening ? ahead.expectedMs : Math.max(aloneMs, behindMs);
    const sent = { continues: !first, alone: first, opening, others, sentMs, expectedMs };
    flight.push({ frame, draft, from, ...sent });
    if (!opening) shares.charge(this.owner.session.owner, rows);
  }

  /** What other sessions have under way. */
  private others(): RingLoad {
    const [all, own] = [this.options.underWay(), this.underWay];
    return { rows: all.rows - own.rows, prompts: all.prompts - own.prompts };
  }

  /** Takes over a verdict: how the answer goes on. Null if it answers a frame that no longer counts. */
  settle(result: RingVerdict): { readonly finish: FinishReason | null } | null {
    const { verdict } = result;
    const { session, stats } = this.owner;
    const settlement = this.flight.settle(result.round, verdict);
    if (settlement === null) return null;
    countLeniency(stats, verdict);
    if (settlement.alive) this.drafts.goOn();
    else this.abandon();
    const before = session.outputLength;
    if (before === 0) stats.firstTokenMs = this.options.now();
    const finish = session.settle(verdict, settlement.alive);
    this.learn(settlement, result, before);
    return { finish };
  }

  /** `before`: length of the output before the verdict. */
  private learn({ settled, judged }: Settlement, { stages }: RingVerdict, before: number): void {
    const { drafter, latency, now, onRound } = this.options;
    const { session, stats, standing } = this.owner;
    const { flight, tally } = this;
    const nowMs = now();
    tally.add(settled, { nowMs, stages, committed: session.outputLength - before, first: before === 0 });
    latency.observeVerdict({ ...settled, rows: settled.frame.ids.length }, { nowMs, stages });
    if (settled.opening) this.learnPrefill(settled, nowMs);
    const records: RoundRecord[] = [];
    for (const { draft, verdict } of judged) {
      const record = tally.conclude(draft, verdict, nowMs, this.stream!.linkBytes());
      records.push(record);
      stats.rounds.push(record);
      latency.observeDraft(draft);
      countPrediction(stats, draft, verdict);
      drafter.observe(session, { draft, verdict, ...tally.takeRoundTime() });
      onRound?.(session, record);
    }
    standing.observe(records, nowMs);
    if (flight.length > 0) return;
    tally.rest();
    standing.rest(nowMs);
  }

  private learnPrefill({ others }: FlightFrame, nowMs: number): void {
    const { rows, sentMs } = this.ahead!;
    this.options.latency.observePrefill(rows, others, nowMs - sentMs);
    this.ahead = null;
  }
}
