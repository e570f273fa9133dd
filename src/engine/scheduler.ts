/**
 * The step loop: settle what came back, plan from a snapshot, start rounds. It runs at its own pace — events only
 * put notes into an inbox and wake it (TigerStyle: never act in reaction to an external event) — so every decision
 * sees one consistent state, and a simulation can drive it under a virtual clock.
 */
import type { Drafter } from '../drafting/drafter.ts';
import { GatewayError } from '../errors.ts';
import { createKvAccount } from './kv-account.ts';
import { createLatencyModel, type LatencyModel, type RingLoad } from './latency-model.ts';
import { createOutputLengths } from './output-lengths.ts';
import { createOwnerShares } from './owner-shares.ts';
import { type Plan, planRounds } from './plan.ts';
import type { SchedulingPolicy } from './policy.ts';
import { createPrefixCache } from './prefix-cache.ts';
import { preparedTokens } from './prepared-tokens.ts';
import type { Ring } from './ring.ts';
import { backlogTokensMax, Session, type SessionRequest } from './session.ts';
import { type Ending, type Note, type RunOptions, SessionRun } from './session-run.ts';
import type { SessionStats } from './session-stats.ts';

/**
 * Frames under way at once: four for each of four stages keep every stage busy; more would only be dropped unrun.
 */
export const framesMax = 16;

/**
 * Places on the ring for each session that may be at work: the others gave way and keep their caches. With four, a
 * session is in the way of shorter ones no longer than its round, and room in the caches stays the tighter bound.
 */
const placesPerRunning = 4;

/** Bounds of what is told as the time after which to try again: SDKs do not wait longer than a minute. */
const retryMinMs = 1_000;
const retryMaxMs = 60_000;

export interface SchedulerLimits {
  /** Sessions at work at once: with a round under way or in the making. */
  readonly runningMax: number;
  /** Sessions besides that wait, for a place or for their turn; one more is refused with queue_full. */
  readonly queuedMax: number;
}

export interface SchedulerOptions {
  readonly ring: Ring;
  readonly drafter: Drafter;
  readonly limits: SchedulerLimits;
  /** Who goes first; left out: laps. */
  readonly policy?: SchedulingPolicy;
  /** Monotonic, ms. */
  readonly now: () => number;
  readonly newSessionId: () => string;
  /** Runs a step after what is going on now; left out: setImmediate, so that all frames of one socket read are one step. */
  readonly defer?: (step: () => void) => void;
  /** Positions that every stage has room for, over all sessions; left out: without end. */
  readonly kvPositions?: () => number;
  /** Drafts for likely outcomes are written unless a request says otherwise; left out: they are. */
  readonly preDrafting?: boolean;
  /** Owners may start from one another's rows; left out: they may not. */
  readonly sharedPrefixes?: boolean;
  readonly onRound?: (session: Session, record: SessionStats['rounds'][number]) => void;
}

export interface SchedulerLoad {
  /** On the ring and at work, or about to be. */
  readonly running: number;
  /** For a place, or for its turn. */
  readonly waiting: number;
}

export interface Scheduler {
  /** Queues a session. Throws GatewayError queue_full or draining. The sink hears everything else. */
  submit(request: SessionRequest): Session;
  load(): SchedulerLoad;
  /** What the ring costs, as fitted so far. */
  readonly latency: LatencyModel;
  /** A client has read what it was behind with. */
  wake(): void;
  /** Refuses new sessions, fails those in flight with `draining`, and ends the loop. */
  close(): Promise<void>;
}

