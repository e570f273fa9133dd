/**
 * How many sessions a pass takes of those that wait. Not all of them: sessions that travel as one block leave the other
 * stages idle while one works, and that costs more than shared passes save. A stage that is hardly ever idle is what
 * the ring waits for: there a pass takes the stage's share, sessions over stages, with which every stage has a block to
 * work on. Any other takes half of what waits, at most that share, so that blocks come apart again. Where stages share the
 * cores of a machine fewer of them work at once: so many blocks are enough, and what pauses a stage has are no loss.
 * Simulated over 1 to 4 stages, links of 0 and 15 ms and 2 to 32 sessions in docs/decisions/2026-11-28-shared-passes.md.
 */

/** A stage that runs for more than this share of its time has no pauses that company could fill. */
const busyShareMin = 0.9;
/** Weight of what was known of that share when another pass has run: ten passes. */
const busyDecay = 0.9;

export interface PassShare {
  /** Sessions for the next pass: of `waiting` ones, of `open` ones on the worker, on a ring of so many stages. */
  sessionsMax(counts: { readonly waiting: number; readonly open: number; readonly stages: number }): number;
  /** A pass has run. */
  observe(startMs: number, endMs: number): void;
}

/** `stagesAtOnce`: stages of the ring that can work at the same time; left out: all of them. */
export function createPassShare(nowMs: number, stagesAtOnce = Number.POSITIVE_INFINITY): PassShare {
  let busyShare = 0;
  let lastEndMs = nowMs;

  return {
    sessionsMax({ waiting, open, stages }) {
      const share = Math.ceil(open / Math.min(stages, stagesAtOnce));
      const whole = stagesAtOnce < stages || busyShare > busyShareMin;
      return Math.max(1, whole ? share : Math.min(share, Math.ceil(waiting / 2)));
    },
    observe(startMs, endMs) {
      const cycleMs = endMs - lastEndMs;
      if (cycleMs > 0) busyShare = busyDecay * busyShare + ((1 - busyDecay) * (endMs - startMs)) / cycleMs;
      lastEndMs = endMs;
    },
  };
}
