/** What one session cost and gained, counted where it happens; completion.ts turns it into the metrics object. */
import type { Verdict } from '../../shards/verify.ts';
import type { Draft } from '../drafting/drafter.ts';

/** One settled round, all times in ms. */
export interface RoundRecord {
  /** Rows that the tail gave a head: draft tokens + 1. */
  readonly rows: number;
  readonly drafted: number;
  readonly accepted: number;
  readonly committed: number;
  readonly source: string;
  readonly draftMs: number;
  /** Departure of the frame to arrival of its verdict; where rounds overlap, from the end of the one before. */
  readonly roundMs: number;
  /** The same as the latency model expected it when the frames left. */
  readonly predictedMs: number;
  /** Rows of verify frames, and prompts, that other sessions had under way when its first frame left. */
  readonly othersRows: number;
  readonly othersPrompts: number;
  /** Frames that were answered, their rows that got a head, and each stage's time inside its engine, summed over them. */
  readonly frames: number;
  readonly answeredRows: number;
  readonly stagesMs: readonly number[];
  /** Was its draft written, or begun, while the round before was under way? Null where nothing had been prepared for. */
  readonly prepared: boolean | null;
  /** False for a round whose frames left while those of the one before were still under way. */
  readonly fromIdle: boolean;
  /** Sum over the stages of time inside engines, and of time waiting for one. */
  readonly computeMs: number;
  readonly queueMs: number;
  /** Bytes sent and received on the gateway's links since the last verdict. */
  readonly linkBytes: number;
  /** True for the round that carried the prompt. */
  readonly opening: boolean;
}

export interface SessionStats {
  readonly submittedMs: number;
  startedMs: number;
  firstTokenMs: number;
  finishedMs: number;
  /** Expected when it was submitted: until it would get a place, and from there to its first token. */
  predictedQueueMs: number;
  predictedPrefillMs: number;
  /** Time that its drafts were expected to take where nothing was under way meanwhile. */
  predictedDraftMs: number;
  /** Time between its rounds in which others went first. */
  yieldedMs: number;
  readonly rounds: RoundRecord[];
  /** Prompt tokens whose rows were taken over from an earlier session. */
  cachedTokens: number;
  acceptedPredictionTokens: number;
  rejectedPredictionTokens: number;
  /** What adaptive verification let through; zeros without it. */
  readonly leniency: { judged: number; kept: number; distortion: number };
}

export function newSessionStats(nowMs: number): SessionStats {
  return {
    submittedMs: nowMs,
    startedMs: nowMs,
    firstTokenMs: nowMs,
    finishedMs: nowMs,
    predictedQueueMs: 0,
    predictedPrefillMs: 0,
    predictedDraftMs: 0,
    yieldedMs: 0,
    rounds: [],
    cachedTokens: 0,
    acceptedPredictionTokens: 0,
    rejectedPredictionTokens: 0,
    leniency: { judged: 0, kept: 0, distortion: 0 },
  };
}

/** Adds what one verdict let through. */
export function countLeniency({ leniency }: SessionStats, verdict: Verdict): void {
  leniency.judged += verdict.leniency?.judged ?? 0;
  leniency.kept += verdict.leniency?.kept ?? 0;
  leniency.distortion += verdict.leniency?.distortion ?? 0;
}

/**
 * OpenAI's predicted-output accounting: accepted are prediction tokens that the target confirmed, rejected are
 * those that were tried and refused; tokens of other drafters are neither.
 */
export function countPrediction(stats: SessionStats, draft: Draft, verdict: Verdict): void {
  const accepted = Math.min(draft.fromPrediction, verdict.accepted);
  stats.acceptedPredictionTokens += accepted;
  stats.rejectedPredictionTokens += draft.fromPrediction - accepted;
}
