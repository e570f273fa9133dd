/**
 * Where one session stands in the order of those that want the ring: what it has had of it, and what it is likely to
 * need still, L * (gamma * td + tv) / (gamma * A + 1) (semi-clairvoyant scheduling, LAPS-SD, arXiv 2505.17074), with the
 * prefill that is to come; as time, and as work of the slowest stage, which is what others wait for. Each verdict makes
 * the estimate anew; of a session that waits the loop does, since what the ring costs and how long answers become is
 * learned meanwhile. Reading it changes nothing.
 */
import { AcceptanceTrend } from './acceptance-trend.ts';
import { idleRing, type LatencyModel } from './latency-model.ts';
import type { OutputLengths } from './output-lengths.ts';
import type { Standing } from './policy.ts';
import { prefillChunkRows, type Session } from './session.ts';
import type { RoundRecord } from './session-stats.ts';

/** Believed of a session's rounds before it has had one: their rows, and the tokens that they commit. */
const rowsExpected = 5;
const committedExpected = 2.5;

/** An estimate of who waits is as old as this at most: a few rounds, which is what it takes to learn something. */
const estimateAgeMaxMs = 250;

export interface StandingOptions {
  readonly latency: Pick<LatencyModel, 'roundMs' | 'prefillMs' | 'stage'>;
  readonly lengths: Pick<OutputLengths, 'remaining'>;
}

export class SessionStanding {
  /** Number in the order of arrival. */
  readonly arrival: number;
  private readonly session: Session;
  private readonly options: StandingOptions;
  private readonly trend = new AcceptanceTrend();
  private readonly arrivedMs: number;
  private attainedWorkMs = 0;
  private idleSinceMs: number;
  private remaining = 0;
  private remainingWorkMs = 0;
  private estimatedMs = 0;

  constructor(session: Session, arrival: number, options: StandingOptions, nowMs: number) {
    this.session = session;
    this.arrival = arrival;
    this.options = options;
    this.arrivedMs = nowMs;
    this.idleSinceMs = nowMs;
    this.estimate(nowMs);
  }

  /** What the policy looks at. */
  at(nowMs: number): Standing {
    return {
      arrival: this.arrival,
      ageMs: nowMs - this.arrivedMs,
      waitedMs: this.waitedMs(nowMs),
      attainedWorkMs: this.attainedWorkMs,
      remainingWorkMs: this.remainingWorkMs,
      remainingMs: this.remaining,
      steady: this.trend.steady,
    };
  }

  /** Time that its rounds will still take, as of the last estimate, ms. */
  get remainingMs(): number {
    return this.remaining;
  }

  /** Since it last had the ring, or arrived, ms. */
  waitedMs(nowMs: number): number {
    return nowMs - this.idleSinceMs;
  }

  /** Rows that its next frame is likely to have: a chunk of its prompt, else those of a round as they are on average. */
  get rowsNext(): number {
    const { status, promptLength } = this.session;
    return status === 'waiting' ? Math.min(promptLength, prefillChunkRows) : this.rowsOfRound;
  }

  /** A verdict came: tokens were committed, and perhaps rounds are through. */
  observe(rounds: readonly RoundRecord[], nowMs: number): void {
    for (const round of rounds) {
      this.trend.observe(round);
      this.attainedWorkMs += this.workMs(round.answeredRows, round.frames);
    }
    this.estimate(nowMs);
  }

  /** Nothing of it is under way any more. */
  rest(nowMs: number): void {
    this.idleSinceMs = nowMs;
  }

  /** It is off the ring again, with a prefill to come. */
  leaveRing(nowMs: number): void {
    this.rest(nowMs);
    this.estimate(nowMs);
  }

  /** Estimates anew what it will take if it waits and the last estimate is old. */
  refresh(nowMs: number): void {
    const isOld = nowMs - this.estimatedMs >= estimateAgeMaxMs;
    if (isOld && this.session.status === 'waiting') this.estimate(nowMs);
  }

  private estimate(nowMs: number): void {
    const { session, trend } = this;
    const { latency, lengths } = this.options;
    const tokens = lengths.remaining(session.owner, session.outputLength, session.request.maxTokens);
    const committed = trend.rounds === 0 ? committedExpected : trend.committedMean;
    const roundMs = trend.draftMsMean + latency.roundMs(this.rowsOfRound, idleRing);
    // One that went off the ring has its answer so far to prefill, too.
    const promptRows = session.status === 'waiting' ? session.tokens.length : 0;
    const prefillMs = promptRows > 0 ? latency.prefillMs(promptRows, idleRing) : 0;
    this.remaining = prefillMs + (tokens * roundMs) / committed;
    const prefillWorkMs = this.workMs(promptRows, Math.ceil(promptRows / prefillChunkRows));
    this.remainingWorkMs = prefillWorkMs + (tokens / committed) * this.workMs(this.rowsOfRound, 1);
    this.estimatedMs = nowMs;
  }

  /** Of the slowest stage, if no pass were shared. */
  private workMs(rows: number, passes: number): number {
    const { fixedMs, perRowMs } = this.options.latency.stage();
    return fixedMs * passes + perRowMs * rows;
  }

  /** Before there are any, a draft of a few tokens. */
  private get rowsOfRound(): number {
    return this.trend.rounds === 0 ? rowsExpected : 1 + Math.round(this.trend.draftedMean);
  }
}
