/**
 * The scheduler's decisions, pure: from a snapshot of all sessions to what starts now. First come, first served;
 * each session has at most one round in flight (synchronous rounds), so sessions interleave by themselves.
 */
import type { SessionStatus } from './session.ts';

export interface SessionView {
  readonly id: string;
  readonly status: SessionStatus;
  /** A draft is being made or a frame is under way. */
  readonly busy: boolean;
  /** Committed tokens that the client has not read. */
  readonly backlogTokens: number;
}

export interface PlanLimits {
  /** Sessions on the ring at once. */
  readonly runningMax: number;
  /** Unread tokens above which a session's rounds pause. */
  readonly backlogTokensMax: number;
}

export interface Plan {
  /** Waiting sessions to put on the ring, in order. */
  readonly open: readonly string[];
  /** Sessions on the ring whose next round starts now. */
  readonly start: readonly string[];
}

/** `sessions` in order of arrival. */
export function planRounds(sessions: readonly SessionView[], limits: PlanLimits): Plan {
  const open: string[] = [];
  const start: string[] = [];
  let running = sessions.filter(({ status }) => status === 'prefill' || status === 'decode').length;
  for (const { id, status, busy, backlogTokens } of sessions) {
    if (status === 'waiting' && !busy && running < limits.runningMax) {
      open.push(id);
      running += 1;
    }
    if (status === 'decode' && !busy && backlogTokens <= limits.backlogTokensMax) start.push(id);
  }
  return { open, start };
}
