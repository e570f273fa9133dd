/**
 * One thing at a time for the engine: openings and closings in order of request, then the next pass. The engine's
 * arithmetic sits in another thread; this loop only waits for it, so sockets are served meanwhile.
 */
import type { Clock } from './clock.ts';

export interface EngineTurns {
  /** Runs a job alone, before any pass that has not begun. Rejects with what the job throws. */
  take<T>(job: () => Promise<T>): Promise<T>;
  /**
   * Something may have become runnable. A pass begins after what has arrived together, so that it can go together; where
   * nothing can have arrived with it (`alone`) it begins at once.
   */
  wake(alone?: boolean): void;
  /** How long the pass in flight has been running, ms; null between passes. */
  passAgeMs(): number | null;
  /** After this no pass begins; resolves when the one in flight has ended. Jobs still run. */
  stop(): Promise<void>;
}

/** `nextPass` picks a pass and returns what runs it (and never rejects), or null. */
export function createEngineTurns(clock: Clock, nextPass: () => (() => Promise<void>) | null): EngineTurns {
  const jobs: (() => Promise<void>)[] = [];
  let running = false;
  let woken = false;
  let stopped = false;
  let passStartMs: number | null = null;
  let passEnd: (() => void)[] = [];

  async function run(): Promise<void> {
    if (running) return;
    running = true;
    while (true) {
      const job = jobs.shift();
      if (job !== undefined) {
        await job();
        continue;
      }
      const pass = stopped ? null : nextPass();
      if (pass === null) break;
      passStartMs = clock.now();
      await pass();
      passStartMs = null;
      for (const resolve of passEnd) resolve();
      passEnd = [];
    }
    running = false;
  }

  return {
    take(job) {
      return new Promise((resolve, reject) => {
        jobs.push(() => job().then(resolve, reject));
        void run();
      });
    },
    wake(alone = false) {
      if (running) return;
      if (alone) return void run();
      if (woken) return;
      woken = true;
      setImmediate(() => {
        woken = false;
        void run();
      });
    },
    passAgeMs: () => (passStartMs === null ? null : clock.now() - passStartMs),
    stop() {
      stopped = true;
      return passStartMs === null ? Promise.resolve() : new Promise((resolve) => passEnd.push(resolve));
    },
  };
}
