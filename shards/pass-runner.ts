/**
 * Makes one pass of what waits: the next frame of the queue, and behind it frames of other sessions that may share its
 * pass (pass-queue.ts says which, pass-share.ts how many). It never waits for company: frames that come while a pass runs have to wait for
 * its end anyway and then go together, so passes fill by themselves as load grows, and without load nobody waits.
 * Invariant: a frame that is taken is settled exactly once; what one session fails at is no matter of the others.
 */
import type { Clock } from './clock.ts';
import type { ForwardPass, ForwardReport, ShardEngine } from './engine.ts';
import { toShardError } from './errors.ts';
import type { PassQueue, QueuedPass } from './pass-queue.ts';
import { createPassShare } from './pass-share.ts';
import { countPass, type WorkerCounters } from './worker-counters.ts';
import type { WorkerLimits } from './worker-limits.ts';
import type { WorkerSession } from './worker-session.ts';

export interface PassRunnerOptions {
  readonly engine: ShardEngine;
  readonly queue: PassQueue;
  readonly limits: Pick<WorkerLimits, 'passSessionsMax' | 'stagesAtOnceMax'>;
  readonly counters: WorkerCounters;
  readonly clock: Clock;
  readonly sessionOf: (id: string) => WorkerSession | undefined;
  readonly sessionCount: () => number;
}

interface StartedPass {
  readonly session: WorkerSession;
  readonly queued: QueuedPass;
  readonly forward: ForwardPass;
  readonly queueUs: number;
}

/** Gives what runs the next pass and never rejects, or null when nothing may run. */
export function createPassRunner(options: PassRunnerOptions): () => (() => Promise<void>) | null {
  const { engine, queue, counters, clock, sessionOf } = options;
  const slots = Math.min(engine.slots, options.limits.passSessionsMax);
  const share = createPassShare(clock.now(), options.limits.stagesAtOnceMax);
  const mayRun = (id: string): boolean => sessionOf(id)?.mayRun === true;

  function take(): StartedPass[] {
    const nowMs = clock.now();
    const waiting = queue.sessions;
    const started: StartedPass[] = [];
    let sessionsMax = 1;
    while (started.length < sessionsMax) {
      const company = started.map(({ queued }) => queued);
      const queued = queue.next(mayRun, nowMs, company);
      if (queued === null) break;
      const session = sessionOf(queued.session)!;
      const forward = session.start(queued);
      if (forward === null) continue;
      if (started.length === 0) {
        const stages = queued.message.timings.length + 1 + session.stagesBehind;
        sessionsMax = Math.min(slots, share.sessionsMax({ waiting, open: options.sessionCount(), stages }));
      }
      started.push({ session, queued, forward, queueUs: (nowMs - queued.arrivedMs) * 1000 });
    }
    return started;
  }

  async function run(started: readonly StartedPass[]): Promise<void> {
    const startMs = clock.now();
    const { outcomes, rows, sessions, runUs } = await forward(started.map((each) => each.forward));
    share.observe(startMs, clock.now());
    if (sessions > 0) countPass(counters, { rows, sessions, runUs });
    for (const [index, { session, queued, queueUs }] of started.entries()) {
      try {
        session.settle(queued, outcomes[index]!, { queueUs, runUs, passRows: rows, passSessions: sessions });
      } catch (thrown) {
        session.fail(toShardError(thrown));
      }
    }
  }

  /** An engine that fails as a whole fails every frame of the pass. */
  async function forward(passes: readonly ForwardPass[]): Promise<ForwardReport> {
    try {
      return await engine.forward(passes);
    } catch (thrown) {
      const error = toShardError(thrown);
      return { outcomes: passes.map(() => ({ error })), rows: 0, sessions: 0, runUs: 0 };
    }
  }

  return () => {
    const started = take();
    return started.length === 0 ? null : () => run(started);
  };
}
