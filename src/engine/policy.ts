/**
 * Who goes first: an order over sessions that want the ring, by one of three policies.
 *
 * laps: semi-clairvoyant (LAPS-SD, arXiv 2505.17074), by the work that the slowest stage still has with a session: once
 *   its acceptance is steady that of the L tokens to come, L / (gamma * A + 1) rounds; while acceptance is moving, no less
 *   than it has had (least attained service first). The less work, the more of a start by arrival: a boost as it is
 *   optimal for the tail ("Strongly Tail-Optimal Scheduling in the Light-Tailed M/G/1", arXiv 2404.08826). Work, not time:
 *   most of a session's time passes in links, where it is in nobody's way, while its prompt is in everybody's.
 * srtf: by the estimated time, L * (gamma * td + tv) / (gamma * A + 1), however unsure.
 * fcfs: by arrival.
 *
 * Nobody starves: by laps no session is passed by one that came more than the longest start later; by srtf who has waited
 * for `starvationMs` goes first.
 */

export const schedulingPolicies = ['laps', 'fcfs', 'srtf'] as const;
export type SchedulingPolicy = (typeof schedulingPolicies)[number];

/** What the order looks at. */
export interface Standing {
  /** Number in the order of arrival. */
  readonly arrival: number;
  /** Since it arrived, ms. */
  readonly ageMs: number;
  /** Since it last had the ring, or arrived, ms. */
  readonly waitedMs: number;
  /** Work that the slowest stage had with its rounds so far, ms. */
  readonly attainedWorkMs: number;
  /** Work that the slowest stage is likely to have with it yet, its prompt included, ms. */
  readonly remainingWorkMs: number;
  /** Estimated time that its rounds will still take, ms. */
  readonly remainingMs: number;
  /** Is its acceptance steady, so that the estimate can be trusted? */
  readonly steady: boolean;
}

/**
 * A session with a part of another one's work, 1/e, may have come so much later and still goes first. Shorter is fcfs;
 * longer is least work first, of which the longest answers pay more than all others gain.
 */
const startMs = 4_000;
/** Work beyond which a session counts as no smaller, and as no larger: a round, and ten minutes' answers at 100 ms a round. */
const workMinMs = 10;
const workMaxMs = 60_000;
/** By laps no session is passed by one that came so much later. */
export const longestStartMs = startMs * Math.log(workMaxMs / workMinMs);

/** By srtf: a reader's patience with the longest answer; from there on those that waited longest go first. */
export const starvationMs = 60_000;

/** Negative: `a` goes before `b`. */
export function compareStandings(policy: SchedulingPolicy, a: Standing, b: Standing): number {
  if (policy === 'fcfs') return a.arrival - b.arrival;
  if (policy === 'laps') return startedMs(b) - startedMs(a) || a.arrival - b.arrival;
  const starving = Number(isStarving(b)) - Number(isStarving(a));
  if (starving !== 0) return starving;
  if (isStarving(a)) return b.waitedMs - a.waitedMs || a.arrival - b.arrival;
  return a.remainingMs - b.remainingMs || a.arrival - b.arrival;
}

function isStarving({ waitedMs }: Standing): boolean {
  return waitedMs >= starvationMs;
}

/** Age with the start that its work gives it, ms. */
function startedMs({ ageMs, attainedWorkMs, remainingWorkMs, steady }: Standing): number {
  const workMs = steady ? remainingWorkMs : Math.max(attainedWorkMs, remainingWorkMs);
  return ageMs + startMs * Math.log(workMaxMs / Math.min(workMaxMs, Math.max(workMinMs, workMs)));
}
