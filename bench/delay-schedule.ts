/**
 * When a chunk that enters one direction of a link leaves it: serialisation at `mbit`, then the one-way delay, then
 * seeded jitter. Invariant: due times never fall, so order is kept whatever the jitter. Pure: the caller brings the clock.
 */
import { uniform } from '../shards/noise.ts';

/** What a link does to bytes, the same in both directions. */
export interface LinkShape {
  /** One-way delay, ms. */
  readonly delayMs: number;
  /** Megabits per second of one direction, shared by its connections; null is unlimited. */
  readonly mbit: number | null;
  /** Each chunk waits up to this much longer, uniformly, ms. */
  readonly jitterMs: number;
  /** Decides the jitter: equal seeds and equal traffic give equal delays. */
  readonly seed: number;
}

export interface DelaySchedule {
  /** Due time (same clock as nowMs) of a chunk of so many bytes that arrives now. */
  dueMs(bytes: number, nowMs: number): number;
}

/** The schedule of one direction; `stream` tells the directions of a link apart in the noise. */
export function createDelaySchedule(shape: LinkShape, stream: number): DelaySchedule {
  const bitsPerMs = shape.mbit === null ? Infinity : shape.mbit * 1000;
  let freeMs = -Infinity;
  let lastDueMs = -Infinity;
  let chunks = 0;
  return {
    dueMs(bytes, nowMs) {
      freeMs = Math.max(freeMs, nowMs) + (bytes * 8) / bitsPerMs;
      const jitterMs = shape.jitterMs * uniform({ low: shape.seed, high: 0 }, chunks++, stream);
      lastDueMs = Math.max(lastDueMs, freeMs + shape.delayMs + jitterMs);
      return lastDueMs;
    },
  };
}
