/**
 * Time as an argument, so that a whole cluster can run in one test under one seed. Durations are taken from the
 * monotonic clock; the wall clock serves nothing but the expiry of hop tokens.
 */

export interface Clock {
  /** Monotonic milliseconds, with fractions. */
  now(): number;
  /** Milliseconds since 1970. */
  unixMs(): number;
  /** Calls back once after `ms`; the returned function cancels. A waiting timer never holds the process open. */
  after(ms: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  unixMs: () => Date.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
