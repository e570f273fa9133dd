/**
 * One answer in the making: its tokens, and where it stands on the ring. Holds no sockets and no timers; the
 * scheduler asks it which frames to send and tells it what came back.
 *
 * Invariant: `tokens` are final. The ring's caches are right for positions [0, tokens.length - 1): the last
 * committed token is always the first row of the next frame, so a rejected draft needs no rollback message — the
 * next frame's position is the rollback (petals: position is the only cache coordinate).
 */
import type { SparseProbs } from '../../shards/draft-probs.ts';
import type { TailOptions } from '../../shards/engine.ts';
import { scoreRowsMax } from '../../shards/frame.ts';
import type { LogprobRows } from '../../shards/logprobs.ts';
import type { Sampling } from '../../shards/sampler.ts';
import { draftPairsWanted } from '../../shards/verification.ts';
import type { Verdict } from '../../shards/verify.ts';
import type { DraftPolicy, Sequence } from '../drafting/drafter.ts';
import type { Frame, RingGap } from './ring.ts';
import type { SessionStats } from './session-stats.ts';

/** Prompt rows in one frame: small enough that a verify frame of another session never waits long behind one. */
export const prefillChunkRows = 64;

/** Rows that a session takes room for at a time: a page of text, so that few sessions outgrow what they came with. */
const answerRows = 256;
/** Rows of the longest draft. */
const draftRows = 64;

export type FinishReason = 'stop' | 'length';

/** Unread tokens above which rounds pause: a page of text, far above what a reading client ever has open. */
export const backlogTokensMax = 1024;

/** Where committed tokens go. All methods are called from the step loop and must not block. */
export interface TokenSink {
  /**
   * Takes the ids of one round, with a row of log-probabilities for each if they were asked for. Returns how many of
   * them belong to the answer if it ends within them, else null.
   */
  commit(ids: Uint32Array, logprobs?: LogprobRows): number | null;
  /** Log-probabilities of prompt tokens from `position` on, in order; after a loss some may come again. */
  score?(position: number, logprobs: LogprobRows): void;
  /** Tokens handed over that the client has not read: a slow reader slows only its own session. */
  backlogTokens(): number;
  end(reason: FinishReason, stats: SessionStats): void;
  fail(error: unknown): void;
}

/** Options of the tail that most requests leave out. */
export type TailExtras = Omit<
  TailOptions,
  'sampling' | 'promptLength' | 'eosIds' | 'minTokens' | 'ignoreEos'
>;

export interface SessionRequest {
  /** At least one id. */
  readonly promptIds: readonly number[];
  readonly sampling: Sampling;
  /** promptIds.length + maxTokens fits the context. 0 ends with the prompt's scores. */
  readonly maxTokens: number;
  readonly minTokens: number;
  readonly ignoreEos: boolean;
  readonly eosIds: readonly number[];
  readonly tail?: TailExtras;
  /** Asks for log-probabilities of the prompt's tokens but the first, as many alternatives as tail.logprobs says. */
  readonly scorePrompt?: boolean;
  readonly prediction: Uint32Array | null;
  readonly speculation: DraftPolicy;
  readonly owner: string;
  readonly signal: AbortSignal;
  readonly sink: TokenSink;
}

/**
 * waiting: not on the ring, not yet or not now. prefill: prompt sent, nothing committed. decode: at least one verdict came.
 * finished, failed: off the ring, the sink was told.
 */
export type SessionStatus = 'waiting' | 'prefill' | 'decode' | 'finished' | 'failed';

export class Session implements Sequence {
  readonly id: string;
  readonly request: SessionRequest;
  readonly tokens: number[];
  readonly promptLength: number;
  readonly prediction: Uint32Array | null;
  readonly owner: string;
  readonly sampling: Sampling;
  readonly draftPairs: number | null;
  readonly grammar: NonNullable<Sequence['grammar']> | null;
  status: SessionStatus = 'waiting';
  /** Positions that the ring has room for, for this session. */
  rowsGranted = 0;
  private epoch = 1;
  private round = 0;
  /** Positions [0, sent) are on the ring for good; the next epoch starts here. */
  private sent = 0;
  /** Prompt tokens whose log-probabilities are known; the first has none. */
  private scored = 1;
  /** Behind the last frame that was sent, guesses included. */
  private tip = 0;

  constructor(id: string, request: SessionRequest) {
    this.id = id;
    this.request = request;
    this.tokens = [...request.promptIds];
    this.promptLength = request.promptIds.length;
    this.prediction = request.prediction;
    this.owner = request.owner;
    this.sampling = request.sampling;
    const ebnf = request.tail?.grammar;
    this.grammar = ebnf === undefined ? null : { ebnf, eosIds: request.eosIds };
    this.draftPairs = draftPairsWanted(request.tail?.verification ?? { mode: 'coupled' }, request.sampling);
  }

  /** The ring holds rows for the first `length` tokens already. */
  adopt(length: number): void {
    this.sent = length;
  }

