/**
 * Processor cores under virtual time. Jobs that are more than the cores share them evenly (processor sharing, as a
 * machine's scheduler does in slices); no job takes more than one core. A machine without end has a core for each job.
 */
import type { VirtualTime } from './virtual-time.ts';

export interface VirtualCores {
  /** Jobs that run at full speed at once. */
  readonly count: number;
  /** `done` is called when a core has worked so long for this job, ms. */
  run(workMs: number, done: () => void): void;
  /** Work that was done so far, ms. */
  readonly workedMs: number;
}

interface Job {
  leftMs: number;
  readonly done: () => void;
}

/** Less is rounding. */
const nothingMs = 1e-9;

export function createVirtualCores(time: VirtualTime, cores: number): VirtualCores {
  const jobs = new Set<Job>();
  let workedMs = 0;
  let asOfMs = 0;
  /** Number of the plan of what ends next; an event of an older one says nothing. */
  let plan = 0;

  const speed = (): number => Math.min(1, cores / jobs.size);

  function advance(): void {
    const eachMs = (time.now() - asOfMs) * speed();
    asOfMs = time.now();
    if (jobs.size === 0) return;
    for (const job of jobs) job.leftMs -= eachMs;
    workedMs += eachMs * jobs.size;
  }

  function planNext(): void {
    plan += 1;
    if (jobs.size === 0) return;
    const own = plan;
    const leastMs = Math.max(0, Math.min(...[...jobs].map(({ leftMs }) => leftMs)));
    time.after(leastMs / speed(), () => {
      if (own !== plan) return;
      advance();
      const ended = [...jobs].filter(({ leftMs }) => leftMs <= nothingMs);
      for (const job of ended) jobs.delete(job);
      planNext();
      for (const { done } of ended) done();
    });
  }

  function run(workMs: number, done: () => void): void {
    if (cores === Number.POSITIVE_INFINITY) {
      time.after(workMs, () => {
        workedMs += workMs;
        done();
      });
      return;
    }
    advance();
    jobs.add({ leftMs: workMs, done });
    planNext();
  }

  return {
    count: cores,
    run,
    get workedMs() {
      return workedMs;
    },
  };
}
