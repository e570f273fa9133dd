/**
 * The rules of one session on one worker, without sockets: which frames run, which are dropped, which leave a gap
 * (DESIGN "Rows and epochs"; docs/protocol.md). `position` means "forget everything from here on", so rollback, retry
 * and reconnect are one rule. Invariant: a late duplicate can never cut the cache, and at the tail no frame runs on
 * the ground of a token that was not the target's own.
 *
 * decide() is asked right before a frame would run and counts it as run; settle() follows every 'run'.
 */
import type { Verdict } from './verify.ts';

/** What the rules look at of a FORWARD. */
export interface FrameCoordinates {
  readonly epoch: number;
  readonly round: number;
  readonly position: number;
  readonly headFrom: number;
  readonly ids: Uint32Array;
}

export type DropReason =
  /** (epoch, round) is not above the last that ran: a duplicate, or overtaken by a newer epoch. */
  | 'stale'
  /** Its epoch has met a wrong token, a gap or the end of the answer. */
  | 'dead';

export type Decision =
  | { readonly action: 'run' }
  | { readonly action: 'drop'; readonly reason: DropReason }
  /** The frame begins beyond the rows held. Told once an epoch: later frames of it are dropped as dead. */
  | { readonly action: 'gap'; readonly length: number };

export interface ShardSession {
  /** Positions held. At the tail those of right rows only, once their verdict is known. */
  readonly length: number;
  decide(frame: FrameCoordinates): Decision;
  /** Result of a frame that ran; verdict null for prefill and on inner workers. */
  settle(frame: FrameCoordinates, verdict: Verdict | null): void;
  /** The engine held less than was thought (it threw gap). */
  shorten(frame: FrameCoordinates, length: number): void;
}

export function createShardSession(options: { tail: boolean; length: number }): ShardSession {
  let length = options.length;
  let newestEpoch = -1;
  let lastEpoch = -1;
  let lastRound = -1;
  let deadEpoch = -1;
  /** Tail: how the next frame of the last epoch must begin; null after prefill, where nothing was chosen yet. */
  let expected: { readonly position: number; readonly id: number } | null = null;

  function decide(frame: FrameCoordinates): Decision {
    const { epoch, round, position } = frame;
    if (epoch < newestEpoch || (epoch === lastEpoch && round <= lastRound)) {
      return { action: 'drop', reason: 'stale' };
    }
    newestEpoch = epoch;
    if (epoch === deadEpoch) return { action: 'drop', reason: 'dead' };
    if (epoch === lastEpoch && expected !== null && !continues(frame, expected)) {
      deadEpoch = epoch;
      return { action: 'drop', reason: 'dead' };
    }
    if (position > length) {
      deadEpoch = epoch;
      return { action: 'gap', length };
    }
    lastEpoch = epoch;
    lastRound = round;
    expected = null;
    length = position + frame.ids.length;
    return { action: 'run' };
  }

  function settle(frame: FrameCoordinates, verdict: Verdict | null): void {
    if (!options.tail || verdict === null) return;
    const own = verdict.ids[verdict.ids.length - 1]!;
    const rightRows = Math.min(frame.headFrom + 1 + verdict.accepted, frame.ids.length);
    length = frame.position + rightRows;
    if (verdict.kind === 'recovered' || verdict.finished) deadEpoch = frame.epoch;
    else expected = { position: length, id: own };
  }

  function shorten(frame: FrameCoordinates, held: number): void {
    length = held;
    deadEpoch = frame.epoch;
  }

  return {
    get length() {
      return length;
    },
    decide,
    settle,
    shorten,
  };
}

function continues(frame: FrameCoordinates, expected: { position: number; id: number }): boolean {
  return frame.position === expected.position && frame.ids[0] === expected.id;
}