export function createScheduler(options: SchedulerOptions): Scheduler {
  const { limits, policy = 'laps', now, defer = setImmediate } = options;
  const runs = new Map<string, SessionRun>();
  let inbox: { readonly run: SessionRun; readonly note: Note }[] = [];
  let scheduled = false;
  let closed = false;
  let arrivals = 0;
  let window = 1;
  let working = 0;
  const room = createKvAccount(options.kvPositions ?? (() => Number.POSITIVE_INFINITY));
  const prefixes = createPrefixCache({ shared: options.sharedPrefixes ?? false });
  const latency = createLatencyModel();
  const shares = createOwnerShares();
  const shared: RunOptions = {
    ...options,
    ...{ latency, prefixes, shares },
    preDrafting: options.preDrafting ?? true,
    lengths: createOutputLengths(),
    window: () => window,
    wake,
    working: () => working,
    underWay,
    post(run, note) {
      inbox.push({ run, note });
      wake();
    },
  };

  function underWay(): RingLoad {
    const sum = { rows: 0, prompts: 0 };
    for (const { rounds } of runs.values()) {
      const { rows, prompts } = rounds.underWay;
      sum.rows += rows;
      sum.prompts += prompts;
    }
    return sum;
  }

  function wake(): void {
    if (scheduled) return;
    scheduled = true;
    defer(() => {
      scheduled = false;
      step();
    });
  }

  function step(): void {
    settle();
    start(plan(now()));
  }

  function settle(): void {
    const notes = inbox;
    inbox = [];
    for (const { run, note } of notes) {
      if (runs.get(run.session.id) !== run) continue; // ended by an earlier note
      serve(run, () => run.settle(note));
    }
  }

  function plan(nowMs: number): Plan {
    for (const { standing } of runs.values()) standing.refresh(nowMs);
    const views = [...runs.values()].map((run) => run.view(nowMs));
    return planRounds(views, policy, {
      runningMax: limits.runningMax,
      placesMax: placesPerRunning * limits.runningMax,
      positionsFree: room.free(),
      rowsMax: latency.fillingRows(),
      framesMax,
      backlogTokensMax,
    });
  }

  function start(plan: Plan): void {
    window = plan.window;
    working = plan.working;
    for (const id of plan.open) {
      const run = runs.get(id)!;
      // Who is held back leaves a place to somebody else.
      if (isHeld(run) || !takeRoom(run)) wake();
      else serve(run, () => run.open());
    }
    for (const id of plan.draft) {
      const run = runs.get(id)!;
      if (keepsRoom(run)) serve(run, () => void run.rounds.start());
    }
    const tokensMax = preparedTokens(load().running);
    for (const run of [...runs.values()]) serve(run, () => void run.rounds.drafts.prepare(tokensMax));
  }

  /** One session's part of a step. What fails in it is that session's end, and no matter of the others. */
  function serve(run: SessionRun, part: () => Ending | null | undefined): void {
    let ending: Ending | null | undefined;
    try {
      ending = part();
    } catch (error) {
      ending = { outcome: 'failed', error };
    }
    if (ending) end(run, ending);
  }

  function takeRoom({ session }: SessionRun): boolean {
    const { rowsWanted } = session;
    if (!room.take(session.id, rowsWanted)) return false;
    session.rowsGranted = Math.max(session.rowsGranted, rowsWanted);
    return true;
  }

  /**
   * Room for a session's next round. Where memory runs out, the youngest goes off the ring, so that the oldest always
   * comes to its end. False: it was the youngest itself.
   */
  function keepsRoom(run: SessionRun): boolean {
    const { session } = run;
    if (session.status !== 'decode') return false; // went off the ring for another one's sake
    while (!session.isRoomy && !takeRoom(run)) {
      if (session.tokens.length <= session.rowsGranted) return true; // with a shorter draft
      const placed = [...runs.values()].filter((other) => other.session.status !== 'waiting');
      const youngest = placed.reduce((a, b) => (b.standing.arrival > a.standing.arrival ? b : a));
      youngest.suspend();
      youngest.session.rowsGranted = 0;
      room.give(youngest.session.id);
      wake();
      if (youngest === run) return false;
    }
    return true;
  }

  /** Does a session do better to wait until another one's prefill is through, and start from its rows? */
  function isHeld(run: SessionRun): boolean {
    const { session } = run;
    const donor = session.request.scorePrompt ? null : prefixes.awaited(session.owner, session.tokens);
    run.awaited = donor === null ? null : named(donor);
    return donor !== null;
  }

  function named(name: string): Session {
    return [...runs.values()].find((run) => run.name === name)!.session;
  }

  function end(run: SessionRun, ending: Ending): void {
    runs.delete(run.session.id);
    room.give(run.session.id);
    shares.leave(run.session.owner);
    wake();
    run.end(ending);
  }

  function load(): SchedulerLoad {
    const placed = [...runs.values()].filter(({ session }) => session.status !== 'waiting').length;
    const running = Math.min(placed, limits.runningMax);
    return { running, waiting: runs.size - running };
  }

  /** Until one of those at work is likely to be through, and for each that waits ahead as long again, shared by all at work. */
  function placeAfterMs(waitingAhead: number): number {
    const remaining = [...runs.values()].map(({ standing }) => standing.remainingMs).sort((a, b) => a - b);
    const mean = remaining.reduce((sum, ms) => sum + ms, 0) / Math.max(1, remaining.length);
    return (remaining[0] ?? 0) + (waitingAhead * mean) / limits.runningMax;
  }

  return {
    latency,

    submit(request) {
      if (closed) throw new GatewayError('draining', 'The gateway is shutting down.');
      const waiting = Math.max(0, runs.size - limits.runningMax);
      if (runs.size >= limits.runningMax + limits.queuedMax) {
        throw new GatewayError(
          'queue_full',
          `${waiting} requests are waiting already; try again in a moment.`,
          { retryAfterMs: Math.min(retryMaxMs, Math.max(retryMinMs, placeAfterMs(0))) },
        );
      }
      const session = new Session(options.newSessionId(), request);
      const run = new SessionRun(session, arrivals++, shared);
      if (runs.size >= limits.runningMax) run.stats.predictedQueueMs = placeAfterMs(waiting);
      shares.enter(session.owner);
      runs.set(session.id, run);
      wake();
      return session;
    },

    load,
    wake,

    async close() {
      closed = true;
      const error = new GatewayError('draining', 'The gateway is shutting down.');
      for (const run of [...runs.values()]) end(run, { outcome: 'failed', error });
      await options.drafter.dispose();
    },
  };
}
