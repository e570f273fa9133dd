/**
 * The ring as the scheduler sees it: frames go in at the first range, verdicts come back from the tail. Which
 * workers, which topology and which sockets is pipeline.ts's matter (and a simulation's in tests).
 */
import type { SparseProbs } from '../../shards/draft-probs.ts';
import type { Adoption, TailOptions } from '../../shards/engine.ts';
import type { LogprobRows } from '../../shards/logprobs.ts';
import type { StageTiming } from '../../shards/payload-blocks.ts';
import type { Verdict } from '../../shards/verify.ts';

/** One frame for the ring; the wire adds nothing but bytes. */
export interface Frame {
  readonly epoch: number;
  readonly round: number;
  readonly position: number;
  readonly ids: Uint32Array;
  /** Rows before this one get no verdict; ids.length: none does. */
  readonly headFrom: number;
  /** Prefill that asks for log-probabilities of its ids but the first. */
  readonly scores?: boolean;
  /** Of the ids behind row headFrom, if verification wants them and the drafter knows them. */
  readonly draftProbs?: readonly SparseProbs[];
}

/** A verdict with the coordinates of the frame it answers and what the stages spent on it. */
export interface RingVerdict {
  readonly epoch: number;
  readonly round: number;
  readonly position: number;
  readonly verdict: Verdict;
  /** One per stage, in the order of the ring. */
  readonly stages: readonly StageTiming[];
}

export interface RingGap {
  readonly epoch: number;
  /** Positions that the worker holds. */
  readonly length: number;
}

export interface RingHandlers {
  onVerdict(verdict: RingVerdict): void;
  /** Log-probabilities of prompt tokens from `position` on, one row each; answers frames with `scores`. */
  onScores?(position: number, logprobs: LogprobRows): void;
  /** A worker holds fewer rows than a frame of that epoch stands on: it wants everything from `length` on again. */
  onGap(gap: RingGap): void;
  /** At most once; the stream is dead afterwards. */
  onError(error: unknown): void;
}

export interface RingStream {
  forward(frame: Frame): void;
  /** Bytes sent and received on the gateway's links for this session so far. */
  linkBytes(): number;
  /** `keep` leaves the caches as idle donors, `free` gives their memory back. Idempotent. */
  close(mode: 'keep' | 'free'): void;
}

export interface RingOpen {
  readonly session: string;
  readonly tail: TailOptions;
  /** Rows of a finished session to start from. A donor that holds less, or is gone, shows as a gap. */
  readonly adopt: Adoption | null;
  /** Time that the session may still take, ms. */
  readonly remainingMs: number;
}

export interface Ring {
  /** Workers that a frame passes. */
  stages(): number;
  /** Throws GatewayError when there is no complete route now. */
  open(options: RingOpen, handlers: RingHandlers): RingStream;
}
