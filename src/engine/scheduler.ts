/**
 * The step loop: settle what came back, plan from a snapshot, start rounds. It runs at its own pace — events only
 * put notes into an inbox and wake it (TigerStyle: never act in reaction to an external event) — so every decision
 * sees one consistent state, and a simulation can drive it under a virtual clock.
 */
import type { Drafter } from '../drafting/drafter.ts';
import { GatewayError } from '../errors.ts';
import { createKvAccount } from './kv-account.ts';
import { planRounds } from './plan.ts';
import { createPrefixCache } from './prefix-cache.ts';
import { preparedTokens } from './prepared-tokens.ts';
import type { Ring } from './ring.ts';
import { createRingCosts } from './ring-costs.ts';
import { backlogTokensMax, Session, type SessionRequest } from './session.ts';
import { type Ending, type Note, type RunOptions, SessionRun } from './session-run.ts';
import type { SessionStats } from './session-stats.ts';

/**
 * Frames under way at once: four for each of four stages keep every stage busy; more would only be dropped unrun.
 */
export const framesMax = 16;

export interface SchedulerLimits {
  /** Sessions on the ring at once. */
  readonly runningMax: number;
  /** Sessions that wait for a place; one more is refused with queue_full. */
  readonly queuedMax: number;
}

export interface SchedulerOptions {
  readonly ring: Ring;
  readonly drafter: Drafter;
  readonly limits: SchedulerLimits;
  /** Monotonic, ms. */
  readonly now: () => number;
  readonly newSessionId: () => string;
  /** Positions that every stage has room for, over all sessions; left out: without end. */
  readonly kvPositions?: () => number;
  /** Owners may start from one another's rows; left out: they may not. */
  readonly sharedPrefixes?: boolean;
  readonly onRound?: (session: Session, record: SessionStats['rounds'][number]) => void;
}

export interface SchedulerLoad {
  readonly running: number;
  readonly waiting: number;
}

export interface Scheduler {
  /** Queues a session. Throws GatewayError queue_full or draining. The sink hears everything else. */
  submit(request: SessionRequest): Session;
  load(): SchedulerLoad;
  /** A client has read what it was behind with. */
  wake(): void;
  /** Refuses new sessions, fails those in flight with `draining`, and ends the loop. */
  close(): Promise<void>;
}

export function createScheduler(options: SchedulerOptions): Scheduler {
  const { limits } = options;
  const runs = new Map<string, SessionRun>();
  let inbox: { readonly run: SessionRun; readonly note: Note }[] = [];
  let scheduled = false;
  let closed = false;
  let window = 1;
  const room = createKvAccount(options.kvPositions ?? (() => Number.POSITIVE_INFINITY));
  const prefixes = createPrefixCache({ shared: options.sharedPrefixes ?? false });
  const shared: RunOptions = {
    ...options,
    costs: createRingCosts(),
    prefixes,
    window: () => window,
    wake,
    post(run, note) {
      inbox.push({ run, note });
      wake();
    },
  };

  function wake(): void {
    if (scheduled) return;
    scheduled = true;
    // A macrotask, so that all frames of one socket read are settled by one step.
    setImmediate(() => {
      scheduled = false;
      step();
    });
  }

  function step(): void {
    settle();
    const views = [...runs.values()].map((run) => run.view());
    const plan = planRounds(views, { runningMax: limits.runningMax, framesMax, backlogTokensMax });
    window = plan.window;
    for (const id of plan.open) {
      const run = runs.get(id)!;
      // Who is held back leaves a place to somebody else.
      if (isHeld(run)) wake();
      // Nobody overtakes who waits for room: small sessions would keep a large one out for ever.
      else if (!room.take(id, run.session.rowsMax)) break;
      else endIf(run, run.open());
    }
    for (const id of plan.draft) runs.get(id)!.startDraft();
    const tokensMax = preparedTokens(load().running);
    for (const run of runs.values()) run.prepare(tokensMax);
  }

  /** Does a session do better to wait until another one's prefill is through, and start from its rows? */
  function isHeld(run: SessionRun): boolean {
    const { session } = run;
    const donor = session.request.scorePrompt ? null : prefixes.awaited(session.owner, session.tokens);
    run.awaited = donor === null ? null : runs.get(donor)!.session;
    return donor !== null;
  }

  function settle(): void {
    const notes = inbox;
    inbox = [];
    for (const { run, note } of notes) {
      if (runs.get(run.session.id) !== run) continue; // ended by an earlier note
      endIf(run, run.settle(note));
    }
  }

  function endIf(run: SessionRun, ending: Ending | null): void {
    if (ending === null) return;
    runs.delete(run.session.id);
    room.give(run.session.id);
    wake();
    run.end(ending);
  }

  function load(): SchedulerLoad {
    const waiting = [...runs.values()].filter(({ session }) => session.status === 'waiting').length;
    return { running: runs.size - waiting, waiting };
  }

  return {
    submit(request) {
      if (closed) throw new GatewayError('draining', 'The gateway is shutting down.');
      const { running, waiting } = load();
      // Those that the next step puts on the ring are not in anybody's way: requests may come faster than steps.
      const free = Math.max(0, limits.runningMax - running);
      if (waiting >= limits.queuedMax + free) {
        throw new GatewayError(
          'queue_full',
          `${waiting} requests are waiting already; try again in a moment.`,
        );
      }
      const session = new Session(options.newSessionId(), request);
      runs.set(session.id, new SessionRun(session, shared));
      wake();
      return session;
    },

    load,
    wake,

    async close() {
      closed = true;
      const error = new GatewayError('draining', 'The gateway is shutting down.');
      for (const run of [...runs.values()]) endIf(run, { outcome: 'failed', error });
      await options.drafter.dispose();
    },
  };
}
