/**
 * The scheduler's decisions, pure: from a snapshot of all sessions to what starts now. First come, first served.
 * A session alone may keep many frames under way; the more sessions share the ring, the fewer each (down to one, where
 * their frames fill each other's gaps), since then committed tokens per frame count and not latency.
 */
import type { SessionStatus } from './session.ts';

export interface SessionView {
  readonly id: string;
  readonly status: SessionStatus;
  /** A draft is being made, or the session is being opened. */
  readonly busy: boolean;
  /** Frames under way. */
  readonly frames: number;
  /** May frames follow one another while earlier ones are under way? */
  readonly pipelined: boolean;
  /** Committed tokens that the client has not read. */
  readonly backlogTokens: number;
}

export interface PlanLimits {
  /** Sessions on the ring at once. */
  readonly runningMax: number;
  /** Frames under way at once, over all sessions; each session has at least one. */
  readonly framesMax: number;
  /** Unread tokens above which a session's rounds pause. */
  readonly backlogTokensMax: number;
}

export interface Plan {
  /** Waiting sessions to put on the ring, in order. */
  readonly open: readonly string[];
  /** Sessions on the ring that ask for a draft now, to start a round or to go on behind their frames. */
  readonly draft: readonly string[];
  /** Frames that one session may have under way. */
  readonly window: number;
}

/** `sessions` in order of arrival. */
export function planRounds(sessions: readonly SessionView[], limits: PlanLimits): Plan {
  const open: string[] = [];
  const draft: string[] = [];
  let running = sessions.filter(({ status }) => status === 'prefill' || status === 'decode').length;
  for (const { id, status, busy } of sessions) {
    if (status === 'waiting' && !busy && running < limits.runningMax) {
      open.push(id);
      running += 1;
    }
  }
  const window = Math.max(1, Math.floor(limits.framesMax / Math.max(1, running)));
  for (const { id, status, busy, frames, pipelined, backlogTokens } of sessions) {
    const room = frames === 0 || (pipelined && frames < window);
    if (status === 'decode' && !busy && room && backlogTokens <= limits.backlogTokensMax) draft.push(id);
  }
  return { open, draft, window };
}
