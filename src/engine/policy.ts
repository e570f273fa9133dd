/**
 * Who goes first: an order over sessions that want the ring, by one of three policies.
 *
 * laps: semi-clairvoyant (LAPS-SD, arXiv 2505.17074). Queues with growing quanta of service. Once a session's
 *   acceptance is steady it stands in the queue of what it still needs, L * (gamma * td + tv) / (gamma * A + 1). While
 *   acceptance is moving it sinks by what it has had (least attained service first), from the queue that its bound on
 *   tokens puts it in. Within a queue by arrival: by estimate, those of whom it is wrong would wait for everybody.
 * srtf: by that estimate from the start, however unsure.
 * fcfs: by arrival.
 *
 * Ageing: whoever waits rises a queue each `agePerQueueMs`, so nobody waits longer than for all queues (starvationMs),
 * then for those that have waited as long before. Within a queue the aged come first.
 */

export const schedulingPolicies = ['laps', 'fcfs', 'srtf'] as const;
export type SchedulingPolicy = (typeof schedulingPolicies)[number];

/** What the order looks at. */
export interface Standing {
  /** Number in the order of arrival. */
  readonly arrival: number;
  /** Since it last had the ring, or arrived, ms. */
  readonly waitedMs: number;
  /** Time that its rounds took so far, ms. */
  readonly attainedMs: number;
  /** Estimated time that its rounds will still take, ms. */
  readonly remainingMs: number;
  /** Is its acceptance steady, so that the estimate can be trusted? */
  readonly steady: boolean;
}

/** Service at which a session leaves each queue but the last, ms: a short reply, a paragraph, a page at some 100 ms a round. */
const quantaMs = [1_000, 4_000, 16_000] as const;

/** What waits so long rises: shorter, and under a long queue all would be in the first one, which is fcfs again. */
const agePerQueueMs = 20_000;

/** Longest wait for the first queue; from there on those that waited longest go first. */
export const starvationMs = agePerQueueMs * quantaMs.length;

/** Negative: `a` goes before `b`. */
export function compareStandings(policy: SchedulingPolicy, a: Standing, b: Standing): number {
  if (policy === 'fcfs') return a.arrival - b.arrival;
  const starving = Number(isStarving(b)) - Number(isStarving(a));
  if (starving !== 0) return starving;
  if (isStarving(a)) return b.waitedMs - a.waitedMs || a.arrival - b.arrival;
  if (policy === 'srtf') return a.remainingMs - b.remainingMs || a.arrival - b.arrival;
  return queueOf(a) - queueOf(b) || a.arrival - b.arrival;
}

function isStarving({ waitedMs }: Standing): boolean {
  return waitedMs >= starvationMs;
}

function queueOf({ waitedMs, attainedMs, remainingMs, steady }: Standing): number {
  const service = steady ? remainingMs : Math.max(attainedMs, remainingMs);
  const queue = quantaMs.findIndex((quantum) => service < quantum);
  const start = queue === -1 ? quantaMs.length : queue;
  return Math.max(0, start - Math.floor(waitedMs / agePerQueueMs));
}