  /** Off the ring: nothing of it is there any more, and what was sent is stale. */
  leaveRing(): void {
    this.status = 'waiting';
    this.epoch += 1;
    this.sent = 0;
  }

  get outputLength(): number {
    return this.tokens.length - this.promptLength;
  }

  /** Rows in the caches when the answer is as long as it may be; the last token has none. */
  get rowsMax(): number {
    return this.promptLength + Math.max(0, this.request.maxTokens - 1);
  }

  /** Positions that it should have room for before its next round: the rows of an answer of usual length ahead. */
  get rowsWanted(): number {
    return Math.min(this.rowsMax, this.tokens.length + answerRows);
  }

  /** Is there room for its longest draft? */
  get isRoomy(): boolean {
    return this.rowsGranted >= Math.min(this.rowsMax, this.tokens.length + draftRows);
  }

  /** Most tokens that a draft may have: a verdict commits one more, and neither max_tokens nor room is exceeded. */
  get draftTokensMax(): number {
    const room = this.rowsGranted - this.tokens.length;
    return Math.max(0, Math.min(this.request.maxTokens - this.outputLength - 1, room));
  }

  /**
   * The prompt in chunks that need no verdict and no draft, so they leave at once and flow through the stages one
   * behind the other. At least one prompt token stays for the first round's frame.
   */
  prefillFrames(): Frame[] {
    const frames: Frame[] = this.scoringFrames();
    while (this.tokens.length - this.sent > prefillChunkRows) {
      const ids = Uint32Array.from(this.tokens.slice(this.sent, this.sent + prefillChunkRows));
      frames.push(this.frame(this.sent, ids, ids.length));
      this.sent += ids.length;
    }
    return frames;
  }

  /** Each frame begins with the last id of the one before: a row scores the id behind it. */
  private scoringFrames(): Frame[] {
    const frames: Frame[] = [];
    if (!this.awaitsScores) return frames;
    while (this.sent < this.promptLength - 1) {
      const ids = Uint32Array.from(this.request.promptIds.slice(this.sent, this.sent + scoreRowsMax + 1));
      frames.push({ ...this.frame(this.sent, ids, ids.length), scores: true });
      this.sent += ids.length - 1;
    }
    return frames;
  }

  /** Were scores asked for that have not come? */
  get awaitsScores(): boolean {
    return this.request.scorePrompt === true && this.scored < this.promptLength;
  }

  /** Takes over log-probabilities of prompt tokens from `position` on. */
  settleScores(position: number, logprobs: LogprobRows): void {
    this.scored = Math.max(this.scored, position + logprobs.own.length);
    this.request.sink.score?.(position, logprobs);
  }

  /**
   * Opens a round: the final tokens that the ring has not seen (one, after the first round), then guesses. `probs` are
   * what the drafter gave them.
   */
  roundFrame(guesses: Uint32Array, probs: readonly SparseProbs[] | null = null): Frame {
    const known = this.tokens.slice(this.sent);
    const ids = Uint32Array.from([...known, ...guesses]);
    return this.withProbs(this.frame(this.sent, ids, known.length - 1), probs);
  }

  /** Goes on behind what is under way: the first guess stands for the bonus token of the frame before. */
  followingFrame(guesses: Uint32Array, probs: readonly SparseProbs[] | null = null): Frame {
    return this.withProbs(this.frame(this.tip, guesses, 0), probs?.slice(1) ?? null);
  }

  private withProbs(frame: Frame, probs: readonly SparseProbs[] | null): Frame {
    return this.draftPairs === null || probs === null || probs.length === 0
      ? frame
      : { ...frame, draftProbs: probs };
  }

  /**
   * Takes over a verdict. Returns how the answer goes on: null, or the reason it ends. The sink may cut a round short
   * (stop strings). `alive`: do the frames behind this one, sent or to come, continue it?
   */
  settle(verdict: Verdict, alive: boolean): FinishReason | null {
    // A wrong row leaves wrong rows in the caches: whatever was sent after it is stale.
    if (!alive) this.epoch += 1;
    this.status = 'decode';
    const cut = this.request.sink.commit(verdict.ids, verdict.logprobs);
    const kept = cut === null ? verdict.ids : verdict.ids.subarray(0, cut);
    for (const id of kept) this.tokens.push(id);
    this.sent = this.tokens.length - 1;
    if (cut !== null || verdict.finished) return 'stop';
    return this.outputLength >= this.request.maxTokens ? 'length' : null;
  }

  /**
   * Goes back to where the ring's caches are right for sure; a new epoch makes everything sent since stale. False for
   * an epoch that is over already.
   */
  resumeFrom({ epoch, length }: RingGap): boolean {
    if (epoch !== this.epoch) return false;
    this.epoch += 1;
    this.sent = Math.min(this.sent, length);
    return true;
  }

  private frame(position: number, ids: Uint32Array, headFrom: number): Frame {
    this.round += 1;
    this.tip = position + ids.length;
    return { epoch: this.epoch, round: this.round, position, ids, headFrom };
  }
}
