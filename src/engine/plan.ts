/**
 * The scheduler's decisions, pure: from a snapshot of all sessions to what starts now. Owners that had less of the ring
 * go first (owner-shares.ts), then the policy decides (policy.ts). A session gives way only between its rounds: it keeps
 * its place on the ring, and its caches, and waits for its turn.
 *
 * Three bounds, of which any may be the scarce one: sessions at work, rows under way (what keeps the stages full; more
 * would only wait at a worker, where nobody chooses), and places with their caches. Work conserving: while a bound
 * leaves room and somebody may use it, it is used.
 *
 * Where frames follow one another a round has no end of its own: a session at work whose place another one should have
 * goes no further, comes to its end within a round trip, and gives way then.
 *
 * A session alone may keep many frames under way; the more are at work, the fewer each (down to one, where
 * their frames fill each other's gaps), since then committed tokens per row count and not latency.
 */
import { compareStandings, type SchedulingPolicy, type Standing } from './policy.ts';
import type { SessionStatus } from './session.ts';

export interface SessionView extends Standing {
  readonly id: string;
  readonly owner: string;
  /** Quanta by which its owner is ahead of the least served one. */
  readonly ownerLead: number;
  readonly status: SessionStatus;
  /** A draft is being made. */
  readonly busy: boolean;
  /** It waits for another one's prefill, or there is nothing to add to what it has under way. */
  readonly held: boolean;
  /** Frames under way, and their rows. */
  readonly frames: number;
  readonly rowsUnderWay: number;
  /** Rows that its next frame is likely to have. */
  readonly rowsNext: number;
  /** Positions that it may need in the caches; counted when it gets its place. */
  readonly positions: number;
  /** May frames follow one another while earlier ones are under way? */
  readonly pipelined: boolean;
  /** Committed tokens that the client has not read. */
  readonly backlogTokens: number;
}

export interface PlanLimits {
  /** Sessions that have a round under way or in the making at once. */
  readonly runningMax: number;
  /** Sessions with a place on the ring at once, those that gave way included. */
  readonly placesMax: number;
  /** Room for further sessions in the caches. */
  readonly positionsFree: number;
  /** Rows under way at once that keep every stage busy; a frame may begin below it. */
  readonly rowsMax: number;
  /** Frames under way at once, over all sessions; each session at work has at least one. */
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
  /** Sessions at work when the plan is carried out. */
  readonly working: number;
}

export function planRounds(
  sessions: readonly SessionView[],
  policy: SchedulingPolicy,
  limits: PlanLimits,
): Plan {
  const open: string[] = [];
  const draft: string[] = [];
  const order = [...sessions].sort((a, b) => a.ownerLead - b.ownerLead || compareStandings(policy, a, b));
  const places = countPlaces(sessions, limits);
  let working = sessions.filter(isWorking).length;
  let rows = sessions.reduce((sum, { rowsUnderWay }) => sum + rowsUnderWay, 0);
  const hasRoom = (): boolean => working < limits.runningMax && (rows < limits.rowsMax || working === 0);

  const blocked: SessionView[] = [];
  for (const session of order) {
    if (session.held || isWorking(session)) continue;
    const opens = session.status === 'waiting';
    if (!opens && (session.status !== 'decode' || session.backlogTokens > limits.backlogTokensMax)) continue;
    if (opens && !places.take(session)) continue;
    if (!hasRoom()) {
      blocked.push(session);
      continue;
    }
    (opens ? open : draft).push(session.id);
    working += 1;
    rows += session.rowsNext;
  }
  const giveWay = working < limits.runningMax ? new Set() : thoseThatGiveWay(order, blocked);

  const window = Math.max(1, Math.floor(limits.framesMax / Math.max(1, working)));
  for (const session of order) {
    if (rows >= limits.rowsMax) break;
    const { status, busy, held, frames, pipelined, backlogTokens } = session;
    if (status !== 'decode' || busy || held || !pipelined || frames === 0 || frames >= window) continue;
    if (backlogTokens > limits.backlogTokensMax || giveWay.has(session)) continue;
    draft.push(session.id);
    rows += session.rowsNext;
  }
  return { open, draft, window, working };
}

function isWorking({ busy, frames, status }: SessionView): boolean {
  return busy || frames > 0 || status === 'prefill';
}

/** A reader's patience; the room that comes free from then on is kept for the one that waited. */
export const passedMaxMs = 5_000;

/** For each session that finds all at work, one that is, from the end of the order, as long as that is behind it. */
function thoseThatGiveWay(
  order: readonly SessionView[],
  blocked: readonly SessionView[],
): ReadonlySet<SessionView> {
  const rankOf = new Map(order.map((session, rank) => [session, rank]));
  const working = order.filter(isWorking).reverse();
  const pairs = working.slice(0, blocked.length).map((session, i) => [session, blocked[i]!] as const);
  return new Set(
    pairs.filter(([last, next]) => rankOf.get(last)! > rankOf.get(next)!).map(([session]) => session),
  );
}

/**
 * Places on the ring. An owner gets no more of them than leave as many to each other owner and to one that may still
 * come; else a key that floods would hold them all. Who fits may pass one that waits for room in the caches, but not for
 * longer than `passedMaxMs`: small sessions would keep a large one out for ever.
 */
function countPlaces(sessions: readonly SessionView[], { placesMax, positionsFree }: PlanLimits) {
  const placesOf = new Map<string, number>();
  const owners = new Set(sessions.map(({ owner }) => owner)).size;
  const ownerMax = Math.max(1, Math.floor(placesMax / (owners + 1)));
  let taken = 0;
  let free = positionsFree;
  for (const { owner, status } of sessions) {
    if (status === 'waiting') continue;
    placesOf.set(owner, (placesOf.get(owner) ?? 0) + 1);
    taken += 1;
  }
  return {
    take({ owner, positions, waitedMs }: SessionView): boolean {
      const own = placesOf.get(owner) ?? 0;
      if (taken >= placesMax || own >= ownerMax) return false;
      if (positions > free && taken > 0) {
        if (waitedMs >= passedMaxMs) free = 0;
        return false;
      }
      free -= positions;
      taken += 1;
      placesOf.set(owner, own + 1);
      return true;
    },
  };
}
